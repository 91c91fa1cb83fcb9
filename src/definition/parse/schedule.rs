//! Schedules beside a definition, checked against what the server accepts.

use std::sync::Arc;

use super::Parser;
use super::fields::Fields;
use crate::accepted::{CALENDAR_FIELDS, Calendar, Interval, OverlapPolicy, ScheduleSpec};
use crate::definition::table::{Field, Key, Shape, Table, key};
use crate::definition::{DurationValue, Name, Schedule, tables};
use crate::diagnostic::Diagnostic;
use crate::expression::Template;
use crate::source::Range;
use crate::value::{Duration, Map, Timestamp, Value};
use crate::yaml::Node;

/// The range of each value of a list.
type Ranges = Vec<Range>;

impl Parser {
    pub(super) fn schedules(&mut self, fields: &Fields<'_>) -> Vec<Schedule> {
        self.each(
            fields,
            key!("schedules"),
            &tables::SCHEDULE,
            |parser, name, fields| parser.schedule(name, fields),
        )
    }

    fn schedule(&mut self, name: Name, fields: &Fields<'_>) -> Schedule {
        let before = self.diagnostics.len();
        let cron = self.texts(fields, key!("cron"));
        let (intervals, interval_ranges) =
            self.listed(fields, key!("intervals"), &tables::INTERVAL, Self::interval);
        let (calendars, calendar_ranges) =
            self.listed(fields, key!("calendars"), &tables::CALENDAR, Self::calendar);
        let (skip, skip_ranges) =
            self.listed(fields, key!("skip"), &tables::CALENDAR, Self::calendar);
        let spec = ScheduleSpec {
            cron: cron.iter().map(|cron| cron.value.to_string()).collect(),
            intervals,
            calendars,
            skip,
            start_time: self.timestamp(fields, key!("start_time")),
            end_time: self.timestamp(fields, key!("end_time")),
            jitter: self.constant_duration(fields, key!("jitter")),
            time_zone: self
                .text(fields, key!("time_zone"))
                .map(|zone| zone.value.to_string()),
            overlap_policy: self
                .choice(fields, key!("overlap_policy"))
                .and_then(|choice| overlap_policy(choice.value)),
            catchup_window: self.constant_duration(fields, key!("catchup_window")),
            pause_on_failure: self
                .flag(fields, key!("pause_on_failure"))
                .map(|flag| flag.value),
            remaining_actions: None,
            paused: self.flag(fields, key!("paused")).map(|flag| flag.value),
            notes: self
                .text(fields, key!("notes"))
                .map(|notes| notes.value.to_string()),
        };
        let schedule = Schedule {
            input: self.constant(fields, key!("input")),
            workflow_id: self.text(fields, key!("workflow_id")),
            task_queue: self.text(fields, key!("task_queue")),
            memo: self.constants(fields, key!("memo")),
            search_attributes: self.constants(fields, key!("search_attributes")),
            name,
            spec,
        };
        if self.diagnostics.len() == before {
            let lists = [
                ("cron", cron.iter().map(|cron| cron.range).collect()),
                ("intervals", interval_ranges),
                ("calendars", calendar_ranges),
                ("skip", skip_ranges),
            ];
            self.hold_to_rules(&schedule, fields, &lists);
        }
        schedule
    }

    fn hold_to_rules(
        &mut self,
        schedule: &Schedule,
        fields: &Fields<'_>,
        lists: &[(&str, Ranges)],
    ) {
        let invalid = |range, message| Diagnostic::error("invalid-schedule", range, message);
        for error in schedule.spec.errors() {
            let list = lists.iter().find(|(key, _)| *key == error.key);
            let listed = list.and_then(|(_, ranges)| ranges.get(error.index).copied());
            let range = listed.or_else(|| Some(fields.look_up(error.key)?.1.value.range));
            self.report(invalid(range.unwrap_or(schedule.name.range), error.message));
        }
        if schedule.name.value.contains('/') {
            let message = "the name of a schedule must not contain `/`";
            let error = invalid(schedule.name.range, message.to_owned())
                .help("its id on the server is TYPE/NAME, which must be unique");
            self.report(error);
        }
        let times = [key!("cron"), key!("intervals"), key!("calendars")];
        if !schedule.spec.has_times() && !times.iter().any(|key| fields.meant(*key)) {
            let message = format!("the schedule `{}` has no times", schedule.name.value);
            let error = invalid(schedule.name.range, message)
                .help("define when it starts the workflow with `cron`, `intervals` or `calendars`");
            self.report(error);
        }
    }

    /// A list of mappings, and the range of each.
    fn listed<T>(
        &mut self,
        fields: &Fields<'_>,
        name: Key,
        table: &'static Table,
        read: fn(&mut Self, &Fields<'_>) -> Option<T>,
    ) -> (Vec<T>, Ranges) {
        let Some((field, node)) = fields.get(name) else {
            return Default::default();
        };
        let Some(items) = node.sequence() else {
            self.wrong_type(field, node);
            return Default::default();
        };
        let read = items.iter().filter_map(|item| {
            let fields = self.fields(item, table)?;
            Some((read(self, &fields)?, item.range))
        });
        read.unzip()
    }

    fn interval(&mut self, fields: &Fields<'_>) -> Option<Interval> {
        let offset = self.constant_duration(fields, key!("offset"));
        Some(Interval {
            every: self.constant_duration(fields, key!("every"))?,
            offset: offset.unwrap_or_default(),
        })
    }

    fn calendar(&mut self, fields: &Fields<'_>) -> Option<Calendar> {
        let texts = CALENDAR_FIELDS.each_ref().map(|field| {
            let (field, entry) = fields.look_up(field.key)?;
            let node = &entry.value;
            self.calendar_field(field, node)
        });
        let comment = self.text(fields, key!("comment"));
        Some(Calendar {
            comment: comment.map(|comment| comment.value.to_string()),
            ..Calendar::of_texts(texts)
        })
    }

    fn calendar_field(&mut self, field: &Field, node: &Node) -> Option<String> {
        let parts: Option<Vec<Arc<str>>> = match node.sequence() {
            Some(items) => items.iter().map(calendar_part).collect(),
            None => calendar_part(node).map(|part| vec![part]),
        };
        if parts.is_none() {
            self.wrong_type(field, node);
        }
        Some(parts?.join(","))
    }

    fn timestamp(&mut self, fields: &Fields<'_>, name: Key) -> Option<Timestamp> {
        let text = self.text(fields, name)?;
        let time = Timestamp::parse(&text.value);
        if time.is_none() {
            let message = format!(
                "`{}` is not a timestamp; expected e.g. 2030-01-31T09:00:00Z",
                text.value
            );
            self.report(Diagnostic::error("bad-time", text.range, message));
        }
        time
    }

    fn constant_duration(&mut self, fields: &Fields<'_>, name: Key) -> Option<Duration> {
        match self.duration(fields, name)? {
            DurationValue::Constant(duration) => Some(duration.value),
            DurationValue::Expression(template) => {
                self.refuse_expression(&name, template.range());
                None
            }
        }
    }

    /// Data that must be the same at each start.
    fn constant(&mut self, fields: &Fields<'_>, name: Key) -> Option<Template> {
        let (_, node) = fields.get(name)?;
        let template = self.any_template(node);
        if template.as_literal().is_none() {
            self.refuse_expression(&name, node.range);
        }
        Some(template)
    }

    fn constants(&mut self, fields: &Fields<'_>, name: Key) -> Option<Map> {
        let (field, node) = fields.get(name)?;
        if let Value::Map(map) = self.constant(fields, name)?.as_literal()? {
            return Some((*map).clone());
        }
        let field = Field {
            shape: Shape::MappingTemplate,
            ..*field
        };
        self.wrong_type(&field, node);
        None
    }

    fn refuse_expression(&mut self, name: &str, range: Range) {
        let message = format!("`{name}` of a schedule cannot be an expression");
        let error = Diagnostic::error("unexpected-expression", range, message)
            .label("must be the same at each start")
            .help("write constants; the run itself can compute from `workflow.start_time`");
        self.report(error);
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "values of every kind: no other is a part of a calendar"
)]
fn calendar_part(node: &Node) -> Option<Arc<str>> {
    let scalar = node.scalar()?;
    match &scalar.value {
        Value::Int(number) => Some(number.to_string().into()),
        Value::Uint(number) => Some(number.to_string().into()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn overlap_policy(word: &str) -> Option<OverlapPolicy> {
    let mut policies = OverlapPolicy::ALL.into_iter();
    policies.find(|policy| policy.word() == word)
}

//! Schedules: their names and inputs, checked against the workflow that they start.

use super::Compiler;
use super::scope::FunctionKind;
use crate::accepted;
use crate::definition;
use crate::diagnostic::Diagnostic;
use crate::program::{self, schedule_id};
use crate::value::Value;

impl Compiler<'_> {
    pub(crate) fn schedules(&mut self) -> Vec<program::Schedule> {
        let definition = self.definition;
        let schedules = &definition.schedules;
        if let (Some(cron), Some(schedule)) = (&definition.start.cron_schedule, schedules.first()) {
            let message = "a workflow with `schedules` cannot have a `cron_schedule`";
            let error = Diagnostic::error("invalid-schedule", cron.range, message)
                .annotate(schedule.name.range, "this also defines when it starts")
                .help("remove one of them; a schedule can have `cron` too");
            self.diagnostics.push(error);
        }
        // The schema of the input, once for all of them.
        let before = self.diagnostics.len();
        let schema = self.schema(definition.input.as_ref());
        self.diagnostics.truncate(before);
        schedules
            .iter()
            .map(|schedule| self.schedule(schedule, schema.as_ref()))
            .collect()
    }

    fn schedule(
        &mut self,
        schedule: &definition::Schedule,
        schema: Option<&program::Schema>,
    ) -> program::Schedule {
        let name = &schedule.name;
        let id = schedule_id(&self.definition.name.value, &name.value);
        let names = [&schedule.workflow_id, &schedule.task_queue];
        let names = names.into_iter().flatten();
        let names = names.map(|name| (name.range, &*name.value));
        for (range, text) in names.chain([(name.range, &*id)]) {
            self.hold(range, accepted::name(&Value::from(text)));
        }
        let owned = |name: &definition::Name| name.value.clone();
        program::Schedule {
            name: name.value.clone(),
            range: name.range,
            spec: schedule.spec.clone(),
            input: self.scheduled_input(schedule, schema),
            workflow_id: schedule.workflow_id.as_ref().map(owned),
            task_queue: schedule.task_queue.as_ref().map(owned),
            memo: schedule.memo.clone().unwrap_or_default(),
            search_attributes: schedule.search_attributes.clone().unwrap_or_default(),
        }
    }

    fn scheduled_input(
        &mut self,
        schedule: &definition::Schedule,
        schema: Option<&program::Schema>,
    ) -> Option<Value> {
        let definition = self.definition;
        let input = schedule.input.as_ref();
        let value = input.and_then(|input| input.as_literal());
        if input.is_some() && value.is_none() {
            // An expression, which was already reported.
            return None;
        }
        let before = self.diagnostics.len();
        if let Some(input) = input {
            let wanted = self.schemas.type_of(definition.input.as_ref());
            let mut scope = self.scope(FunctionKind::InitialState, None);
            self.fitting(input, &wanted, &mut scope);
        }
        let argument = value.as_ref().unwrap_or(&Value::Null);
        let wrong = schema.and_then(|schema| schema.violation(argument));
        // A part of the wrong type was already reported at its place.
        if let Some(wrong) = wrong
            && self.diagnostics.len() == before
        {
            let range = input.map_or(schedule.name.range, |input| input.range());
            let workflow = &definition.name.value;
            let message = format!("the input breaks the schema of `{workflow}`: {wrong}");
            let error = Diagnostic::error("invalid-schedule", range, message);
            self.diagnostics.push(match input {
                Some(_) => error,
                None => error.help("give the schedule an `input`"),
            });
        }
        value
    }
}

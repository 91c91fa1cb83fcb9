//! The steps of a run in the order in which they began, with their lines, times and ends: for failing tests, and live.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::observe::{End, Event, Moment, Observer};
use crate::program::{Operation, Program};
use crate::value::{Timestamp, to_json_string};
use crate::words::StepId;

/// A result longer than this is cut in a timeline.
const RESULT_CHARS_MAX: usize = 60;
const TIME_WIDTH_MIN: usize = 8;
/// Concurrently waiting steps that are named.
const WAITS_MAX: usize = 10;

/// Collects the steps of the runs that it observes. What a replay repeats is not recorded twice.
#[derive(Debug, Default)]
pub struct Timeline {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    entries: Vec<Entry>,
    /// By workflow, routine and step: the entry that has not ended, possibly in a run that continues as another one.
    open: BTreeMap<(String, u32, u32), usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) began: Timestamp,
    pub(crate) workflow_id: String,
    /// `file:line`.
    pub(crate) place: String,
    /// The step's id, or the line that it begins in.
    pub(crate) step: String,
    /// The type of the activity or child, or `SERVICE/OPERATION`, unless an expression chooses it.
    pub(crate) calls: Option<String>,
    /// When it ended and how; `None` if it has not.
    pub(crate) ended: Option<(Timestamp, String)>,
}

impl Timeline {
    pub fn new() -> Self {
        Timeline::default()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.seen().entries.clone()
    }

    /// Where it waits, if it does.
    pub(crate) fn waits(&self) -> Option<String> {
        let entries = self.entries().into_iter();
        let open: Vec<_> = entries.filter(|entry| entry.ended.is_none()).collect();
        let more = open.len().saturating_sub(WAITS_MAX);
        let places = open.iter().take(WAITS_MAX);
        let places: Vec<_> = places
            .map(|e| format!("{} ({})", e.place, e.step))
            .collect();
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!open.is_empty()).then(|| format!("{}{more}", places.join(", ")))
    }

    /// One line a step; times are counted from `start`.
    pub fn text(&self, start: Timestamp) -> String {
        self.text_within(Path::new(""), start)
    }

    /// The timeline with places relative to a folder.
    pub(crate) fn text_within(&self, folder: &Path, start: Timestamp) -> String {
        let mut entries = self.entries();
        for entry in &mut entries {
            // Both may begin with `./`, which does not count.
            let plain = |path: &Path| path.strip_prefix(".").unwrap_or(path).to_owned();
            let place = plain(Path::new(&entry.place));
            let place = place.strip_prefix(plain(folder)).unwrap_or(&place);
            entry.place = place.display().to_string();
        }
        let width = |text: fn(&Entry) -> &str| {
            let lengths = entries.iter().map(|e| text(e).chars().count());
            lengths.max().unwrap_or_default()
        };
        let (places, steps) = (width(|e| &e.place), width(|e| &e.step));
        let after = |at: Timestamp| {
            let length = at.since(start).unwrap_or_default();
            length.words()
        };
        let began = entries.iter().map(|entry| after(entry.began).len());
        let began = began.max().unwrap_or_default().max(TIME_WIDTH_MIN);
        let mut text = String::new();
        for entry in &entries {
            let end = match &entry.ended {
                None => "has not ended".to_owned(),
                Some((at, how)) if *at == entry.began => how.clone(),
                Some((at, how)) => format!("{how} (at {})", after(*at)),
            };
            let _ = writeln!(
                text,
                "{:>began$}  {:places$}  {:steps$}  {end}",
                after(entry.began),
                entry.place,
                entry.step
            );
        }
        text
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Timeline {
    fn saw(&self, moment: &Moment<'_>, event: Event<'_>) {
        if moment.is_replaying {
            return;
        }
        let mut seen = self.seen();
        match event {
            Event::StepBegan { routine, step } => {
                let action = &moment.loaded.program.step(step).action;
                let entry = Entry {
                    began: moment.now,
                    workflow_id: moment.workflow_id.to_owned(),
                    place: place(&moment.loaded.program, step),
                    step: name(&moment.loaded.program, step),
                    calls: action.operation().and_then(Operation::name),
                    ended: None,
                };
                let index = seen.entries.len();
                seen.entries.push(entry);
                let key = (moment.workflow_id.to_owned(), routine, step.0);
                // What an earlier run had not finished will not be ended.
                if let Some(left) = seen.open.insert(key, index)
                    && let Some(entry) = seen.entries.get_mut(left)
                {
                    entry.ended = Some((moment.now, outcome(End::Left)));
                }
            }
            Event::StepEnded { routine, step, end } => {
                let key = (moment.workflow_id.to_owned(), routine, step.0);
                if let Some(index) = seen.open.remove(&key)
                    && let Some(entry) = seen.entries.get_mut(index)
                {
                    entry.ended = Some((moment.now, outcome(end)));
                }
            }
            Event::StepSkipped { .. }
            | Event::BlockEntered { .. }
            | Event::BodyLeftOut { .. }
            | Event::RaceWon { .. }
            | Event::Evaluated { .. }
            | Event::SignalsSettled { .. } => {}
        }
    }
}

fn place(program: &Program, step: StepId) -> String {
    let range = program.ranges[step.0 as usize];
    let file = program.sources.file(range.file);
    format!("{}:{}", file.path, file.position(range.start).line)
}

fn name(program: &Program, step: StepId) -> String {
    if let Some(id) = &program.step(step).id {
        return id.to_string();
    }
    let range = program.ranges[step.0 as usize];
    let rest = program
        .sources
        .file(range.file)
        .text
        .get(range.start as usize..);
    let line = rest
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    cut(within_brackets(line).trim_end())
}

/// In flow style, up to the bracket that ends the step.
fn within_brackets(line: &str) -> &str {
    let (mut depth, mut is_quoted) = (0, false);
    for (place, c) in line.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            '{' | '[' if !is_quoted => depth += 1,
            '}' | ']' if !is_quoted && depth == 0 => return &line[..place],
            '}' | ']' if !is_quoted => depth -= 1,
            _ => {}
        }
    }
    line
}

fn outcome(end: End<'_>) -> String {
    match end {
        End::Value(value) => cut(&to_json_string(value).unwrap_or_else(|_| "a value".into())),
        End::Failed(failure) => {
            let root = failure.chain().last().unwrap_or(failure);
            cut(&match root.message.as_str() {
                "" => format!("failed: {}", root.kind().name()),
                message => format!("failed: {message}"),
            })
        }
        End::Left => "left".to_owned(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(RESULT_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

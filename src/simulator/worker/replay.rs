//! Replays a history with a new instance, whose requests must match the history.

use std::fmt::{self, Display};
use std::sync::Arc;

use temporalio_protos::temporal::api::history::v1::HistoryEvent;

use super::cached::Cached;
use crate::engine::Programs;
use crate::engine::observe::Observer;
use crate::history::{Commanded, Meaning, Progress, TaskStage};

/// Where a run and its history diverge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// 0 if not at an event.
    pub event_id: i64,
    /// The history's event there.
    pub(crate) event: String,
    pub(crate) problem: String,
}

impl Divergence {
    pub(super) fn broken(problem: impl Into<String>) -> Self {
        Divergence {
            event_id: 0,
            event: String::new(),
            problem: problem.into(),
        }
    }

    pub(super) fn missing(event: &HistoryEvent) -> Self {
        Divergence::broken("the run did not ask for it").at(event)
    }

    pub(super) fn unexpected(progress: &Progress<'_>) -> Self {
        let Progress {
            operation, stage, ..
        } = progress;
        Divergence::broken(format!("{operation:?} cannot be told this: {stage:?}"))
    }

    pub(super) fn at(mut self, event: &HistoryEvent) -> Self {
        if self.event_id == 0 {
            self.event_id = event.event_id;
            self.event = event.event_type().as_str_name().to_owned();
        }
        self
    }
}

impl Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event_id {
            0 => f.write_str(&self.problem),
            id => write!(f, "event {id} ({}): {}", self.event, self.problem),
        }
    }
}

/// What a replay needs.
pub(super) struct Replay<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) task_queue: &'a str,
    pub(crate) workflow_id: &'a str,
    pub(crate) run_id: &'a str,
    pub(crate) programs: &'a dyn Programs,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

/// The run after the last completed workflow task of its history.
pub(super) fn replay(history: &[HistoryEvent], with: &Replay<'_>) -> Result<Cached, Divergence> {
    let mut run = Cached::new(with);
    run.machines.is_replaying = true;
    let mut from = 0;
    while let Some(to) = sequence_end(history, from) {
        let next = sequence_end(history, to + 1).unwrap_or(history.len() - 1);
        let flags = history[from..=to + 1].iter().flat_map(flags);
        run.machines.flags.extend(flags);
        run.machines
            .apply(&history[..=to], &history[to + 1..=next], Vec::new())?;
        loop {
            let jobs = run.take_jobs();
            if jobs.is_empty() {
                break;
            }
            let commands = run.activate(jobs, with, None)?;
            run.machines.driven(commands)?;
        }
        run.machines.prepare();
        from = to + 1;
    }
    // The last completion is recorded in the events that follow.
    if from > 0 {
        let commanded = &history[from..];
        let end = commanded
            .iter()
            .position(|event| !is_of_last_task(event))
            .unwrap_or(commanded.len());
        run.machines
            .apply(&history[..from + end], &[], Vec::new())?;
    }
    run.machines.is_replaying = false;
    Ok(run)
}

/// The flags that a completed workflow task used.
fn flags(event: &HistoryEvent) -> Vec<u32> {
    let Meaning::Task(TaskStage::Completed(completed)) = Meaning::of(event) else {
        return Vec::new();
    };
    let metadata = completed.sdk_metadata.clone().unwrap_or_default();
    metadata.lang_used_flags
}

fn is_of_last_task(event: &HistoryEvent) -> bool {
    let meaning = Meaning::of(event);
    matches!(meaning, Meaning::Task(TaskStage::Completed(_))) || meaning.is_of_command()
}

/// The place of the start of the next completed workflow task: core groups events for its activations so (sdk-core
/// 0.10.1, worker/workflow/history_update.rs, `find_end_index_of_next_wft_seq`).
fn sequence_end(history: &[HistoryEvent], from: usize) -> Option<usize> {
    let meaning = |place: usize| history.get(place).map(Meaning::of);
    let mut saw_command = false;
    let mut started: Vec<usize> = Vec::new();
    for place in from..history.len() {
        let Some(at) = meaning(place) else {
            continue;
        };
        saw_command |= at.is_of_command();
        let is_completed = matches!(
            meaning(place + 1),
            Some(Meaning::Task(TaskStage::Completed(_)))
        );
        if !is_completed || !matches!(at, Meaning::Task(TaskStage::Started(_))) {
            continue;
        }
        started.push(place);
        let next = meaning(place + 2);
        if let Some(Meaning::Commanded(Commanded::UpdateAccepted(accepted))) = next {
            let before = started.iter().rev().find(|place| {
                history[**place].event_id < accepted.accepted_request_sequencing_event_id
            });
            return Some(before.copied().unwrap_or(place));
        }
        let is_scheduled = matches!(next, Some(Meaning::Task(TaskStage::Scheduled)));
        // A task that was only kept open for local activities.
        if saw_command || !is_scheduled {
            return Some(place);
        }
    }
    None
}

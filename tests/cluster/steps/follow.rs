//! Follows the histories of a workflow, of all its runs, and of its children's, as their events come.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use segno::client::{Client, ClientError, WorkflowRef};
use temporalio_protos::temporal::api::enums::v1::RetryState;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use tokio::sync::{mpsc, watch};

use super::text::Followed;

/// All that is known of a workflow and of what it started.
pub struct Follower {
    client: Client,
    state: Mutex<State>,
    /// Counts up with every change.
    changes: watch::Sender<u64>,
    /// Told who completed a workflow task.
    completed_by: mpsc::UnboundedSender<String>,
}

#[derive(Default)]
struct State {
    runs: Vec<Followed>,
    open: usize,
    error: Option<String>,
}

impl Follower {
    pub fn new(client: Client, completed_by: mpsc::UnboundedSender<String>) -> Arc<Follower> {
        Arc::new(Follower {
            client,
            state: Mutex::default(),
            changes: watch::channel(0).0,
            completed_by,
        })
    }

    pub fn runs(&self) -> Vec<Followed> {
        self.state.lock().unwrap().runs.clone()
    }

    /// Follows a run, whatever continues it and whatever children they start.
    pub fn follow(self: &Arc<Self>, workflow: WorkflowRef, parent: Option<usize>) {
        self.state.lock().unwrap().open += 1;
        let follower = self.clone();
        tokio::spawn(async move {
            let followed = follower.follow_chain(workflow, parent).await;
            let mut state = follower.state.lock().unwrap();
            state.open -= 1;
            if let Err(error) = followed {
                state.error = Some(error.to_string());
            }
            drop(state);
            follower.changed();
        });
    }

    /// Looks again at each change, until there is an answer or an error.
    pub async fn until<T>(&self, look: impl Fn(&Follower) -> Option<T>) -> Result<T, String> {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(answer) = look(self) {
                return Ok(answer);
            }
            if let Some(error) = self.state.lock().unwrap().error.clone() {
                return Err(error);
            }
            changes.changed().await.map_err(|e| e.to_string())?;
        }
    }

    pub fn is_over(&self) -> bool {
        self.state.lock().unwrap().open == 0
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn follow_chain(
        self: &Arc<Self>,
        mut workflow: WorkflowRef,
        parent: Option<usize>,
    ) -> BoxFuture<'_, Result<(), ClientError>> {
        Box::pin(async move {
            while let Some(next) = self.follow_run(&workflow, parent).await? {
                workflow.run_id = Some(next);
            }
            Ok(())
        })
    }

    /// The run that comes after it, if there is one.
    async fn follow_run(
        self: &Arc<Self>,
        workflow: &WorkflowRef,
        parent: Option<usize>,
    ) -> Result<Option<String>, ClientError> {
        let place = {
            let mut state = self.state.lock().unwrap();
            state.runs.push(Followed {
                workflow_id: workflow.workflow_id.clone(),
                run_id: workflow.run_id.clone().unwrap_or_default(),
                parent,
                events: Vec::new(),
            });
            state.runs.len() - 1
        };
        let mut token = Vec::new();
        loop {
            let (events, next) = self.client.history_page(workflow, token, true).await?;
            let mut next_run = None;
            for event in &events {
                next_run = next_run.or(self.hear(event, place));
            }
            self.append(place, events);
            token = match next {
                Some(next) => next,
                None => return Ok(next_run),
            };
        }
    }

    /// Events of a workflow task that is tried again are provisional: the server sends them again under the same ids.
    fn append(&self, place: usize, events: Vec<HistoryEvent>) {
        let mut state = self.state.lock().unwrap();
        let known = &mut state.runs[place].events;
        if let Some(first) = events.first() {
            known.retain(|event| event.event_id < first.event_id);
        }
        known.extend(events);
        drop(state);
        self.changed();
    }

    fn hear(self: &Arc<Self>, event: &HistoryEvent, place: usize) -> Option<String> {
        use Attributes::*;
        let next = match event.attributes.as_ref()? {
            WorkflowTaskCompletedEventAttributes(a) => {
                let _ = self.completed_by.send(a.identity.clone());
                return None;
            }
            ChildWorkflowExecutionStartedEventAttributes(a) => {
                let child = a.workflow_execution.clone().unwrap_or_default();
                self.follow(
                    WorkflowRef::new(child.workflow_id, Some(child.run_id)),
                    Some(place),
                );
                return None;
            }
            WorkflowExecutionContinuedAsNewEventAttributes(a) => &a.new_execution_run_id,
            WorkflowExecutionCompletedEventAttributes(a) => &a.new_execution_run_id,
            WorkflowExecutionTimedOutEventAttributes(a) => &a.new_execution_run_id,
            WorkflowExecutionFailedEventAttributes(a)
                if a.retry_state() == RetryState::InProgress =>
            {
                &a.new_execution_run_id
            }
            _ => return None,
        };
        (!next.is_empty()).then(|| next.clone())
    }
}

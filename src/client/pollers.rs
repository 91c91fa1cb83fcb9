//! The workers that poll a task queue, and the version of the language that each announces in its identity.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use temporalio_client::grpc::WorkflowService;
use temporalio_protos::temporal::api::enums::v1::{TaskQueueKind, TaskQueueType};
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::DescribeTaskQueueRequest;

use super::{Client, ClientError, body, request};

/// Follows a worker's name, before the number.
const LANGUAGE: &str = " segno-language=";
/// A poll takes up to a minute. The server lists pollers for some minutes after they have stopped.
const POLLED_WITHIN: Duration = Duration::from_secs(90);

/// A worker that polls a task queue for workflow tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poller {
    pub(crate) identity: String,
    /// The newest version of the language that it supports, if it announces one.
    pub language: Option<u32>,
}

/// A worker's identity with the version of the language that it supports.
pub fn announcing(identity: &str, language: u32) -> String {
    format!("{identity}{LANGUAGE}{language}")
}

impl Poller {
    fn of(identity: String) -> Poller {
        let announced = identity.rsplit_once(LANGUAGE);
        let language = announced.and_then(|(_, number)| number.parse().ok());
        Poller { identity, language }
    }
}

impl Client {
    /// The workers that have recently polled for workflow tasks.
    pub async fn workflow_pollers(&self, task_queue: &str) -> Result<Vec<Poller>, ClientError> {
        let message = DescribeTaskQueueRequest {
            namespace: self.namespace.clone(),
            task_queue: Some(TaskQueue {
                name: task_queue.to_owned(),
                kind: TaskQueueKind::Normal.into(),
                ..Default::default()
            }),
            task_queue_type: TaskQueueType::Workflow.into(),
            ..Default::default()
        };
        let mut service = self.connection.clone();
        let answer = service.describe_task_queue(request(message)).await;
        let found = body(answer.map_err(self.refused("describe the task queue", None))?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let oldest = now.unwrap_or_default().saturating_sub(POLLED_WITHIN);
        let pollers = found.pollers.into_iter().filter(|poller| {
            let at = poller.last_access_time.map_or(0, |at| at.seconds);
            u64::try_from(at).is_ok_and(|at| at >= oldest.as_secs())
        });
        Ok(pollers.map(|poller| Poller::of(poller.identity)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Poller, announcing};

    #[test]
    fn a_worker_says_which_language_it_knows() {
        let language = |identity: &str| Poller::of(identity.to_owned()).language;
        assert_eq!(language(&announcing("1@host", 3)), Some(3));
        assert_eq!(language(&announcing("a name of its own", 12)), Some(12));
        assert_eq!(language("1@host"), None);
        assert_eq!(language("1@host segno-language=new"), None);
    }
}

//! The real server that simulations are compared with.

use segno::client::{Client, ClientError, ConnectionSettings, WorkflowRef};
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::support::cluster::Cluster;
use super::text::Followed;

pub fn cluster() -> &'static Cluster {
    Cluster::with_activities(&["tests/simulator/random_activities.py"])
}

pub async fn client() -> Client {
    let settings = ConnectionSettings {
        address: Some(cluster().address.clone()),
        disable_config_env: true,
        disable_config_file: true,
        ..ConnectionSettings::default()
    };
    Client::connect(&settings.resolve().unwrap()).await.unwrap()
}

/// All runs of a workflow, each to its end.
pub async fn follow(
    client: &Client,
    workflow_id: &str,
    first: String,
) -> Result<Vec<Followed>, ClientError> {
    let mut runs = Vec::new();
    let mut next = Some(first);
    while let Some(run_id) = next {
        let workflow = WorkflowRef::new(workflow_id.to_owned(), Some(run_id.clone()));
        let mut events: Vec<HistoryEvent> = Vec::new();
        let mut token = Vec::new();
        loop {
            let (more, further) = client.history_page(&workflow, token, true).await?;
            events.extend(more);
            match further {
                Some(further) => token = further,
                None => break,
            }
        }
        next = match events.last().and_then(|event| event.attributes.as_ref()) {
            Some(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(continued)) => {
                Some(continued.new_execution_run_id.clone())
            }
            _ => None,
        };
        runs.push(Followed {
            workflow_id: workflow_id.to_owned(),
            run_id,
            parent: None,
            events,
        });
    }
    Ok(runs)
}

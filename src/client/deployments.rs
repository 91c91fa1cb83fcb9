//! Worker deployments, and which of their versions get workflow tasks.

use std::time::Duration;

use temporalio_client::grpc::WorkflowService;
use temporalio_protos::temporal::api::deployment::v1 as proto;
use temporalio_protos::temporal::api::enums::v1::{
    RoutingConfigUpdateState, WorkerDeploymentVersionStatus,
};
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeWorkerDeploymentRequest, ListWorkerDeploymentsRequest,
    SetWorkerDeploymentCurrentVersionRequest, SetWorkerDeploymentRampingVersionRequest,
};

use tokio::time::Instant;

use super::{Client, ClientError, body, request};
use crate::payload::timestamp_from_proto;
use crate::value::Timestamp;

/// The interval at which a change is checked for having reached all task queues.
const ROUTING_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait for a change. The server continues without the caller, and may take much longer.
const ROUTING_WAIT_MAX: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub(crate) struct WorkerDeployment {
    pub(crate) name: String,
    /// The version that new runs start on and others move to; `None`: workers without a version.
    pub(crate) current: Option<String>,
    pub(crate) ramping: Option<Ramping>,
    /// The newest first; empty in a list.
    pub(crate) versions: Vec<WorkerVersion>,
    /// Whether a change has yet to reach some task queue.
    pub(crate) is_changing: bool,
}

/// The version that gets a share of the runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ramping {
    /// `None`: workers without a version.
    pub(crate) build_id: Option<String>,
    pub(crate) percentage: f32,
}

#[derive(Debug, Clone)]
pub(crate) struct WorkerVersion {
    pub(crate) build_id: String,
    /// Temporal's word: INACTIVE, CURRENT, RAMPING, DRAINING, DRAINED, CREATED.
    pub(crate) status: &'static str,
    pub(crate) create_time: Option<Timestamp>,
}

/// What a change of a deployment's routing may do despite the server's checks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RoutingForce {
    /// Even if no worker of the version has ever been seen.
    pub(crate) allow_no_pollers: bool,
    /// Even if it does not serve task queues that the current version serves.
    pub(crate) ignore_missing_task_queues: bool,
}

impl Client {
    pub(crate) async fn worker_deployments(&self) -> Result<Vec<WorkerDeployment>, ClientError> {
        let mut found = Vec::new();
        let mut service = self.connection.clone();
        let mut next_page_token = Vec::new();
        loop {
            let message = ListWorkerDeploymentsRequest {
                namespace: self.namespace.clone(),
                next_page_token,
                ..Default::default()
            };
            let answer = service.list_worker_deployments(request(message)).await;
            let page = body(answer.map_err(self.refused("list the deployments", None))?);
            found.extend(page.worker_deployments.into_iter().map(|summary| {
                let (current, ramping) = routing(summary.routing_config);
                WorkerDeployment {
                    name: summary.name,
                    current,
                    ramping,
                    versions: Vec::new(),
                    is_changing: false,
                }
            }));
            next_page_token = page.next_page_token;
            if next_page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    pub(crate) async fn worker_deployment(
        &self,
        name: &str,
    ) -> Result<WorkerDeployment, ClientError> {
        let message = DescribeWorkerDeploymentRequest {
            namespace: self.namespace.clone(),
            deployment_name: name.to_owned(),
        };
        let mut service = self.connection.clone();
        let answer = service.describe_worker_deployment(request(message)).await;
        let answer = body(answer.map_err(self.refused("describe the deployment", None))?);
        let info = answer.worker_deployment_info.ok_or(ClientError::Malformed(
            "describe the deployment",
            "the deployment",
        ))?;
        let state = info.routing_config_update_state();
        let (current, ramping) = routing(info.routing_config);
        let mut versions: Vec<_> = info.version_summaries.into_iter().map(version).collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.create_time));
        Ok(WorkerDeployment {
            name: info.name,
            current,
            ramping,
            versions,
            is_changing: state == RoutingConfigUpdateState::InProgress,
        })
    }

    /// Makes a version current (`None`: workers without a version), and waits up to `ROUTING_WAIT_MAX` until all task
    /// queues use it.
    pub(crate) async fn set_current_version(
        &self,
        name: &str,
        build_id: Option<&str>,
        force: RoutingForce,
    ) -> Result<WorkerDeployment, ClientError> {
        let message = SetWorkerDeploymentCurrentVersionRequest {
            namespace: self.namespace.clone(),
            deployment_name: name.to_owned(),
            build_id: build_id.unwrap_or_default().to_owned(),
            identity: self.identity.clone(),
            ignore_missing_task_queues: force.ignore_missing_task_queues,
            allow_no_pollers: force.allow_no_pollers,
            ..Default::default()
        };
        let mut service = self.connection.clone();
        let answer = service
            .set_worker_deployment_current_version(request(message))
            .await;
        answer.map_err(self.refused("set the current version", None))?;
        self.changed(name).await
    }

    /// Sends a share of the runs to a version (`None`: to no version any more), and waits up to `ROUTING_WAIT_MAX`
    /// until all task queues use it.
    pub(crate) async fn set_ramping_version(
        &self,
        name: &str,
        ramping: Option<Ramping>,
        force: RoutingForce,
    ) -> Result<WorkerDeployment, ClientError> {
        let message = SetWorkerDeploymentRampingVersionRequest {
            namespace: self.namespace.clone(),
            deployment_name: name.to_owned(),
            percentage: ramping.as_ref().map_or(0.0, |ramping| ramping.percentage),
            build_id: ramping.and_then(|r| r.build_id).unwrap_or_default(),
            identity: self.identity.clone(),
            ignore_missing_task_queues: force.ignore_missing_task_queues,
            allow_no_pollers: force.allow_no_pollers,
            ..Default::default()
        };
        let mut service = self.connection.clone();
        let answer = service
            .set_worker_deployment_ramping_version(request(message))
            .await;
        answer.map_err(self.refused("set the ramping version", None))?;
        self.changed(name).await
    }

    async fn changed(&self, name: &str) -> Result<WorkerDeployment, ClientError> {
        let deadline = Instant::now() + ROUTING_WAIT_MAX;
        loop {
            let deployment = self.worker_deployment(name).await?;
            if !deployment.is_changing || Instant::now() > deadline {
                return Ok(deployment);
            }
            tokio::time::sleep(ROUTING_POLL_INTERVAL).await;
        }
    }
}

fn routing(config: Option<proto::RoutingConfig>) -> (Option<String>, Option<Ramping>) {
    let config = config.unwrap_or_default();
    let build_id = |version: Option<proto::WorkerDeploymentVersion>| version.map(|v| v.build_id);
    let ramping = Ramping {
        build_id: build_id(config.ramping_deployment_version),
        percentage: config.ramping_version_percentage,
    };
    // Workers without a version ramp only above zero.
    let ramps = ramping.build_id.is_some() || ramping.percentage > 0.0;
    let current = build_id(config.current_deployment_version);
    (current, ramps.then_some(ramping))
}

fn version(
    summary: proto::worker_deployment_info::WorkerDeploymentVersionSummary,
) -> WorkerVersion {
    let status: WorkerDeploymentVersionStatus = summary.status();
    let status = status.as_str_name();
    WorkerVersion {
        status: status.trim_start_matches("WORKER_DEPLOYMENT_VERSION_STATUS_"),
        create_time: summary.create_time.map(timestamp_from_proto),
        build_id: summary
            .deployment_version
            .map(|version| version.build_id)
            .unwrap_or_default(),
    }
}

//! The benchmark's workflows hand-written with `temporalio-sdk`: local activity, activity, 10 ms timer, set, return; and
//! one that is parked on a timer.

use std::time::Duration;

use temporalio_client::envconfig::LoadClientConfigProfileOptions;
use temporalio_client::{Client, ClientOptions, Connection, GrpcCompression};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::{
    ActivityOptions, LocalActivityOptions, Runtime, Worker, WorkerOptions, WorkflowContext,
    WorkflowResult,
};

pub struct Activities;

#[activities]
impl Activities {
    #[activity]
    pub async fn echo(_ctx: ActivityContext, text: String) -> Result<String, ActivityError> {
        Ok(text)
    }
}

#[workflow]
#[derive(Default)]
pub struct Throughput {
    status: String,
}

#[workflow_methods]
impl Throughput {
    #[run(name = "throughput")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, name: String) -> WorkflowResult<String> {
        let limit = Duration::from_secs(10);
        let local = LocalActivityOptions::builder()
            .start_to_close_timeout(limit)
            .build();
        let greeting = ctx
            .execute_local_activity(Activities::echo, name, local)
            .await?;
        let options = ActivityOptions::start_to_close_timeout(limit);
        let answer = ctx
            .execute_activity(Activities::echo, greeting, options)
            .await?;
        ctx.timer(Duration::from_millis(10)).await;
        ctx.state_mut(|state| state.status = "done".to_owned());
        let status = ctx.state(|state| state.status.clone());
        Ok(format!("{answer} {status}"))
    }
}

#[workflow]
#[derive(Default)]
pub struct Parked;

#[workflow_methods]
impl Parked {
    #[run(name = "parked")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, name: String) -> WorkflowResult<String> {
        let options = ActivityOptions::start_to_close_timeout(Duration::from_secs(10));
        let answer = ctx
            .execute_activity(Activities::echo, name, options)
            .await?;
        ctx.timer(Duration::from_secs(3600)).await;
        Ok(answer)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let task_queue = std::env::args().nth(1).ok_or("usage: native TASK_QUEUE")?;
    let runtime = Runtime::from_current_tokio(Default::default())?;
    let (mut connection, client) =
        ClientOptions::load_from_config(LoadClientConfigProfileOptions::default())?;
    // As the Segno worker does for a server on the same machine.
    connection.grpc_compression = GrpcCompression::None;
    let client = Client::new(Connection::connect(connection).await?, client)?;
    let options = WorkerOptions::new(task_queue)
        .register_workflow::<Throughput>()?
        .register_workflow::<Parked>()?
        .register_activities(Activities)
        .build();
    Worker::new(&runtime, client, options)?.run().await?;
    Ok(())
}

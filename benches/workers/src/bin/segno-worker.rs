//! A Segno worker with one more activity, `echo`, so that the benchmark's workers all have the same work: usage
//! `segno-worker FOLDER TASK_QUEUE`.

use std::sync::Arc;

use async_trait::async_trait;
use segno::activity::{Activity, ActivityContext};
use segno::client::ConnectionSettings;
use segno::engine::failure::Failure;
use segno::registry::Folder;
use segno::value::Value;
use segno::worker::{WorkerOptions, run};
use tokio_util::sync::CancellationToken;

struct Echo;

#[async_trait]
impl Activity for Echo {
    fn name(&self) -> &str {
        "echo"
    }

    async fn run(&self, _: ActivityContext, arguments: Vec<Value>) -> Result<Value, Failure> {
        Ok(arguments.into_iter().next().unwrap_or(Value::Null))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(task_queue)) = (arguments.next(), arguments.next()) else {
        return Err("usage: segno-worker FOLDER TASK_QUEUE".into());
    };
    let settings = ConnectionSettings::default().resolve()?;
    let registry = Arc::new(Folder::open(folder, |_| {})?);
    // As many cached runs as the hand-written worker keeps.
    let options = WorkerOptions {
        max_cached_workflows: 1000,
        ..WorkerOptions::new(task_queue)
    };
    let activities: Vec<Arc<dyn Activity>> = vec![Arc::new(Echo)];
    run(
        &settings,
        options,
        registry,
        activities,
        CancellationToken::new(),
    )
    .await?;
    Ok(())
}

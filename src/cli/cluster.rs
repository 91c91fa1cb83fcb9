//! The commands that speak to a cluster.

mod activity;
mod codec;
mod connection;
mod definitions;
mod deploy;
mod describe;
mod dev;
mod end;
mod failure;
mod files;
mod history;
mod input;
mod list;
mod namespace;
mod own;
mod project;
mod query;
mod replay;
mod result;
mod run;
mod schedule;
mod search_attribute;
mod signal;
mod start;
mod store;
mod test;
mod tuning;
mod update;
mod values;
mod worker;
mod worker_deployment;
mod workflow_options;

use std::future::Future;

use clap::{Args, Subcommand};

use super::output::{CliError, End, Output};
use crate::client::WorkflowRef;

/// Where workers and starters meet if nobody names a task queue.
const TASK_QUEUE_DEFAULT: &str = "segno";

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Serve a folder's definitions on a task queue
    Worker(Box<worker::WorkerArgs>),
    /// Start a development server and a worker in one command
    Dev(Box<dev::DevArgs>),
    /// Put a folder's definitions in force, on every worker that serves the cluster's registry
    Deploy(Box<deploy::DeployArgs>),
    /// Look at the deployed definitions, and choose the versions of new runs
    #[command(subcommand)]
    Definitions(Box<definitions::DefinitionsCommand>),
    /// Start a workflow
    Start(Box<start::StartArgs>),
    /// Send a signal to a workflow
    Signal(signal::SignalArgs),
    /// Ask a workflow a query
    Query(query::QueryArgs),
    /// Send an update to a workflow
    Update(update::UpdateArgs),
    /// Ask a workflow to end: it may clean up first
    Cancel(end::CancelArgs),
    /// End a workflow at once
    Terminate(end::TerminateArgs),
    /// Wait for a workflow's end and print its result
    Result(result::ResultArgs),
    /// Show a workflow and what it waits for
    Describe(describe::DescribeArgs),
    /// List workflows
    #[command(visible_alias = "runs")]
    List(list::ListArgs),
    /// Show a workflow's history
    History(history::HistoryArgs),
    /// Complete, fail, heartbeat or cancel an activity from outside of a worker
    #[command(subcommand)]
    Activity(activity::ActivityCommand),
    /// Look at worker deployments, and say which version gets workflow tasks
    #[command(subcommand)]
    WorkerDeployment(worker_deployment::DeploymentCommand),
    /// Run a definition in this process, durably, without a server
    Run(Box<run::RunArgs>),
    /// Run the tests of definitions, *.test.yaml, in a simulation: no server, no waiting
    Test(test::TestArgs),
    /// Check that recorded histories replay with this version
    Replay(replay::ReplayArgs),
    /// Serve the payload codecs to Temporal's UI, or decode and encode payloads
    #[command(subcommand)]
    Codec(codec::CodecCommand),
    /// Start workflows at times of their own: make, change, watch and end schedules
    Schedule(schedule::ScheduleArgs),
    /// Register, show, change and delete namespaces
    #[command(subcommand)]
    Namespace(namespace::NamespaceCommand),
    /// Make, list and remove search attributes
    #[command(subcommand)]
    SearchAttribute(search_attribute::SearchAttributeCommand),
}

impl ClusterCommand {
    pub fn run(self, output: Output) -> Result<End, CliError> {
        match self {
            ClusterCommand::Worker(args) => block_on_all(worker::run(*args, output)),
            ClusterCommand::Dev(args) => block_on_all(dev::run(*args, output)),
            ClusterCommand::Deploy(args) => block_on(deploy::run(*args, output)),
            ClusterCommand::Definitions(command) => block_on(definitions::run(*command, output)),
            ClusterCommand::Start(args) => block_on(start::run(*args, output)),
            ClusterCommand::Signal(args) => block_on(signal::run(args, output)),
            ClusterCommand::Query(args) => block_on(query::run(args, output)),
            ClusterCommand::Update(args) => block_on(update::run(args, output)),
            ClusterCommand::Cancel(args) => block_on(end::cancel(args, output)),
            ClusterCommand::Terminate(args) => block_on(end::terminate(args, output)),
            ClusterCommand::Result(args) => block_on(result::run(args, output)),
            ClusterCommand::Describe(args) => block_on(describe::run(args, output)),
            ClusterCommand::List(args) => block_on(list::run(args, output)),
            ClusterCommand::History(args) => block_on(history::run(args, output)),
            ClusterCommand::Activity(command) => block_on(activity::run(command, output)),
            ClusterCommand::WorkerDeployment(command) => {
                block_on(worker_deployment::run(command, output))
            }
            ClusterCommand::Run(args) => block_on_all(run::run(*args, output)),
            ClusterCommand::Test(args) => test::run(&args, output),
            ClusterCommand::Replay(args) => block_on_all(replay::run(args, output)),
            ClusterCommand::Codec(command) => block_on_all(codec::run(command, output)),
            ClusterCommand::Schedule(args) => block_on(schedule::run(args, output)),
            ClusterCommand::Namespace(command) => block_on(namespace::run(command, output)),
            ClusterCommand::SearchAttribute(command) => {
                block_on(search_attribute::run(command, output))
            }
        }
    }
}

/// Which workflow a command is about.
#[derive(Debug, Clone, Args)]
struct WorkflowArgs {
    /// The workflow's id
    #[arg(value_name = "WORKFLOW_ID")]
    workflow_id: String,
    /// The run; without it the latest is meant
    #[arg(long, short = 'r')]
    run_id: Option<String>,
}

impl WorkflowArgs {
    fn reference(&self) -> WorkflowRef {
        WorkflowRef::new(&self.workflow_id, self.run_id.clone())
    }
}

/// Runs a command that makes one call after the other.
fn block_on(command: impl Future<Output = Result<End, CliError>>) -> Result<End, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(command)
}

/// Runs a command that works for many at once.
fn block_on_all(command: impl Future<Output = Result<End, CliError>>) -> Result<End, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(command)
}

//! Commands that need Temporal's crates, in the order in which `segno --help` lists them.

use std::future::Future;

use clap::Subcommand;

use super::error::{CliError, End};
use super::print::Output;
use super::{admin, deploy, local, serve, workflow};

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Serve a folder's definitions on a task queue
    Worker(Box<serve::worker::WorkerArgs>),
    /// Start a development server and a worker in one command
    Dev(Box<serve::dev::DevArgs>),
    /// Deploy a folder's definitions to all workers that serve the cluster's registry
    Deploy(Box<deploy::folder::DeployArgs>),
    /// Inspect the deployed definitions, and choose the versions of new runs
    #[command(subcommand)]
    Definitions(Box<deploy::definitions::DefinitionsCommand>),
    /// Start a workflow
    Start(Box<workflow::start::StartArgs>),
    /// Send a signal to a workflow
    Signal(workflow::signal::SignalArgs),
    /// Query a workflow
    Query(workflow::query::QueryArgs),
    /// Send an update to a workflow
    Update(workflow::update::UpdateArgs),
    /// Cancel a workflow: it may clean up first
    Cancel(workflow::end::CancelArgs),
    /// Terminate a workflow at once
    Terminate(workflow::end::TerminateArgs),
    /// Wait for a workflow's end and print its result
    Result(workflow::result::ResultArgs),
    /// Show a workflow and what it waits for
    Describe(workflow::describe::DescribeArgs),
    /// List workflows
    #[command(visible_alias = "runs")]
    List(workflow::list::ListArgs),
    /// Show a workflow's history
    History(workflow::history::HistoryArgs),
    /// Complete, fail, heartbeat or cancel an activity from outside a worker
    #[command(subcommand)]
    Activity(workflow::activity::ActivityCommand),
    /// Inspect worker deployments, and choose the versions that get workflow tasks
    #[command(subcommand)]
    WorkerDeployment(admin::worker_deployment::DeploymentCommand),
    /// Run a definition in this process, durably, without a server
    Run(Box<local::run::RunArgs>),
    /// Run the tests of definitions, *.test.yaml, in a simulation: no server, no waiting
    Test(local::test::TestArgs),
    /// Check that recorded histories replay with this version
    Replay(local::replay::ReplayArgs),
    /// Serve the payload codecs to Temporal's UI, or decode and encode payloads
    #[command(subcommand)]
    Codec(serve::codec::CodecCommand),
    /// Create, update, inspect and delete schedules
    Schedule(workflow::schedule::ScheduleArgs),
    /// Register, show, change and delete namespaces
    #[command(subcommand)]
    Namespace(admin::namespace::NamespaceCommand),
    /// Create, list and remove search attributes
    #[command(subcommand)]
    SearchAttribute(admin::search_attribute::SearchAttributeCommand),
}

impl ClusterCommand {
    pub(crate) fn run(self, output: Output) -> Result<End, CliError> {
        match self {
            ClusterCommand::Worker(args) => block_on_all(serve::worker::run(*args, output)),
            ClusterCommand::Dev(args) => block_on_all(serve::dev::run(*args, output)),
            ClusterCommand::Deploy(args) => block_on(deploy::folder::run(*args, output)),
            ClusterCommand::Definitions(command) => {
                block_on(deploy::definitions::run(*command, output))
            }
            ClusterCommand::Start(args) => block_on(workflow::start::run(*args, output)),
            ClusterCommand::Signal(args) => block_on(workflow::signal::run(args, output)),
            ClusterCommand::Query(args) => block_on(workflow::query::run(args, output)),
            ClusterCommand::Update(args) => block_on(workflow::update::run(args, output)),
            ClusterCommand::Cancel(args) => block_on(workflow::end::cancel(args, output)),
            ClusterCommand::Terminate(args) => block_on(workflow::end::terminate(args, output)),
            ClusterCommand::Result(args) => block_on(workflow::result::run(args, output)),
            ClusterCommand::Describe(args) => block_on(workflow::describe::run(args, output)),
            ClusterCommand::List(args) => block_on(workflow::list::run(args, output)),
            ClusterCommand::History(args) => block_on(workflow::history::run(args, output)),
            ClusterCommand::Activity(command) => block_on(workflow::activity::run(command, output)),
            ClusterCommand::WorkerDeployment(command) => {
                block_on(admin::worker_deployment::run(command, output))
            }
            ClusterCommand::Run(args) => block_on_all(local::run::run(*args, output)),
            ClusterCommand::Test(args) => local::test::run(&args, output),
            ClusterCommand::Replay(args) => block_on_all(local::replay::run(args, output)),
            ClusterCommand::Codec(command) => block_on_all(serve::codec::run(command, output)),
            ClusterCommand::Schedule(args) => block_on(workflow::schedule::run(args, output)),
            ClusterCommand::Namespace(command) => block_on(admin::namespace::run(command, output)),
            ClusterCommand::SearchAttribute(command) => {
                block_on(admin::search_attribute::run(command, output))
            }
        }
    }
}

/// Runs a command that makes one call after the other.
fn block_on(command: impl Future<Output = Result<End, CliError>>) -> Result<End, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(command)
}

/// Runs a command that serves many clients at the same time.
fn block_on_all(command: impl Future<Output = Result<End, CliError>>) -> Result<End, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(command)
}

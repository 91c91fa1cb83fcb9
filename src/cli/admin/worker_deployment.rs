//! `segno worker-deployment`: which version of a deployment's workers gets workflow tasks.

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, Tone, styled, warn};
use crate::client::{Ramping, RoutingForce, WorkerDeployment, WorkerVersion};

/// The name of workers without a version, in output.
const UNVERSIONED: &str = "(no version)";

#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentCommand {
    /// List the deployments with their current and ramping versions
    List(Box<ListArgs>),
    /// Show a deployment with its versions
    Describe(Box<DescribeArgs>),
    /// Make a version current: new runs start on it, and auto-upgrading runs move to it
    SetCurrentVersion(Box<CurrentArgs>),
    /// Send a share of the new and of the auto-upgrading runs to a version
    SetRampingVersion(Box<RampingArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// The deployment
    #[arg(value_name = "DEPLOYMENT_NAME")]
    name: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CurrentArgs {
    /// The deployment
    #[arg(value_name = "DEPLOYMENT_NAME")]
    name: String,
    /// The version
    #[arg(long, value_name = "ID", required_unless_present = "unversioned")]
    build_id: Option<String>,
    /// Workers without a version, instead of one
    #[arg(long, conflicts_with = "build_id")]
    unversioned: bool,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RampingArgs {
    /// The deployment
    #[arg(value_name = "DEPLOYMENT_NAME")]
    name: String,
    /// The version
    #[arg(long, value_name = "ID", required_unless_present_any = ["unversioned", "delete"])]
    build_id: Option<String>,
    /// Workers without a version, instead of one
    #[arg(long, conflicts_with = "build_id")]
    unversioned: bool,
    /// The version's share, from 0 to 100
    #[arg(long, value_name = "PERCENTAGE", required_unless_present = "delete", value_parser = percentage)]
    percentage: Option<f32>,
    /// End the ramp
    #[arg(long, conflicts_with_all = ["build_id", "unversioned", "percentage"])]
    delete: bool,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, Args)]
struct ForceArgs {
    /// Even if no worker of the version has been seen
    #[arg(long)]
    allow_no_pollers: bool,
    /// Even if its workers do not serve all task queues of the current version
    #[arg(long)]
    ignore_missing_task_queues: bool,
}

pub(crate) async fn run(command: DeploymentCommand, output: Output) -> Result<End, CliError> {
    match command {
        DeploymentCommand::List(args) => list(*args, output).await,
        DeploymentCommand::Describe(args) => {
            let client = args.connection.connect().await?;
            print(&client.worker_deployment(&args.name).await?, output)
        }
        DeploymentCommand::SetCurrentVersion(args) => {
            let client = args.connection.connect().await?;
            let changed = client
                .set_current_version(&args.name, args.build_id.as_deref(), args.force.into())
                .await?;
            print(&changed, output)
        }
        DeploymentCommand::SetRampingVersion(args) => {
            let client = args.connection.connect().await?;
            let ramping = args.percentage.map(|percentage| Ramping {
                build_id: args.build_id.clone(),
                percentage,
            });
            let changed = client
                .set_ramping_version(&args.name, ramping, args.force.into())
                .await?;
            print(&changed, output)
        }
    }
}

async fn list(args: ListArgs, output: Output) -> Result<End, CliError> {
    let client = args.connection.connect().await?;
    let deployments = client.worker_deployments().await?;
    if output.is_json() {
        output.json(&deployments.iter().map(deployment_json).collect())?;
        return Ok(End::Done);
    }
    let row = |deployment: &WorkerDeployment| {
        vec![
            (Tone::Plain, deployment.name.clone()),
            (Tone::Plain, build_text(deployment.current.as_ref())),
            (Tone::Plain, ramping_text(deployment.ramping.as_ref())),
        ]
    };
    let rows = deployments.iter().map(row).collect();
    output.table(&["deployment", "current", "ramping"], rows)?;
    Ok(End::Done)
}

fn print(deployment: &WorkerDeployment, output: Output) -> Result<End, CliError> {
    if deployment.is_changing {
        let message = "the change has not reached all task queues yet";
        let help = "`segno worker-deployment describe` warns until it has".to_owned();
        warn(message, &[help]);
    }
    if output.is_json() {
        output.json(&deployment_json(deployment))?;
        return Ok(End::Done);
    }
    let ramping = ramping_text(deployment.ramping.as_ref());
    for (name, text) in [
        ("deployment", deployment.name.clone()),
        ("current", build_text(deployment.current.as_ref())),
        ("ramping", ramping),
    ] {
        output.line(format!(
            "{} {text}",
            styled(Tone::Bold, format!("{name:<12}"))
        ))?;
    }
    let row = |version: &WorkerVersion| {
        let created = version.create_time.map(|time| time.to_string());
        vec![
            (Tone::Plain, version.build_id.clone()),
            (Tone::Plain, version.status.to_owned()),
            (Tone::Dim, created.unwrap_or_default()),
        ]
    };
    let rows = deployment.versions.iter().map(row).collect();
    output.table(&["build id", "status", "create time"], rows)?;
    Ok(End::Done)
}

fn deployment_json(deployment: &WorkerDeployment) -> Json {
    let ramping = deployment
        .ramping
        .as_ref()
        .map(|ramping| json!({ "buildId": ramping.build_id, "percentage": ramping.percentage }));
    let version = |version: &WorkerVersion| {
        json!({
            "buildId": version.build_id,
            "status": version.status,
            "createTime": version.create_time.map(|time| time.to_string()),
        })
    };
    json!({
        "name": deployment.name,
        "currentBuildId": deployment.current,
        "ramping": ramping,
        "isChanging": deployment.is_changing,
        "versions": deployment.versions.iter().map(version).collect::<Vec<_>>(),
    })
}

fn build_text(build_id: Option<&String>) -> String {
    build_id.map_or_else(|| UNVERSIONED.to_owned(), Clone::clone)
}

fn ramping_text(ramping: Option<&Ramping>) -> String {
    ramping.map_or_else(String::new, |ramping| {
        let build = build_text(ramping.build_id.as_ref());
        format!("{build} {} %", ramping.percentage)
    })
}

fn percentage(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(percentage) if (0.0..=100.0).contains(&percentage) => Ok(percentage),
        _ => Err("expected a number from 0 to 100".to_owned()),
    }
}

impl From<ForceArgs> for RoutingForce {
    fn from(args: ForceArgs) -> Self {
        RoutingForce {
            allow_no_pollers: args.allow_no_pollers,
            ignore_missing_task_queues: args.ignore_missing_task_queues,
        }
    }
}

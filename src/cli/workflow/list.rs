//! `segno list`: the workflows that match a query.

use clap::Args;

use super::summary::{status_tone, summary_json};
use crate::catalog::VersionQuery;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::own;
use crate::cli::error::{CliError, End};
use crate::cli::print::payload::refuse_encoded_fields;
use crate::cli::print::{Output, Tone};
use crate::client::WorkflowSummary;
use crate::engine::VERSION_ATTRIBUTE;

const PAGE_SIZE_MAX: usize = 1000;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Temporal's list filter, for instance "WorkflowType = 'hello' AND ExecutionStatus = 'Running'"
    #[arg(long, short = 'q', default_value = "")]
    query: String,
    /// List only runs that are bound to this deployed version, such as order@12
    #[arg(long, value_name = "TYPE@NUMBER")]
    definition: Option<VersionQuery>,
    /// Include the registry's own workflows, which a query that names them also finds
    #[arg(long)]
    all: bool,
    /// The maximum number, newest first
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: ListArgs, output: Output) -> Result<End, CliError> {
    let client = args.connection.connect().await?;
    let query = args.filter()?;
    let is_all = args.all || own::asks_for_own(&query);
    let query = match is_all {
        true => query,
        false => own::without_own(&query),
    };
    let progress = output.progress("reading the list".to_owned());
    let mut workflows: Vec<WorkflowSummary> = Vec::new();
    let mut token = Some(Vec::new());
    while let Some(next) = token.take()
        && workflows.len() < args.limit
    {
        let page_size = (args.limit - workflows.len()).min(PAGE_SIZE_MAX) as i32;
        let (page, next) = client.list_page(&query, page_size, next).await?;
        let page = page.into_iter();
        workflows.extend(page.filter(|w| is_all || !own::is_own(&w.workflow_type)));
        token = next;
    }
    let more = token.is_some() || workflows.len() > args.limit;
    workflows.truncate(args.limit);
    drop(progress);
    if output.is_json() {
        output.json(&workflows.iter().map(summary_json).collect())?;
        refuse_encoded_fields("a memo", workflows.iter().map(|w| &w.memo))?;
        return Ok(End::Done);
    }
    let row = |w: &WorkflowSummary| {
        let start = w.start_time.map(|t| t.to_string()).unwrap_or_default();
        vec![
            (status_tone(w.status), w.status.to_owned()),
            (Tone::Plain, w.workflow_id.clone()),
            (Tone::Plain, w.workflow_type.clone()),
            (Tone::Dim, start),
        ]
    };
    let rows = workflows.iter().map(row).collect();
    output.table(&["status", "workflow id", "type", "start time"], rows)?;
    if more {
        output.remark(format!("… and more: --limit is {}", args.limit));
    }
    Ok(End::Done)
}

impl ListArgs {
    fn filter(&self) -> Result<String, CliError> {
        let Some(version) = &self.definition else {
            return Ok(self.query.clone());
        };
        let number = version.version.as_deref().unwrap_or_default();
        if number.parse::<u32>().is_err() {
            let message = format!(
                "--definition expects the number of a version, such as {}@12",
                version.workflow
            );
            return Err(CliError::usage(message)
                .help("find the number of a tag with `segno definitions list`"));
        }
        let name = format!("{}@{number}", version.workflow).replace('\'', "''");
        let filter = format!("{VERSION_ATTRIBUTE} = '{name}'");
        Ok(match self.query.is_empty() {
            true => filter,
            false => format!("{filter} AND ({})", self.query),
        })
    }
}

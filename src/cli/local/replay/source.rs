//! The sources of histories: files, workflows by their ids, and all that match a query, one after the other.

use std::path::{Path, PathBuf};

use futures_util::{Stream, StreamExt, stream};

use super::ReplayArgs;
use crate::cli::args::own;
use crate::cli::error::CliError;
use crate::client::{Client, ClientError, History, WorkflowRef, history_from_json};
use crate::source::folder::{Fault, walk};

/// Names of runs in memory at a time.
const PAGE_SIZE: i32 = 100;

pub(crate) enum Origin {
    File(PathBuf),
    Named(WorkflowRef),
    Query(WorkflowRef),
}

pub(crate) struct Recorded {
    pub(crate) origin: Origin,
    /// Or why it cannot be read.
    pub(crate) history: Result<History, String>,
}

impl Origin {
    pub(crate) fn name(&self) -> String {
        match self {
            Origin::File(path) => path.display().to_string(),
            Origin::Named(workflow) | Origin::Query(workflow) => workflow.workflow_id.clone(),
        }
    }
}

/// Each is read in its turn. Without a client there are only files.
pub(crate) fn histories(
    args: &ReplayArgs,
    files: Vec<PathBuf>,
    client: Option<Client>,
) -> impl Stream<Item = Result<Recorded, CliError>> {
    let files = files.into_iter().map(Origin::File);
    let named = args
        .workflows
        .iter()
        .map(|workflow_id| Origin::Named(WorkflowRef::new(workflow_id, args.run_id.clone())));
    let named: Vec<Origin> = files.chain(named).collect();
    let found = match (&client, &args.query) {
        (Some(client), Some(query)) => found(client.clone(), query).boxed(),
        _ => stream::empty().boxed(),
    };
    let origins = stream::iter(named).map(Ok).chain(found);
    origins.then(move |origin| {
        let client = client.clone();
        async move {
            let origin = origin?;
            let history = match (&origin, &client) {
                (Origin::File(path), _) => read(path),
                (Origin::Named(workflow) | Origin::Query(workflow), Some(client)) => {
                    match client.encoded_history(workflow).await {
                        Ok(history) => Ok(history),
                        Err(error @ ClientError::NoSuchWorkflow(..)) => Err(error.to_string()),
                        Err(error) => return Err(error.into()),
                    }
                }
                _ => Ok(History::default()),
            };
            Ok(Recorded { origin, history })
        }
    })
}

/// The named files, and in folders all files that look like histories, in the order of their names.
pub(crate) fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    for path in named {
        let before = found.len();
        if !path.is_dir() {
            // A path that cannot be read is reported when it is replayed.
            found.push(path.clone());
            continue;
        }
        let is_history = |path: &Path| path.extension().is_some_and(|e| e == "json");
        for file in walk(path, &is_history).map_err(|error| unreadable(path, &error))? {
            match file.metadata {
                Ok(_) | Err(Fault::File(_)) => found.push(file.path),
                Err(fault) => return Err(unreadable(&file.path, &fault)),
            }
        }
        if found.len() == before {
            let message = format!("there is no history in {}", path.display());
            return Err(
                CliError::usage(message).help("histories are files whose names end in .json")
            );
        }
    }
    Ok(found)
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> CliError {
    CliError::new(format!("cannot read {}: {error}", path.display()))
}

fn read(path: &Path) -> Result<History, String> {
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("the file cannot be read: {e}"))?;
    history_from_json(&text).map_err(|error| {
        format!("{error}; a history is what `temporal workflow show --output json` prints")
    })
}

/// The runs that match a query, a page at a time.
fn found(client: Client, query: &str) -> impl Stream<Item = Result<Origin, CliError>> {
    let query = own::without_own(query);
    let pages = stream::try_unfold(Some(Vec::new()), move |token| {
        let (client, query) = (client.clone(), query.clone());
        async move {
            let Some(token) = token else { return Ok(None) };
            let (page, next) = client.list_page(&query, PAGE_SIZE, token).await?;
            let runs = page.into_iter().map(|run| {
                let run = WorkflowRef::new(run.workflow_id, Some(run.run_id));
                Ok(Origin::Query(run))
            });
            Ok::<_, CliError>(Some((stream::iter(runs), next)))
        }
    });
    pages.flat_map(|page| match page {
        Ok(runs) => runs.boxed(),
        Err(error) => stream::iter([Err(error)]).boxed(),
    })
}

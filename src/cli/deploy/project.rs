//! The project whose definitions a command changes: a folder has it in `segno.toml`, a command line in `--project`.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use clap::Args;
use serde::Deserialize;

use crate::catalog::Definition;
use crate::cli::error::CliError;
use crate::limits::{PROJECT_FILE_SIZE_BYTES_MAX, RETIRED_UNASKED_MAX};

const FILE: &str = "segno.toml";
/// The project of a folder without a `segno.toml`.
pub(crate) const PROJECT_DEFAULT: &str = "default";

#[derive(Debug, Clone, Args)]
pub(crate) struct ProjectArgs {
    /// The project of the definitions [default: that of segno.toml in the folder, else "default"]
    #[arg(long, env = "SEGNO_PROJECT", value_name = "NAME")]
    project: Option<String>,
}

/// The project of commands that name workflow types instead of a folder.
#[derive(Debug, Clone, Args)]
pub(crate) struct OwnProjectArgs {
    /// Refuse workflow types of other projects than this [default: that of segno.toml in the current folder, else none are refused]
    #[arg(long, env = "SEGNO_PROJECT", value_name = "NAME")]
    project: Option<String>,
}

/// Retiring more than a few types must be requested.
#[derive(Debug, Clone, Args)]
pub(crate) struct RetireArgs {
    /// Retire this workflow type, or this number of types; needed for more than 3, and may be given several times
    #[arg(long, value_name = "TYPE|COUNT")]
    retire: Vec<String>,
    /// Retire definitions even if runs are in flight, which keep the definition that they are bound to
    #[arg(long)]
    retire_with_runs: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectFile {
    project: String,
}

impl ProjectArgs {
    pub(crate) fn of_folder(&self, folder: &Path) -> Result<String, CliError> {
        let project = said(folder, self.project.as_deref())?;
        Ok(project.unwrap_or_else(|| PROJECT_DEFAULT.to_owned()))
    }
}

impl OwnProjectArgs {
    pub(crate) fn name(&self) -> Result<Option<String>, CliError> {
        said(Path::new("."), self.project.as_deref())
    }

    pub(crate) fn refuse_anothers(&self, definition: &Definition) -> Result<(), CliError> {
        match self.name()? {
            Some(project) if project != definition.project => Err(CliError::new(format!(
                "{} belongs to the project {:?}, not to {project:?}",
                definition.workflow, definition.project
            ))
            .help(format!(
                "pass --project {} to change it",
                definition.project
            ))),
            _ => Ok(()),
        }
    }
}

/// The project of a folder and of a command line, which may not contradict each other.
fn said(folder: &Path, flag: Option<&str>) -> Result<Option<String>, CliError> {
    let flag = flag.filter(|project| !project.is_empty());
    let file = match read(folder)? {
        Some(file) => file,
        None => return Ok(flag.map(str::to_owned)),
    };
    match flag {
        Some(flag) if flag != file => Err(CliError::usage(format!(
            "{} names the project {file:?}, but --project or SEGNO_PROJECT names {flag:?}",
            folder.join(FILE).display()
        ))
        .help("leave --project out; the file decides")),
        _ => Ok(Some(file)),
    }
}

fn read(folder: &Path) -> Result<Option<String>, CliError> {
    let path = folder.join(FILE);
    let shown = path.display();
    let metadata = match std::fs::metadata(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        found => found.map_err(|e| CliError::usage(format!("cannot read {shown}: {e}")))?,
    };
    if !metadata.is_file() {
        return Err(CliError::usage(format!("{shown} is not a file")));
    }
    let mut text = String::new();
    let limit = PROJECT_FILE_SIZE_BYTES_MAX as u64 + 1;
    let read = File::open(&path).and_then(|file| file.take(limit).read_to_string(&mut text));
    let size = read.map_err(|e| CliError::usage(format!("cannot read {shown}: {e}")))?;
    if size > PROJECT_FILE_SIZE_BYTES_MAX {
        return Err(CliError::usage(format!(
            "{shown} has more than PROJECT_FILE_SIZE_BYTES_MAX ({PROJECT_FILE_SIZE_BYTES_MAX} bytes)"
        )));
    }
    let file: ProjectFile = toml::from_str(&text).map_err(|error| {
        CliError::usage(format!("{shown}: {}", error.to_string().trim_end()))
            .help("name the project of the folder: project = \"orders\"")
    })?;
    match file.project.is_empty() {
        true => Err(CliError::usage(format!("{shown}: `project` is empty"))),
        false => Ok(Some(file.project)),
    }
}

impl RetireArgs {
    pub(crate) fn with_runs(&self) -> bool {
        self.retire_with_runs
    }

    /// Refuses to retire types without a request.
    pub(crate) fn refuse(&self, retired: &[&str], project: &str) -> Result<(), CliError> {
        let count = retired.len();
        let is_count = |text: &&String| text.parse::<usize>().is_ok();
        let (counts, names): (Vec<&String>, Vec<&String>) = self.retire.iter().partition(is_count);
        let is_asked_for = match (counts.is_empty(), names.is_empty()) {
            (true, true) => count <= RETIRED_UNASKED_MAX,
            _ => {
                let named = |workflow: &&str| names.iter().any(|name| name == workflow);
                counts.iter().any(|text| text.parse() == Ok(count)) || retired.iter().all(named)
            }
        };
        if is_asked_for {
            return Ok(());
        }
        let message = match self.retire.as_slice() {
            [] => format!(
                "{count} workflow types of the project {project:?} would be retired; RETIRED_UNASKED_MAX is {RETIRED_UNASKED_MAX}"
            ),
            asked => format!(
                "{count} workflow types of the project {project:?} would be retired, but --retire allows {}",
                asked.join(", ")
            ),
        };
        Err(CliError::new(message)
            .help("check the project, which segno.toml in the folder or --project names")
            .help(format!(
                "pass --retire {count}, or --retire TYPE for each, to retire them"
            )))
    }
}

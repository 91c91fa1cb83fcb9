//! The definition that `segno run` runs: read with its folder, chosen in its file, and checked against what a run in
//! one process can do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::cli::error::CliError;
use crate::cli::print::{Output, complain_of};
use crate::diagnostic::did_you_mean;
use crate::engine::start::refused;
use crate::local::{Need, needs};
use crate::registry::{Entry, Found, read_folder};
use crate::report::{Format, Report};
use crate::testing::is_test;
use crate::value::{Payload, Value};

/// The definitions of the file's folder; mistakes in the file are reported.
pub(crate) fn read(file: &Path, output: Output) -> Result<Found, CliError> {
    check_file(file)?;
    let folder = file.parent().filter(|f| !f.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let found = read_folder(folder).map_err(CliError::new)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    say_mistakes(&name, &found, output);
    Ok(found)
}

fn check_file(file: &Path) -> Result<(), CliError> {
    let shown = file.display();
    if file.is_dir() {
        let message = format!("{shown} is a folder; `segno run` takes one definition file");
        return Err(CliError::usage(message).help("name the file of the definition"));
    }
    if !file.is_file() {
        return Err(CliError::usage(format!("there is no file {shown}")));
    }
    if is_test(file) {
        let message = format!("{shown} is a test file; it contains no definition to run");
        return Err(
            CliError::usage(message).help(format!("run its tests with `segno test {shown}`"))
        );
    }
    Ok(())
}

/// Mistakes in the file and in what it uses. Those of other files are only counted: they are irrelevant unless the run
/// starts a child of them.
fn say_mistakes(file: &str, found: &Found, output: Output) {
    let own = found.broken.get(file).into_iter().flatten();
    let own: Vec<_> = own.filter(|d| d.is_error()).cloned().collect();
    let others = found.diagnostics().filter(|d| d.is_error());
    let others = others.filter(|error| !own.contains(error)).cloned();
    let others = Report::new(&found.sources, others.collect(), found.files);
    if !own.is_empty() {
        let report = Report::new(&found.sources, own, 1);
        complain_of(&report, Format::Text);
    }
    let count = others.diagnostics().len();
    if count > 0 {
        let (s, them) = if count == 1 {
            ("", "it")
        } else {
            ("s", "them")
        };
        output.remark(format!(
            "{count} error{s} in other files of the folder; run `segno lint` to see {them}"
        ));
    }
}

/// The definition in the file with the requested workflow type.
pub(crate) fn choose<'f>(
    file: &Path,
    wanted: Option<&str>,
    found: &'f Found,
) -> Result<(&'f str, &'f Entry), CliError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let all = found.definitions.iter();
    let of_file = all.filter(|(_, (_, of))| **of == *name);
    let of_file: BTreeMap<&str, &Entry> = of_file
        .map(|(workflow, (entry, _))| (workflow.as_str(), entry))
        .collect();
    let types: Vec<&str> = of_file.keys().copied().collect();
    match (wanted, types.as_slice()) {
        (_, []) => Err(
            CliError::new(format!("{} has no valid definition", file.display()))
                .help("run `segno lint` to see what is wrong"),
        ),
        (Some(wanted), _) => of_file
            .get_key_value(wanted)
            .map(|(workflow, entry)| (*workflow, *entry))
            .ok_or_else(|| unknown_type(file, wanted, &types)),
        (None, [only]) => Ok((only, of_file[only])),
        (None, _) => {
            let message = format!("{} has several definitions", file.display());
            Err(CliError::usage(message).help(format!(
                "choose one with --workflow-type: {}",
                types.join(", ")
            )))
        }
    }
}

fn unknown_type(file: &Path, wanted: &str, types: &[&str]) -> CliError {
    let message = format!(
        "{} has no valid definition of the workflow type `{wanted}`",
        file.display()
    );
    let error = CliError::usage(message);
    let error = match did_you_mean(wanted, types.iter().copied()) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error,
    };
    error.help(format!("defined here: {}", types.join(", ")))
}

/// Reports what needs a cluster before anything runs.
pub(crate) fn check_needs(entry: &Entry, found: &Found) -> Result<(), CliError> {
    let types: BTreeSet<String> = found.definitions.keys().cloned().collect();
    let all: Vec<Need> = needs(&entry.loaded.program, &types);
    if all.is_empty() {
        return Ok(());
    }
    let mut error = CliError::new("the definition needs what only a cluster has");
    for need in all {
        error = error.help(format!("{}: {}", need.location, need.what));
    }
    Err(error.help("start a development server and a worker with `segno dev`"))
}

/// Refuses an input that breaks the schema of a new run.
pub(crate) fn check_input(entry: &Entry, input: &[Payload]) -> Result<(), CliError> {
    let arguments = input.iter().cloned().map(Value::from).collect();
    let Some(failure) = refused(&entry.loaded.program, arguments) else {
        return Ok(());
    };
    let error = CliError::usage(failure.message);
    Err(match input {
        [] => error.help("no input was given; pass one with --input JSON or --input-file FILE"),
        _ => error.help("pass another with --input JSON or --input-file FILE"),
    })
}

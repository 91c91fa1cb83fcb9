//! The parts of `segno definitions` that change nothing.

use clap::Args;
use serde_json::{Value as Json, json};

use crate::bundle::{Bundle, Digest};
use crate::catalog::{Definition, Page, Record, VersionQuery};
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::registry::{RegistryArgs, warn_of};
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, Tone, styled, warn};
use crate::registry::exchange::ExportedRecord;
use crate::registry::health::{Scope, damages};
use crate::registry::{StoreError, bundle, data, differences};
use crate::value::Timestamp;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// A number or tag, such as order@12; a type alone is its current version
    #[arg(value_name = "TYPE[@VERSION]")]
    name: VersionQuery,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Show only the changes of this workflow type
    #[arg(value_name = "TYPE")]
    workflow: Option<String>,
    /// The maximum number of changes
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The older version, such as order@11
    #[arg(value_name = "TYPE@VERSION")]
    old: VersionQuery,
    /// The newer version; a type alone is its current version
    #[arg(value_name = "TYPE[@VERSION]")]
    new: VersionQuery,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn diff(args: DiffArgs, output: Output) -> Result<End, CliError> {
    let store = args.registry.store(&args.connection).await?;
    let catalog = store.read().await?;
    let (_, old) = catalog.find(&args.old)?;
    let (_, new) = catalog.find(&args.new)?;
    let (old, new) = (bundle(&*store, old).await?, bundle(&*store, new).await?);
    let differences = differences(&old, &new).map_err(CliError::new)?;
    match output.is_json() {
        true => output.json(&differences.json())?,
        false => output.line(differences.text().trim_end())?,
    }
    Ok(End::Done)
}

pub(crate) async fn list(args: ListArgs, output: Output) -> Result<End, CliError> {
    let store = args.registry.store(&args.connection).await?;
    let catalog = store.read().await?;
    warn_of(&*store);
    let damages = damages(&*store, &catalog, Scope::InForce).await?;
    for damage in &damages {
        let help = "deploy its text again, or import an export that has it".to_owned();
        warn(
            &format!("{} cannot be read: {}", damage.subject, damage.why),
            &[help],
        );
    }
    // A type whose versions were all deleted is kept only for its numbers.
    let definitions = catalog.state.definitions.iter();
    let definitions = definitions.filter(|d| !d.versions.is_empty());
    if output.is_json() {
        let unreadable = damages.iter();
        let unreadable = unreadable.map(|d| json!({ "version": d.subject, "why": d.why }));
        output.json(&json!({
            "revision": catalog.revision(),
            "definitions": definitions.map(definition_json).collect::<Vec<_>>(),
            "unreadable": unreadable.collect::<Vec<_>>(),
        }))?;
        return Ok(End::Done);
    }
    let rows = definitions.map(|d| {
        let current = match d.retired {
            true => (Tone::Dim, "retired".to_owned()),
            false => (Tone::Good, d.current.to_string()),
        };
        vec![
            (Tone::Bold, d.workflow.clone()),
            current,
            (Tone::Plain, routing(d)),
            (Tone::Plain, d.versions.len().to_string()),
            (Tone::Dim, d.project.clone()),
        ]
    });
    let header = ["type", "current", "routing", "versions", "project"];
    output.table(&header, rows.collect())?;
    output.remark(format!(
        "revision {} of {}",
        catalog.revision(),
        store.name()
    ));
    Ok(End::Done)
}

fn routing(definition: &Definition) -> String {
    let mut words = Vec::new();
    if definition.pinned {
        words.push("pinned".to_owned());
    }
    if definition.ramp != 0 {
        words.push(format!(
            "{} % get {}",
            definition.ramp_percent, definition.ramp
        ));
    }
    let tags = definition.tags.iter();
    words.extend(tags.map(|tag| format!("@{} is {}", tag.name, tag.number)));
    words.join(", ")
}

fn definition_json(definition: &Definition) -> Json {
    let versions = definition.versions.iter().map(|version| {
        json!({
            "number": version.number,
            "digest": Digest::from_bytes(&version.digest).map(|d| d.to_string()),
            "languageVersion": version.language_version,
            "revision": version.revision,
        })
    });
    let tags = definition.tags.iter();
    json!({
        "workflow": definition.workflow,
        "project": definition.project,
        "retired": definition.retired,
        "current": definition.current,
        "pinned": definition.pinned,
        "ramp": (definition.ramp != 0).then(|| json!({ "version": definition.ramp, "percent": definition.ramp_percent })),
        "tags": tags.map(|tag| (tag.name.clone(), json!(tag.number))).collect::<serde_json::Map<_, _>>(),
        "versions": versions.collect::<Vec<_>>(),
    })
}

pub(crate) async fn show(args: ShowArgs, output: Output) -> Result<End, CliError> {
    let store = args.registry.store(&args.connection).await?;
    let catalog = store.read().await?;
    let (definition, version) = catalog.find(&args.name)?;
    let bundle = Bundle::decode(&bundle(&*store, version).await?).map_err(CliError::new)?;
    if output.is_json() {
        let files = bundle.files().iter();
        output.json(&json!({
            "workflow": definition.workflow,
            "number": version.number,
            "digest": bundle.digest().to_string(),
            "revision": version.revision,
            "document": bundle.document(),
            "files": files.map(|f| json!({ "path": &*f.path, "text": &*f.text })).collect::<Vec<_>>(),
        }))?;
        return Ok(End::Done);
    }
    for file in bundle.files() {
        if bundle.files().len() > 1 {
            output.remark(styled(Tone::Dim, format!("# {}", file.path)));
        }
        output.file(file.text.trim_end())?;
    }
    Ok(End::Done)
}

pub(crate) async fn history(args: HistoryArgs, output: Output) -> Result<End, CliError> {
    let store = args.registry.store(&args.connection).await?;
    let mut state = store.read().await?.state;
    warn_of(&*store);
    let mut records = Vec::new();
    loop {
        let log = state.log.drain(..).rev();
        records.extend(log.filter(|r| args.workflow.as_ref().is_none_or(|w| concerns(r, w))));
        let Some(older) = state.older.take().filter(|_| records.len() < args.limit) else {
            break;
        };
        match data::<Page>(&*store, &older).await {
            Ok(page) => (state.log, state.older) = (page.log, page.older),
            Err(StoreError::Malformed(why)) => {
                warn(&format!("older changes cannot be read: {why}"), &[]);
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    records.truncate(args.limit);
    if output.is_json() {
        output.json(&records.iter().map(record_json).collect())?;
        return Ok(End::Done);
    }
    let rows = records.iter().map(|record| {
        let origin = record.origin.clone().unwrap_or_default();
        let commit: String = origin.commit.chars().take(12).collect();
        vec![
            (Tone::Bold, record.revision.to_string()),
            (Tone::Dim, time(record).unwrap_or_default()),
            (Tone::Plain, origin.who),
            (Tone::Dim, commit),
            (Tone::Plain, what(record, args.workflow.as_deref())),
            (Tone::Plain, origin.message),
        ]
    });
    let header = ["revision", "time", "who", "commit", "change", "message"];
    output.table(&header, rows.collect())?;
    Ok(End::Done)
}

fn time(record: &Record) -> Option<String> {
    let nanos = i128::from(record.time) * 1_000_000;
    Timestamp::from_nanos(nanos).map(|time| time.to_string())
}

fn concerns(record: &Record, workflow: &str) -> bool {
    let put = record
        .put
        .iter()
        .chain(&record.deleted)
        .chain(&record.mended)
        .map(|v| &v.workflow);
    let routed = record.routes.iter().map(|r| &r.workflow);
    let tagged = record.tags.iter().map(|t| &t.workflow);
    let mut all = put.chain(&record.retired).chain(routed).chain(tagged);
    all.any(|w| w == workflow)
}

/// What a change did, in words, with the requested type first; a large one is abbreviated.
fn what(record: &Record, asked: Option<&str>) -> String {
    const NAMES_MAX: usize = 8;
    let names = |verb: &str, mut names: Vec<String>| {
        let is_other = |name: &String| {
            asked.is_none_or(|asked| {
                let rest = name.strip_prefix(asked);
                rest.is_none_or(|rest| !(rest.is_empty() || rest.starts_with(['@', ' '])))
            })
        };
        names.sort_by_key(is_other);
        let more = names.len().saturating_sub(NAMES_MAX);
        names.truncate(NAMES_MAX);
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!names.is_empty()).then(|| format!("{verb} {}{more}", names.join(", ")))
    };
    let version = |v: &crate::catalog::VersionName| format!("{}@{}", v.workflow, v.number);
    let route = |r: &crate::catalog::Route| {
        let pinned = if r.pinned { " (pinned)" } else { "" };
        let ramp = match r.ramp {
            0 => String::new(),
            ramp => format!(", {} % {}@{ramp}", r.ramp_percent, r.workflow),
        };
        format!("{}@{}{pinned}{ramp}", r.workflow, r.current)
    };
    let tag = |t: &crate::catalog::TagChange| match t.number {
        0 => format!("{} no longer", t.name),
        number => format!("{}@{number} {}", t.workflow, t.name),
    };
    let parts = [
        names("deployed", record.put.iter().map(version).collect()),
        names("retired", record.retired.clone()),
        names("routed", record.routes.iter().map(route).collect()),
        names("tagged", record.tags.iter().map(tag).collect()),
        names("deleted", record.deleted.iter().map(version).collect()),
        names("stored again", record.mended.iter().map(version).collect()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The whole record, in the exported form and in words.
fn record_json(record: &Record) -> Json {
    let mut json = json!(ExportedRecord::of(record));
    if let Some(fields) = json.as_object_mut() {
        fields.remove("id");
        fields.insert("change".to_owned(), what(record, None).into());
    }
    json
}

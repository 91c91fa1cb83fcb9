//! `segno definitions verify`, `repair`, `export` and `import`: backup and repair of what is deployed.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};

use crate::catalog::State;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::registry::{OriginArgs, RegistryArgs, warn_of};
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, Tone, styled, warn};
use crate::client::unique_id;
use crate::limits::REGISTRY_EXPORT_SIZE_BYTES_MAX;
use crate::registry::exchange::{self, Export, Imported};
use crate::registry::health::{self, Scope, damages};
use crate::registry::{Damage, Remedy, Store};

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    /// Start from nothing if all deployed definitions are lost: version numbers start at 1 again
    #[arg(long)]
    from_nothing: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The file to write [default: standard output]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// A file that `segno definitions export` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    origin: OriginArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn verify(args: VerifyArgs, output: Output) -> Result<End, CliError> {
    let store = args.registry.store(&args.connection).await?;
    let progress = output.progress("reading the registry".to_owned());
    let mut found = store.inspect().await?;
    if let Some(catalog) = &found.catalog {
        found
            .damages
            .extend(damages(&*store, catalog, Scope::All).await?);
    }
    drop(progress);
    let definitions = found.catalog.iter().flat_map(|c| &c.state.definitions);
    let versions: usize = definitions.map(|d| d.versions.len()).sum();
    match output.is_json() {
        true => output.json(&json!({
            "revision": found.revision,
            "versions": versions,
            "damages": damages_json(&found.damages),
        }))?,
        false => {
            print(&found.damages, output)?;
            let count = found.damages.len();
            output.line(format!(
                "revision {}, {versions} versions, {count} {}",
                found.revision,
                if count == 1 { "damage" } else { "damages" }
            ))?;
        }
    }
    Ok(end(&found.damages))
}

pub(crate) async fn repair(args: RepairArgs, output: Output) -> Result<End, CliError> {
    let store = args.registry.store(&args.connection).await?;
    let done = match args.from_nothing {
        true => vec![from_nothing(&*store).await?],
        false => mend(&*store).await?,
    };
    let catalog = store.read().await?;
    let mut left = store.inspect().await?.damages;
    left.extend(damages(&*store, &catalog, Scope::All).await?);
    match output.is_json() {
        true => output.json(&json!({
            "revision": catalog.revision(),
            "done": done,
            "damages": damages_json(&left),
        }))?,
        false => {
            for line in &done {
                output.line(format!("{} {line}", styled(Tone::Good, "repaired")))?;
            }
            print(&left, output)?;
            output.line(match (done.is_empty(), left.is_empty()) {
                (true, true) => "nothing to repair".to_owned(),
                _ => format!("revision {}, {} left", catalog.revision(), left.len()),
            })?;
        }
    }
    Ok(end(&left))
}

async fn mend(store: &dyn Store) -> Result<Vec<String>, CliError> {
    let mut done = store.repair().await?;
    let catalog = store.read().await?;
    match health::keep(store, &catalog).await? {
        0 => {}
        1 => done.push("stored 1 piece of data again; its workflow had been ended".to_owned()),
        kept => done.push(format!(
            "stored {kept} pieces of data again; their workflows had been ended"
        )),
    }
    Ok(done)
}

/// Only if there is nothing else to start with.
async fn from_nothing(store: &dyn Store) -> Result<String, CliError> {
    let found = store.inspect().await?;
    if !found.damages.iter().any(|d| d.remedy == Remedy::Import) {
        return Err(CliError::new("the registry has not lost its definitions")
            .help("run `segno definitions repair`, which keeps its numbers"));
    }
    let revision = found.revision + 1;
    let state = State {
        revision,
        ..State::default()
    };
    store.begin_with(state).await?;
    Ok(format!(
        "started from nothing, without definitions, at revision {revision}"
    ))
}

pub(crate) async fn export(args: ExportArgs, output: Output) -> Result<End, CliError> {
    let store = args.registry.store(&args.connection).await?;
    let catalog = store.read().await?;
    warn_of(&*store);
    let export = Export::of(&*store, &catalog).await?;
    let mut text = serde_json::to_string_pretty(&export).map_err(CliError::new)?;
    text.push('\n');
    let unreadable = export.unreadable();
    match &args.file {
        None => output.json(&serde_json::to_value(&export).map_err(CliError::new)?)?,
        Some(file) => {
            write(file, &text)?;
            let versions: usize = export.definitions.iter().map(|d| d.versions.len()).sum();
            let revision = export.revision;
            match output.is_json() {
                true => output.json(&json!({ "revision": revision, "versions": versions, "unreadable": unreadable }))?,
                false => output.line(format!(
                    "{} revision {revision}, {versions} versions, to {}",
                    styled(Tone::Good, "exported"),
                    file.display()
                ))?,
            }
        }
    }
    if unreadable.is_empty() {
        return Ok(End::Done);
    }
    let help = "run `segno definitions verify` to see why".to_owned();
    warn(
        &format!("exported without their texts: {}", unreadable.join(", ")),
        &[help],
    );
    Ok(End::Failed)
}

/// Writes a complete file or none: a truncated one would be noticed only when it is needed.
fn write(file: &Path, text: &str) -> Result<(), CliError> {
    let failed = |e: std::io::Error| CliError::new(format!("cannot write {}: {e}", file.display()));
    let mut aside = file.as_os_str().to_owned();
    aside.push(".part");
    std::fs::write(&aside, text).map_err(failed)?;
    std::fs::rename(&aside, file).map_err(failed)
}

pub(crate) async fn import(args: ImportArgs, output: Output) -> Result<End, CliError> {
    let text = read(&args.file)?;
    let export = Export::read(&text)?;
    let store = args.registry.store(&args.connection).await?;
    let origin = args.origin.origin(None);
    let done = exchange::import(&*store, &export, origin, unique_id).await?;
    warn_of(&*store);
    match output.is_json() {
        true => output.json(&json!({
            "revision": done.revision, "whole": done.is_whole, "added": done.added,
            "storedAgain": done.stored_again, "left": done.left,
        }))?,
        false => print_imported(&done, output)?,
    }
    Ok(End::Done)
}

fn print_imported(done: &Imported, output: Output) -> Result<(), CliError> {
    for (sign, names) in [("+", &done.added), ("!", &done.stored_again)] {
        for name in names {
            output.line(format!("{sign} {name}"))?;
        }
    }
    if !done.left.is_empty() {
        output.remark(format!("left out: {}", done.left.join(", ")));
    }
    output.line(format!(
        "{} {} added, {} stored again, revision {}",
        styled(Tone::Good, "imported"),
        done.added.len(),
        done.stored_again.len(),
        done.revision
    ))
}

fn read(file: &Path) -> Result<String, CliError> {
    let failed =
        |e: std::io::Error| CliError::usage(format!("cannot read {}: {e}", file.display()));
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    let limit = REGISTRY_EXPORT_SIZE_BYTES_MAX as u64;
    let read = opened
        .take(limit + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    match read as u64 > limit {
        true => Err(CliError::usage(format!(
            "{} is larger than REGISTRY_EXPORT_SIZE_BYTES_MAX ({limit} bytes)",
            file.display()
        ))),
        false => Ok(text),
    }
}

fn print(damages: &[Damage], output: Output) -> Result<(), CliError> {
    for damage in damages {
        output.line(format!(
            "{} {}: {}; {}",
            styled(Tone::Bad, "!"),
            damage.subject,
            damage.why,
            styled(Tone::Help, words(damage.remedy))
        ))?;
    }
    Ok(())
}

fn words(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Repair => "run `segno definitions repair`",
        Remedy::Text => "deploy its text again, or import an export that has it",
        Remedy::Import => "import an export, or run `segno definitions repair --from-nothing`",
        Remedy::Nothing => "nothing else depends on it",
    }
}

fn damages_json(damages: &[Damage]) -> Vec<Json> {
    let damages = damages.iter();
    let json = damages.map(|damage| {
        let remedy = match damage.remedy {
            Remedy::Repair => "repair",
            Remedy::Text => "deploy",
            Remedy::Import => "import",
            Remedy::Nothing => "none",
        };
        json!({ "subject": damage.subject, "why": damage.why, "remedy": remedy })
    });
    json.collect()
}

fn end(damages: &[Damage]) -> End {
    match damages.iter().all(|d| d.remedy == Remedy::Nothing) {
        true => End::Done,
        false => End::Failed,
    }
}

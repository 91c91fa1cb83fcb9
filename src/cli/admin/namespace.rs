//! `segno namespace`: registers, shows, changes and deletes namespaces.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::values::{key_value, length, name};
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, Tone, field};
use crate::client::{Archival, Client, NamespaceDescription, NamespaceOptions, duration_units};
use crate::value::Duration;

const PAGE_SIZE: i32 = 100;
/// Like Temporal's own command line.
const RETENTION_DEFAULT: Duration = Duration {
    seconds: 3 * 24 * 60 * 60,
    nanos: 0,
};

#[derive(Debug, Subcommand)]
pub(crate) enum NamespaceCommand {
    /// Register a namespace
    #[command(alias = "create")]
    Register(ChangeArgs),
    /// Show a namespace
    Describe(OneArgs),
    /// List the namespaces
    List(ListArgs),
    /// Change what the flags name and keep the rest
    Update(ChangeArgs),
    /// Delete a namespace with all the workflows in it
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The namespace's name
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// How long closed workflows are kept, for instance 30d [default of a new one: 3d]
    #[arg(long, value_name = "DURATION", value_parser = length, allow_hyphen_values = true)]
    retention: Option<Duration>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The owner's email address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// A further note about it; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    data: Vec<(String, String)>,
    /// Whether the histories of closed workflows are archived
    #[arg(long, value_enum)]
    history_archival_state: Option<ArchivalWord>,
    /// Where they are archived; cannot be changed later
    #[arg(long, value_name = "URI")]
    history_uri: Option<String>,
    /// Whether the visibility records of closed workflows are archived
    #[arg(long, value_enum)]
    visibility_archival_state: Option<ArchivalWord>,
    /// Where they are archived; cannot be changed later
    #[arg(long, value_name = "URI")]
    visibility_uri: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ArchivalWord {
    Disabled,
    Enabled,
}

#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// The namespace's name [default: the connection's]
    #[arg(value_name = "NAME", value_parser = name)]
    name: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The namespace's name
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Confirm: its workflows cannot be restored
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(command: NamespaceCommand, output: Output) -> Result<End, CliError> {
    match command {
        NamespaceCommand::Register(args) => register(args, output).await,
        NamespaceCommand::Describe(args) => describe(args, output).await,
        NamespaceCommand::List(args) => list(args, output).await,
        NamespaceCommand::Update(args) => update(args, output).await,
        NamespaceCommand::Delete(args) => delete(args, output).await,
    }
}

async fn register(args: ChangeArgs, output: Output) -> Result<End, CliError> {
    let mut options = args.options();
    options.retention.get_or_insert(RETENTION_DEFAULT);
    let client = args.connection.connect().await?;
    client.register_namespace(&args.name, options).await?;
    done(&args.name, "was registered", output)?;
    output.remark("the namespace can take some seconds to become available everywhere");
    Ok(End::Done)
}

async fn update(args: ChangeArgs, output: Output) -> Result<End, CliError> {
    let options = args.options();
    if options == NamespaceOptions::default() {
        return Err(CliError::usage("nothing to change: no flag was given")
            .help("list the flags with `segno namespace update --help`"));
    }
    let client = args.connection.connect().await?;
    client.update_namespace(&args.name, options).await?;
    done(&args.name, "was updated", output)
}

async fn describe(args: OneArgs, output: Output) -> Result<End, CliError> {
    let client = args.connection.connect().await?;
    let name = args.name.unwrap_or_else(|| client.namespace().to_owned());
    let namespace = client.describe_namespace(&name).await?;
    match output.is_json() {
        true => output.json(&namespace_json(&namespace))?,
        false => output.line(namespace_text(&namespace))?,
    }
    Ok(End::Done)
}

async fn list(args: ListArgs, output: Output) -> Result<End, CliError> {
    let client = args.connection.connect().await?;
    let namespaces = all(&client).await?;
    if output.is_json() {
        output.json(&namespaces.iter().map(namespace_json).collect())?;
        return Ok(End::Done);
    }
    let row = |namespace: &NamespaceDescription| {
        let retention = namespace.retention.map(duration_units);
        vec![
            (Tone::Plain, namespace.name.clone()),
            (Tone::Dim, namespace.state.to_owned()),
            (Tone::Plain, retention.unwrap_or_default()),
            (Tone::Plain, namespace.description.clone()),
        ]
    };
    let rows = namespaces.iter().map(row).collect();
    output.table(&["name", "state", "retention", "description"], rows)?;
    Ok(End::Done)
}

async fn all(client: &Client) -> Result<Vec<NamespaceDescription>, CliError> {
    let mut namespaces = Vec::new();
    let mut token = Some(Vec::new());
    while let Some(next) = token.take() {
        let (page, next) = client.namespaces_page(PAGE_SIZE, next).await?;
        namespaces.extend(page);
        token = next;
    }
    Ok(namespaces)
}

async fn delete(args: DeleteArgs, output: Output) -> Result<End, CliError> {
    if !args.yes {
        let message = format!("all workflows in {} would be lost", args.name);
        return Err(CliError::usage(message).help("pass --yes to confirm"));
    }
    let client = args.connection.connect().await?;
    client.delete_namespace(&args.name).await?;
    done(&args.name, "was deleted", output)
}

fn done(name: &str, words: &str, output: Output) -> Result<End, CliError> {
    match output.is_json() {
        true => output.json(&json!({ "namespace": name }))?,
        false => output.line(format!("{name} {words}"))?,
    }
    Ok(End::Done)
}

impl ChangeArgs {
    fn options(&self) -> NamespaceOptions {
        let archival = |word: Option<ArchivalWord>, uri: &Option<String>| Archival {
            enabled: word.map(|word| word == ArchivalWord::Enabled),
            uri: uri.clone(),
        };
        NamespaceOptions {
            retention: self.retention,
            description: self.description.clone(),
            owner_email: self.email.clone(),
            data: BTreeMap::from_iter(self.data.clone()),
            history_archival: archival(self.history_archival_state, &self.history_uri),
            visibility_archival: archival(self.visibility_archival_state, &self.visibility_uri),
        }
    }
}

fn namespace_json(namespace: &NamespaceDescription) -> Json {
    let archival =
        |archival: &Archival| json!({ "enabled": archival.enabled, "uri": archival.uri });
    json!({
        "name": namespace.name,
        "id": namespace.id,
        "state": namespace.state,
        "description": namespace.description,
        "ownerEmail": namespace.owner_email,
        "data": namespace.data,
        "retention": namespace.retention.map(|r| r.to_string()),
        "historyArchival": archival(&namespace.history_archival),
        "visibilityArchival": archival(&namespace.visibility_archival),
        "isGlobal": namespace.is_global,
        "activeCluster": namespace.active_cluster,
        "clusters": namespace.clusters,
    })
}

fn namespace_text(namespace: &NamespaceDescription) -> String {
    let mut lines = vec![
        field("name", &namespace.name),
        field("id", &namespace.id),
        field("state", namespace.state),
    ];
    let mut optional = |name: &str, text: Option<String>| {
        let text = text.filter(|text| !text.is_empty());
        lines.extend(text.map(|text| field(name, text)));
    };
    optional("retention", namespace.retention.map(duration_units));
    optional("description", Some(namespace.description.clone()));
    optional("owner", Some(namespace.owner_email.clone()));
    let archivals = [
        ("history archive", &namespace.history_archival),
        ("visibility archive", &namespace.visibility_archival),
    ];
    for (name, archival) in archivals {
        optional(
            name,
            archival
                .uri
                .clone()
                .filter(|_| archival.enabled == Some(true)),
        );
    }
    optional("active cluster", Some(namespace.active_cluster.clone()));
    for (key, value) in &namespace.data {
        optional("data", Some(format!("{key}={value}")));
    }
    lines.join("\n")
}

//! `segno search-attribute`: creates, lists and removes the search attributes of a namespace.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::values::name;
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, Tone};
use crate::client::SearchAttributeType;

#[derive(Debug, Subcommand)]
pub(crate) enum SearchAttributeCommand {
    /// Create search attributes of one type
    Create(CreateArgs),
    /// List the search attributes
    List(ListArgs),
    /// Remove search attributes
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The attribute's name; may be given several times
    #[arg(long, value_name = "NAME", required = true, value_parser = name)]
    name: Vec<String>,
    /// The type of its values
    #[arg(long = "type", value_enum)]
    kind: TypeWord,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The attribute's name; may be given several times
    #[arg(long, value_name = "NAME", required = true, value_parser = name)]
    name: Vec<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Temporal's names.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum TypeWord {
    Text,
    Keyword,
    Int,
    Double,
    Bool,
    Datetime,
    KeywordList,
}

impl TypeWord {
    fn kind(self) -> SearchAttributeType {
        match self {
            TypeWord::Text => SearchAttributeType::Text,
            TypeWord::Keyword => SearchAttributeType::Keyword,
            TypeWord::Int => SearchAttributeType::Int,
            TypeWord::Double => SearchAttributeType::Double,
            TypeWord::Bool => SearchAttributeType::Bool,
            TypeWord::Datetime => SearchAttributeType::Datetime,
            TypeWord::KeywordList => SearchAttributeType::KeywordList,
        }
    }
}

pub(crate) async fn run(command: SearchAttributeCommand, output: Output) -> Result<End, CliError> {
    match command {
        SearchAttributeCommand::Create(args) => create(args, output).await,
        SearchAttributeCommand::List(args) => list(args, output).await,
        SearchAttributeCommand::Remove(args) => remove(args, output).await,
    }
}

async fn create(args: CreateArgs, output: Output) -> Result<End, CliError> {
    let kind = args.kind.kind();
    let client = args.connection.connect().await?;
    // The server accepts an existing attribute, whatever its type.
    let there = client.search_attributes().await?;
    for name in &args.name {
        let same = there.custom.get(name).or_else(|| there.system.get(name));
        if let Some(other) = same.filter(|other| **other != Some(kind)) {
            let other = other.map_or("of another type", SearchAttributeType::name);
            return Err(CliError::new(format!(
                "the search attribute {name} already exists, as {other}"
            )));
        }
    }
    let attributes = args.name.iter().map(|name| (name.clone(), kind)).collect();
    client.create_search_attributes(&attributes).await?;
    done(&args.name, "was created", output)
}

async fn list(args: ListArgs, output: Output) -> Result<End, CliError> {
    let client = args.connection.connect().await?;
    let attributes = client.search_attributes().await?;
    let of = [
        ("custom", &attributes.custom),
        ("system", &attributes.system),
    ];
    let word = |kind: &Option<SearchAttributeType>| kind.map_or("", SearchAttributeType::name);
    if output.is_json() {
        let json = of.map(|(whose, attributes)| {
            let entries = attributes.iter();
            let entries = entries.map(|(name, kind)| (name.clone(), word(kind).into()));
            (whose.to_owned(), Json::Object(entries.collect()))
        });
        output.json(&Json::Object(json.into_iter().collect()))?;
        return Ok(End::Done);
    }
    let row = |whose: &str, name: &str, kind| {
        vec![
            (Tone::Plain, name.to_owned()),
            (Tone::Plain, word(kind).to_owned()),
            (Tone::Dim, whose.to_owned()),
        ]
    };
    let rows = of.into_iter().flat_map(|(whose, attributes)| {
        let attributes = attributes.iter();
        attributes.map(move |(name, kind)| row(whose, name, kind))
    });
    output.table(&["name", "type", "whose"], rows.collect())?;
    Ok(End::Done)
}

async fn remove(args: RemoveArgs, output: Output) -> Result<End, CliError> {
    let client = args.connection.connect().await?;
    client.remove_search_attributes(&args.name).await?;
    done(&args.name, "was removed", output)
}

fn done(names: &[String], words: &str, output: Output) -> Result<End, CliError> {
    if output.is_json() {
        output.json(&json!({ "names": names }))?;
        return Ok(End::Done);
    }
    for name in names {
        output.line(format!("{name} {words}"))?;
    }
    Ok(End::Done)
}

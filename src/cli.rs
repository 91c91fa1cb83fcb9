//! The command line: a folder for each subject, with a file for each command. No command imports another command:
//! shared code is in `args`, `print` and `error`, or in a module of their subject.

#[cfg(feature = "cluster")]
mod admin;
#[cfg(feature = "cluster")]
mod args;
#[cfg(feature = "cluster")]
mod commands;
#[cfg(feature = "cluster")]
mod deploy;
mod error;
pub mod hidden;
mod language;
#[cfg(feature = "cluster")]
mod local;
mod print;
#[cfg(feature = "cluster")]
mod serve;
#[cfg(feature = "cluster")]
mod workflow;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::activity::exec::keeper;

use error::{CliError, End};
use language::{eval, explain, lint, schema};
use print::{Color, Format, Output};

pub use language::eval::evaluate_line;

/// Declarative workflows in YAML on a Temporal cluster.
#[derive(Debug, Parser)]
#[command(
    name = "segno",
    version,
    propagate_version = true,
    max_term_width = 120
)]
struct Cli {
    /// The format of results: text for people, json for scripts; `lint` also has sarif and github
    #[arg(
        long,
        short = 'o',
        global = true,
        value_enum,
        default_value = "text",
        help_heading = "Global options"
    )]
    output: Format,
    /// Whether to colour the output
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        help_heading = "Global options"
    )]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Eval(eval::EvalArgs),
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    Cluster(Box<commands::ClusterCommand>),
    Lint(lint::Lint),
    Explain(explain::Explain),
    Schema(schema::Schema),
}

/// The exit code if the activity that sent a heartbeat should stop: it is not a failure, and scripts can distinguish it
/// from one.
const STOP: u8 = 3;

/// Exit codes: 0, 1 if the operation failed, 2 if the command line is wrong, 3 as documented at `STOP`.
pub fn main() -> ExitCode {
    if let Some(code) = keeper::serve() {
        return code;
    }
    let cli = Cli::parse();
    let choice = match cli.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
    let output = Output { format: cli.output };
    if matches!(cli.output, Format::Sarif | Format::Github)
        && !matches!(cli.command, Command::Lint(_))
    {
        return CliError::usage("only `segno lint` supports this output format")
            .help("use `--output text` or `--output json`")
            .report();
    }
    match cli.command.run(output) {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Failed) => ExitCode::FAILURE,
        Ok(End::Stop) => ExitCode::from(STOP),
        Err(error) => error.report(),
    }
}

impl Command {
    fn run(self, output: Output) -> Result<End, CliError> {
        match self {
            Command::Eval(args) => eval::run(args, output),
            #[cfg(feature = "cluster")]
            Command::Cluster(command) => command.run(output),
            Command::Lint(command) => command.run(output),
            Command::Explain(command) => command.run(output),
            Command::Schema(command) => command.run(output),
        }
    }
}

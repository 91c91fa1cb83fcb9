//! `segno eval`: an expression's value, for experiments and for suites of cases.

mod batch;
mod typed;

use std::io::Read;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, complain_of};
use crate::diagnostic::Diagnostic;
use crate::expression::{Context, Environment, Host, Type, check, compile, evaluate, parse};
use crate::report::{self, Report};
use crate::source::{Range, Sources, TextMap};
use crate::value::{Key, Timestamp, Value, parse_foreign_json, to_json};

pub use batch::evaluate_line;

/// Evaluate an expression
///
/// Prints the value as JSON. The expression's types are checked first against those of the bindings.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  segno eval '1 + 2'\n  segno eval 'items.map(i, i.price).sum()' --bindings '{\"items\": [{\"price\": 2}]}'"
)]
pub(crate) struct EvalArgs {
    /// The expression, without `${ }`
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    expression: Option<String>,
    /// Variables: a JSON object, or @FILE for one in a file
    #[arg(long, value_name = "JSON", conflicts_with = "batch")]
    bindings: Option<String>,
    /// A file of cases, one JSON object a line; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    batch: Option<PathBuf>,
}

pub(crate) fn run(args: EvalArgs, output: Output) -> Result<End, CliError> {
    match (args.batch, args.expression) {
        (Some(file), _) => run_batch(&file, output),
        (None, Some(expression)) => run_one(&expression, args.bindings.as_deref(), output),
        (None, None) => Err(CliError::usage("an expression or --batch is needed")),
    }
}

fn run_batch(file: &PathBuf, output: Output) -> Result<End, CliError> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text).map(|_| ()),
        false => std::fs::read_to_string(file).map(|read| text = read),
    };
    read.map_err(|error| CliError::new(format!("cannot read {}: {error}", file.display())))?;
    let mut end = End::Done;
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match evaluate_line(line) {
            Ok(answer) => output.json_line(&answer)?,
            Err(message) => {
                end = End::Failed;
                let message = format!("line {}: {message}", number + 1);
                let error = serde_json::json!({"error": {"stage": "read", "message": message}});
                output.json_line(&error)?;
            }
        }
    }
    Ok(end)
}

fn run_one(text: &str, bindings: Option<&str>, output: Output) -> Result<End, CliError> {
    let bindings = bindings.map_or(Ok(Vec::new()), read_bindings)?;
    let mut environment = Environment::new();
    let mut values = Vec::new();
    for (name, value) in bindings {
        environment = environment.with(name, values.len() as u32, Type::of(&value));
        values.push(value);
    }
    let mut sources = Sources::default();
    let file = sources.add("expression", text);
    let map = TextMap::verbatim(Range::new(file, 0, text.len() as u32));
    let (expression, mut diagnostics) = parse(text, &map);
    let Some(expression) = expression else {
        return report(&sources, diagnostics, output);
    };
    let (found, more) = check(&expression, &environment);
    diagnostics.extend(more);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return report(&sources, diagnostics, output);
    }
    let code = compile(&expression, &environment);
    let mut host = Clock::now();
    let mut context = Context::new(&mut host);
    let before = context.cost_left();
    match evaluate(&code, &values, &mut context) {
        Ok(value) => {
            let json = to_json(&value).map_err(CliError::new)?;
            let cost = before - context.cost_left();
            let answer =
                serde_json::json!({"value": json, "type": found.to_string(), "cost": cost});
            match output.is_json() {
                true => output.json_line(&answer)?,
                false => output.json(&json)?,
            }
            Ok(End::Done)
        }
        Err(error) => {
            let diagnostic = Diagnostic::error("evaluation-error", error.range, error.message);
            report(&sources, vec![diagnostic], output)
        }
    }
}

fn read_bindings(text: &str) -> Result<Vec<(String, Value)>, CliError> {
    let text = match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| CliError::new(format!("cannot read {path}: {error}")))?,
        None => text.to_owned(),
    };
    let wrong = || CliError::usage("--bindings must be a JSON object: {\"name\": value}");
    let value = parse_foreign_json(text.as_bytes()).map_err(|error| wrong().help(error.0))?;
    let map = value.as_map().ok_or_else(wrong)?;
    let named = |(key, value): (&Key, &Value)| Some((key.as_str()?.to_owned(), value.clone()));
    Ok(map.iter().filter_map(named).collect())
}

fn report(
    sources: &Sources,
    diagnostics: Vec<Diagnostic>,
    output: Output,
) -> Result<End, CliError> {
    let format = match output.is_json() {
        true => report::Format::Json,
        false => report::Format::Text,
    };
    let report = Report::new(sources, diagnostics, 1);
    complain_of(&report, format);
    Ok(End::Failed)
}

/// The machine's time, and numbers that differ between calls; nothing here is replayed.
struct Clock {
    now: Timestamp,
    state: u64,
}

impl Clock {
    fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            now: Timestamp::from_nanos(since.as_nanos() as i128).unwrap_or_default(),
            state: since.as_nanos() as u64,
        }
    }
}

impl Host for Clock {
    fn now(&self) -> Timestamp {
        self.now
    }

    /// SplitMix64.
    fn random_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

//! `segno explain`: what a lint rule flags, why, and how to change the definition.

use serde_json::json;

use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, Tone};
use crate::diagnostic::did_you_mean;
use crate::lint::{RULES, Rule};

/// Explain a lint rule, or list all rules
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// Name of the rule, as `segno lint` prints it
    rule: Option<String>,
}

impl Explain {
    pub(crate) fn run(self, output: Output) -> Result<End, CliError> {
        match self.rule {
            None => list(output)?,
            Some(name) => match RULES.iter().find(|rule| rule.name == name) {
                Some(rule) => explain(rule, output)?,
                None => return Err(unknown(&name)),
            },
        }
        Ok(End::Done)
    }
}

fn list(output: Output) -> Result<(), CliError> {
    if output.is_json() {
        let rules = RULES
            .iter()
            .map(|rule| json!({ "rule": rule.name, "summary": rule.summary() }));
        return output.json(&rules.collect());
    }
    let rows = RULES.iter().map(|rule| {
        let summary = rule.summary();
        vec![(Tone::Bold, rule.name.to_owned()), (Tone::Plain, summary)]
    });
    output.table(&["rule", "what it flags"], rows.collect())
}

fn explain(rule: &Rule, output: Output) -> Result<(), CliError> {
    let documentation = rule.documentation();
    match output.is_json() {
        true => output.json(&json!({ "rule": rule.name, "documentation": documentation })),
        false => output.line(format!("{}\n\n{}", rule.name, documentation.trim_end())),
    }
}

fn unknown(name: &str) -> CliError {
    let error = CliError::usage(format!("`{name}` is not a lint rule"));
    match did_you_mean(name, RULES.iter().map(|rule| rule.name)) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help(
            "list the rules with `segno explain`; other problems are explained in their report",
        ),
    }
}

//! `segno schema`: the JSON Schema of the language, for editors.

use crate::cli::error::{CliError, End};
use crate::cli::print::Output;
use crate::schema;

/// Print the JSON Schema of the language, with which editors complete and check definitions
#[derive(Debug, clap::Args)]
pub(crate) struct Schema {
    /// Print the schema of test files, *.test.yaml, instead
    #[arg(long)]
    tests: bool,
}

impl Schema {
    pub(crate) fn run(self, output: Output) -> Result<End, CliError> {
        output.json(&match self.tests {
            true => schema::test_schema(),
            false => schema::schema(),
        })?;
        Ok(End::Done)
    }
}

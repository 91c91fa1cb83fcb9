//! How a command ends: successfully, or with an error that says why not.

#[cfg(feature = "cluster")]
mod cluster;

use std::io;
use std::process::ExitCode;

use super::print::{self, Tone, styled};

/// How a command that ran to its end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Done,
    /// What was asked for failed, and has been said.
    Failed,
    /// What was asked for is done, and whoever asked is to stop.
    Stop,
}

/// Why a command could not do what was asked for.
#[derive(Debug)]
pub struct CliError {
    message: String,
    help: Vec<String>,
    code: u8,
    /// Whether the reader of the output is gone.
    is_unheard: bool,
}

impl CliError {
    pub fn new(message: impl ToString) -> Self {
        CliError {
            message: message.to_string(),
            help: Vec::new(),
            code: 1,
            is_unheard: false,
        }
    }

    /// The command line itself is wrong.
    pub fn usage(message: impl ToString) -> Self {
        CliError {
            code: 2,
            ..CliError::new(message)
        }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// For whoever reads JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "message": self.message, "help": self.help })
    }

    /// Whether the reader of the output is gone, having seen enough (`| head`): the command ends, and that is not an error.
    pub fn is_unheard(&self) -> bool {
        self.is_unheard
    }

    pub fn report(&self) -> ExitCode {
        if self.is_unheard {
            return ExitCode::SUCCESS;
        }
        // Without standard error the exit code still says it.
        let _ = self.print();
        ExitCode::from(self.code)
    }

    pub fn print(&self) -> io::Result<()> {
        let mut text = format!("{}: {}\n", styled(Tone::Bad, "error"), self.message);
        self.help
            .iter()
            .for_each(|help| text += &print::advice(help));
        print::write_error(&text)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        CliError {
            is_unheard: error.kind() == io::ErrorKind::BrokenPipe,
            ..CliError::new(format!("cannot write the output: {error}"))
        }
    }
}

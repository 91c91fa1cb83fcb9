//! How a command ends: successfully, or with an error.

#[cfg(feature = "cluster")]
mod cluster;

use std::io;
use std::process::ExitCode;

use super::print::{self, Tone, styled};

/// The end of a command that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// The operation failed, and the reason was printed.
    Failed,
    /// The operation is done, and the activity should stop.
    Stop,
}

/// Why a command could not do what was requested.
#[derive(Debug)]
pub(crate) struct CliError {
    message: String,
    help: Vec<String>,
    code: u8,
    /// Whether the reader of the output has gone.
    is_unheard: bool,
}

impl CliError {
    pub(crate) fn new(message: impl ToString) -> Self {
        CliError {
            message: message.to_string(),
            help: Vec::new(),
            code: 1,
            is_unheard: false,
        }
    }

    /// The command line itself is wrong.
    pub(crate) fn usage(message: impl ToString) -> Self {
        CliError {
            code: 2,
            ..CliError::new(message)
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// For scripts that read JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "message": self.message, "help": self.help })
    }

    /// Whether the reader of the output has gone, having read enough (`| head`): the command ends without an error.
    pub(crate) fn is_unheard(&self) -> bool {
        self.is_unheard
    }

    pub(crate) fn report(&self) -> ExitCode {
        if self.is_unheard {
            return ExitCode::SUCCESS;
        }
        // Without standard error, the exit code remains.
        let _ = self.print();
        ExitCode::from(self.code)
    }

    pub(crate) fn print(&self) -> io::Result<()> {
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

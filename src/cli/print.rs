//! The output of commands: for people on a terminal, or JSON for scripts. Data is never filtered: see [`text`].

#[cfg(feature = "cluster")]
pub(crate) mod failure;
#[cfg(feature = "cluster")]
pub(crate) mod payload;
mod text;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use super::error::CliError;
use crate::report::{self, Report};
pub(crate) use text::decorated;
use text::{escaped, printable};

/// A shorter wait needs no progress indicator.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
    /// Only `segno lint` has it.
    #[value(hide = true)]
    Sarif,
    /// Only `segno lint` has it.
    #[value(hide = true)]
    Github,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// The look of a piece of text on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Odd,
    Help,
}

impl Tone {
    fn color(self) -> Option<(AnsiColor, comfy_table::Color)> {
        match self {
            Tone::Good => Some((AnsiColor::Green, comfy_table::Color::Green)),
            Tone::Bad => Some((AnsiColor::Red, comfy_table::Color::Red)),
            Tone::Odd => Some((AnsiColor::Yellow, comfy_table::Color::Yellow)),
            Tone::Help => Some((AnsiColor::Cyan, comfy_table::Color::Cyan)),
            Tone::Plain | Tone::Bold | Tone::Dim => None,
        }
    }

    fn style(self) -> Style {
        match (self, self.color()) {
            (_, Some((color, _))) => color.on_default(),
            (Tone::Bold, _) => Style::new().bold(),
            (Tone::Dim, _) => Style::new().dimmed(),
            _ => Style::new(),
        }
    }

    fn cell(self, text: &str) -> Cell {
        let text = escaped(text);
        match (self, self.color()) {
            (_, Some((_, color))) => Cell::new(text).fg(color),
            (Tone::Bold, _) => Cell::new(text).add_attribute(Attribute::Bold),
            (Tone::Dim, _) => Cell::new(text).add_attribute(Attribute::Dim),
            _ => Cell::new(text),
        }
    }
}

/// Something is odd, and what was asked for is done all the same.
pub(crate) fn warn(message: &str, help: &[String]) {
    let mut text = format!("{}: {message}\n", styled(Tone::Odd, "warning"));
    help.iter().for_each(|help| text += &advice(help));
    complain(&text);
}

pub(super) fn advice(help: &str) -> String {
    format!("{}: {help}\n", styled(Tone::Help, "help"))
}

/// Prints to standard error. A failure to print there is ignored.
pub(crate) fn complain(text: &str) {
    let _ = write_error(text);
}

pub(super) fn write_error(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    let colours = has_colours(&stderr);
    stderr.write_all(printable(text, colours).as_bytes())
}

/// Prints diagnostics of files to standard error.
pub(crate) fn complain_of(report: &Report<'_>, format: report::Format) {
    complain(&rendered(report, format));
}

fn rendered(report: &Report<'_>, format: report::Format) -> String {
    match format {
        report::Format::Text => decorated(&report.render(format, true)),
        _ => escaped(&report.render(format, false)),
    }
}

fn has_colours(stream: &impl anstream::stream::RawStream) -> bool {
    anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) format: Format,
}

impl Output {
    pub(crate) fn is_json(self) -> bool {
        self.format != Format::Text
    }

    /// Text for people; data in it is escaped.
    pub(crate) fn line(self, text: impl AsRef<str>) -> Result<(), CliError> {
        self.write(&format!("{}\n", text.as_ref()))
    }

    /// One JSON document, indented.
    pub(crate) fn json(self, value: &serde_json::Value) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value).map_err(CliError::new)?;
        self.raw(&format!("{}\n", escaped(&text)))
    }

    /// One JSON document on one line.
    pub(crate) fn json_line(self, value: &serde_json::Value) -> Result<(), CliError> {
        self.raw(&format!("{}\n", escaped(&value.to_string())))
    }

    /// The text of a file: unchanged, but escaped on a terminal.
    pub(crate) fn file(self, text: &str) -> Result<(), CliError> {
        match io::stdout().is_terminal() {
            true => self.line(text.replace("\r\n", "\n")),
            false => self.raw(&format!("{text}\n")),
        }
    }

    /// The diagnostics of files.
    pub(crate) fn report(
        self,
        report: &Report<'_>,
        format: report::Format,
    ) -> Result<(), CliError> {
        self.write(&rendered(report, format))
    }

    fn write(self, text: &str) -> Result<(), CliError> {
        self.raw(&printable(text, has_colours(&io::stdout())))
    }

    fn raw(self, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// A remark beside the result: on standard error, so that scripts need not remove it.
    pub(crate) fn remark(self, text: impl AsRef<str>) {
        if !self.is_json() {
            complain(&format!("{}\n", text.as_ref()));
        }
    }

    /// Columns for people; without a terminal nothing is wrapped or cut.
    pub(crate) fn table(
        self,
        header: &[&str],
        rows: Vec<Vec<(Tone, String)>>,
    ) -> Result<(), CliError> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).enforce_styling();
        table.set_header(header.iter().map(|h| Tone::Dim.cell(&h.to_uppercase())));
        if io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        for row in rows {
            table.add_row(row.iter().map(|(tone, text)| tone.cell(text)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.to_string().lines() {
            self.line(decorated(line.trim_end()))?;
        }
        Ok(())
    }

    /// A progress indicator on a terminal, shown only if the wait is longer than a moment.
    pub(crate) fn progress(self, message: String) -> Progress {
        if self.is_json() || !io::stderr().is_terminal() {
            return Progress { task: None };
        }
        let task = tokio::spawn(async move {
            tokio::time::sleep(PROGRESS_AFTER).await;
            let bar = ProgressBar::new_spinner();
            let bar = bar
                .with_message(escaped(&message))
                .with_elapsed(PROGRESS_AFTER);
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            let _clear = ClearOnDrop(bar.clone());
            loop {
                bar.tick();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Progress { task: Some(task) }
    }
}

/// Shown until it is dropped.
pub(crate) struct Progress {
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

struct ClearOnDrop(ProgressBar);

impl Drop for ClearOnDrop {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

pub(crate) fn styled(tone: Tone, text: impl AsRef<str>) -> String {
    let style = tone.style();
    decorated(&format!("{style}{}{style:#}", escaped(text.as_ref())))
}

#[cfg(feature = "cluster")]
pub(crate) fn field(name: &str, text: impl AsRef<str>) -> String {
    format!(
        "{} {}",
        styled(Tone::Bold, format!("{name:<18}")),
        text.as_ref()
    )
}

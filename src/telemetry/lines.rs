//! Log lines as they are written: one event is one line of a bounded length, whatever names and values of clients it
//! contains.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::{Value as Json, json};

use super::LogFormat;
use crate::limits::LOG_LINE_SIZE_BYTES_MAX;
use crate::value::quoted;

const ESCAPE: char = '\u{1b}';

/// Writes to standard error.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    pub(crate) format: LogFormat,
    /// The formatter colours lines, and escapes values itself.
    pub(crate) has_colours: bool,
}

/// Receives each event whole, with one call.
pub(crate) struct LineWriter(pub(crate) Lines);

impl Write for LineWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = self.0.line(text.trim_end_matches('\n'));
        io::stderr().write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl Lines {
    fn line(self, event: &str) -> String {
        let event = match event.len() <= LOG_LINE_SIZE_BYTES_MAX {
            true => Cow::Borrowed(event),
            false => Cow::Owned(self.shortened(event)),
        };
        let mut line = String::with_capacity(event.len() + 1);
        for c in event.chars() {
            match c {
                ESCAPE if self.has_colours => line.push(c),
                // Some log readers treat the last two as line ends.
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                    self.escape(c, &mut line)
                }
                c => line.push(c),
            }
        }
        line.push('\n');
        line
    }

    fn escape(self, c: char, line: &mut String) {
        match self.format {
            // In a JSON document, only strings can contain them.
            LogFormat::Json => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            LogFormat::Text => line.extend(c.escape_debug()),
        }
    }

    fn shortened(self, event: &str) -> String {
        match self.format {
            LogFormat::Text => {
                let begin = LOG_LINE_SIZE_BYTES_MAX - LOG_LINE_SIZE_BYTES_MAX / 4;
                let begin = (begin..event.len()).find(|at| event.is_char_boundary(*at));
                let begin = &event[..begin.unwrap_or(0)];
                let more = event.len() - begin.len();
                format!(
                    "{begin}… ({more} more bytes; LOG_LINE_SIZE_BYTES_MAX is {LOG_LINE_SIZE_BYTES_MAX})"
                )
            }
            LogFormat::Json => {
                let mut event = serde_json::from_str(event).unwrap_or(Json::Null);
                shorten(&mut event);
                let line = event.to_string();
                match line.len() <= LOG_LINE_SIZE_BYTES_MAX {
                    true => line,
                    false => {
                        let why = format!(
                            "left out: it takes {} bytes, LOG_LINE_SIZE_BYTES_MAX is {LOG_LINE_SIZE_BYTES_MAX}",
                            line.len()
                        );
                        let (timestamp, level) = (&event["timestamp"], &event["level"]);
                        json!({ "timestamp": timestamp, "level": level, "message": why })
                            .to_string()
                    }
                }
            }
        }
    }
}

fn shorten(data: &mut Json) {
    match data {
        Json::String(text) => *text = quoted(text),
        Json::Array(items) => items.iter_mut().for_each(shorten),
        Json::Object(members) => members.values_mut().for_each(shorten),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Lines = Lines {
        format: LogFormat::Text,
        has_colours: false,
    };
    const JSON: Lines = Lines {
        format: LogFormat::Json,
        has_colours: false,
    };

    #[test]
    fn an_event_is_one_line() {
        let forged =
            "signal `x\n2026-01-01T00:00:00Z ERROR forged\r\u{2028}\u{85}\u{7f}\u{1b}[2J\0`";
        let line = TEXT.line(forged);
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
        assert!(
            line.contains("signal `x\\n2026") && line.contains("\\u{1b}[2J"),
            "{line:?}"
        );

        let event = json!({ "level": "WARN", "message": "a\u{85}\u{2028}\u{7f}\n" }).to_string();
        let line = JSON.line(&event);
        assert!(
            !line
                .trim_end()
                .chars()
                .any(|c| c.is_control() || c == '\u{2028}'),
            "{line:?}"
        );
        let read: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(read["message"], "a\u{85}\u{2028}\u{7f}\n");
    }

    #[test]
    fn a_line_has_a_bounded_length() {
        let long = "é".repeat(LOG_LINE_SIZE_BYTES_MAX);
        let line = TEXT.line(&format!("WARN {long}"));
        assert!(line.len() < LOG_LINE_SIZE_BYTES_MAX, "{}", line.len());
        assert!(line.starts_with("WARN é") && line.contains("LOG_LINE_SIZE_BYTES_MAX"));

        let event = json!({ "level": "WARN", "message": long, "fields": { "a": [long] } });
        let read: Json = serde_json::from_str(&JSON.line(&event.to_string())).unwrap();
        assert_eq!(read["level"], "WARN");
        assert!(
            read["message"].as_str().unwrap().starts_with("éé"),
            "{read}"
        );
        let event =
            json!({ "level": "WARN", "message": "m", "fields": vec![0; LOG_LINE_SIZE_BYTES_MAX] });
        let read: Json = serde_json::from_str(&JSON.line(&event.to_string())).unwrap();
        assert_eq!(read["level"], "WARN");
        assert!(
            read["message"]
                .as_str()
                .unwrap()
                .contains("LOG_LINE_SIZE_BYTES_MAX"),
            "{read}"
        );
    }
}

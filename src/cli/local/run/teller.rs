//! The progress of `segno run`: steps when they begin and end, and logs.

use crate::cli::print::{Output, Tone, styled};
use crate::simulator::Logged;
use crate::timeline::{Entry, Timeline};
use crate::value::Timestamp;
use crate::words::LogLevel;

pub(crate) struct Teller {
    begun_at: Timestamp,
    output: Output,
    /// By the entries' positions: whether the end was reported.
    said: Vec<bool>,
}

impl Teller {
    pub(crate) fn new(begun_at: Timestamp, output: Output) -> Self {
        Teller {
            begun_at,
            output,
            said: Vec::new(),
        }
    }

    /// Everything new, in the order in which it happened.
    pub(crate) fn tell(&mut self, timeline: &Timeline, logs: &[Logged]) {
        let mut lines = self.steps(timeline);
        lines.extend(logs.iter().map(|logged| (logged.at, log(logged))));
        lines.sort_by_key(|(at, _)| *at);
        for (at, text) in lines {
            let after = at.since(self.begun_at).and_then(|length| length.to_std());
            let after = format!("{:>8.3}s", after.unwrap_or_default().as_secs_f64());
            let after = styled(Tone::Dim, after);
            self.output.remark(format!("{after}  {text}"));
        }
    }

    fn steps(&mut self, timeline: &Timeline) -> Vec<(Timestamp, String)> {
        let mut lines = Vec::new();
        for (place, entry) in timeline.entries().iter().enumerate() {
            let has_ended = entry.ended.is_some();
            match self.said.get_mut(place) {
                None => self.said.push(has_ended),
                Some(said) if has_ended && !*said => *said = true,
                Some(_) => continue,
            }
            lines.push(step(entry));
        }
        lines
    }
}

fn step(entry: &Entry) -> (Timestamp, String) {
    let (at, text) = match &entry.ended {
        Some((at, how)) => (*at, format!("{}  {how}", entry.step)),
        None => (entry.began, format!("{} …", entry.step)),
    };
    (at, format!("{}  {text}", styled(Tone::Dim, &entry.place)))
}

fn log(logged: &Logged) -> String {
    let (tone, level) = match logged.level {
        LogLevel::Debug => (Tone::Dim, "debug"),
        LogLevel::Info => (Tone::Good, "info"),
        LogLevel::Warn => (Tone::Odd, "warn"),
        LogLevel::Error => (Tone::Bad, "error"),
    };
    let fields = logged.fields.iter();
    let fields: String = fields
        .map(|(name, value)| format!(" {name}={value}"))
        .collect();
    format!(
        "{}: {}{}",
        styled(tone, level),
        logged.message,
        styled(Tone::Dim, fields)
    )
}

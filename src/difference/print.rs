//! Prints differences for people and for programs.

use super::{Difference, Differences, Kind, Runs, Subject};

impl Kind {
    /// As plans of changes usually show it.
    pub(crate) fn sign(self) -> char {
        match self {
            Kind::Added => '+',
            Kind::Removed => '-',
            Kind::Moved => '>',
            Kind::Changed => '~',
        }
    }
}

impl Runs {
    /// In words that follow "it is".
    pub(crate) fn words(self) -> &'static str {
        match self {
            Runs::New => "for new runs; runs in flight keep the version that they started with",
            Runs::NewAndContinued => {
                "for new runs, and for runs in flight from their next continue_as_new on"
            }
        }
    }
}

impl Difference {
    /// On one line, without its sign.
    pub(crate) fn text(&self) -> String {
        let is_whole = matches!(
            self.subject,
            Subject::Step | Subject::Branch | Subject::Case | Subject::Catch | Subject::File
        );
        let values = match (&self.old, &self.new) {
            (Some(old), Some(new)) => format!(": {old} → {new}"),
            (Some(value), None) | (None, Some(value)) if !is_whole => format!(": {value}"),
            _ => String::new(),
        };
        let place = match (&self.new_place, &self.old_place) {
            (Some(place), _) => format!("  {}:{}", place.file, place.line),
            (None, Some(place)) => format!("  was {}:{}", place.file, place.line),
            (None, None) => String::new(),
        };
        format!("{}{values}{place}", self.what)
    }
}

impl Difference {
    fn is_of_schedules(&self) -> bool {
        self.path
            .strip_prefix("/schedules")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Differences {
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty()
    }

    /// The differences in what runs do, without those in the schedules that start them; `None` if there are none.
    pub(crate) fn without_schedules(&self) -> Option<Differences> {
        let mut others = self.clone();
        others.differences.retain(|d| !d.is_of_schedules());
        (self.is_empty() || !others.is_empty()).then_some(others)
    }

    /// Whether there may be differences that are not listed.
    fn is_unknown(&self) -> bool {
        self.unreadable && self.text_changed
    }

    /// Whether anything runs differently, as far as is known.
    pub fn changes_meaning(&self) -> bool {
        self.is_unknown()
            || self.omitted > 0
            || self.differences.iter().any(|d| !d.description_only)
    }

    /// All differences for people, one a line, each with its sign.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for difference in &self.differences {
            text.push_str(&format!(
                "{} {}\n",
                difference.kind.sign(),
                difference.text()
            ));
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    /// The number of changes, in one line.
    pub(crate) fn summary(&self) -> String {
        if self.is_unknown() {
            return "the differences are unknown: a file of one version is not valid YAML".into();
        }
        if self.is_empty() {
            let summary = match self.text_changed {
                true => "the meaning is unchanged; only the text changed",
                false => "nothing changed",
            };
            return summary.into();
        }
        let counts: Vec<_> = [
            (Kind::Added, "added"),
            (Kind::Removed, "removed"),
            (Kind::Moved, "moved"),
            (Kind::Changed, "changed"),
        ]
        .into_iter()
        .filter_map(|(kind, word)| {
            let of_kind = self.differences.iter().filter(|d| d.kind == kind);
            match of_kind.count() {
                0 => None,
                count => Some(format!("{count} {word}")),
            }
        })
        .collect();
        let mut summary = counts.join(", ");
        if self.omitted > 0 {
            summary.push_str(&format!(
                ", and {} more than the {} of DIFFERENCES_MAX",
                self.omitted,
                crate::limits::DIFFERENCES_MAX
            ));
        }
        match self.changes_meaning() {
            true => format!("{summary}: {}", self.runs.words()),
            false => format!("{summary}: the meaning is unchanged; only descriptions changed"),
        }
    }

    /// The differences for programs; the names of the fields are stable.
    pub fn json(&self) -> serde_json::Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = json.as_object_mut() {
            fields.insert("changes_meaning".into(), self.changes_meaning().into());
            fields.insert("summary".into(), self.summary().into());
        }
        json
    }
}

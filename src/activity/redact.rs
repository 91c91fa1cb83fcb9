//! Removes secrets from whatever leaves an activity, however they are written: plain, or encoded in one of the usual
//! ways.
//!
//! A text is read in all possible ways (`decode`), and each reading is searched for all forms of the secrets (`forms`).
//! What is found is removed from the original.

mod decode;
mod forms;
pub(crate) mod logs;
mod tokens;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use secrecy::{ExposeSecret, SecretString};

use self::decode::{View, views};
use self::forms::{Base64, Forms};
use crate::engine::failure::{Failure, FailureInfo};
use crate::value::{Key, Map, Value};

pub(crate) use forms::parts;

const REDACTED: &str = "[redacted]";
/// The longest encoding of one byte of a secret: `\u0000`.
const ENCODED_BYTES_PER_BYTE_MAX: usize = 6;

/// Removes the secrets that an attempt used from texts and values, in each form in which they may be returned.
#[derive(Default)]
pub(crate) struct Redactor {
    secrets: BTreeSet<Vec<u8>>,
    /// Built when it is needed, after the last secret was added.
    search: OnceLock<Search>,
}

/// All forms of all secrets.
struct Search {
    plain: AhoCorasick,
    hex: AhoCorasick,
    base64: AhoCorasick,
    base64_forms: Vec<Base64>,
    /// Secrets that may be returned as numbers.
    numbers: Vec<(String, f64)>,
    longest: usize,
}

impl Redactor {
    /// Removes the secret and its parts from now on.
    pub(crate) fn add(&mut self, secret: &SecretString) {
        let parts = parts(secret.expose_secret());
        self.add_bytes(secret.expose_secret().as_bytes());
        parts
            .iter()
            .for_each(|part| self.add_bytes(part.as_bytes()));
    }

    /// Removes these bytes from now on. An empty text hides nothing: the task token of a run without a server is empty.
    pub(crate) fn add_bytes(&mut self, secret: &[u8]) {
        if !secret.is_empty() && self.secrets.insert(secret.to_vec()) {
            self.search = OnceLock::new();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    fn search(&self) -> &Search {
        self.search.get_or_init(|| Search::new(&self.secrets))
    }

    pub(crate) fn text(&self, text: &str) -> String {
        let mut found = self.find(text.as_bytes());
        for (start, end) in &mut found {
            *start = (0..=*start)
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(0);
            *end = (*end..text.len())
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(text.len());
        }
        let mut clean = String::with_capacity(text.len());
        let mut at = 0;
        for (start, end) in united(found) {
            clean.push_str(&text[at..start]);
            clean.push_str(REDACTED);
            at = end;
        }
        clean.push_str(&text[at..]);
        clean
    }

    pub(crate) fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut clean = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for (start, end) in self.find(bytes) {
            clean.extend_from_slice(&bytes[at..start]);
            clean.extend_from_slice(REDACTED.as_bytes());
            at = end;
        }
        clean.extend_from_slice(&bytes[at..]);
        clean
    }

    /// Redacts a text whose end was cut off: what may be the beginning of a secret is redacted too.
    pub(crate) fn bytes_of_cut(&self, bytes: &[u8]) -> Vec<u8> {
        if self.is_empty() {
            return bytes.to_vec();
        }
        // A secret whose end is missing may be found by a shorter form of it. So the original is cut, at a place before
        // which every secret is complete.
        let edge = self.search().longest * ENCODED_BYTES_PER_BYTE_MAX;
        let mut kept = bytes.len().saturating_sub(edge);
        if let Some((start, _)) = self
            .find(bytes)
            .into_iter()
            .find(|(start, end)| *start < kept && *end > kept)
        {
            kept = start;
        }
        self.bytes(&bytes[..kept])
    }

    /// The value without secrets, including in keys and numbers.
    pub(crate) fn value(&self, value: &Value) -> Value {
        if self.is_empty() {
            return value.clone();
        }
        match value {
            Value::String(text) => Value::from(self.text(text)),
            Value::Bytes(bytes) => Value::Bytes(self.bytes(bytes).into()),
            Value::List(items) => Value::list(items.iter().map(|v| self.value(v)).collect()),
            Value::Map(map) => {
                let mut clean = Map::with_capacity(map.len());
                for (key, value) in map.iter() {
                    clean.insert(self.key(key), self.value(value));
                }
                Value::map(clean)
            }
            Value::Int(_) | Value::Uint(_) | Value::Double(_) => self.number(value),
            Value::Optional(Some(inner)) => Value::Optional(Some(self.value(inner).into())),
            Value::Encoded(_) => value
                .force()
                .map_or_else(|_| value.clone(), |inner| self.value(inner)),
            Value::Null
            | Value::Bool(_)
            | Value::Timestamp(_)
            | Value::Duration(_)
            | Value::Type(_)
            | Value::Ip(_)
            | Value::Cidr(_)
            | Value::Optional(None) => value.clone(),
        }
    }

    fn key(&self, key: &Key) -> Key {
        match key {
            Key::String(name) => Key::from(self.text(name)),
            Key::Int(_) | Key::Uint(_) => match self.number(&key.to_value()) {
                Value::String(redacted) => Key::String(redacted),
                _ => key.clone(),
            },
            Key::Bool(_) => key.clone(),
        }
    }

    fn number(&self, value: &Value) -> Value {
        let (digits, number) = match value {
            Value::Int(i) => (i.to_string(), *i as f64),
            Value::Uint(u) => (u.to_string(), *u as f64),
            Value::Double(d) => (d.to_string(), *d),
            _ => return value.clone(),
        };
        let is_secret = |(text, secret): &(String, f64)| {
            *text == digits || matches!(value, Value::Double(_)) && *secret == number
        };
        match self.search().numbers.iter().any(is_secret) {
            true => Value::from(REDACTED),
            false => value.clone(),
        }
    }

    /// The failure without secrets, including in its causes.
    pub(crate) fn failure(&self, failure: Failure) -> Failure {
        let values = |values: Vec<Value>| values.iter().map(|v| self.value(v)).collect();
        let info = match failure.info {
            FailureInfo::Application {
                error_type,
                non_retryable,
                details,
                next_retry_delay,
            } => FailureInfo::Application {
                error_type,
                non_retryable,
                details: values(details),
                next_retry_delay,
            },
            FailureInfo::Timeout {
                timeout_type,
                last_heartbeat_details,
            } => FailureInfo::Timeout {
                timeout_type,
                last_heartbeat_details: values(last_heartbeat_details),
            },
            FailureInfo::Cancelled { details } => FailureInfo::Cancelled {
                details: values(details),
            },
            // No activity of the worker's own fails in these ways, and their fields are the server's.
            info @ (FailureInfo::Terminated
            | FailureInfo::Server { .. }
            | FailureInfo::ResetWorkflow
            | FailureInfo::Activity { .. }
            | FailureInfo::ChildWorkflow { .. }
            | FailureInfo::NexusOperation { .. }
            | FailureInfo::NexusHandler { .. }) => info,
        };
        Failure {
            message: self.text(&failure.message),
            source: failure.source,
            stack_trace: self.text(&failure.stack_trace),
            info,
            cause: failure.cause.map(|cause| Box::new(self.failure(*cause))),
            passed_on: failure.passed_on,
        }
    }

    /// The result of an attempt without secrets: everything that leaves an activity passes through here.
    pub(crate) fn end(&self, end: Result<Value, Failure>) -> Result<Value, Failure> {
        if self.is_empty() {
            return end;
        }
        match end {
            Ok(value) => Ok(self.value(&value)),
            Err(failure) => Err(self.failure(failure)),
        }
    }

    /// The places of secrets, in order, none inside another.
    fn find(&self, text: &[u8]) -> Vec<(usize, usize)> {
        if self.is_empty() || text.is_empty() {
            return Vec::new();
        }
        let search = self.search();
        let mut found = Vec::new();
        for view in views(text) {
            search.plain_in(&view, &mut found);
            search.encoded_in(&view, &mut found);
            if let Some(squeezed) = view.squeezed() {
                search.encoded_in(&squeezed, &mut found);
            }
        }
        if found.is_empty() {
            return found;
        }
        // Marks of an earlier redaction stay as they are, even if a secret is a word of the mark.
        let marks: Vec<_> = positions(text, REDACTED.as_bytes()).collect();
        found.retain(|(start, end)| {
            let before = marks.partition_point(|mark| mark <= start);
            before == 0 || marks[before - 1] + REDACTED.len() < *end
        });
        united(found)
    }
}

fn positions<'a>(text: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let is_there = move |at: &usize| text[*at..].starts_with(wanted);
    (0..text.len())
        .filter(|at| text[*at] == wanted[0])
        .filter(is_there)
}

/// In order, with overlapping ones merged.
fn united(mut found: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    found.sort_unstable();
    let mut united: Vec<(usize, usize)> = Vec::new();
    for (start, end) in found {
        match united.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => united.push((start, end)),
        }
    }
    united
}

impl Search {
    fn new(secrets: &BTreeSet<Vec<u8>>) -> Search {
        let (mut plain, mut hex, mut base64_forms) = (Vec::new(), Vec::new(), Vec::new());
        for secret in secrets {
            let forms = Forms::of(secret);
            plain.extend(forms.plain);
            hex.extend(forms.hex);
            base64_forms.extend(forms.base64);
        }
        let as_number = |secret: &Vec<u8>| {
            let text = std::str::from_utf8(secret).ok()?;
            Some((text.to_owned(), text.parse::<f64>().ok()?))
        };
        let longest = plain.iter().map(Vec::len).max();
        let base64: Vec<&[u8]> = base64_forms.iter().map(|form| &*form.text).collect();
        Search {
            plain: automaton(&plain, false),
            hex: automaton(&hex, true),
            base64: automaton(&base64, false),
            numbers: secrets.iter().filter_map(as_number).collect(),
            longest: longest.unwrap_or_default(),
            base64_forms,
        }
    }

    fn plain_in(&self, view: &View, found: &mut Vec<(usize, usize)>) {
        spans(&self.plain, view, |_, start, end| (start, end), found);
    }

    fn encoded_in(&self, view: &View, found: &mut Vec<(usize, usize)>) {
        spans(&self.hex, view, |_, start, end| (start, end), found);
        let widened = |form: usize, mut start: usize, mut end: usize| {
            let form = &self.base64_forms[form];
            let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
            if form.begins_inside && start > 0 && is_digit(&view.bytes[start - 1]) {
                start -= 1;
            }
            if form.ends_inside && view.bytes.get(end).is_some_and(is_digit) {
                end += 1;
            }
            let padding = view.bytes[end..].iter().take(2);
            end += padding.take_while(|byte| **byte == b'=').count();
            (start, end)
        };
        spans(&self.base64, view, widened, found);
    }
}

/// The places of an automaton's patterns in the original, with overlapping ones merged.
fn spans(
    automaton: &AhoCorasick,
    view: &View,
    widen: impl Fn(usize, usize, usize) -> (usize, usize),
    found: &mut Vec<(usize, usize)>,
) {
    let own = found.len();
    for hit in automaton.find_overlapping_iter(&view.bytes) {
        let (start, end) = widen(hit.pattern().as_usize(), hit.start(), hit.end());
        let (mut start, mut end) = view.origin(start, end);
        // Hits are in the order of their ends, so a long one absorbs those before it.
        while found.len() > own
            && let Some(last) = found.last()
            && start < last.1
        {
            start = start.min(last.0);
            end = end.max(last.1);
            found.pop();
        }
        found.push((start, end));
    }
}

/// Finds every pattern at every place, in time linear in the text.
fn automaton<P: AsRef<[u8]>>(patterns: &[P], ignores_case: bool) -> AhoCorasick {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .match_kind(MatchKind::Standard)
        .ascii_case_insensitive(ignores_case)
        .build(patterns)
        .expect("SECRET_SIZE_BYTES_MAX bounds the patterns well below what an automaton takes")
}

#[cfg(test)]
mod tests;

//! The one table of functions and operators: it drives the checker, the choice of overloads, and the reference.

pub(crate) mod encoders;
pub(crate) mod format;
pub(crate) mod lists;
pub(crate) mod math;
pub(crate) mod network;
pub(crate) mod operators;
pub(crate) mod optionals;
pub(crate) mod regex;
pub(crate) mod sets;
pub(crate) mod standard;
pub(crate) mod strings;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod workflow;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::code::CallOperation;
use super::context::{Budget, Failure, Host, Operand};
use super::signature::{KINDS, Kinds, Signature, kind, kinds};
use crate::diagnostic::did_you_mean;
use crate::value::Value;

pub(crate) type Pure = fn(&mut Call, &[Operand]) -> Result<Value, Failure>;

/// How a function computes its value. Only a function of the run receives the host, so a function that is computed at
/// compile time depends on nothing but its arguments.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    Pure(Pure),
    /// Takes no arguments.
    OfRun {
        run: fn(&mut dyn Host) -> Value,
        /// Each call advances the run's random state, so a query or a validator may not call it.
        draws: bool,
    },
}

/// The result of a function, if its first argument decides it: the second is then not evaluated.
pub(crate) type Decide = fn(&Value) -> Option<Value>;

/// A row of the table: a signature, its meaning, and examples that a test verifies.
pub struct Row {
    pub signature: &'static str,
    pub(crate) run: Run,
    pub(crate) meaning: &'static str,
    pub examples: &'static [&'static str],
    pub(crate) decided_by_first: Option<Decide>,
    /// Which argument is a regular expression.
    pub(crate) pattern: Option<usize>,
}

/// A pure function.
pub(crate) const fn row(
    signature: &'static str,
    run: Pure,
    meaning: &'static str,
    examples: &'static [&'static str],
) -> Row {
    Row {
        signature,
        run: Run::Pure(run),
        meaning,
        examples,
        decided_by_first: None,
        pattern: None,
    }
}

impl Row {
    /// Marks a function whose first argument may decide.
    pub(crate) const fn decided_by_first(self, decide: Decide) -> Row {
        Row {
            decided_by_first: Some(decide),
            ..self
        }
    }

    /// Marks a function of a text and a regular expression.
    pub(crate) const fn with_pattern(self) -> Row {
        Row {
            pattern: Some(1),
            ..self
        }
    }
}

/// A part of the table under one heading of the reference.
pub struct Section {
    pub(crate) title: &'static str,
    /// Whether the rows go beyond CEL and its extension libraries.
    pub(crate) extension: bool,
    pub(crate) about: &'static str,
    pub rows: &'static [Row],
}

pub const SECTIONS: [&Section; 13] = [
    &operators::SECTION,
    &standard::SECTION,
    &time::SECTION,
    &strings::SECTION,
    &math::SECTION,
    &lists::SECTION,
    &sets::SECTION,
    &regex::SECTION,
    &encoders::SECTION,
    &optionals::SECTION,
    &network::SECTION,
    &workflow::DATA,
    &workflow::RUN,
];

/// One way of calling a function.
pub(crate) struct Overload {
    pub(crate) signature: Signature,
    kinds: Box<[Kinds]>,
    run: Run,
    pub(crate) decided_by_first: Option<Decide>,
    /// Which argument is a regular expression.
    pub(crate) pattern: Option<usize>,
}

impl Overload {
    fn new(row: &Row) -> Self {
        let signature = Signature::parse(row.signature);
        Overload {
            kinds: signature.parameters.iter().map(kinds).collect(),
            run: row.run,
            decided_by_first: row.decided_by_first,
            pattern: row.pattern,
            signature,
        }
    }

    /// The same arguments always give the same value.
    pub(crate) fn is_pure(&self) -> bool {
        matches!(self.run, Run::Pure(_))
    }

    /// Each call advances the run's random state.
    pub(crate) fn draws(&self) -> bool {
        matches!(self.run, Run::OfRun { draws: true, .. })
    }

    /// Whether the arguments, as many as the overload was chosen for, are of its kinds.
    fn takes(&self, arguments: &[Operand]) -> bool {
        arguments.iter().enumerate().all(|(i, argument)| {
            let kinds = self.kinds[i.min(self.kinds.len() - 1)];
            kinds & kind(argument) != 0
        })
    }
}

static TABLE: LazyLock<Vec<Overload>> = LazyLock::new(|| rows().map(Overload::new).collect());

type Names = BTreeMap<&'static str, Vec<&'static Overload>>;

/// By whether the first parameter is before the dot, and by name.
static BY_NAME: LazyLock<BTreeMap<bool, Names>> = LazyLock::new(|| {
    let mut by_name: BTreeMap<bool, Names> = BTreeMap::new();
    for overload in TABLE.iter() {
        let names = by_name.entry(overload.signature.member).or_default();
        names
            .entry(&*overload.signature.name)
            .or_default()
            .push(overload);
    }
    by_name
});

fn rows() -> impl Iterator<Item = &'static Row> {
    SECTIONS.into_iter().flat_map(|section| section.rows)
}

/// All overloads with a name.
pub(crate) fn overloads(name: &str, member: bool) -> &'static [&'static Overload] {
    BY_NAME
        .get(&member)
        .and_then(|names| names.get(name))
        .map_or(&[], |found| found.as_slice())
}

pub(crate) fn exists(name: &str, member: bool) -> bool {
    !overloads(name, member).is_empty()
}

/// The overloads that accept this number of arguments, including the one before the dot.
pub(crate) fn candidates(name: &str, member: bool, arguments: usize) -> Vec<&'static Overload> {
    overloads(name, member)
        .iter()
        .copied()
        .filter(|o| o.signature.accepts(arguments))
        .collect()
}

/// The first of some overloads that accepts a first argument of each kind; past the last if none does.
pub(crate) fn first_by_kind(overloads: &[&Overload]) -> [u8; KINDS] {
    std::array::from_fn(|bit| {
        let kinds = |o: &Overload| o.kinds.first().copied().unwrap_or(Kinds::MAX);
        let position = overloads.iter().position(|o| kinds(o) & (1 << bit) != 0);
        position.unwrap_or(overloads.len()) as u8
    })
}

/// The function that a misspelt name probably means.
pub(crate) fn suggestion(name: &str, member: bool) -> Option<&'static str> {
    let names = BY_NAME
        .get(&member)
        .into_iter()
        .flat_map(|names| names.keys().copied())
        .filter(|n| n.starts_with(|c: char| c.is_ascii_alphabetic()));
    match member {
        true => did_you_mean(name, names.chain(super::macros::NAMES)),
        false => did_you_mean(name, names),
    }
}

#[cold]
pub(crate) fn unknown(name: &str, member: bool) -> String {
    if exists(name, !member) {
        let form = if member {
            format!("{name}(x)")
        } else {
            format!("x.{name}()")
        };
        return format!("unbound function: `{name}` is called as {form}");
    }
    format!("unbound function: `{name}`")
}

/// The type that a name denotes as a value.
pub(crate) fn type_named(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 15] = [
        "null_type",
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "map",
        "type",
        "optional_type",
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
        "net.IP",
        "net.CIDR",
    ];
    NAMES.into_iter().find(|n| *n == name)
}

impl std::fmt::Debug for Overload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}/{}",
            self.signature.name,
            self.signature.parameters.len()
        )
    }
}

/// What a running function may use.
pub(crate) struct Call<'h> {
    pub(crate) budget: Budget,
    host: &'h mut dyn Host,
    /// The call's pattern, if it was compiled beforehand.
    pub(crate) regex: Option<regex::Regex>,
    pub(crate) compiled: regex::Compiled,
}

impl<'h> Call<'h> {
    pub(super) fn new(budget: Budget, host: &'h mut dyn Host) -> Self {
        Call {
            budget,
            host,
            regex: None,
            compiled: regex::Compiled::default(),
        }
    }

    pub(super) fn run(
        &mut self,
        call: &CallOperation,
        arguments: &[Operand],
    ) -> Result<Value, Failure> {
        if call.regex.is_some() || self.regex.is_some() {
            self.regex.clone_from(&call.regex);
        }
        let first = arguments.first().map_or(0, |argument| {
            usize::from(call.first[kind(argument).trailing_zeros() as usize])
        });
        for overload in call.overloads.get(first..).unwrap_or(&[]) {
            if overload.takes(arguments) {
                return match overload.run {
                    Run::Pure(run) => run(self, arguments),
                    Run::OfRun { run, .. } => Ok(run(self.host)),
                };
            }
        }
        Err(no_overload(&call.name, arguments))
    }
}

#[cold]
fn no_overload(name: &str, arguments: &[Operand]) -> Failure {
    let types: Vec<&str> = arguments.iter().map(|a| a.type_name()).collect();
    Failure::new(format!("no such overload: {name}({})", types.join(", ")))
}

/// Reported if an argument is not of the kind that the signature promised; the choice of overloads prevents it.
#[cold]
fn unexpected(argument: &Value) -> Failure {
    Failure::new(format!("no such overload for {}", argument.type_name()))
}

fn string(argument: &Value) -> Result<&std::sync::Arc<str>, Failure> {
    match argument {
        Value::String(text) => Ok(text),
        other => Err(unexpected(other)),
    }
}

fn int(argument: &Value) -> Result<i64, Failure> {
    match argument {
        Value::Int(i) => Ok(*i),
        other => Err(unexpected(other)),
    }
}

fn list(argument: &Value) -> Result<&[Value], Failure> {
    match argument {
        Value::List(items) => Ok(items),
        other => Err(unexpected(other)),
    }
}

fn map(argument: &Value) -> Result<&crate::value::Map, Failure> {
    match argument {
        Value::Map(map) => Ok(map),
        other => Err(unexpected(other)),
    }
}

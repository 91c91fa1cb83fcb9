//! Regular expressions, matched in time linear in the text: there is no backtracking to abuse.

use std::sync::Arc;

pub(crate) use regex::Regex;
use regex::RegexBuilder;
use regex_automata::nfa::thompson;

use super::{Call, Row, Section, int, row, string};
pub(crate) use crate::expression::context::Failure;
use crate::expression::context::{Budget, Operand};
use crate::expression::operators::{shown, some};
use crate::limits::{
    PATTERNS_PROGRAM_SIZE_BYTES_MAX, REGEX_COMPUTED_PROGRAM_SIZE_BYTES_MAX,
    REGEX_PROGRAM_SIZE_BYTES_MAX, REGEX_SIZE_BYTES_MAX,
};
use crate::value::Value;

pub(crate) const SECTION: Section = Section {
    title: "Regular expressions",
    extension: false,
    about: "RE2's syntax as the crate `regex` has it. A literal pattern is compiled once, with the definition. A computed pattern is compiled at each evaluation, which costs more.",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    row(
        "string.matches(string) -> bool",
        matches,
        "Whether the pattern occurs in the text; `^` and `$` anchor it.",
        &["'hubba'.matches('ubb')", "!'hubba'.matches('^ubb$')"],
    )
    .with_pattern(),
    row(
        "matches(string, string) -> bool",
        matches,
        "The same.",
        &["matches('hubba', 'h.*a')"],
    )
    .with_pattern(),
    row(
        "regex.extract(string, string) -> optional(string)",
        extract,
        "The first match, or its group if the pattern has one. More than one group is an error.",
        &[
            "regex.extract('item-A, item-B', 'item-(\\\\w+)') == optional.of('A')",
            "regex.extract('HELLO', 'hello') == optional.none()",
        ],
    )
    .with_pattern(),
    row(
        "regex.extractAll(string, string) -> list(string)",
        extract_all,
        "All matches, or their groups.",
        &["regex.extractAll('id:123, id:456', 'id:\\\\d+') == ['id:123', 'id:456']"],
    )
    .with_pattern(),
    row(
        "regex.replace(string, string, string) -> string",
        replace,
        "Every match replaced; `\\1` to `\\9` in the replacement are groups, `\\0` is the match.",
        &["regex.replace('foo bar', '(fo)o (ba)r', '\\\\2 \\\\1') == 'ba fo'"],
    )
    .with_pattern(),
    row(
        "regex.replace(string, string, string, int) -> string",
        replace,
        "As many matches replaced as the number, from the first; all if it is negative.",
        &["regex.replace('banana', 'a', 'x', 2) == 'bxnxna'"],
    )
    .with_pattern(),
];

/// What a pattern takes beside its program, at least; it counts to PATTERNS_PROGRAM_SIZE_BYTES_MAX.
const PATTERN_SIZE_BYTES: usize = 256;

/// Compiles a pattern of a definition.
pub(crate) fn compile(pattern: &str) -> Result<Regex, Failure> {
    let name = "REGEX_PROGRAM_SIZE_BYTES_MAX";
    compile_within(pattern, REGEX_PROGRAM_SIZE_BYTES_MAX, name)
}

/// The compiled size of a pattern, or `None` if only another kind of engine can read it. All patterns of a definition
/// share a bound: a pattern of twenty bytes can take megabytes.
pub(crate) fn program_size_bytes(pattern: &str, left: usize) -> Result<Option<usize>, Failure> {
    let exceeded = || {
        Failure::bound(format!(
            "the patterns of the definition up to this one compile to more than PATTERNS_PROGRAM_SIZE_BYTES_MAX ({PATTERNS_PROGRAM_SIZE_BYTES_MAX} bytes)"
        ))
    };
    if left == 0 {
        return Err(exceeded());
    }
    let within = thompson::Config::new().nfa_size_limit(Some(left));
    match thompson::Compiler::new().configure(within).build(pattern) {
        Ok(program) => Ok(Some(program.memory_usage() + PATTERN_SIZE_BYTES)),
        Err(error) if error.size_limit().is_some() => Err(exceeded()),
        Err(_) => Ok(None),
    }
}

/// Whether a pattern of a definition is valid, and its compiled size. Cheaper than compiling it.
pub(crate) fn check(pattern: &str, left: usize) -> Result<usize, Failure> {
    match program_size_bytes(pattern, left)? {
        Some(size)
            if size <= REGEX_PROGRAM_SIZE_BYTES_MAX / 4
                && pattern.len() <= REGEX_SIZE_BYTES_MAX =>
        {
            Ok(size)
        }
        size => compile(pattern).map(|_| size.unwrap_or(0)),
    }
}

fn compile_within(pattern: &str, size_bytes_max: usize, bound: &str) -> Result<Regex, Failure> {
    if pattern.len() > REGEX_SIZE_BYTES_MAX {
        return Err(Failure::bound(format!(
            "a pattern of {} bytes is longer than REGEX_SIZE_BYTES_MAX ({REGEX_SIZE_BYTES_MAX} bytes)",
            pattern.len()
        )));
    }
    RegexBuilder::new(pattern)
        .size_limit(size_bytes_max)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => Failure::bound(format!(
                "the pattern {} compiles to more than {bound} ({size_bytes_max} bytes)",
                shown(&Value::from(pattern))
            )),
            _ => Failure::new(format!(
                "invalid regular expression: {}",
                shown(&Value::from(pattern))
            )),
        })
}

/// The cost of compiling a pattern, whose time depends more on its repetitions than on its length.
const COMPILE_COST: u64 = 5_000;
/// Patterns that one evaluation keeps compiled, so that a loop pays for its pattern once.
const COMPILED_MAX: usize = 4;

/// The patterns that an evaluation has compiled so far, the latest last.
#[derive(Default)]
pub(crate) struct Compiled(Vec<(Arc<str>, Regex)>);

impl Compiled {
    fn get(&mut self, pattern: &Arc<str>, budget: &mut Budget) -> Result<Regex, Failure> {
        if let Some((_, regex)) = self.0.iter().find(|(p, _)| p == pattern) {
            return Ok(regex.clone());
        }
        budget.charge(COMPILE_COST)?;
        let name = "REGEX_COMPUTED_PROGRAM_SIZE_BYTES_MAX";
        let regex = compile_within(pattern, REGEX_COMPUTED_PROGRAM_SIZE_BYTES_MAX, name)?;
        if self.0.len() == COMPILED_MAX {
            self.0.remove(0);
        }
        self.0.push((pattern.clone(), regex.clone()));
        Ok(regex)
    }
}

fn pattern(call: &mut Call, arguments: &[Operand]) -> Result<(Regex, Arc<str>), Failure> {
    let text = string(&arguments[0])?.clone();
    let pattern = string(&arguments[1])?;
    let regex = match call.regex.take() {
        Some(regex) => regex,
        None => call.compiled.get(pattern, &mut call.budget)?,
    };
    // A matcher examines each byte once for each possible position in the pattern.
    let places = (pattern.len() / 16 + 1) as u64;
    call.budget
        .charge((text.len() as u64 / 8).saturating_mul(places))?;
    Ok((regex, text))
}

fn matches(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let (regex, text) = pattern(call, arguments)?;
    Ok(Value::Bool(regex.is_match(&text)))
}

fn one_group(regex: &Regex) -> Result<usize, Failure> {
    match regex.captures_len() {
        n @ (1 | 2) => Ok(n - 1),
        n => Err(Failure::new(format!(
            "the pattern has {} groups; one at most is extracted",
            n - 1
        ))),
    }
}

fn extract(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let (regex, text) = pattern(call, arguments)?;
    let group = one_group(&regex)?;
    let found = regex.captures(&text).and_then(|c| c.get(group));
    Ok(match found {
        Some(found) => some(Value::from(found.as_str())),
        None => Value::Optional(None),
    })
}

fn extract_all(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let (regex, text) = pattern(call, arguments)?;
    let group = one_group(&regex)?;
    let mut found = Vec::new();
    for captures in regex.captures_iter(&text) {
        call.budget.charge(1)?;
        if let Some(one) = captures.get(group) {
            call.budget.charge_bytes(one.len())?;
            found.push(Value::from(one.as_str()));
        }
    }
    Ok(Value::list(found))
}

fn replace(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let (regex, text) = pattern(call, arguments)?;
    let replacement = parse_replacement(string(&arguments[2])?, regex.captures_len())?;
    let mut left = match arguments.get(3) {
        Some(count) => usize::try_from(int(count)?).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let (mut out, mut end) = (String::new(), 0);
    for captures in regex.captures_iter(&text) {
        let (Some(whole), 1..) = (captures.get(0), left) else {
            break;
        };
        left -= 1;
        call.budget.charge(1)?;
        out.push_str(&text[end..whole.start()]);
        for part in &replacement {
            let part = match part {
                Part::Text(text) => text,
                Part::Group(group) => captures.get(*group).map_or("", |g| g.as_str()),
            };
            call.budget.charge_bytes(part.len() + 16)?;
            out.push_str(part);
        }
        end = whole.end();
    }
    out.push_str(&text[end..]);
    Ok(Value::string(out))
}

enum Part<'r> {
    Text(&'r str),
    Group(usize),
}

fn parse_replacement(replacement: &str, groups: usize) -> Result<Vec<Part<'_>>, Failure> {
    let mut parts = Vec::new();
    let mut rest = replacement;
    while let Some(at) = rest.find('\\') {
        parts.push(Part::Text(&rest[..at]));
        match rest.as_bytes().get(at + 1) {
            Some(digit @ b'0'..=b'9') if usize::from(digit - b'0') < groups => {
                parts.push(Part::Group(usize::from(digit - b'0')));
            }
            Some(digit @ b'0'..=b'9') => {
                return Err(Failure::new(format!(
                    "the replacement names group {}, and the pattern has {}",
                    digit - b'0',
                    groups - 1
                )));
            }
            Some(b'\\') => parts.push(Part::Text("\\")),
            _ => {
                return Err(Failure::new(
                    "in a replacement a backslash comes before a group's digit or another backslash",
                ));
            }
        }
        rest = &rest[at + 2..];
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

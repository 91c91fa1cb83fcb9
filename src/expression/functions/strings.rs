//! The strings extension library. Positions are counted in characters.

use super::{Call, Row, Section, format, int, list, row, string, text};
use crate::expression::builder::Text;
use crate::expression::context::{Failure, Operand};
use crate::value::Value;

pub(crate) const SECTION: Section = Section {
    title: "Strings",
    extension: false,
    about: "Positions are counted in characters from 0. A position before the string or beyond its end is an error.",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    row(
        "string.charAt(int) -> string",
        char_at,
        "The character at a position; empty at the end.",
        &["'hello'.charAt(4) == 'o'", "'hello'.charAt(5) == ''"],
    ),
    row(
        "string.indexOf(string) -> int",
        index_of,
        "The position of the first occurrence of the text; -1 if there is none.",
        &["'hello mellow'.indexOf('ello') == 1"],
    ),
    row(
        "string.indexOf(string, int) -> int",
        index_of,
        "The position of the first occurrence of the text, from a position on.",
        &["'hello mellow'.indexOf('ello', 2) == 7"],
    ),
    row(
        "string.lastIndexOf(string) -> int",
        last_index_of,
        "The position of the last occurrence of the text; -1 if there is none.",
        &["'hello mellow'.lastIndexOf('ello') == 7"],
    ),
    row(
        "string.lastIndexOf(string, int) -> int",
        last_index_of,
        "The position of the last occurrence of the text that begins no later than a position.",
        &["'hello mellow'.lastIndexOf('ello', 6) == 1"],
    ),
    row(
        "list(string).join() -> string",
        join,
        "All items, one after the other.",
        &["['a', 'b'].join() == 'ab'"],
    ),
    row(
        "list(string).join(string) -> string",
        join,
        "All items with a separator between.",
        &["['a', 'b'].join(', ') == 'a, b'"],
    ),
    row(
        "string.lowerAscii() -> string",
        lower_ascii,
        "With the letters A to Z in lower case.",
        &["'TacoCat'.lowerAscii() == 'tacocat'"],
    ),
    row(
        "string.upperAscii() -> string",
        upper_ascii,
        "With the letters a to z in upper case.",
        &["'TacoCat'.upperAscii() == 'TACOCAT'"],
    ),
    row(
        "string.replace(string, string) -> string",
        replace,
        "Every occurrence replaced.",
        &["'hello hello'.replace('he', 'we') == 'wello wello'"],
    ),
    row(
        "string.replace(string, string, int) -> string",
        replace,
        "The given number of occurrences replaced, from the first; all if it is negative.",
        &["'hello hello'.replace('he', 'we', 1) == 'wello hello'"],
    ),
    row(
        "string.split(string) -> list(string)",
        split,
        "The parts between the separators; the characters, if the separator is empty.",
        &["'a b c'.split(' ') == ['a', 'b', 'c']"],
    ),
    row(
        "string.split(string, int) -> list(string)",
        split,
        "At most the given number of parts; all if it is negative, none if it is 0.",
        &["'a b c'.split(' ', 2) == ['a', 'b c']"],
    ),
    row(
        "string.substring(int) -> string",
        substring,
        "From a position on.",
        &["'tacocat'.substring(4) == 'cat'"],
    ),
    row(
        "string.substring(int, int) -> string",
        substring,
        "The text from one position up to another, which is excluded.",
        &["'tacocat'.substring(0, 4) == 'taco'"],
    ),
    row(
        "string.trim() -> string",
        trim,
        "Without white space at both ends.",
        &["' a b '.trim() == 'a b'"],
    ),
    row(
        "string.reverse() -> string",
        reverse,
        "The characters the other way round.",
        &["'gums'.reverse() == 'smug'"],
    ),
    row(
        "strings.quote(string) -> string",
        quote,
        "The text in double quotes, with escapes.",
        &["strings.quote('a \"b\"') == '\"a \\\\\"b\\\\\"\"'"],
    ),
    row(
        "string.format(list(any)) -> string",
        format::format,
        "The text with its clauses replaced by the items: `%s` any value, `%d` an integer, `%f` and `%e` a number (`%.2f` for two digits), `%b` binary, `%o` octal, `%x` and `%X` hexadecimal, `%%` a percent sign. A missing item or one of the wrong type is an error.",
        &[
            "'%s costs %.2f'.format(['tea', 2.5]) == 'tea costs 2.50'",
            "'%d%%'.format([20]) == '20%'",
            "'%x'.format([255]) == 'ff'",
        ],
    ),
];

/// A position in a text of `length` characters, its end included.
fn position(at: i64, length: usize) -> Result<usize, Failure> {
    usize::try_from(at)
        .ok()
        .filter(|at| *at <= length)
        .ok_or_else(|| Failure::new(format!("index out of range: {at}")))
}

/// The byte offset of the character at a position.
fn offset(text: &str, position: usize) -> usize {
    text.char_indices()
        .nth(position)
        .map_or(text.len(), |(offset, _)| offset)
}

fn length(call: &mut Call, text: &str) -> Result<usize, Failure> {
    call.budget.charge_bytes(text.len())?;
    Ok(text.chars().count())
}

fn char_at(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    let at = position(int(&arguments[1])?, length(call, text)?)?;
    let mut buffer = [0; 4];
    let character = text.chars().nth(at).map(|c| &*c.encode_utf8(&mut buffer));
    Ok(Value::from(character.unwrap_or("")))
}

fn index_of(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let (text, part) = (string(&arguments[0])?, string(&arguments[1])?);
    let length = length(call, text)?;
    let from = match arguments.get(2) {
        Some(from) => position(int(from)?, length)?,
        None => 0,
    };
    let start = offset(text, from);
    Ok(Value::Int(match text[start..].find(&**part) {
        Some(found) => (from + text[start..start + found].chars().count()) as i64,
        None => -1,
    }))
}

fn last_index_of(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let (text, part) = (string(&arguments[0])?, string(&arguments[1])?);
    let length = length(call, text)?;
    let end = match arguments.get(2) {
        Some(last) => {
            let begin = offset(text, position(int(last)?, length)?);
            (begin + part.len()).min(text.len())
        }
        None => text.len(),
    };
    // A match that begins at the position or before must end here or before, between two characters. Older engines
    // included all of a character that contains this offset.
    let boundary = |i: &usize| text.is_char_boundary(*i);
    let before = || (0..=end).rev().find(boundary).unwrap_or(0);
    let after = || (end..=text.len()).find(boundary).unwrap_or(text.len());
    let found = call.budget.semantics.choose(
        || Ok(text[..before()].rfind(&**part)),
        || Ok(text[..after()].rfind(&**part)),
    )?;
    Ok(Value::Int(match found {
        Some(found) => text[..found].chars().count() as i64,
        None => -1,
    }))
}

fn join(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let separator = match arguments.get(1) {
        Some(separator) => string(separator)?,
        None => "",
    };
    let mut all = String::new();
    for (i, item) in list(&arguments[0])?.iter().enumerate() {
        let item = string(item)?;
        call.budget
            .charge(1)
            .and_then(|()| call.budget.charge_bytes(item.len() + separator.len()))?;
        if i > 0 {
            all.push_str(separator);
        }
        all.push_str(item);
    }
    Ok(Value::string(all))
}

fn lower_ascii(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    call.budget.charge_bytes(text.len())?;
    Ok(Value::string(text.to_ascii_lowercase()))
}

fn upper_ascii(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    call.budget.charge_bytes(text.len())?;
    Ok(Value::string(text.to_ascii_uppercase()))
}

/// A limit on parts or replacements: a negative number means no limit.
fn limit(argument: Option<&Operand>) -> Result<usize, Failure> {
    argument.map_or(Ok(usize::MAX), |limit| {
        Ok(usize::try_from(int(limit)?).unwrap_or(usize::MAX))
    })
}

fn replace(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    let (old, new) = (string(&arguments[1])?, string(&arguments[2])?);
    let limit = limit(arguments.get(3))?;
    call.budget.charge_bytes(text.len())?;
    let occurrences = match old.is_empty() {
        true => text.chars().count() + 1,
        false => text.matches(&**old).count(),
    };
    let added = occurrences.min(limit).saturating_mul(new.len());
    call.budget.charge_bytes(text.len().saturating_add(added))?;
    Ok(Value::string(text.replacen(&**old, new, limit)))
}

fn split(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let (text, separator) = (string(&arguments[0])?, string(&arguments[1])?);
    let limit = limit(arguments.get(2))?;
    call.budget.charge_bytes(text.len())?;
    let mut parts = Vec::new();
    let mut rest = &**text;
    while parts.len() + 1 < limit {
        let cut = match separator.is_empty() {
            true => rest.chars().next().map(|c| (c.len_utf8(), c.len_utf8())),
            false => rest.find(&**separator).map(|at| (at, at + separator.len())),
        };
        let Some((end, next)) = cut else { break };
        if separator.is_empty() && next == rest.len() {
            break;
        }
        call.budget.charge(1)?;
        parts.push(Value::from(&rest[..end]));
        rest = &rest[next..];
    }
    if limit > 0 && !(separator.is_empty() && rest.is_empty()) {
        parts.push(Value::from(rest));
    }
    Ok(Value::list(parts))
}

fn substring(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    let length = length(call, text)?;
    let start = position(int(&arguments[1])?, length)?;
    let end = match arguments.get(2) {
        Some(end) => position(int(end)?, length)?,
        None => length,
    };
    if end < start {
        return Err(Failure::new(format!(
            "invalid substring range. start: {start}, end: {end}"
        )));
    }
    Ok(Value::from(&text[offset(text, start)..offset(text, end)]))
}

fn trim(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    call.budget.charge_bytes(text.len())?;
    Ok(Value::from(text.trim()))
}

fn reverse(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    call.budget.charge_bytes(text.len())?;
    Ok(Value::from(text.chars().rev().collect::<String>()))
}

fn quote(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    call.budget.charge_bytes(2 * text.len())?;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    Ok(Value::string(quoted))
}

/// The text of a value inside other text.
pub(super) fn shown(value: &Value, call: &mut Call) -> Result<String, Failure> {
    let mut out = Text::new();
    text::write(value, &mut out, &mut call.budget)?;
    Ok(out.as_str().to_owned())
}

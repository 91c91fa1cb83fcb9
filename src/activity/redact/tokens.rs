//! Task tokens in logs. Temporal's core logs those of attempts, and whoever has one can complete its attempt.

use std::borrow::Cow;

use super::REDACTED;

/// The text before a token: the name of a field or of a header, or of core's own type.
const NAMES: [&[u8]; 3] = [b"task_token", b"task-token", b"TaskToken"];
/// Quotes, brackets, an equals sign and colours may be between the name and the token.
const BETWEEN_SIZE_BYTES_MAX: usize = 40;
/// A word that is shorter is not a token.
const TOKEN_SIZE_BYTES_MIN: usize = 16;
const ESCAPE: u8 = 0x1b;

/// The line without the tokens that follow their names, in base64 or as lists of bytes.
pub(crate) fn without_tokens(line: &[u8]) -> Cow<'_, [u8]> {
    let mut clean = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(name) = next_name(line, at) {
        at = name;
        if let Some((begin, end)) = token(line, name) {
            clean.extend_from_slice(&line[copied..begin]);
            clean.extend_from_slice(REDACTED.as_bytes());
            (copied, at) = (end, end);
        }
    }
    if copied == 0 {
        return Cow::Borrowed(line);
    }
    clean.extend_from_slice(&line[copied..]);
    Cow::Owned(clean)
}

/// The place after the next name.
fn next_name(line: &[u8], from: usize) -> Option<usize> {
    (from..line.len()).find_map(|at| {
        let name = NAMES.iter().find(|name| line[at..].starts_with(name))?;
        Some(at + name.len())
    })
}

fn token(line: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut begin = from;
    while !is_of_word(*line.get(begin)?) {
        if line[begin] == b'[' && line.get(begin + 1).is_some_and(u8::is_ascii_digit) {
            let is_of_list = |byte: &u8| byte.is_ascii_digit() || b", ".contains(byte);
            let length = line[begin + 1..]
                .iter()
                .take_while(|byte| is_of_list(byte))
                .count();
            return Some((begin + 1, begin + 1 + length));
        }
        if line[begin] == ESCAPE {
            begin += line[begin..].iter().position(|byte| *byte == b'm')?;
        }
        begin += 1;
        if begin - from > BETWEEN_SIZE_BYTES_MAX {
            return None;
        }
    }
    let length = line[begin..]
        .iter()
        .take_while(|byte| is_of_word(**byte))
        .count();
    (length >= TOKEN_SIZE_BYTES_MIN).then_some((begin, begin + length))
}

/// Base64, of either alphabet.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "CiQ0YjE2ZmY2ZS1iZmM0LTQ1/+0AAAA";

    #[test]
    fn tokens_are_found_however_a_line_shows_them() {
        for line in [
            format!("WARN Activity not found task_token=TaskToken({TOKEN}==) details=x"),
            format!("WARN task_token={TOKEN} error=x"),
            format!(r#"{{"level":"WARN","task_token":"TaskToken({TOKEN}=)","message":"x"}}"#),
            format!("\u{1b}[3mtask_token\u{1b}[0m\u{1b}[2m=\u{1b}[0m{TOKEN} x"),
            format!("TaskToken({TOKEN}) and task_token: \"{TOKEN}\""),
        ] {
            let clean = String::from_utf8(without_tokens(line.as_bytes()).into_owned()).unwrap();
            assert!(
                !clean.contains(&TOKEN[..12]) && clean.contains(REDACTED),
                "{clean}"
            );
            assert_eq!(clean.matches(REDACTED).count(), line.matches(TOKEN).count());
        }
        let list = without_tokens(b"Poll { task_token: [10, 36, 255], id: 1 }").into_owned();
        assert_eq!(
            list,
            format!("Poll {{ task_token: [{REDACTED}], id: 1 }}").into_bytes()
        );
        for line in [
            "the task_token of the attempt is not known",
            "task_token",
            "task_token=",
        ] {
            assert_eq!(&*without_tokens(line.as_bytes()), line.as_bytes());
        }
    }
}

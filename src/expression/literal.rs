//! Numbers, strings and bytes as the grammar matched them, to values.

use crate::value::Value;

pub(crate) fn integer(text: &str, negative: bool) -> Result<Value, String> {
    let signed = if negative {
        format!("-{}", digits(text).1)
    } else {
        digits(text).1.to_owned()
    };
    i64::from_str_radix(&signed, digits(text).0)
        .map(Value::Int)
        .map_err(|_| {
            let sign = if negative { "-" } else { "" };
            format!("{sign}{text} is outside the range of int, -9223372036854775808 to 9223372036854775807")
        })
}

pub(crate) fn unsigned(text: &str) -> Result<Value, String> {
    let (radix, digits) = digits(&text[..text.len() - 1]);
    u64::from_str_radix(digits, radix)
        .map(Value::Uint)
        .map_err(|_| format!("{text} is outside the range of uint, 0u to 18446744073709551615u"))
}

fn digits(text: &str) -> (u32, &str) {
    text.strip_prefix("0x").map_or((10, text), |hex| (16, hex))
}

pub(crate) fn double(text: &str, negative: bool) -> Result<Value, String> {
    match text.parse::<f64>() {
        Ok(d) if d.is_finite() => Ok(Value::Double(if negative { -d } else { d })),
        _ => Err(format!("{text} is outside the range of double")),
    }
}

/// A string or bytes, with prefix and quotes.
pub(crate) fn text(literal: &str) -> Result<Value, String> {
    let quote_at = literal
        .find(['"', '\''])
        .expect("the grammar has a quote in every string");
    let prefix = literal[..quote_at].to_ascii_lowercase();
    let quoted = &literal[quote_at..];
    let width = if quoted.len() >= 6 && quoted.as_bytes()[1] == quoted.as_bytes()[0] {
        3
    } else {
        1
    };
    let body = &quoted[width..quoted.len() - width];
    let is_bytes = prefix.contains('b');
    if prefix.contains('r') {
        return Ok(if is_bytes {
            Value::Bytes(body.as_bytes().into())
        } else {
            Value::string(body)
        });
    }
    let bytes = unescape(body, is_bytes)?;
    if is_bytes {
        return Ok(Value::Bytes(bytes.into()));
    }
    String::from_utf8(bytes)
        .map(Value::from)
        .map_err(|_| "the string is not valid UTF-8".to_owned())
}

fn unescape(body: &str, is_bytes: bool) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = escape(&rest[at + 1..], is_bytes, &mut out)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// Reads what follows a backslash; returns what follows the escape.
fn escape<'a>(text: &'a str, is_bytes: bool, out: &mut Vec<u8>) -> Result<&'a str, String> {
    let letter = text.chars().next().unwrap_or('\\');
    let simple = match letter {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' | '?' | '"' | '\'' | '`' => letter as u8,
        'x' | 'X' => return code(text, 1, 2, 16, is_bytes, out),
        'u' if !is_bytes => return code(text, 1, 4, 16, false, out),
        'U' if !is_bytes => return code(text, 1, 8, 16, false, out),
        '0'..='3' => return code(text, 0, 3, 8, is_bytes, out),
        _ => {
            return Err(format!(
                "unknown escape \\{letter}; write a backslash as \\\\"
            ));
        }
    };
    out.push(simple);
    Ok(&text[1..])
}

fn code<'a>(
    text: &'a str,
    skip: usize,
    length: usize,
    radix: u32,
    is_byte: bool,
    out: &mut Vec<u8>,
) -> Result<&'a str, String> {
    let digits = text
        .get(skip..skip + length)
        .filter(|d| d.chars().all(|c| c.is_digit(radix)))
        .ok_or_else(|| {
            let kind = if radix == 8 { "octal" } else { "hexadecimal" };
            let start: String = text.chars().take(skip.max(1)).collect();
            format!("\\{start} needs {length} {kind} digits")
        })?;
    let number = u32::from_str_radix(digits, radix).unwrap_or(u32::MAX);
    if is_byte {
        let byte = u8::try_from(number).map_err(|_| format!("\\{digits} is more than a byte"))?;
        out.push(byte);
    } else {
        let character = char::from_u32(number)
            .ok_or_else(|| format!("\\{} is not a Unicode character", &text[..skip + length]))?;
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(&text[skip + length..])
}

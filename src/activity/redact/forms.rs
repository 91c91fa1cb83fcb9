//! The forms in which a secret is searched for: itself, its parts, and their encodings.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::decode::layers;
use crate::limits::{SECRET_PART_SIZE_BYTES_MIN, SECRET_SEGMENT_SIZE_BYTES_MIN};

/// A shorter encoded text does not identify a secret: it occurs in any text.
const ENCODED_SIZE_BYTES_MIN: usize = 4;

/// Every number with up to this many digits is read exactly.
const EXACT_DIGITS_MAX: usize = 15;

/// A text to search for in base64. The characters at its edges contain bits of their neighbours, too.
pub(crate) struct Base64 {
    pub(crate) text: Vec<u8>,
    /// The character before contains bits of the secret.
    pub(crate) begins_inside: bool,
    /// The character after contains bits of the secret.
    pub(crate) ends_inside: bool,
}

/// All forms of one secret, or of a part of one.
#[derive(Default)]
pub(crate) struct Forms {
    pub(crate) plain: Vec<Vec<u8>>,
    pub(crate) base64: Vec<Base64>,
    pub(crate) hex: Vec<Vec<u8>>,
}

impl Forms {
    pub(crate) fn of(secret: &[u8]) -> Forms {
        let mut forms = Forms::default();
        if secret.is_empty() {
            return forms;
        }
        for text in layers(secret) {
            // Forms encode a space as a plus sign.
            let plus = text
                .iter()
                .map(|byte| if *byte == b' ' { b'+' } else { *byte });
            let plus: Vec<u8> = plus.collect();
            for text in [text, plus] {
                // A short text that only results from undoing the secret's own escapes occurs in any text.
                let is_told = text == secret || text.len() >= SECRET_PART_SIZE_BYTES_MIN;
                if is_told && !forms.plain.contains(&text) {
                    forms.plain.push(text);
                }
            }
        }
        let mut encoded = vec![secret.to_vec()];
        if let Ok(text) = std::str::from_utf8(secret) {
            let json = serde_json::Value::from(text).to_string();
            let json = json.as_bytes()[1..json.len() - 1].to_vec();
            encoded.extend((json != encoded[0]).then_some(json));
        }
        for text in &encoded {
            forms.hex(text);
            for alignment in 0..3 {
                forms.base64(text, alignment);
            }
        }
        forms
    }

    fn hex(&mut self, text: &[u8]) {
        let digits: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
        if digits.len() >= ENCODED_SIZE_BYTES_MIN {
            self.hex.push(digits.into_bytes());
        }
    }

    /// Its encoding if this many bytes, from 0 to 2, precede it in its group of three.
    fn base64(&mut self, text: &[u8], alignment: usize) {
        let padded = [&vec![0; alignment][..], text].concat();
        // Six bits a character: those that contain only bits of the secret.
        let first = (alignment * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        if last < first + ENCODED_SIZE_BYTES_MIN {
            return;
        }
        let standard = STANDARD.encode(&padded).as_bytes()[first..last].to_vec();
        let url = URL_SAFE.encode(&padded).as_bytes()[first..last].to_vec();
        let url = (url != standard).then_some(url);
        for text in [Some(standard), url].into_iter().flatten() {
            self.base64.push(Base64 {
                text,
                begins_inside: !(alignment * 8).is_multiple_of(6),
                ends_inside: !(padded.len() * 8).is_multiple_of(6),
            });
        }
    }
}

/// The parts of a secret, each of which is a secret too: the texts and numbers of JSON, the lines of a text, and of a
/// URL the user information, the values of the query, and long segments of the path.
pub(crate) fn parts(secret: &str) -> Vec<String> {
    let mut parts = Vec::new();
    collect(secret, &mut parts);
    parts.sort_unstable();
    parts.dedup();
    parts
}

fn collect(text: &str, parts: &mut Vec<String>) {
    if text.trim_start().starts_with(['{', '[', '"'])
        && let Ok(json) = serde_json::from_str(text)
    {
        fields(&json, parts);
        // A number that no type can represent is read as one near it.
        let digits = text.split(|c: char| !c.is_ascii_digit());
        digits
            .filter(|digits| digits.len() > EXACT_DIGITS_MAX)
            .for_each(|digits| add(digits.to_owned(), parts));
        return;
    }
    if text.contains(['\n', '\r']) {
        let lines = text.lines().map(str::trim);
        parts.extend(
            lines
                .filter(|line| line.len() >= SECRET_SEGMENT_SIZE_BYTES_MIN)
                .map(str::to_owned),
        );
    } else if text.contains("://")
        && let Ok(url) = url::Url::parse(text)
    {
        url_parts(&url, parts);
    }
}

fn fields(json: &serde_json::Value, parts: &mut Vec<String>) {
    match json {
        serde_json::Value::String(text) => {
            add(text.clone(), parts);
            collect(text, parts);
        }
        serde_json::Value::Number(number) => add(number.to_string(), parts),
        serde_json::Value::Array(items) => items.iter().for_each(|item| fields(item, parts)),
        serde_json::Value::Object(map) => map.values().for_each(|value| fields(value, parts)),
        serde_json::Value::Null | serde_json::Value::Bool(_) => {}
    }
}

fn url_parts(url: &url::Url, parts: &mut Vec<String>) {
    // As the URL's own rules write it: its host in lower case, its path in normal form.
    add(url.to_string(), parts);
    let path = &url[url::Position::BeforePath..];
    if path.len() >= SECRET_SEGMENT_SIZE_BYTES_MIN {
        add(path.to_owned(), parts);
    }
    add(url.username().to_owned(), parts);
    add(url.password().unwrap_or_default().to_owned(), parts);
    add(url.query().unwrap_or_default().to_owned(), parts);
    add(url.fragment().unwrap_or_default().to_owned(), parts);
    url.query_pairs()
        .for_each(|(_, value)| add(value.into_owned(), parts));
    let segments = url.path().split('/');
    parts.extend(
        segments
            .filter(|segment| segment.len() >= SECRET_SEGMENT_SIZE_BYTES_MIN)
            .map(str::to_owned),
    );
}

fn add(part: String, parts: &mut Vec<String>) {
    if part.len() >= SECRET_PART_SIZE_BYTES_MIN {
        parts.push(part);
    }
}

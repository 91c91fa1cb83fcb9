//! The ways in which a text can be read: unchanged, and with its escapes undone, each byte with its place in the
//! original.

/// One reading of a text.
pub(crate) struct View {
    pub(crate) bytes: Vec<u8>,
    /// The start and end of each byte's origin.
    places: Vec<(u32, u32)>,
}

/// The character of an escape, and its length.
struct Unescaped {
    bytes: [u8; 4],
    count: usize,
    length: usize,
}

type Read = fn(&[u8]) -> Option<Unescaped>;

/// How many nested layers of escapes are undone.
const LAYERS: usize = 3;
/// The longest HTML reference that is undone.
const HTML_REFERENCE_BYTES_MAX: usize = 10;

/// All different readings of a text: the text itself, then with escapes undone.
pub(crate) fn views(text: &[u8]) -> Vec<View> {
    let mut views = vec![View {
        bytes: text.to_vec(),
        places: (0..text.len() as u32).map(|at| (at, at + 1)).collect(),
    }];
    if !text.iter().any(|byte| matches!(byte, b'%' | b'\\' | b'&')) {
        return views;
    }
    // In any order of nesting: an escape of one kind may be inside another.
    let kinds = [percent as Read, backslash, html];
    for outer in kinds {
        let Some(view) = views[0].unescaped(outer) else {
            continue;
        };
        for inner in kinds {
            add(&mut views, view.unescaped(inner));
        }
        add(&mut views, Some(view));
    }
    let mut layer = views[0].unescaped(any);
    for _ in 0..LAYERS {
        let Some(view) = layer else { break };
        layer = view.unescaped(any);
        add(&mut views, Some(view));
    }
    views
}

/// The text with all escapes undone, layer by layer: each is one more way to read a secret.
pub(crate) fn layers(text: &[u8]) -> Vec<Vec<u8>> {
    views(text).into_iter().map(|view| view.bytes).collect()
}

fn add(views: &mut Vec<View>, view: Option<View>) {
    if let Some(view) = view
        && !views.iter().any(|known| known.bytes == view.bytes)
    {
        views.push(view);
    }
}

impl View {
    /// The part of the original that became these bytes, which are not empty.
    pub(crate) fn origin(&self, start: usize, end: usize) -> (usize, usize) {
        (
            self.places[start].0 as usize,
            self.places[end - 1].1 as usize,
        )
    }

    /// Without white space, since encoders break lines.
    pub(crate) fn squeezed(&self) -> Option<View> {
        let is_left = |byte: u8| !byte.is_ascii_whitespace();
        if self.bytes.iter().all(|byte| is_left(*byte)) {
            return None;
        }
        let kept = self.bytes.iter().zip(&self.places);
        let kept = kept.filter(|(byte, _)| is_left(**byte));
        let (bytes, places) = kept.map(|(byte, place)| (*byte, *place)).unzip();
        Some(View { bytes, places })
    }

    fn unescaped(&self, read: Read) -> Option<View> {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut places = Vec::with_capacity(self.bytes.len());
        let (mut at, mut changed) = (0, false);
        while at < self.bytes.len() {
            let rest = &self.bytes[at..];
            let found = match rest[0] {
                b'%' | b'\\' | b'&' => read(rest),
                _ => None,
            };
            match found {
                Some(found) => {
                    let place = (self.places[at].0, self.places[at + found.length - 1].1);
                    bytes.extend_from_slice(&found.bytes[..found.count]);
                    places.extend(std::iter::repeat_n(place, found.count));
                    at += found.length;
                    changed = true;
                }
                None => {
                    bytes.push(rest[0]);
                    places.push(self.places[at]);
                    at += 1;
                }
            }
        }
        changed.then_some(View { bytes, places })
    }
}

fn any(text: &[u8]) -> Option<Unescaped> {
    percent(text)
        .or_else(|| backslash(text))
        .or_else(|| html(text))
}

fn byte(byte: u8, length: usize) -> Unescaped {
    Unescaped {
        bytes: [byte, 0, 0, 0],
        count: 1,
        length,
    }
}

fn character(code: u32, length: usize) -> Option<Unescaped> {
    let mut bytes = [0; 4];
    let count = char::from_u32(code)?.encode_utf8(&mut bytes).len();
    Some(Unescaped {
        bytes,
        count,
        length,
    })
}

/// A number of exactly these digits.
fn hex(digits: Option<&[u8]>) -> Option<u32> {
    let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// `%2F` and `%2f`, in URLs and forms.
fn percent(text: &[u8]) -> Option<Unescaped> {
    match text.first() {
        Some(b'%') => Some(byte(hex(text.get(1..3))? as u8, 3)),
        _ => None,
    }
}

/// The escapes of JSON, and those of programming languages and shells for bytes and characters.
fn backslash(text: &[u8]) -> Option<Unescaped> {
    if text.first() != Some(&b'\\') {
        return None;
    }
    let plain = |code| Some(byte(code, 2));
    match text.get(1)? {
        code @ (b'"' | b'\'' | b'\\' | b'/') => plain(*code),
        b'b' => plain(8),
        b'f' => plain(12),
        b'n' => plain(b'\n'),
        b'r' => plain(b'\r'),
        b't' => plain(b'\t'),
        b'x' => Some(byte(hex(text.get(2..4))? as u8, 4)),
        b'u' => utf16(text),
        b'U' => character(hex(text.get(2..10))?, 10),
        _ => None,
    }
}

/// `\u00e9`, and two of these for a character beyond the first plane.
fn utf16(text: &[u8]) -> Option<Unescaped> {
    let first = hex(text.get(2..6))?;
    if !(0xD800..0xDC00).contains(&first) {
        return character(first, 6);
    }
    let second = hex(text.get(8..12).filter(|_| text[6..8] == *b"\\u"))?;
    let low = second.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
    character(0x10000 + ((first - 0xD800) << 10) + low, 12)
}

/// References of HTML and XML: error pages quote requests.
fn html(text: &[u8]) -> Option<Unescaped> {
    let room = text.len().min(HTML_REFERENCE_BYTES_MAX);
    let end = text[..room].iter().position(|byte| *byte == b';')?;
    let length = end + 1;
    let name = std::str::from_utf8(text.get(1..end)?).ok()?;
    match (text[0], name) {
        (b'&', "amp") => Some(byte(b'&', length)),
        (b'&', "lt") => Some(byte(b'<', length)),
        (b'&', "gt") => Some(byte(b'>', length)),
        (b'&', "quot") => Some(byte(b'"', length)),
        (b'&', "apos") => Some(byte(b'\'', length)),
        (b'&', name) => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            character(code, length)
        }
        _ => None,
    }
}

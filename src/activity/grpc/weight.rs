//! The memory of a protobuf message once it is decoded, estimated before: two bytes may become a kilobyte.

use prost_reflect::{Cardinality, Kind, MessageDescriptor};

/// A message with a field or two: its map of fields, and its JSON.
const MESSAGE_BYTES: usize = 1024;
/// Any other value, without the bytes of a text.
const VALUE_BYTES: usize = 128;
/// The depth limit of protobuf's own decoder.
const DEPTH_MAX: usize = 100;

/// A message of any type, which is decoded when it is written as JSON.
const ANY: &str = "google.protobuf.Any";

/// The type of a field, and whether it is repeated.
struct Shape {
    kind: Kind,
    is_list: bool,
}

/// The rest of a bound.
pub(crate) struct Budget {
    left: usize,
}

/// The message is malformed, too deep, or larger than what is left.
pub(crate) struct TooLarge;

impl Budget {
    pub(crate) fn new(size_bytes_max: usize) -> Budget {
        Budget {
            left: size_bytes_max,
        }
    }

    pub(crate) fn left(&self) -> usize {
        self.left
    }

    fn take(&mut self, size_bytes: usize) -> Result<(), TooLarge> {
        self.left = self.left.checked_sub(size_bytes).ok_or(TooLarge)?;
        Ok(())
    }

    /// Charges what the message needs. One that is malformed is charged for what precedes the error, where its decoder
    /// stops too.
    pub(crate) fn message(
        &mut self,
        kind: &MessageDescriptor,
        bytes: &[u8],
    ) -> Result<(), TooLarge> {
        self.nested(Some(kind.clone()), bytes, 0)
    }

    fn nested(
        &mut self,
        kind: Option<MessageDescriptor>,
        mut bytes: &[u8],
        depth: usize,
    ) -> Result<(), TooLarge> {
        if depth > DEPTH_MAX {
            return Err(TooLarge);
        }
        self.take(MESSAGE_BYTES)?;
        if let Some(kind) = kind.as_ref().filter(|kind| kind.full_name() == ANY) {
            self.any(kind, bytes, depth)?;
        }
        // The types of the groups that the field is in, the innermost last.
        let mut groups = vec![kind];
        while let Some(tag) = varint(&mut bytes) {
            let number = u32::try_from(tag >> 3).ok();
            let field = number.and_then(|number| shape(groups.last()?.as_ref()?, number));
            self.take(VALUE_BYTES)?;
            let is_whole = match tag & 7 {
                0 => varint(&mut bytes).is_some(),
                1 => skip(&mut bytes, 8).is_some(),
                5 => skip(&mut bytes, 4).is_some(),
                2 => match varint(&mut bytes).and_then(|length| skip(&mut bytes, length)) {
                    Some(inner) => {
                        self.delimited(field, inner, depth)?;
                        true
                    }
                    None => false,
                },
                3 => {
                    self.take(MESSAGE_BYTES)?;
                    groups.push(field.and_then(Shape::message));
                    if groups.len() > DEPTH_MAX {
                        return Err(TooLarge);
                    }
                    true
                }
                4 => groups.pop().is_some() && !groups.is_empty(),
                _ => false,
            };
            if !is_whole {
                break;
            }
        }
        Ok(())
    }

    /// Its content has its type by name.
    fn any(
        &mut self,
        kind: &MessageDescriptor,
        bytes: &[u8],
        depth: usize,
    ) -> Result<(), TooLarge> {
        let last = |number: u64| {
            let mut found: &[u8] = &[];
            each(bytes, |tag, inner| {
                if tag == number << 3 | 2 {
                    found = inner;
                }
            });
            found
        };
        let url = std::str::from_utf8(last(1)).unwrap_or_default();
        let name = url.rsplit('/').next().unwrap_or_default();
        match kind.parent_pool().get_message_by_name(name) {
            Some(kind) => self.nested(Some(kind), last(2), depth + 1),
            None => Ok(()),
        }
    }

    fn delimited(
        &mut self,
        field: Option<Shape>,
        inner: &[u8],
        depth: usize,
    ) -> Result<(), TooLarge> {
        let Some(field) = field else {
            return self.take(inner.len());
        };
        let is_list = field.is_list;
        match field.kind {
            Kind::Message(kind) => self.nested(Some(kind), inner, depth + 1),
            // As text, as JSON and in base64.
            Kind::String | Kind::Bytes => self.take(inner.len() * 3),
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 if is_list => {
                self.take(inner.len() / 8 * VALUE_BYTES)
            }
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 if is_list => {
                self.take(inner.len() / 4 * VALUE_BYTES)
            }
            _ if is_list => {
                let ends = inner.iter().filter(|byte| **byte < 0x80);
                self.take(ends.count() * VALUE_BYTES)
            }
            _ => Ok(()),
        }
    }
}

impl Shape {
    fn message(self) -> Option<MessageDescriptor> {
        match self.kind {
            Kind::Message(kind) => Some(kind),
            _ => None,
        }
    }
}

/// A field of a message, or an extension of it.
fn shape(message: &MessageDescriptor, number: u32) -> Option<Shape> {
    let of = |kind, cardinality| Shape {
        kind,
        is_list: cardinality == Cardinality::Repeated,
    };
    match message.get_field(number) {
        Some(field) => Some(of(field.kind(), field.cardinality())),
        None => {
            let extension = message.get_extension(number)?;
            Some(of(extension.kind(), extension.cardinality()))
        }
    }
}

/// The number of top-level fields of a message.
pub(crate) fn fields(bytes: &[u8]) -> usize {
    let mut count = 0;
    each(bytes, |_, _| count += 1);
    count
}

/// The top-level fields of a message, with the bytes of those that have a length.
fn each<'a>(mut bytes: &'a [u8], mut told: impl FnMut(u64, &'a [u8])) {
    while let Some(tag) = varint(&mut bytes) {
        let inner = match tag & 7 {
            0 => varint(&mut bytes).map(|_| &[][..]),
            1 => skip(&mut bytes, 8),
            2 => varint(&mut bytes).and_then(|length| skip(&mut bytes, length)),
            5 => skip(&mut bytes, 4),
            _ => None,
        };
        let Some(inner) = inner else { break };
        told(tag, inner);
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if *first < 0x80 {
            return Some(value);
        }
    }
    None
}

fn skip<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (inner, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(inner)
}

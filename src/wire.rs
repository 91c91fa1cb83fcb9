//! The stored form of bundles and registries, as `proto/` defines it.

#![allow(unreachable_pub, reason = "what is generated is public")]

use prost::encoding::{DecodeContext, WireType};

include!(concat!(env!("OUT_DIR"), "/segno.v1.rs"));

/// How often the message in these bytes has the field with this number, counted before anything is built: an empty
/// message takes two bytes here and many times as much in memory. `None` if the bytes are not a message.
pub(crate) fn count_fields(bytes: &[u8], number: u32) -> Option<usize> {
    let mut rest = bytes;
    let mut count = 0;
    while !rest.is_empty() {
        let (found, wire_type) = prost::encoding::decode_key(&mut rest).ok()?;
        count += usize::from(found == number);
        prost::encoding::skip_field(wire_type, found, &mut rest, DecodeContext::default()).ok()?;
    }
    Some(count)
}

/// The minimum memory of a built message, and of those of its fields that are messages.
struct Shape {
    size_bytes: usize,
    nested: &'static [(u32, Shape)],
}

const fn flat<M>() -> Shape {
    of::<M>(&[])
}

const fn of<M>(nested: &'static [(u32, Shape)]) -> Shape {
    Shape {
        size_bytes: size_of::<M>(),
        nested,
    }
}

/// A message that may have many parts, each small in these bytes.
pub(crate) trait Bounded: prost::Message + Default {
    #[doc(hidden)]
    const SHAPE: Measured;
}

/// Private to this module.
pub(crate) struct Measured(Shape);

const DUE: Shape = flat::<DueSchedules>();
const VERSION: Shape = of::<Version>(&[(4, flat::<Data>())]);
const DEFINITION: Shape = of::<Definition>(&[(4, VERSION), (9, flat::<Tag>())]);
const PUT: Shape = of::<Put>(&[(4, flat::<Data>())]);
const CHANGE: Shape = of::<Change>(&[
    (3, flat::<Origin>()),
    (5, PUT),
    (7, flat::<Route>()),
    (8, flat::<TagChange>()),
    (9, flat::<VersionName>()),
    (10, DUE),
    (12, PUT),
]);
const RECORD: Shape = of::<Record>(&[
    (3, flat::<Origin>()),
    (6, flat::<VersionName>()),
    (8, flat::<Route>()),
    (9, flat::<TagChange>()),
    (10, flat::<VersionName>()),
    (11, flat::<VersionName>()),
]);
const REGISTRY: Shape =
    of::<Registry>(&[(2, DEFINITION), (3, RECORD), (4, flat::<Data>()), (5, DUE)]);

macro_rules! bounded {
    ($($message:ty: $shape:expr),* $(,)?) => {$(
        impl Bounded for $message {
            const SHAPE: Measured = Measured($shape);
        }
    )*};
}

bounded! {
    Registry: REGISTRY,
    Change: CHANGE,
    Segment: flat::<Segment>(),
    Page: of::<Page>(&[(1, RECORD), (2, flat::<Data>())]),
    Start: of::<Start>(&[(1, flat::<Data>())]),
    Copy: of::<Copy>(&[(1, flat::<Data>())]),
    Snapshot: of::<Snapshot>(&[(1, REGISTRY)]),
    LogEntry: of::<LogEntry>(&[(1, CHANGE)]),
}

/// Builds a message if it takes no more memory than this, computed before anything is built: an empty part takes two
/// bytes here and a hundred times as much in memory.
pub(crate) fn decode_within<M: Bounded>(bytes: &[u8], memory_max: usize) -> Result<M, DecodeError> {
    match memory(bytes, &M::SHAPE.0) {
        Some(memory) if memory > memory_max => Err(DecodeError::Memory(memory)),
        _ => M::decode(bytes).map_err(DecodeError::Malformed),
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("it would take {0} bytes of memory")]
    Memory(usize),
    #[error("{0}")]
    Malformed(prost::DecodeError),
}

/// `None` if the bytes are not such a message.
fn memory(bytes: &[u8], shape: &Shape) -> Option<usize> {
    let mut rest = bytes;
    let mut memory = shape.size_bytes;
    while !rest.is_empty() {
        let (number, wire_type) = prost::encoding::decode_key(&mut rest).ok()?;
        let field = rest;
        prost::encoding::skip_field(wire_type, number, &mut rest, DecodeContext::default()).ok()?;
        if wire_type == WireType::LengthDelimited {
            let mut content = &field[..field.len() - rest.len()];
            prost::encoding::decode_varint(&mut content).ok()?;
            let nested = shape.nested.iter().find(|(of, _)| *of == number);
            memory += match nested {
                Some((_, shape)) => self::memory(content, shape)?,
                // A text, bytes, or packed numbers.
                None => size_of::<String>() + content.len(),
            };
        } else {
            memory += size_of::<u64>();
        }
    }
    Some(memory)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn messages_of_nothing_but_parts_are_refused_before_they_are_built() {
        let parts = [0x2a, 0].repeat(1 << 20);
        let error = decode_within::<Change>(&parts, 16 << 20).unwrap_err();
        assert!(
            matches!(error, DecodeError::Memory(memory) if memory > 64 << 20),
            "{error}"
        );
        // The size one level below: a log's entry with such a change, and a definition with such versions.
        let within = |number: u8, inner: &[u8]| {
            let mut outer = vec![number << 3 | 2];
            prost::encoding::encode_varint(inner.len() as u64, &mut outer);
            outer.extend(inner);
            outer
        };
        assert!(decode_within::<LogEntry>(&within(1, &parts), 16 << 20).is_err());
        let versions = within(2, &[0x22, 0].repeat(1 << 20));
        assert!(decode_within::<Registry>(&versions, 16 << 20).is_err());
        assert!(decode_within::<Segment>(&[0x0a, 0].repeat(1 << 20), 16 << 20).is_err());
    }

    #[test]
    fn what_a_deployment_stores_is_built() {
        let put = Put {
            workflow: "order".to_owned(),
            digest: vec![7; 32],
            segment: Some(Data {
                pieces: vec![vec![7; 32]],
            }),
            ..Put::default()
        };
        let change = Change {
            puts: vec![put; crate::limits::DEPLOYMENT_DEFINITIONS_MAX],
            ..Change::default()
        };
        let bytes = change.encode_to_vec();
        assert_eq!(decode_within::<Change>(&bytes, 4 << 20).unwrap(), change);
    }

    /// Each field of `proto/` that is a message has its shape.
    #[test]
    fn the_shapes_are_those_of_the_messages() {
        let proto = include_str!("../proto/segno/v1/registry.proto");
        let messages: Vec<_> = proto.split("\nmessage ").skip(1).collect();
        let name = |text: &str| text.split_whitespace().next().unwrap().to_owned();
        let names: Vec<_> = messages.iter().map(|text| name(text)).collect();
        let shapes: Vec<(&str, &Shape)> = vec![
            ("Registry", &Registry::SHAPE.0),
            ("Definition", &DEFINITION),
            ("Version", &VERSION),
            ("Change", &Change::SHAPE.0),
            ("Put", &PUT),
            ("Record", &RECORD),
            ("Page", &Page::SHAPE.0),
            ("Start", &Start::SHAPE.0),
            ("Copy", &Copy::SHAPE.0),
            ("Snapshot", &Snapshot::SHAPE.0),
            ("LogEntry", &LogEntry::SHAPE.0),
        ];
        let mut found = 0;
        for text in &messages {
            let of = name(text);
            let fields = text.lines().skip(1).filter_map(|line| {
                let (field, number) = line.trim().trim_end_matches(';').split_once(" = ")?;
                let kind = field
                    .trim_start_matches("repeated ")
                    .split(' ')
                    .next()?
                    .to_owned();
                Some((kind, number.parse::<u32>().ok()?))
            });
            for (_, number) in fields.filter(|(kind, _)| names.contains(kind)) {
                let (_, shape) = shapes.iter().find(|(name, _)| *name == of).expect(&of);
                assert!(
                    shape.nested.iter().any(|(n, _)| *n == number),
                    "{of}, field {number}"
                );
                found += 1;
            }
        }
        assert!(found > 20, "{found}");
    }
}

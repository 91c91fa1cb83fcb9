//! The stored form of bundles and registries, as `proto/` has it.

use prost::encoding::DecodeContext;

include!(concat!(env!("OUT_DIR"), "/segno.v1.rs"));

/// How often the message in these bytes has the field of this number, counted before anything is
/// built: an empty message takes two bytes here and many times as much in memory. `None` where the bytes are not a message.
pub fn count_fields(bytes: &[u8], number: u32) -> Option<usize> {
    let mut rest = bytes;
    let mut count = 0;
    while !rest.is_empty() {
        let (found, wire_type) = prost::encoding::decode_key(&mut rest).ok()?;
        count += usize::from(found == number);
        prost::encoding::skip_field(wire_type, found, &mut rest, DecodeContext::default()).ok()?;
    }
    Some(count)
}

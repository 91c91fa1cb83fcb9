//! How people see what only a codec can read: as a mark, never as ciphertext.

use crate::engine::failure::{Failure, FailureInfo};
use crate::value::{Payload, Value};

/// Encodings of Temporal's own data converters beside `json/…`: every other one is made by a codec.
const CONVERTED: [&[u8]; 4] = [b"", b"binary/null", b"binary/plain", b"binary/protobuf"];

/// The encoding of a payload that is still encoded by a codec.
pub(crate) fn codec_encoding(payload: &Payload) -> Option<String> {
    let encoding = payload.encoding();
    let is_converted = encoding.starts_with(b"json/") || CONVERTED.contains(&encoding);
    (!is_converted).then(|| String::from_utf8_lossy(encoding).into_owned())
}

/// The mark shown instead of a payload that is still encoded.
pub(crate) fn sealed_mark(payload: &Payload) -> Option<String> {
    codec_encoding(payload).map(|encoding| format!("<encoded as {encoding}>"))
}

/// The failure with marks instead of messages and details that are still encoded.
pub(crate) fn with_marks(failure: &Failure) -> Failure {
    let mut marked = failure.clone();
    let mut next = Some(&mut marked);
    while let Some(failure) = next {
        let attributes = failure.passed_on.as_deref();
        let attributes = attributes.and_then(|passed_on| passed_on.encoded_attributes.as_ref());
        if let Some(mark) = attributes.and_then(sealed_mark) {
            failure.message = mark;
        }
        for detail in details_mut(failure) {
            let payload = Payload::from_value(detail).ok();
            if let Some(mark) = payload.as_ref().and_then(sealed_mark) {
                *detail = Value::from(mark.as_str());
            }
        }
        next = failure.cause.as_deref_mut();
    }
    marked
}

/// The payloads of a failure and its causes that may be encoded.
pub(crate) fn parts(failure: &Failure) -> Vec<Payload> {
    let mut parts = Vec::new();
    for failure in failure.chain() {
        let passed_on = failure.passed_on.as_deref();
        parts.extend(passed_on.and_then(|passed_on| passed_on.encoded_attributes.clone()));
        let details = details(failure).iter();
        parts.extend(details.filter_map(|detail| Payload::from_value(detail).ok()));
    }
    parts
}

fn details(failure: &Failure) -> &[Value] {
    match &failure.info {
        FailureInfo::Application { details, .. }
        | FailureInfo::Cancelled { details }
        | FailureInfo::Timeout {
            last_heartbeat_details: details,
            ..
        } => details,
        _ => &[],
    }
}

fn details_mut(failure: &mut Failure) -> &mut [Value] {
    match &mut failure.info {
        FailureInfo::Application { details, .. }
        | FailureInfo::Cancelled { details }
        | FailureInfo::Timeout {
            last_heartbeat_details: details,
            ..
        } => details,
        _ => &mut [],
    }
}

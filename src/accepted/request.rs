//! What a definition may not put into a request: methods and headers that determine where a message is sent or how it
//! is framed. Only the worker sets them, because what it checks must be what the other side reads.

/// `CONNECT` opens a tunnel past the worker's policy; `TRACE` returns the headers, secrets included (RFC 9110, 9.3.6 and 9.3.8).
const METHODS_REFUSED: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

/// Where the message is sent, how long it is, and what applies to one connection only (RFC 9110, 7.2, 7.6.1 and 8.6;
/// RFC 9112, 6.1).
const HEADERS_REFUSED: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reserved by gRPC (its protocol over HTTP/2, "Requests"); its further names begin with `grpc-`.
const METADATA_REFUSED: [&str; 2] = ["content-type", "user-agent"];
const METADATA_RESERVED: &str = "grpc-";

/// Checks a method of HTTP, in any case.
pub(crate) fn http_method(name: &str) -> Result<(), String> {
    let upper = name.to_ascii_uppercase();
    match METHODS_REFUSED.contains(&&*upper) {
        true => Err(format!("the method {upper} is refused in a definition")),
        false => Ok(()),
    }
}

/// Checks the name of a request's header, in any case.
pub(crate) fn http_header(name: &str) -> Result<(), String> {
    let lower = name.trim().to_ascii_lowercase();
    match HEADERS_REFUSED.contains(&&*lower) {
        true => Err(format!("the header `{lower}` is the worker's to set")),
        false => Ok(()),
    }
}

/// Checks the name of a call's metadata, in any case.
pub(crate) fn grpc_metadata(name: &str) -> Result<(), String> {
    let lower = name.trim().to_ascii_lowercase();
    let is_reserved = METADATA_REFUSED.contains(&&*lower) || lower.starts_with(METADATA_RESERVED);
    match is_reserved || http_header(&lower).is_err() {
        true => Err(format!("the metadata `{lower}` is the worker's to set")),
        false => Ok(()),
    }
}

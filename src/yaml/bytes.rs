//! The bytes of a file to text and tree: size, encoding and characters that YAML does not allow.

use crate::diagnostic::Diagnostic;
use crate::limits::DEFINITION_SIZE_BYTES_MAX;
use crate::source::{FileId, Range, Sources};

/// Adds the file to the sources, if it is a text within the size bound.
pub(crate) fn decode(
    sources: &mut Sources,
    path: &str,
    bytes: &[u8],
) -> Result<FileId, (FileId, Diagnostic)> {
    if bytes.len() > DEFINITION_SIZE_BYTES_MAX {
        let file = sources.add(path, "");
        let error = Diagnostic::error(
            "file-too-large",
            Range::new(file, 0, 0),
            format!("the file is larger than {DEFINITION_SIZE_BYTES_MAX} bytes"),
        )
        .help(
            "the bound is DEFINITION_SIZE_BYTES_MAX; split the file and join the parts with `use`",
        );
        return Err((file, error));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(sources.add(path, text)),
        Err(error) => Err(not_utf8(sources, path, bytes, error.valid_up_to())),
    }
}

fn not_utf8(
    sources: &mut Sources,
    path: &str,
    bytes: &[u8],
    valid_up_to: usize,
) -> (FileId, Diagnostic) {
    let utf16 = bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]);
    if utf16 {
        let file = sources.add(path, "");
        let error = Diagnostic::error(
            "invalid-utf8",
            Range::new(file, 0, 0),
            "the file is encoded as UTF-16; definitions are UTF-8",
        )
        .help("save it as UTF-8");
        return (file, error);
    }
    // Up to the mistake the text is exact, and so is the range.
    let file = sources.add(path, String::from_utf8_lossy(bytes).as_ref());
    let at = valid_up_to as u32;
    let replacement = char::REPLACEMENT_CHARACTER.len_utf8() as u32;
    let error = Diagnostic::error(
        "invalid-utf8",
        Range::new(file, at, at + replacement),
        "the file is not valid UTF-8",
    )
    .label(format!("byte 0x{:02X}", bytes[valid_up_to]))
    .help("save the file as UTF-8");
    (file, error)
}

/// A character that YAML does not allow, not even escaped: NUL and the other control characters.
pub(super) fn forbidden_character(file: FileId, text: &str) -> Option<Diagnostic> {
    let at = text
        .bytes()
        .position(|b| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b == 0x7F)?;
    let byte = text.as_bytes()[at];
    let name = if byte == 0 {
        "a NUL byte"
    } else {
        "a control character"
    };
    let range = Range::new(file, at as u32, at as u32 + 1);
    let error = Diagnostic::error(
        "control-character",
        range,
        format!("the file contains {name}"),
    )
    .label(format!("U+{byte:04X} is not allowed in YAML"))
    .help(format!(
        "in a double-quoted text, write it as \"\\x{byte:02X}\""
    ));
    Some(error)
}

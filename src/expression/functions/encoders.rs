//! The encoders extension library.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Call, Row, Section, row, string, unexpected};
use crate::expression::context::{Failure, Operand};
use crate::value::Value;

pub(crate) const SECTION: Section = Section {
    title: "Encoders",
    extension: false,
    about: "",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    row(
        "base64.encode(bytes) -> string",
        encode,
        "The bytes in base64, padded.",
        &["base64.encode(b'hello') == 'aGVsbG8='"],
    ),
    row(
        "base64.decode(string) -> bytes",
        decode,
        "The bytes that the text encodes, padded or not; other text is an error.",
        &["base64.decode('aGVsbG8=') == b'hello'"],
    ),
];

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn encode(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let Value::Bytes(bytes) = &*arguments[0] else {
        return Err(unexpected(&arguments[0]));
    };
    call.budget.charge_bytes(bytes.len() / 3 * 4)?;
    Ok(Value::string(LENIENT.encode(bytes)))
}

fn decode(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    call.budget.charge_bytes(text.len())?;
    LENIENT
        .decode(text.as_bytes())
        .map(|bytes| Value::Bytes(bytes.into()))
        .map_err(|error| Failure::new(format!("base64.decode: {error}")))
}

//! Text composed on the stack while it is short, so that a short result is allocated once.

use std::fmt;
use std::sync::Arc;

use crate::value::Value;

const SHORT_SIZE_BYTES_MAX: usize = 128;

pub(crate) enum Text {
    Short {
        bytes: [u8; SHORT_SIZE_BYTES_MAX],
        length: usize,
    },
    Long(String),
}

impl Text {
    pub(crate) fn new() -> Self {
        Text::Short {
            bytes: [0; SHORT_SIZE_BYTES_MAX],
            length: 0,
        }
    }

    #[inline]
    pub(crate) fn push_str(&mut self, text: &str) {
        match self {
            Text::Short { bytes, length } if *length + text.len() <= SHORT_SIZE_BYTES_MAX => {
                bytes[*length..*length + text.len()].copy_from_slice(text.as_bytes());
                *length += text.len();
            }
            Text::Short { .. } => {
                let mut long = String::with_capacity(2 * SHORT_SIZE_BYTES_MAX + text.len());
                long.push_str(self.as_str());
                long.push_str(text);
                *self = Text::Long(long);
            }
            Text::Long(long) => long.push_str(text),
        }
    }

    /// Decimal digits, as `string()` writes them.
    pub(crate) fn push_int(&mut self, value: i64) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        let mut left = value.unsigned_abs();
        loop {
            start -= 1;
            digits[start] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if value < 0 {
            start -= 1;
            digits[start] = b'-';
        }
        if let Ok(text) = std::str::from_utf8(&digits[start..]) {
            self.push_str(text);
        }
    }

    /// Whether `size` more bytes still fit on the stack.
    pub(crate) fn has_room_for(&self, size: usize) -> bool {
        matches!(self, Text::Short { length, .. } if length + size <= SHORT_SIZE_BYTES_MAX)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Text::Short { bytes, length } => &bytes[..*length],
            Text::Long(long) => long.as_bytes(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Text::Short { bytes, length } => {
                std::str::from_utf8(&bytes[..*length]).expect("whole strings were put together")
            }
            Text::Long(long) => long,
        }
    }

    pub(crate) fn into_value(self) -> Value {
        Value::String(match self {
            Text::Long(long) => long.into(),
            ref short => Arc::from(short.as_str()),
        })
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

//! Text put together on the stack while it is short, so that a short result is allocated once.

use std::fmt;
use std::sync::Arc;

use crate::value::Value;

const SHORT_SIZE_BYTES_MAX: usize = 128;

pub enum Text {
    Short {
        bytes: [u8; SHORT_SIZE_BYTES_MAX],
        length: usize,
    },
    Long(String),
}

impl Text {
    pub fn new() -> Self {
        Text::Short {
            bytes: [0; SHORT_SIZE_BYTES_MAX],
            length: 0,
        }
    }

    #[inline]
    pub fn push_str(&mut self, text: &str) {
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

    pub fn push(&mut self, character: char) {
        self.push_str(character.encode_utf8(&mut [0; 4]));
    }

    pub fn as_str(&self) -> &str {
        match self {
            Text::Short { bytes, length } => {
                std::str::from_utf8(&bytes[..*length]).expect("whole strings were put together")
            }
            Text::Long(long) => long,
        }
    }

    pub fn into_value(self) -> Value {
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

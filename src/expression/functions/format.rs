//! `string.format`.

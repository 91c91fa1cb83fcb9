//! Encoders.

use super::Section;

pub const SECTION: Section = Section {
    title: "Encoders",
    extension: false,
    about: "",
    rows: &[],
};

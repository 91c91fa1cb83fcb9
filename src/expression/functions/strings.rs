//! Strings.

use super::Section;

pub const SECTION: Section = Section {
    title: "Strings",
    extension: false,
    about: "",
    rows: &[],
};

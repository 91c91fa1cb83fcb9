//! Math.

use super::Section;

pub const SECTION: Section = Section {
    title: "Math",
    extension: false,
    about: "",
    rows: &[],
};

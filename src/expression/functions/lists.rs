//! Lists.

use super::Section;

pub const SECTION: Section = Section {
    title: "Lists",
    extension: false,
    about: "",
    rows: &[],
};

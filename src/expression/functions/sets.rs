//! Sets.

use super::Section;

pub const SECTION: Section = Section {
    title: "Sets",
    extension: false,
    about: "",
    rows: &[],
};

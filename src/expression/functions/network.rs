//! Network.

use super::Section;

pub const SECTION: Section = Section {
    title: "Network",
    extension: false,
    about: "",
    rows: &[],
};

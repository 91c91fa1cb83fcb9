//! Segno: declarative workflows in YAML on a Temporal cluster. ARCHITECTURE.md is the map.

pub mod activity;
pub mod bundle;
pub mod diagnostic;
pub mod engine;
pub mod limits;
pub mod source;
pub mod value;
pub mod yaml;

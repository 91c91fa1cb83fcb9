//! Segno: declarative workflows in YAML on a Temporal cluster. ARCHITECTURE.md is the map.

pub mod accepted;
pub mod activity;
pub mod bundle;
pub mod catalog;
pub mod cli;
#[cfg(feature = "cluster")]
pub mod client;
pub mod compile;
pub mod coverage;
pub mod definition;
pub mod diagnostic;
pub mod difference;
pub mod engine;
pub mod expression;
pub mod limits;
pub mod lint;
pub mod load;
#[cfg(feature = "cluster")]
pub mod payload;
pub mod program;
pub mod registry;
pub mod report;
pub mod schema;
pub mod source;
#[cfg(feature = "cluster")]
pub mod telemetry;
pub mod timeline;
pub mod value;
mod wire;
#[cfg(feature = "cluster")]
pub mod worker;
pub mod yaml;

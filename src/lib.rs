//! Segno: declarative workflows in YAML on a Temporal cluster. ARCHITECTURE.md is the map.

#![warn(unreachable_pub)]
#![cfg_attr(
    not(feature = "cluster"),
    allow(
        dead_code,
        unused_imports,
        reason = "most of it is for the cluster's modules"
    )
)]

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
pub(crate) mod diagnostic;
pub mod difference;
pub mod engine;
pub mod expression;
pub mod faults;
#[cfg(feature = "cluster")]
pub(crate) mod history;
pub mod limits;
pub(crate) mod lint;
pub mod load;
#[cfg(feature = "cluster")]
pub(crate) mod local;
#[cfg(feature = "cluster")]
pub mod payload;
pub mod program;
pub mod registry;
pub mod report;
pub mod schema;
#[cfg(feature = "cluster")]
pub mod simulator;
pub mod source;
#[cfg(feature = "cluster")]
pub(crate) mod telemetry;
#[cfg(feature = "cluster")]
pub(crate) mod testing;
pub mod timeline;
pub mod value;
mod wire;
pub mod words;
#[cfg(feature = "cluster")]
pub mod worker;
pub mod yaml;

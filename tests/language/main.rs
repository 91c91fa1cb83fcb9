//! The language, the compiler, the engine and the commands that read files: everything that needs neither a server nor the Temporal crates.

#[path = "../support/characters.rs"]
mod characters;
mod conformance;
mod difference;
mod early_query;
mod engine;
mod expression;
mod expression_bounds;
mod expression_diagnostics;
mod expression_random;
mod guide;
#[cfg(target_os = "linux")]
mod hostile;
#[path = "../support/hostile.rs"]
mod hostile_expressions;
mod language;
mod lint;
mod output;
mod reference;
mod registry;
mod tidy;
mod yaml;

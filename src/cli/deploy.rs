//! Commands about the registry: deploy definitions, inspect them and choose the versions of new runs.

pub mod definitions;
pub mod folder;
mod in_flight;
mod project;
mod schedules;

//! Commands about the registry: deploy definitions, inspect them and choose the versions of new runs.

pub(crate) mod definitions;
pub(crate) mod folder;
mod in_flight;
mod project;
mod schedules;

//! Commands about workflows on a cluster: start, schedule, message, inspect and end them.

pub(crate) mod activity;
mod asked;
pub(crate) mod describe;
pub(crate) mod end;
mod ended;
pub(crate) mod history;
pub(crate) mod list;
mod options;
pub(crate) mod query;
pub(crate) mod result;
pub(crate) mod schedule;
pub(crate) mod signal;
mod signal_check;
pub(crate) mod start;
mod summary;
mod trouble;
pub(crate) mod update;
mod updated;

//! Commands about workflows on a cluster: start, schedule, message, inspect and end them.

pub mod activity;
mod asked;
pub mod describe;
pub mod end;
mod ended;
pub mod history;
pub mod list;
mod options;
pub mod query;
pub mod result;
pub mod schedule;
pub mod signal;
mod signal_check;
pub mod start;
mod summary;
mod trouble;
pub mod update;
mod updated;

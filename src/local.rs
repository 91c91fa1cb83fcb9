//! One workflow in one process, in real time, with the worker's own activities, and with its state in a file: after a
//! kill, it continues where it was.

#![deny(clippy::wildcard_enum_match_arm)]

mod attempts;
mod clock;
mod host;
mod journal;
mod needs;

pub(crate) use clock::machine_time;
pub(crate) use host::{Ended, LocalError, LocalRun, Told, draw_ids};
pub(crate) use journal::{Begun, Journal, JournalError, Kept};
pub(crate) use needs::{Need, needs};

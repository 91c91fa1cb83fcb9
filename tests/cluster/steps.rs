//! Every construct of the language on a real server. Each folder of `tests/steps/cases/` is a case: definitions, what is done
//! to a run of them, and what must be in its history. Each is run plainly, with the cache off, and with the worker killed
//! after every workflow task; all their histories are replayed.

pub mod case;
pub mod compare;
mod drive;
pub mod follow;
mod mode;
pub mod text;

use crate::support;
use mode::Mode;

#[test]
fn plainly() {
    mode::run_all(Mode::Plain);
}

#[test]
fn with_the_cache_off() {
    mode::run_all(Mode::CacheOff);
}

#[test]
fn with_the_worker_killed_after_every_workflow_task() {
    mode::run_all(Mode::Killed);
}

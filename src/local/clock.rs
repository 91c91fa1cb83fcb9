//! The time of a run in this process: it follows the machine's clock forwards and never moves back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::faults::Fault;
use crate::value::{self, Timestamp};

/// The interval at which a separate thread reads the clock.
const PERIOD: Duration = Duration::from_millis(200);
/// A reading that is late by more than this, or a jump of the machine's clock by more than this, means that the process
/// or the machine was suspended. A busy machine is late by less.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The time, and for how much of it the process was suspended since the last reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) at: Timestamp,
    pub(crate) paused: value::Duration,
}

#[derive(Debug)]
pub(crate) struct Clock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    at: Timestamp,
    looked: Instant,
    paused: Duration,
}

impl Clock {
    /// It starts at `seen`, or later if the machine's clock is later.
    pub(crate) fn beginning(seen: Timestamp) -> Clock {
        let state = Arc::new(Mutex::new(State {
            at: seen.max(machine_time()),
            looked: Instant::now(),
            paused: Duration::ZERO,
        }));
        let watched = Arc::downgrade(&state);
        std::thread::spawn(move || watch(&watched));
        Clock { state }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.look().at
    }

    /// Includes the pauses since the last reading.
    pub(crate) fn read(&self) -> Reading {
        let mut state = self.look();
        Reading {
            at: state.at,
            paused: duration(std::mem::take(&mut state.paused)),
        }
    }

    fn look(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        state.look();
        if Fault::ClockFollowed.is_on() {
            state.at = machine_time();
        }
        state
    }
}

fn watch(state: &Weak<Mutex<State>>) {
    while let Some(state) = state.upgrade() {
        lock(&state).look();
        drop(state);
        std::thread::sleep(PERIOD);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn look(&mut self) {
        self.take(machine_time(), Instant::now());
    }

    fn take(&mut self, machine: Timestamp, looked: Instant) {
        let elapsed = looked.duration_since(self.looked);
        self.looked = looked;
        self.at = later(self.at, elapsed);
        if elapsed > PERIOD + PAUSE_MIN {
            self.paused += elapsed - PERIOD;
        }
        // Monotonic time does not advance while the machine is suspended. A clock that was set back is not followed.
        let ahead = machine.since(self.at).and_then(|ahead| ahead.to_std());
        let ahead = ahead.unwrap_or_default();
        self.at = later(self.at, ahead);
        if ahead > PAUSE_MIN {
            self.paused += ahead;
        }
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(duration(by)).unwrap_or(at)
}

fn duration(length: Duration) -> value::Duration {
    let nanos = i128::try_from(length.as_nanos()).unwrap_or(i128::MAX);
    value::Duration::from_nanos(nanos).unwrap_or_default()
}

/// The machine's clock, which people and programs set.
pub(crate) fn machine_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = i128::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(i128::MAX);
    Timestamp::from_nanos(nanos.saturating_add(set_by_test())).unwrap_or_default()
}

/// Nanoseconds by which a test has set the clock: builds for tests take the seconds from the file that SEGNO_TEST_CLOCK names.
#[cfg(debug_assertions)]
fn set_by_test() -> i128 {
    let Ok(file) = std::env::var("SEGNO_TEST_CLOCK") else {
        return 0;
    };
    let seconds = std::fs::read_to_string(file).unwrap_or_default();
    seconds.trim().parse::<i128>().unwrap_or_default() * 1_000_000_000
}

#[cfg(not(debug_assertions))]
fn set_by_test() -> i128 {
    0
}

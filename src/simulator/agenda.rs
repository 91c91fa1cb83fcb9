//! What is due and when; what is due at one time is done in the order in which it was added.

use std::collections::BTreeMap;

use crate::value::{Duration, Timestamp};

/// The place of an entry.
pub(super) type Key = (Timestamp, u64);

/// Events are identified by their ids, runs by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    FirstTask {
        run: usize,
    },
    Timer {
        run: usize,
        event_id: i64,
    },
    Activity {
        run: usize,
        event_id: i64,
        what: ActivityDue,
    },
    Local {
        run: usize,
        seq: u32,
        what: LocalDue,
    },
    /// A workflow task that is kept open for local activities is completed and started again.
    TaskHeartbeat {
        run: usize,
    },
    StartChild {
        run: usize,
        event_id: i64,
    },
    MockedChild {
        run: usize,
        event_id: i64,
    },
    SignalExternal {
        run: usize,
        event_id: i64,
    },
    CancelExternal {
        run: usize,
        event_id: i64,
    },
    Nexus {
        run: usize,
        event_id: i64,
        what: NexusDue,
    },
    RunTimeout {
        run: usize,
    },
    /// The parent is notified of its child's end.
    ChildClosed {
        run: usize,
    },
    ParentClosed {
        child: usize,
    },
    /// A schedule is due.
    Schedule {
        schedule: usize,
        at: Timestamp,
    },
    /// A schedule is notified of the end of a run that it started.
    ScheduledRunClosed {
        schedule: usize,
        run: usize,
    },
}

/// The subject of something that is due, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Run(usize),
    Schedule(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActivityDue {
    Attempt,
    PickUp,
    Heartbeat(usize),
    End,
    CancelledEnd,
    ScheduleToStart,
    ScheduleToClose,
    StartToClose,
    HeartbeatTimeout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalDue {
    Attempt,
    End,
    CancelledEnd,
    StartToClose,
    ScheduleToClose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NexusDue {
    Start,
    End,
    CancelledEnd,
    ScheduleToClose,
    ScheduleToStart,
    StartToClose,
}

#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<Key, Due>,
    count: u64,
}

impl Agenda {
    pub(crate) fn put(&mut self, at: Timestamp, due: Due) -> Key {
        self.count += 1;
        let key = (at, self.count);
        self.entries.insert(key, due);
        key
    }

    /// Delays what is due then, if it still exists.
    pub(crate) fn delay(&mut self, key: Key, by: Duration) -> Key {
        match self.entries.remove(&key) {
            Some(due) => self.put(after(key.0, by), due),
            None => key,
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Due> {
        self.entries.get(&key)
    }

    pub(crate) fn remove(&mut self, key: Key) {
        self.entries.remove(&key);
    }

    pub(crate) fn remove_all(&mut self, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            self.entries.remove(&key);
        }
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.entries.keys().next().map(|(at, _)| *at)
    }

    /// In the order in which it is due.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &Due)> {
        self.entries.iter()
    }

    /// Everything that is due first.
    pub(crate) fn first(&self) -> impl Iterator<Item = (&Key, &Due)> {
        let at = self.next();
        self.all()
            .take_while(move |((other, _), _)| Some(*other) == at)
    }

    pub(crate) fn take(&mut self, key: Key) -> Option<Due> {
        self.entries.remove(&key)
    }
}

/// A time that is too far away is never reached.
pub(super) fn after(at: Timestamp, length: Duration) -> Timestamp {
    let length = match length.is_negative() {
        true => Duration::default(),
        false => length,
    };
    at.checked_add(length).unwrap_or(Timestamp {
        seconds: i64::MAX,
        nanos: 999_999_999,
    })
}

impl Due {
    /// The run whose timer, or timeout of an activity, this is.
    pub(crate) fn clock(&self) -> Option<usize> {
        use ActivityDue::*;
        match self {
            Due::Timer { run, .. } => Some(*run),
            Due::Activity { run, what, .. } => match what {
                ScheduleToStart | ScheduleToClose | StartToClose | HeartbeatTimeout => Some(*run),
                Attempt | PickUp | Heartbeat(_) | End | CancelledEnd => None,
            },
            Due::FirstTask { .. }
            | Due::Local { .. }
            | Due::TaskHeartbeat { .. }
            | Due::StartChild { .. }
            | Due::MockedChild { .. }
            | Due::SignalExternal { .. }
            | Due::CancelExternal { .. }
            | Due::Nexus { .. }
            | Due::RunTimeout { .. }
            | Due::ChildClosed { .. }
            | Due::ParentClosed { .. }
            | Due::Schedule { .. }
            | Due::ScheduledRunClosed { .. } => None,
        }
    }

    /// Its subject, and what will happen.
    pub(crate) fn described(&self) -> (Subject, String) {
        let (run, what) = match self {
            Due::FirstTask { run } => (run, "the first workflow task".to_owned()),
            Due::Timer { run, event_id } => (run, format!("the timer of event {event_id}")),
            Due::Activity {
                run,
                event_id,
                what,
            } => (run, format!("{what:?} of the activity of event {event_id}")),
            Due::Local { run, seq, what } => (run, format!("{what:?} of the local activity {seq}")),
            Due::TaskHeartbeat { run } => (run, "the workflow task's heartbeat".to_owned()),
            Due::StartChild { run, event_id } => {
                (run, format!("the start of the child of event {event_id}"))
            }
            Due::MockedChild { run, event_id } => {
                (run, format!("the end of the child of event {event_id}"))
            }
            Due::SignalExternal { run, event_id } => (
                run,
                format!("the delivery of the signal of event {event_id}"),
            ),
            Due::CancelExternal { run, event_id } => (
                run,
                format!("the delivery of the cancellation of event {event_id}"),
            ),
            Due::Nexus {
                run,
                event_id,
                what,
            } => (
                run,
                format!("{what:?} of the Nexus operation of event {event_id}"),
            ),
            Due::RunTimeout { run } => (run, "the workflow's timeout".to_owned()),
            Due::ChildClosed { run } => (run, "the word of its end to its parent".to_owned()),
            Due::ParentClosed { child } => (child, "the word of its parent's end".to_owned()),
            Due::ScheduledRunClosed { run, .. } => {
                (run, "the word of its end to its schedule".to_owned())
            }
            Due::Schedule { schedule, at } => {
                return (Subject::Schedule(*schedule), format!("the time {at}"));
            }
        };
        (Subject::Run(*run), what)
    }
}

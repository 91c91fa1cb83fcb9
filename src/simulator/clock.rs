//! The simulation's clock: performs what is due, in one order or another, and moves the clock.

use std::collections::BTreeSet;

use super::agenda::{Due, Key, Subject};
use super::{DueItem, RunNumber, Simulator};
use crate::value::Timestamp;

impl Simulator {
    /// When the next thing is due; `None` if nothing will ever be.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.server.world.agenda.next()
    }

    /// Everything that is due at that time, in the usual order.
    pub fn due(&self) -> Vec<DueItem> {
        self.choices().map(|due| self.described(due)).collect()
    }

    /// What is due first; of clocks that fire together, only the first.
    fn choices(&self) -> impl Iterator<Item = (&Key, &Due)> {
        let mut clocks = BTreeSet::new();
        self.server.world.agenda.first().filter(move |(_, due)| {
            let is_timer = matches!(due, Due::Timer { .. });
            due.clock().is_none_or(|run| clocks.insert((run, is_timer)))
        })
    }

    fn described(&self, (key, due): (&Key, &Due)) -> DueItem {
        let (subject, what) = due.described();
        let (run, subject_id) = match subject {
            Subject::Run(run) => (
                Some(RunNumber(run)),
                &self.server.executions[run].workflow_id,
            ),
            Subject::Schedule(schedule) => (None, &self.server.schedules[schedule].id),
        };
        DueItem {
            at: key.0,
            run,
            subject_id: subject_id.clone(),
            what,
        }
    }

    /// Moves the clock to the first thing that is due, and performs it and the workflow tasks after it.
    pub fn step(&mut self) -> bool {
        self.take(0)
    }

    /// Performs another of the things that are due at that time first.
    pub fn take(&mut self, index: usize) -> bool {
        let taken = self.take_one(index);
        self.settle();
        taken
    }

    /// Performs everything that is due at that time before a worker gets the workflow task that the first of it has
    /// made due.
    pub(crate) fn take_together(&mut self) -> bool {
        let count = self.server.world.agenda.first().count();
        let at = self.next_due();
        for _ in 0..count {
            if self.next_due() == at {
                self.take_one(0);
            }
        }
        self.settle();
        count > 0
    }

    /// Performs the first wanted thing, whatever else is due before it: a real server may be late with anything.
    pub fn take_where(&mut self, wanted: impl Fn(&DueItem) -> bool) -> bool {
        let is_wanted = |due: &(&Key, &Due)| wanted(&self.described(*due));
        let key = self
            .server
            .world
            .agenda
            .all()
            .find(is_wanted)
            .map(|(key, _)| *key);
        let taken = key.is_some_and(|key| self.take_key(key));
        self.settle();
        taken
    }

    fn take_one(&mut self, index: usize) -> bool {
        let key = self.choices().nth(index).map(|(key, _)| *key);
        key.is_some_and(|key| self.take_key(key))
    }

    pub(super) fn take_key(&mut self, key: Key) -> bool {
        let Some(due) = self.server.world.agenda.get(key) else {
            return false;
        };
        let clock = due.clock();
        self.advance(key.0);
        match clock {
            Some(run) => self.take_clocks(run, key),
            None => self.take_due(key),
        }
        true
    }

    /// The server fires all timers of a run that are due, or all timeouts of its activities, together.
    fn take_clocks(&mut self, run: usize, key: Key) {
        let kind = self
            .server
            .world
            .agenda
            .get(key)
            .map(std::mem::discriminant);
        let is_same =
            |due: &Due| due.clock() == Some(run) && Some(std::mem::discriminant(due)) == kind;
        let by_now = self
            .server
            .world
            .agenda
            .all()
            .take_while(|(key, _)| key.0 <= self.server.world.now);
        let keys: Vec<Key> = by_now
            .filter(|(_, due)| is_same(due))
            .map(|(key, _)| *key)
            .collect();
        self.take_in_one_go(run, keys);
    }

    /// Fires only these timers of a run together, though more may be due: a real server is late with some of them.
    pub fn take_timers(&mut self, run: RunNumber, started_by: &[i64]) -> bool {
        let key_of = |started: &i64| {
            let timer = Due::Timer {
                run: run.0,
                event_id: *started,
            };
            let mut all = self.server.world.agenda.all();
            all.find(|(_, due)| **due == timer).map(|(key, _)| *key)
        };
        let keys: Vec<Key> = started_by.iter().filter_map(key_of).collect();
        let latest = keys.iter().map(|key| key.0).max();
        self.advance(latest.unwrap_or(self.now()));
        self.take_in_one_go(run.0, keys);
        self.settle();
        latest.is_some()
    }

    /// What fires together makes one workflow task due.
    fn take_in_one_go(&mut self, run: usize, keys: Vec<Key>) {
        let length = self.server.begin_one_go(run);
        keys.into_iter().for_each(|key| self.take_due(key));
        self.server.end_one_go(run, length);
    }

    /// Performs it, unless something has made it void.
    fn take_due(&mut self, key: Key) {
        if let Some(due) = self.server.world.agenda.take(key) {
            self.perform(due);
            self.drop_closed();
        }
    }

    fn perform(&mut self, due: Due) {
        let (server, worker) = (&mut self.server, &mut self.worker);
        match due {
            Due::Local { run, seq, what } => {
                let completion = worker.local_is_due(run, seq, what, &mut server.world);
                self.respond(completion);
            }
            Due::TaskHeartbeat { run } => {
                let completion = worker.heartbeat_task(run, &mut server.world);
                self.respond(Some(completion));
            }
            Due::FirstTask { run } => server.first_task(run),
            Due::Timer { run, event_id } => server.timer_fired(run, event_id),
            Due::Activity {
                run,
                event_id,
                what,
            } => server.activity_is_due(run, event_id, what),
            Due::StartChild { run, event_id } => server.start_child(run, event_id),
            Due::MockedChild { run, event_id } => server.mocked_child_ended(run, event_id),
            Due::SignalExternal { run, event_id } => server.send_external_signal(run, event_id),
            Due::CancelExternal { run, event_id } => server.send_external_cancel(run, event_id),
            Due::Nexus {
                run,
                event_id,
                what,
            } => server.nexus_is_due(run, event_id, what),
            Due::RunTimeout { run } => server.run_timed_out(run),
            Due::ChildClosed { run } => server.child_closed(run),
            Due::ParentClosed { child } => server.parent_closed(child),
            Due::Schedule { schedule, at } => server.schedule_is_due(schedule, at),
            Due::ScheduledRunClosed { schedule, run } => server.scheduled_run_closed(schedule, run),
        }
    }

    /// Performs everything due up to `at`, then sets the clock to `at`.
    pub fn run_until(&mut self, at: Timestamp) {
        while self.next_due().is_some_and(|due| due <= at) {
            self.step();
        }
        self.advance(at);
    }

    /// Sets the clock to `at` without doing what is due.
    pub fn advance(&mut self, at: Timestamp) {
        self.server.world.now = self.server.world.now.max(at);
    }

    /// False if something is still due after `steps_max` steps.
    pub fn run_until_idle(&mut self, steps_max: usize) -> bool {
        for _ in 0..steps_max {
            if !self.step() {
                return true;
            }
        }
        self.next_due().is_none()
    }
}

//! Local activities while no worker acts, and after another process has continued the work.

use super::super::agenda::{Key, after};
use super::super::away::LostAttempt;
use super::super::world::World;
use super::{Completion, Worker};
use crate::value::Duration;

impl Worker {
    /// Local activities were stopped for this long.
    pub(crate) fn delay_locals(&mut self, length: Duration, world: &mut World) {
        for run in self.runs.values_mut() {
            for local in run.locals.values_mut() {
                local.scheduled_at = after(local.scheduled_at, length);
                for key in local.keys.iter_mut().chain(local.close_key.as_mut()) {
                    *key = world.agenda.delay(*key, length);
                }
            }
        }
    }

    /// A cluster's worker would run them again in a new workflow task; here the attempt is known, and counts.
    pub(crate) fn lose_locals(
        &mut self,
        number: usize,
        world: &mut World,
    ) -> (Vec<LostAttempt>, Option<Completion>) {
        let mut lost = Vec::new();
        // A run without running local activities has none.
        let Some(run) = self.runs.get(&number) else {
            return (lost, None);
        };
        let under_way = run.locals.iter().filter(|(_, l)| l.plan.is_some());
        let mut attempts = Vec::new();
        for (seq, local) in under_way {
            let machine = run.cached.machines.local(*seq);
            lost.push(LostAttempt {
                workflow_id: run.workflow_id.clone(),
                activity_type: machine
                    .map_or_else(String::new, |m| m.schedule.activity_type.clone()),
                attempt: local.attempt,
            });
            attempts.push(*seq);
        }
        let mut done = Ok(());
        for seq in attempts {
            done = done.and_then(|()| self.lose_local(number, seq, world));
        }
        let completion = self.after_locals(number, done, world);
        (lost, completion)
    }

    /// The attempt has ended, and is about to be reported: it can no longer time out.
    pub(crate) fn stop_local_clocks(&mut self, run: usize, seq: u32, world: &mut World) {
        let local = self
            .runs
            .get_mut(&run)
            .and_then(|run| run.locals.get_mut(&seq));
        let keys: Option<Vec<Key>> = local.map(|local| std::mem::take(&mut local.keys));
        world.agenda.remove_all(keys.unwrap_or_default());
    }
}

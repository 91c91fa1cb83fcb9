//! `parallel`, `race` and `for_each` with `concurrency`: concurrent branches, each a routine of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{At, Flow};
use crate::engine::failure::Failure;
use crate::engine::machine::Machine;
use crate::engine::observe::Event;
use crate::engine::state::{
    Fan, FanKind, Frame, Items, Outcome, Routine, RoutineId, RoutineKind, Waiting,
};
use crate::program::Action;
use crate::value::{Map, Value};
use crate::words::{BlockId, OnFailure, StepId};

pub(crate) const PARENT: &str = "a routine outlives its branches";
const FAN: &str = "the innermost frame of a routine with branches is that of the branches";

impl Machine<'_> {
    /// Begins the branches of a `parallel` or `race`.
    pub(crate) fn begin_branches(
        &mut self,
        at: &mut At<'_>,
        kind: FanKind,
        branches: &[(Arc<str>, BlockId)],
    ) -> Flow {
        let mut fan = Fan::new(at.step, kind, VecDeque::new());
        for (_, block) in branches {
            let branch = branch_of(at.id, fan.next_index, at.routine, *block);
            fan.begin(self.run.spawn(branch));
        }
        self.enter_fan(at.routine, fan)
    }

    /// Begins the first turns of a `for_each`, as many as its `concurrency` allows.
    pub(crate) fn begin_turns(
        &mut self,
        at: &mut At<'_>,
        items: Items,
        concurrency: usize,
    ) -> Flow {
        let mut fan = Fan::new(at.step, FanKind::ForEach, items.into());
        while fan.running.len() < concurrency
            && let Some(turn) = self.turn(&mut fan, at.id, at.routine)
        {
            fan.begin(self.run.spawn(turn));
        }
        self.enter_fan(at.routine, fan)
    }

    fn enter_fan(&mut self, routine: &mut Routine, fan: Fan) -> Flow {
        if fan.running.is_empty() {
            return Flow::Next(self.fan_result(&fan));
        }
        routine.frames.push(Frame::Fan(Box::new(fan)));
        routine.waiting = Some(Waiting::Branches);
        Flow::Entered
    }

    /// The next turn of a `for_each`, with its item set.
    fn turn(&self, fan: &mut Fan, parent: RoutineId, routine: &Routine) -> Option<Routine> {
        let (index, item) = fan.pending.pop_front()?;
        let Action::ForEach(for_each) = &self.program.step(fan.step).action else {
            self.run
                .violated("branches that are begun later are turns of a `for_each`");
            return None;
        };
        let mut turn = branch_of(parent, fan.next_index, routine, for_each.body);
        turn.locals[for_each.item_slot as usize] = Some(item);
        if let Some(slot) = for_each.index_slot {
            turn.locals[slot as usize] = Some(index);
        }
        Some(turn)
    }

    pub(crate) fn branch_ended(&mut self, parent: RoutineId, index: u32, outcome: Outcome) {
        let Some(mut routine) = self.run.routines.remove(&parent) else {
            return self.run.violated(PARENT);
        };
        let Some(Frame::Fan(mut fan)) = routine.frames.pop() else {
            return self.run.violated(FAN);
        };
        fan.running.remove(&index);
        self.settle(&mut fan, index, outcome);
        if !fan.stopped
            && let Some(turn) = self.turn(&mut fan, parent, &routine)
        {
            fan.begin(self.run.spawn(turn));
        }
        let others: Vec<RoutineId> = fan.running.values().copied().collect();
        let (ended, cancels) = (others.is_empty(), fan.stopped && fan.cancels_others);
        fan.cancels_others = false;
        let result = ended.then(|| match fan.decided.take() {
            Some(decided) => decided,
            None => Outcome::Value(self.fan_result(&fan)),
        });
        routine.frames.push(Frame::Fan(fan));
        self.run.routines.insert(parent, routine);
        if cancels {
            others
                .into_iter()
                .for_each(|other| self.request_cancel(other, 0));
        }
        if let Some(outcome) = result {
            self.run.resume(parent, outcome);
        }
    }

    /// What the end of one branch means for all of them.
    fn settle(&mut self, fan: &mut Fan, index: u32, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Value(value) => self
                .forced(&value)
                .map_or_else(Outcome::Failed, Outcome::Value),
            Outcome::Continue => Outcome::Value(Value::Null),
            outcome @ (Outcome::Failed(_)
            | Outcome::Return(_)
            | Outcome::Break
            | Outcome::ContinueAsNew(_)) => outcome,
        };
        match (fan.kind, outcome) {
            // Branches cancelled after the result was decided no longer affect it.
            (FanKind::Race, _) if fan.stopped => {}
            (
                _,
                Outcome::Failed(_)
                | Outcome::Return(_)
                | Outcome::Break
                | Outcome::ContinueAsNew(_),
            ) if fan.stopped => {}
            (FanKind::Race, Outcome::Value(value)) => {
                self.observe(Event::RaceWon {
                    step: fan.step,
                    branch: index,
                });
                let winner = self.branch_name(fan.step, index);
                let result = Map::from_iter([("winner", winner), ("result", value)]);
                fan.decide(Outcome::Value(Value::map(result)));
            }
            (_, Outcome::Value(value)) => match fan.results.get_mut(index as usize) {
                Some(place) => *place = Some(value),
                None => self.run.violated("each branch has a place for its result"),
            },
            (FanKind::ForEach, Outcome::Break) => fan.stop(),
            (FanKind::Parallel, Outcome::Failed(failure)) if self.waits_for_all(fan.step) => {
                fan.decided.get_or_insert(Outcome::Failed(failure));
            }
            (
                FanKind::Parallel | FanKind::Race | FanKind::ForEach,
                outcome @ (Outcome::Failed(_)
                | Outcome::Return(_)
                | Outcome::Break
                | Outcome::Continue
                | Outcome::ContinueAsNew(_)),
            ) => fan.decide(outcome),
        }
    }

    fn waits_for_all(&self, step: StepId) -> bool {
        let action = &self.program.step(step).action;
        matches!(
            action,
            Action::Parallel {
                on_failure: OnFailure::WaitAll,
                ..
            }
        )
    }

    pub(crate) fn branch_name(&self, step: StepId, index: u32) -> Value {
        let (Action::Parallel { branches, .. } | Action::Race { branches }) =
            &self.program.step(step).action
        else {
            return Value::Int(i64::from(index));
        };
        Value::String(branches[index as usize].0.clone())
    }

    /// A list of the turns' results; a map from each branch to its own.
    fn fan_result(&self, fan: &Fan) -> Value {
        if let Action::Parallel { branches, .. } = &self.program.step(fan.step).action {
            let value = |i: usize| fan.results.get(i).cloned().flatten().unwrap_or(Value::Null);
            let results = branches
                .iter()
                .enumerate()
                .map(|(i, (name, _))| (name.clone(), value(i)));
            return Value::map(results.collect());
        }
        // After a `break` there are results only of the turns that ended.
        let results = fan.results.iter();
        Value::list(match fan.stopped {
            true => results.flatten().cloned().collect(),
            false => results
                .map(|result| result.clone().unwrap_or(Value::Null))
                .collect(),
        })
    }

    /// A cancellation from outside reaches every branch; then the whole ends as cancelled.
    pub(crate) fn cancel_branches(&mut self, id: RoutineId) {
        let routine = self.run.routines.get_mut(&id);
        let Some(Frame::Fan(fan)) = routine.and_then(|routine| routine.frames.last_mut()) else {
            return self.run.violated(FAN);
        };
        fan.decided = Some(Outcome::Failed(Failure::cancelled("cancelled")));
        fan.stopped = true;
        let running: Vec<RoutineId> = fan.running.values().copied().collect();
        running
            .into_iter()
            .for_each(|branch| self.request_cancel(branch, 0));
    }
}

/// Branches end by themselves, not by an outcome from inside.
pub(crate) fn leave_fan(fan: Fan, outcome: Outcome) -> Outcome {
    fan.decided.unwrap_or(outcome)
}

fn branch_of(parent: RoutineId, index: u32, routine: &Routine, block: BlockId) -> Routine {
    let kind = RoutineKind::Branch { parent, index };
    let branch = Routine::new(kind, vec![Frame::block(block)], routine.locals.clone());
    Routine {
        handles: routine.handles.clone(),
        ..branch
    }
}

impl Fan {
    fn new(step: StepId, kind: FanKind, pending: VecDeque<(Value, Value)>) -> Self {
        Fan {
            step,
            kind,
            running: BTreeMap::new(),
            results: Vec::new(),
            pending,
            next_index: 0,
            decided: None,
            stopped: false,
            cancels_others: false,
        }
    }

    fn begin(&mut self, branch: RoutineId) {
        self.running.insert(self.next_index, branch);
        self.results.push(None);
        self.next_index += 1;
    }

    fn decide(&mut self, outcome: Outcome) {
        self.decided = Some(outcome);
        self.stop();
    }

    fn stop(&mut self) {
        self.cancels_others = !self.stopped;
        self.stopped = true;
    }
}

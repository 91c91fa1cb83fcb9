//! `set`, `upsert` and `details`: the state and metadata of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Flow;
use crate::engine::command::CommandKind;
use crate::engine::failure::Failure;
use crate::engine::load::fields_size_bytes;
use crate::engine::machine::Machine;
use crate::engine::state::Routine;
use crate::expression::Code;
use crate::value::{Payload, Value};

impl Machine<'_> {
    pub(crate) fn begin_set(
        &mut self,
        routine: &Routine,
        assignments: &[(Arc<str>, Code)],
    ) -> Result<Flow, Failure> {
        self.set(routine, assignments)?;
        if !self.is_of_main(routine) || self.is_left_behind(routine) {
            self.run.handled_version += 1;
        }
        Ok(Flow::Next(Value::Null))
    }

    /// All values are evaluated before any is assigned.
    fn set(&mut self, routine: &Routine, assignments: &[(Arc<str>, Code)]) -> Result<(), Failure> {
        let mut values = Vec::with_capacity(assignments.len());
        for (name, code) in assignments {
            let value = self.evaluate(routine, code)?;
            values.push((name.clone(), self.forced(&value)?));
        }
        if let Value::Map(state) = &mut self.run.state {
            let state = Arc::make_mut(state);
            values.into_iter().for_each(|(name, value)| {
                state.insert(name, value);
            });
        }
        self.run.state_version += 1;
        Ok(())
    }

    pub(crate) fn begin_upsert(
        &mut self,
        routine: &Routine,
        search_attributes: Option<&Code>,
        memo: Option<&Code>,
    ) -> Result<Flow, Failure> {
        Ok(match self.upsert(routine, search_attributes, memo)? {
            true => Flow::Next(Value::Null),
            false => Flow::Entered,
        })
    }

    /// False if it must wait for the next workflow task.
    fn upsert(
        &mut self,
        routine: &Routine,
        search_attributes: Option<&Code>,
        memo: Option<&Code>,
    ) -> Result<bool, Failure> {
        let attributes: BTreeMap<String, Payload> = self.payloads(routine, search_attributes)?;
        let memo = self.payloads(routine, memo)?;
        if !self.makes_room(fields_size_bytes(&attributes) + fields_size_bytes(&memo))? {
            return Ok(false);
        }
        if !attributes.is_empty() {
            self.run.search_attributes.extend(attributes.clone());
            self.command(CommandKind::UpsertSearchAttributes(attributes));
        }
        if !memo.is_empty() {
            self.run.memo.extend(memo.clone());
            self.command(CommandKind::UpsertMemo(memo));
        }
        self.workflow.take();
        Ok(true)
    }

    pub(crate) fn begin_details(
        &mut self,
        routine: &Routine,
        details: &Code,
    ) -> Result<Flow, Failure> {
        self.run.details = self.text(routine, details)?;
        Ok(Flow::Next(Value::Null))
    }
}

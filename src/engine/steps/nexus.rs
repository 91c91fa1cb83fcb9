//! `nexus`: an operation of a Nexus service.

use super::{At, Flow};
use crate::engine::command::{CommandKind, ScheduleNexus};
use crate::engine::failure::Failure;
use crate::engine::machine::Machine;
use crate::engine::state::OperationKind;
use crate::program;
use crate::value::{Map, Value};

impl Machine<'_> {
    pub(crate) fn begin_nexus(
        &mut self,
        at: &mut At<'_>,
        nexus: &program::Nexus,
    ) -> Result<Flow, Failure> {
        let input = match &nexus.input {
            Some(code) => self.evaluate(at.routine, code)?,
            None => Value::Null,
        };
        let schedule = ScheduleNexus {
            seq: 0,
            endpoint: self.text(at.routine, &nexus.endpoint)?,
            service: self.text(at.routine, &nexus.service)?,
            operation: self.text(at.routine, &nexus.operation)?,
            input: self.payload(&input)?,
            schedule_to_close_timeout: self
                .optional_length(at.routine, nexus.schedule_to_close_timeout.as_ref())?,
            schedule_to_start_timeout: self
                .optional_length(at.routine, nexus.schedule_to_start_timeout.as_ref())?,
            start_to_close_timeout: self
                .optional_length(at.routine, nexus.start_to_close_timeout.as_ref())?,
        };
        let seq = self.run.take_seq();
        self.begin(seq, OperationKind::Nexus, Some(at.step));
        self.command(CommandKind::ScheduleNexus(Box::new(ScheduleNexus {
            seq,
            ..schedule
        })));
        self.summarise(at.routine, at.step);
        if !nexus.is_started {
            return Ok(self.wait_operation(at, seq));
        }
        self.keep_handle(at, seq);
        Ok(Flow::Next(Value::map(Map::new())))
    }
}

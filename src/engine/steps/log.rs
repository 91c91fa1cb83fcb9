//! `log`: a line in the worker's log, unless the run is replayed.

use super::Flow;
use crate::engine::command::CommandKind;
use crate::engine::failure::Failure;
use crate::engine::machine::Machine;
use crate::engine::state::Routine;
use crate::expression::Code;
use crate::value::Value;
use crate::words::LogLevel;

impl Machine<'_> {
    pub(crate) fn begin_log(
        &mut self,
        routine: &Routine,
        level: LogLevel,
        message: &Code,
        fields: Option<&Code>,
    ) -> Result<Flow, Failure> {
        let message = self.text(routine, message)?;
        let mut values = Vec::new();
        if let Some(fields) = fields {
            let fields = self.evaluate(routine, fields)?;
            for (key, value) in fields.as_map().into_iter().flat_map(|map| map.iter()) {
                let name = key.as_str().unwrap_or_default().to_owned();
                values.push((name, value.clone()));
            }
        }
        self.command(CommandKind::Log {
            level,
            message,
            fields: values,
        });
        Ok(Flow::Next(Value::Null))
    }
}

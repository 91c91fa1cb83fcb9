//! What a run reports about itself to Temporal's UI: its call stack and the messages that it receives.

use std::sync::Arc;

use super::machine::Machine;
use super::state::{Frame, RoutineId, RoutineKind};
use crate::program;
use crate::value::{Map, Value};

impl Machine<'_> {
    /// Where every routine is: step, file, line, column.
    pub(crate) fn stack_trace(&self) -> String {
        let mut lines = Vec::new();
        for (id, routine) in &self.run.routines {
            let kind = match &routine.kind {
                RoutineKind::Main => "workflow".to_owned(),
                RoutineKind::Signal { handler } => {
                    format!("signal {}", self.program.signals[*handler as usize].name)
                }
                RoutineKind::Update { handler, .. } => {
                    format!("update {}", self.program.updates[*handler as usize].name)
                }
                RoutineKind::Branch { parent, index } => {
                    format!("{} of routine {parent}", self.branch_title(*parent, *index))
                }
            };
            lines.push(format!("routine {id} ({kind}):"));
            for frame in routine.frames.iter().rev() {
                if let Some(step) = frame.step(self.program) {
                    let name = self.program.step(step).id.as_deref().unwrap_or("step");
                    lines.push(format!("  {name} at {}", self.program.location(step)));
                }
            }
        }
        lines.join("\n")
    }

    /// `temporal.api.sdk.v1.WorkflowMetadata`, in protobuf's JSON form.
    pub(crate) fn metadata(&self) -> Value {
        let definition = |name: &Arc<str>, description: &Option<Arc<str>>| {
            let description = description.clone().unwrap_or_else(|| "".into());
            let name = if &**name == "*" {
                "".into()
            } else {
                name.clone()
            };
            Value::map(Map::from_iter([
                ("name", Value::String(name)),
                ("description", Value::String(description)),
            ]))
        };
        let program = self.program;
        let handlers = |handlers: &[program::Handler]| {
            Value::list(
                handlers
                    .iter()
                    .map(|h| definition(&h.name, &h.description))
                    .collect(),
            )
        };
        let queries = program
            .queries
            .iter()
            .map(|q| definition(&q.name, &q.description))
            .collect();
        Value::map(Map::from_iter([
            (
                "definition",
                Value::map(Map::from_iter([
                    ("type", Value::String(program.workflow.clone())),
                    ("queryDefinitions", Value::list(queries)),
                    ("signalDefinitions", handlers(&program.signals)),
                    ("updateDefinitions", handlers(&program.updates)),
                ])),
            ),
            ("currentDetails", Value::from(self.run.details.as_str())),
        ]))
    }

    /// A branch by its name, a turn of a loop by its number.
    fn branch_title(&self, parent: RoutineId, index: u32) -> String {
        let parent = self.run.routines.get(&parent);
        let mut frames = parent.iter().flat_map(|parent| parent.frames.iter().rev());
        let step = frames.find_map(|frame| {
            let Frame::Fan(fan) = frame else { return None };
            Some(fan.step)
        });
        match step.map(|step| self.branch_name(step, index)) {
            Some(Value::String(name)) => format!("branch {name}"),
            _ => format!("turn {index}"),
        }
    }
}

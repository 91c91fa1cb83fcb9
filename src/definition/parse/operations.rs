//! The keys of the steps that call something outside the run.

use super::Parser;
use super::fields::Fields;
use crate::definition::table::{Field, key};
use crate::definition::{
    Action, ActivityStep, BuiltInStep, ChildStep, ContinueAsNewStep, Input, Kind, NexusStep,
    SignalStep, SignalTarget, Started, tables,
};
use crate::diagnostic::Diagnostic;
use crate::source::Range;
use crate::words::BuiltIn;
use crate::yaml::Node;

impl Parser {
    pub(super) fn activity(&mut self, fields: &Fields<'_>) -> ActivityStep {
        ActivityStep {
            activity: self.required_template(fields, key!("activity")),
            input: self.input(fields),
            options: self.own_options(fields),
        }
    }

    pub(super) fn built_in(&mut self, kind: BuiltIn, fields: &Fields<'_>) -> BuiltInStep {
        let key = Kind::of_built_in(kind).row().key.key();
        self.check_request(fields, key);
        BuiltInStep {
            kind,
            request: self.required_template(fields, key),
            options: self.own_options(fields),
        }
    }

    pub(super) fn child(&mut self, fields: &Fields<'_>) -> ChildStep {
        ChildStep {
            child: self.required_template(fields, key!("child")),
            input: self.input(fields),
            options: self.own_options(fields),
        }
    }

    pub(super) fn start(&mut self, key: &'static Field, value: &Node) -> Action {
        let nothing = |parser: &mut Self, range: Range| {
            Action::Start(Box::new(Started::Child(ChildStep {
                child: parser.absent(range),
                input: Input::None,
                options: None,
            })))
        };
        let Some(entries) = value.mapping() else {
            self.wrong_type(key, value);
            return nothing(self, value.range);
        };
        let actions: Vec<_> = tables::STARTED.iter().map(|kind| kind.row()).collect();
        let Some((entry, action)) = self.action_key(value, entries, &actions) else {
            return nothing(self, value.range);
        };
        let fields = self.step_fields(value, action, &actions, &[]);
        let started = match self.action(action, &fields, entry) {
            Action::Activity(step) => Started::Activity(*step),
            Action::BuiltIn(step) => Started::BuiltIn(*step),
            Action::Child(step) => Started::Child(*step),
            Action::Nexus(step) => Started::Nexus(*step),
            Action::Timer(_)
            | Action::Wait(_)
            | Action::Set(_)
            | Action::If { .. }
            | Action::Switch { .. }
            | Action::ForEach(_)
            | Action::While { .. }
            | Action::Repeat { .. }
            | Action::Break
            | Action::Continue
            | Action::Parallel { .. }
            | Action::Race { .. }
            | Action::Try(_)
            | Action::Saga { .. }
            | Action::Do { .. }
            | Action::Call { .. }
            | Action::Start(_)
            | Action::Await(_)
            | Action::Cancel(_)
            | Action::Signal(_)
            | Action::CancelWorkflow { .. }
            | Action::ContinueAsNew(_)
            | Action::Upsert { .. }
            | Action::Log { .. }
            | Action::Details(_)
            | Action::Return(_)
            | Action::Fail(_) => unreachable!("`start` offers only what `STARTED` has"),
        };
        Action::Start(Box::new(started))
    }

    pub(super) fn signal(&mut self, fields: &Fields<'_>, value: &Node) -> SignalStep {
        self.exclusive(fields, [key!("workflow_id"), key!("handle")]);
        self.exclusive(fields, [key!("run_id"), key!("handle")]);
        let run_id = self.template(fields, key!("run_id"));
        let target = match (
            self.template(fields, key!("workflow_id")),
            self.text(fields, key!("handle")),
        ) {
            (Some(workflow_id), _) => SignalTarget::Workflow {
                workflow_id,
                run_id,
            },
            (None, Some(handle)) => SignalTarget::Handle(handle),
            (None, None) => {
                if fields.get(key!("handle")).is_none() {
                    let message = "`signal` has no workflow to send it to";
                    let error = Diagnostic::error("missing-key", fields.start(), message)
                        .help("add `workflow_id`, or `handle` with the id of the step that started the child")
                        .help("to wait for a signal, write `wait: { signal: NAME }`");
                    self.report(error);
                }
                SignalTarget::Workflow {
                    workflow_id: self.absent(value.range),
                    run_id,
                }
            }
        };
        SignalStep {
            name: self.required_template(fields, key!("signal")),
            target,
            input: self.input(fields),
        }
    }

    pub(super) fn cancel_workflow(&mut self, key: &'static Field, value: &Node) -> Action {
        let fields = self.table_of(key, value);
        let Some(fields) = fields else {
            return Action::CancelWorkflow {
                workflow_id: self.absent(value.range),
                run_id: None,
                reason: None,
            };
        };
        Action::CancelWorkflow {
            workflow_id: self.required_template(&fields, key!("workflow_id")),
            run_id: self.template(&fields, key!("run_id")),
            reason: self.template(&fields, key!("reason")),
        }
    }

    pub(super) fn nexus(&mut self, key: &'static Field, value: &Node) -> NexusStep {
        let Some(fields) = self.table_of(key, value) else {
            return NexusStep {
                endpoint: self.absent(value.range),
                service: self.absent(value.range),
                operation: self.absent(value.range),
                input: None,
                schedule_to_close_timeout: None,
                schedule_to_start_timeout: None,
                start_to_close_timeout: None,
            };
        };
        NexusStep {
            endpoint: self.required_template(&fields, key!("endpoint")),
            service: self.required_template(&fields, key!("service")),
            operation: self.required_template(&fields, key!("operation")),
            input: self.template(&fields, key!("input")),
            schedule_to_close_timeout: self.duration(&fields, key!("schedule_to_close_timeout")),
            schedule_to_start_timeout: self.duration(&fields, key!("schedule_to_start_timeout")),
            start_to_close_timeout: self.duration(&fields, key!("start_to_close_timeout")),
        }
    }

    pub(super) fn continue_as_new(
        &mut self,
        key: &'static Field,
        value: &Node,
    ) -> ContinueAsNewStep {
        let empty = super::values::empty_mapping(value.range);
        let value = if value.is_null() { &empty } else { value };
        let fields = match self.table_of(key, value) {
            Some(fields) => fields,
            None => Fields::none(value.range),
        };
        ContinueAsNewStep {
            input: self.input(&fields),
            workflow: self.template(&fields, key!("workflow")),
            task_queue: self.template(&fields, key!("task_queue")),
            workflow_run_timeout: self.duration(&fields, key!("workflow_run_timeout")),
            workflow_task_timeout: self.duration(&fields, key!("workflow_task_timeout")),
            retry_policy: self.retry_policy(&fields),
            memo: self.template(&fields, key!("memo")),
            search_attributes: self.template(&fields, key!("search_attributes")),
            version: self
                .word(&fields, key!("definition"))
                .map(|version| version.value)
                .unwrap_or_default(),
            initial_versioning_behavior: self
                .word(&fields, key!("initial_versioning_behavior"))
                .map(|behavior| behavior.value),
        }
    }
}

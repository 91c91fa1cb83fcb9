//! The steps that do something outside, or wait for it.

use std::fmt::Write as _;

use super::super::program::{After, Deadline, Effect, Kind, Step, Via};
use super::{ACTIVITIES, Writer};

impl Writer<'_> {
    pub(super) fn call(&self, step: &Step, effect: &Effect) -> String {
        let Effect {
            ms, fails, size, ..
        } = effect;
        let key = self.key(step);
        let saga = match (effect.undone, &self.saga) {
            (true, Some(saga)) => saga.clone(),
            (true, None) => "run".to_owned(),
            (false, _) => String::new(),
        };
        let what = format!(
            "{{ key: \"${{ workflow.id }}/{key}\", saga: \"{saga}\", ms: {ms}, fails: {fails}, size: {size} }}"
        );
        let http = "url: \"${ state.http }";
        match effect.via {
            Via::Http | Via::LocalHttp => format!("http: {{ {http}/act/do\", body: {what} }}"),
            Via::Callback => {
                format!("callback: {{ http: {{ {http}/callback/act\", body: {what} }} }}")
            }
            Via::Activity => format!(
                "activity: act, input: {{ http: \"${{ state.http }}\", act: {what} }}, task_queue: {ACTIVITIES}"
            ),
        }
    }

    pub(super) fn effect(&mut self, indent: usize, step: &Step, effect: &Effect) {
        let n = step.number;
        let mut text = format!("- {{ id: e{n}, {}", self.call(step, effect));
        match effect.via {
            Via::LocalHttp => text += ", local: true",
            Via::Callback => text += ", schedule_to_close_timeout: 40s",
            _ => {}
        }
        if let Some(cancellation) = effect.cancellation {
            let _ = write!(text, ", cancellation_type: {cancellation}");
        }
        if effect.undone {
            let result = match effect.via {
                Via::Activity => format!("e{n}.key"),
                _ => format!("e{n}.body.key"),
            };
            let _ = write!(
                text,
                ", compensate: [{{ http: {{ url: \"${{ state.http }}/act/do\", body: {{ key: \"undo:${{ {result} }}\" }} }} }}]"
            );
        }
        self.line(indent, &format!("{text} }}"));
    }

    pub(super) fn started(&mut self, indent: usize, step: &Step, effect: &Effect, after: After) {
        let handle = format!("e{}", step.number);
        let call = self.call(step, effect);
        let local = match effect.via {
            Via::LocalHttp => ", local: true",
            _ => "",
        };
        self.line(
            indent,
            &format!("- {{ id: {handle}, start: {{ {call}{local} }} }}"),
        );
        match after {
            After::Awaited => self.line(indent, &format!("- await: {handle}")),
            After::Cancelled => {
                self.line(indent, &format!("- cancel: {handle}"));
                self.line(indent, &format!("- try: [{{ await: {handle} }}]"));
                self.line(indent + 1, "catch:");
                self.line(
                    indent + 2,
                    "- { error: cancelled, do: [{ log: it was stopped }] }",
                );
            }
            After::Left => {}
        }
    }

    pub(super) fn gate(&mut self, indent: usize, step: &Step, deadline: Deadline, ms: u64) {
        let gate = format!("gate-{}", step.number);
        let key = self.key(step);
        let n = step.number;
        match deadline {
            Deadline::Wait => {
                self.line(indent, &format!("- id: g{n}"));
                self.line(indent + 1, &format!("description: gate {key}"));
                self.line(
                    indent + 1,
                    &format!("wait: {{ signal: {gate}, timeout: {ms}ms }}"),
                );
                self.line(indent + 1, "on_timeout: [{ log: too late }]");
                self.line(indent, &format!("- if: g{n} != null"));
                self.line(indent + 1, "then:");
                self.mark(indent + 2, "gate", step, "signal");
                self.line(indent + 1, "else:");
                self.mark(indent + 2, "gate", step, "time");
            }
            Deadline::Do | Deadline::Condition => {
                self.line(indent, "- try:");
                self.line(indent + 2, "- do:");
                let what = match deadline {
                    Deadline::Condition => format!("until: state.g{n}"),
                    _ => format!("signal: {gate}"),
                };
                self.line(indent + 4, &format!("- wait: {{ {what} }}"));
                self.line(indent + 3, &format!("timeout: {ms}ms"));
                self.line(indent + 3, &format!("description: gate {key}"));
                self.mark(indent + 2, "gate", step, "signal");
                self.line(indent + 1, "catch:");
                self.line(indent + 2, "- error: timeout");
                self.line(indent + 3, "do:");
                self.mark(indent + 4, "gate", step, "time");
            }
            Deadline::Race => {
                self.line(indent, &format!("- id: g{n}"));
                self.line(indent + 1, "race:");
                self.line(
                    indent + 3,
                    &format!("time: [{{ timer: {ms}ms, description: \"gate {key}\" }}]"),
                );
                self.line(
                    indent + 3,
                    &format!("signal: [{{ wait: {{ signal: {gate} }} }}]"),
                );
                self.line(indent, &format!("- if: g{n}.winner == 'signal'"));
                self.line(indent + 1, "then:");
                self.mark(indent + 2, "gate", step, "signal");
                self.line(indent + 1, "else:");
                self.mark(indent + 2, "gate", step, "time");
            }
        }
    }

    pub(super) fn child_step(&mut self, indent: usize, step: &Step) {
        let Kind::Child {
            started,
            signalled,
            policy,
        } = step.kind
        else {
            return;
        };
        let (n, name, key) = (step.number, self.name.to_owned(), self.key(step));
        let child = format!(
            "child: {name}-child, workflow_id: \"${{ workflow.id }}-{key}\", input: {{ http: \"${{ state.http }}\" }}, parent_close_policy: {policy}, workflow_task_timeout: 3s, workflow_execution_timeout: 100s"
        );
        self.line(indent, "- try:");
        if !started {
            self.line(indent + 2, &format!("- {{ {child} }}"));
            return self.caught(indent + 1);
        }
        self.line(
            indent + 2,
            &format!("- {{ id: h{n}, start: {{ {child} }} }}"),
        );
        if signalled {
            self.line(
                indent + 2,
                &format!("- {{ signal: note, handle: h{n}, input: {{ id: \"{key}\" }} }}"),
            );
        }
        self.line(indent + 2, &format!("- await: h{n}"));
        self.caught(indent + 1);
    }
}

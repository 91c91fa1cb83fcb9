//! A program as a definition. All that it accepts and does is kept in its state under ids, carried by its continuations and
//! returned at its end, so that the outside can compare.

use std::fmt::Write as _;

use super::program::{Deadline, Ending, Kind, Program, Step};

#[path = "write_outside.rs"]
mod outside;

/// The task queue of the activities in Python, and the name of their Nexus endpoint: those of the step cases.
pub const ACTIVITIES: &str = "steps";
/// The summary of the timer with which the last wait for a `job` ends.
pub const DRAIN: &str = "drain";
const FAILED: &str =
    "[application, timeout, cancelled, terminated, child_workflow, activity, nexus]";
/// What every continuation carries and every end returns.
const CARRIED: &str = "seen: \"${ state.seen }\", done: \"${ state.done }\", jobs: \"${ state.jobs }\", marks: \"${ state.marks }\"";

/// The definition of the program and of its child, the type `NAME-child`.
pub fn definition(program: &Program, name: &str, tag: &str) -> String {
    let mut writer = Writer {
        text: String::new(),
        name,
        keys: Vec::new(),
        saga: None,
        loops: 0,
        stays: program.stays,
    };
    writer.workflow(program, tag);
    if program.has_child() {
        writer.child(program, tag);
    }
    writer.text
}

/// A part of a key: a text, or an expression that gives a text.
#[derive(Clone)]
enum Part {
    Text(String),
    Expression(String),
}

struct Writer<'a> {
    text: String,
    name: &'a str,
    /// What tells a step's executions apart.
    keys: Vec<Part>,
    /// The key of the saga around.
    saga: Option<String>,
    loops: u32,
    stays: bool,
}

impl Writer<'_> {
    fn line(&mut self, indent: usize, text: &str) {
        let _ = writeln!(self.text, "{}{text}", "  ".repeat(indent));
    }

    fn head(&mut self, name: &str, program: &Program, tag: &str) {
        self.line(0, &format!("segno: 1\nworkflow: {name}"));
        if program.automatic {
            self.line(0, "history: automatic");
        }
        self.line(0, "input: object");
        if program.ending == Ending::Nothing {
            self.line(0, "output: { type: object, required: [seen] }");
        }
        self.line(
            0,
            "defaults: { activity: { start_to_close_timeout: 4s, retry_policy: { maximum_attempts: 30, initial_interval: 100ms, backoff_coefficient: 1 } } }",
        );
        self.line(0, "state:");
        for (field, first) in [
            ("turn", "0"),
            ("seen", "[]"),
            ("done", "[]"),
            ("jobs", "[]"),
            ("marks", "[]"),
            ("closed", "false"),
        ] {
            self.line(
                1,
                &format!("{field}: \"${{ input.?{field}.orValue({first}) }}\""),
            );
        }
        self.line(1, "http: \"${ input.http }\"");
        self.line(1, "n: 0\n  drained: false");
        for step in program.steps() {
            if is_counted(&step.kind) {
                self.line(1, &format!("c{}: 0", step.number));
            }
            if let Kind::Gate(Deadline::Condition, _) = step.kind {
                self.line(1, &format!("g{}: false", step.number));
            }
        }
        self.line(0, "queries:");
        self.line(
            1,
            &format!("all: {{ result: {{ {CARRIED}, turn: \"${{ state.turn }}\", tag: {tag} }} }}"),
        );
    }

    fn workflow(&mut self, program: &Program, tag: &str) {
        let name = self.name.to_owned();
        self.head(&name, program, tag);
        self.line(0, "signals:\n  note:\n    do:");
        self.keys = vec![Part::Expression("args.id".to_owned())];
        self.recorded(3, &program.note, program.note_records_last, "seen");
        for (n, deadline) in program.gates() {
            if deadline == Deadline::Condition {
                self.line(
                    1,
                    &format!("gate-{n}: {{ do: [{{ set: {{ g{n}: true }} }}] }}"),
                );
            }
        }
        self.line(
            1,
            "close:\n    do:\n      - set: { closed: true }\nupdates:\n  add:\n    validate: \"args.id != 'refused'\"\n    do:",
        );
        self.recorded(3, &program.add, program.add_records_last, "done");
        self.line(
            3,
            "- return: { id: \"${ args.id }\", done: \"${ state.done }\" }",
        );
        let calls = program.steps().iter().any(|s| s.kind == Kind::Call);
        if calls && !program.block.is_empty() {
            self.line(0, "blocks:\n  part:\n    do:");
            self.keys = vec![Part::Expression("input.key".to_owned())];
            self.steps(3, &program.block);
        }
        self.line(0, "steps:");
        self.keys = vec![
            Part::Text("t".to_owned()),
            Part::Expression("string(state.turn)".to_owned()),
        ];
        self.steps(1, &program.body);
        self.ending(program, tag);
    }

    fn recorded(&mut self, indent: usize, steps: &[Step], last: bool, field: &str) {
        let set = format!("- set: {{ {field}: \"${{ state.{field} + [args.id] }}\" }}");
        if !last {
            self.line(indent, &set);
        }
        self.steps(indent, steps);
        if last {
            self.line(indent, &set);
        }
    }

    fn ending(&mut self, program: &Program, tag: &str) {
        if program.turns > 0 {
            self.continuation(1, program.turns);
        }
        if program.ending == Ending::Closed {
            self.line(1, "- wait: { until: state.closed }");
        }
        if program.drains {
            self.line(1, "- while: \"!state.drained\"");
            self.line(2, "do:");
            self.line(3, "- id: last");
            self.line(4, &format!("description: {DRAIN}"));
            self.line(4, "wait: { signal: job, timeout: 400ms }");
            self.line(4, "on_timeout: [{ set: { drained: true } }]");
            self.line(3, "- if: \"!state.drained\"");
            self.line(
                4,
                "then: [{ set: { jobs: \"${ state.jobs + [last.id] }\" } }]",
            );
        }
        match program.ending {
            Ending::Nothing => {
                self.line(1, "- if: size(state.seen) > 1000");
                self.line(2, "then:");
                self.returned(3, tag);
            }
            _ => self.returned(1, tag),
        }
    }

    fn returned(&mut self, indent: usize, tag: &str) {
        self.line(
            indent,
            &format!("- return: {{ {CARRIED}, turn: \"${{ state.turn }}\", tag: {tag} }}"),
        );
    }

    fn continuation(&mut self, indent: usize, turns: u64) {
        self.line(indent, &format!("- if: state.turn < {turns}"));
        self.line(indent + 1, "then:");
        let stays = match self.stays {
            true => ", definition: pinned",
            false => "",
        };
        self.line(
            indent + 2,
            &format!(
                "- continue_as_new: {{ input: {{ http: \"${{ state.http }}\", turn: \"${{ state.turn + 1 }}\", closed: \"${{ state.closed }}\", {CARRIED} }}{stays} }}"
            ),
        );
    }

    /// It takes the signal `note` as its parent does, for a while.
    fn child(&mut self, program: &Program, tag: &str) {
        self.line(0, "---");
        let name = format!("{}-child", self.name);
        let alone = Program {
            automatic: false,
            ending: Ending::Free,
            body: Vec::new(),
            note: Vec::new(),
            add: Vec::new(),
            block: Vec::new(),
            ..program.clone()
        };
        self.head(&name, &alone, tag);
        self.line(0, "signals:\n  note:\n    do:");
        self.line(3, "- timer: 100ms");
        self.line(3, "- set: { seen: \"${ state.seen + [args.id] }\" }");
        self.line(0, "steps:");
        self.keys = vec![
            Part::Text("c".to_owned()),
            Part::Expression("string(state.turn)".to_owned()),
        ];
        self.steps(1, &program.child);
        if program.turns % 2 == 1 {
            self.continuation(1, 1);
        }
        self.returned(1, tag);
    }

    /// The step's key as a text with expressions in it.
    fn key(&self, step: &Step) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Expression(code) => format!("${{ {code} }}"),
        };
        let place: String = self.keys.iter().map(part).collect();
        format!("{place}.s{}", step.number)
    }

    /// The same as an expression.
    fn key_code(&self, step: &Step) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => format!("'{text}'"),
            Part::Expression(code) => code.clone(),
        };
        let parts: Vec<String> = self.keys.iter().map(part).collect();
        format!("{} + '.s{}'", parts.join(" + "), step.number)
    }

    fn mark(&mut self, indent: usize, what: &str, step: &Step, end: &str) {
        let code = self.key_code(step);
        self.line(
            indent,
            &format!(
                "- set: {{ marks: \"${{ state.marks + ['{what} ' + {code} + ' {end}'] }}\" }}"
            ),
        );
    }

    fn steps(&mut self, indent: usize, steps: &[Step]) {
        for step in steps {
            self.step(indent, step);
        }
        if steps.is_empty() {
            self.line(indent, "- log: nothing");
        }
    }

    fn step(&mut self, indent: usize, step: &Step) {
        let n = step.number;
        match &step.kind {
            Kind::Count => self.line(indent, "- set: { n: \"${ state.n + 1 }\" }"),
            Kind::Timer(ms) => self.line(indent, &format!("- timer: {ms}ms")),
            Kind::Effect(effect) => self.effect(indent, step, effect),
            Kind::Started(effect, after) => self.started(indent, step, effect, *after),
            Kind::Exec { local } => {
                self.line(
                    indent,
                    "- exec: { command: shell, args: [-c, \"sleep 0.1; echo it ran\"] }",
                );
                if *local {
                    self.line(indent + 1, "local: true");
                }
            }
            Kind::Job(ms) => {
                self.line(indent, &format!("- id: j{n}"));
                self.line(
                    indent + 1,
                    &format!("wait: {{ signal: job, timeout: {ms}ms }}"),
                );
                self.line(indent + 1, "on_timeout: [{ log: no job }]");
                self.line(indent, &format!("- if: j{n} != null"));
                self.line(
                    indent + 1,
                    &format!("then: [{{ set: {{ jobs: \"${{ state.jobs + [j{n}.id] }}\" }} }}]"),
                );
            }
            Kind::Until(until, ms) => {
                self.line(
                    indent,
                    &format!("- wait: {{ until: \"{until}\", timeout: {ms}ms }}"),
                );
                self.line(indent + 1, "on_timeout: [{ log: it does not hold }]");
            }
            Kind::Gate(deadline, ms) => self.gate(indent, step, *deadline, *ms),
            Kind::Plain(text) => self.line(indent, &format!("- {text}")),
            Kind::Refused(text) => {
                self.line(indent, "- try:");
                let text = text.replace(", ", &format!("\n{}", "  ".repeat(indent + 3)));
                self.line(indent + 2, &format!("- {text}"));
                self.caught(indent + 1);
            }
            Kind::SignalSelf => {
                let key = self.key(step);
                self.line(indent, "- signal: note");
                self.line(indent + 1, "workflow_id: \"${ workflow.id }\"");
                self.line(indent + 1, &format!("input: {{ id: \"self-{key}\" }}"));
            }
            Kind::Child { .. } => self.child_step(indent, step),
            Kind::Many { count, size } => {
                let key = self.key(step);
                self.line(
                    indent,
                    &format!("- for_each: \"${{ lists.range({count}) }}\""),
                );
                self.line(
                    indent + 1,
                    &format!("as: m{n}\n{}concurrency: 4", "  ".repeat(indent + 1)),
                );
                self.line(indent + 1, "do:");
                self.line(indent + 2, &format!("- http: {{ url: \"${{ state.http }}/act/do\", body: {{ key: \"${{ workflow.id }}/{key}.${{ m{n} }}\", size: {size} }} }}"));
                self.line(indent + 3, "local: true");
            }
            Kind::Hopeless(ms) => {
                let key = self.key(step);
                self.line(indent, "- try:");
                self.line(indent + 2, &format!("- http: {{ url: \"${{ state.http }}/act/do\", body: {{ key: \"${{ workflow.id }}/{key}\", hopeless: {ms} }} }}"));
                self.line(indent + 3, "local: true");
                self.line(indent + 3, &format!("schedule_to_close_timeout: {ms}ms"));
                self.line(
                    indent + 3,
                    "retry_policy: { initial_interval: 100ms, backoff_coefficient: 1 }",
                );
                self.caught(indent + 1);
            }
            Kind::Fail => {
                self.conditional(indent, "- fail: { type: Odd, message: it was to fail }")
            }
            Kind::Return => {
                self.line(indent, "- if: state.turn >= 0");
                self.line(indent + 1, "then:");
                self.returned(indent + 2, "early");
            }
            Kind::Break => self.conditional(indent, "- break:"),
            Kind::ContinueAsNew => self.continuation(indent, 3),
            _ => self.composite(indent, step),
        }
    }

    /// Always so, but not for who reads it.
    fn conditional(&mut self, indent: usize, step: &str) {
        self.line(indent, "- if: state.turn >= 0");
        self.line(indent + 1, "then:");
        self.line(indent + 2, step);
    }

    fn caught(&mut self, indent: usize) {
        self.line(indent, "catch:");
        self.line(indent + 1, "- do: [{ set: { n: \"${ state.n + 1 }\" } }]");
    }

    fn composite(&mut self, indent: usize, step: &Step) {
        let n = step.number;
        let blocks = &step.blocks;
        match &step.kind {
            Kind::If(condition) => {
                self.line(indent, &format!("- if: {condition}"));
                self.line(indent + 1, "then:");
                self.steps(indent + 2, &blocks[0]);
                self.line(indent + 1, "else:");
                self.steps(indent + 2, &blocks[1]);
            }
            Kind::Switch => {
                self.line(indent, "- switch: state.n % 3");
                self.line(indent + 1, "cases:");
                self.line(indent + 2, "- in: [0, 2]");
                self.line(indent + 3, "do:");
                self.steps(indent + 4, &blocks[0]);
                self.line(indent + 1, "default:");
                self.steps(indent + 2, &blocks[1]);
            }
            Kind::ForEach { count, concurrency } => {
                self.line(
                    indent,
                    &format!("- for_each: \"${{ lists.range({count}) }}\""),
                );
                self.line(indent + 1, &format!("as: i{n}"));
                self.line(indent + 1, &format!("concurrency: {concurrency}"));
                self.line(indent + 1, "do:");
                self.within(&format!("string(i{n})"), |writer| {
                    writer.steps(indent + 2, &blocks[0]);
                });
            }
            Kind::While(times) => {
                self.line(indent, &format!("- while: state.c{n} < {times}"));
                self.line(indent + 1, "do:");
                self.turn(indent + 2, step);
            }
            Kind::Repeat(times) => {
                self.line(indent, "- repeat:");
                self.turn(indent + 2, step);
                self.line(indent + 1, &format!("until: state.c{n} >= {times}"));
            }
            Kind::Parallel { wait_all } => {
                self.branches(indent, "parallel", blocks);
                if *wait_all {
                    self.line(indent + 1, "on_failure: wait_all");
                }
            }
            Kind::Race => self.branches(indent, "race", blocks),
            Kind::Try { retries } => self.attempt(indent, step, *retries),
            Kind::Saga { passes_on } => self.saga(indent, step, *passes_on),
            Kind::Do { timeout, shield } => {
                self.line(indent, "- try:");
                self.line(indent + 2, "- do:");
                self.steps(indent + 4, &blocks[0]);
                if let Some(timeout) = timeout {
                    self.line(indent + 3, &format!("timeout: {timeout}ms"));
                }
                if *shield {
                    self.line(indent + 3, "shield: true");
                }
                self.caught(indent + 1);
            }
            Kind::Call => {
                let key = self.key(step);
                self.line(
                    indent,
                    &format!("- {{ call: part, input: {{ key: \"{key}\" }} }}"),
                );
            }
            other => unreachable!("{other:?} is no composite step"),
        }
    }

    fn branches(&mut self, indent: usize, kind: &str, blocks: &[Vec<Step>]) {
        self.line(indent, &format!("- {kind}:"));
        for (number, block) in blocks.iter().enumerate() {
            self.line(indent + 2, &format!("b{number}:"));
            self.steps(indent + 3, block);
        }
    }

    fn within(&mut self, code: &str, write: impl FnOnce(&mut Self)) {
        self.keys.push(Part::Text(".".to_owned()));
        self.keys.push(Part::Expression(code.to_owned()));
        self.loops += 1;
        write(self);
        self.loops -= 1;
        self.keys.truncate(self.keys.len() - 2);
    }

    fn turn(&mut self, indent: usize, step: &Step) {
        let counter = format!("c{}", step.number);
        self.line(
            indent,
            &format!("- set: {{ {counter}: \"${{ state.{counter} + 1 }}\" }}"),
        );
        self.within(&format!("string(state.{counter})"), |writer| {
            writer.steps(indent, &step.blocks[0]);
        });
    }

    fn attempt(&mut self, indent: usize, step: &Step, retries: bool) {
        self.line(indent, "- try:");
        match retries {
            true => {
                self.turn(indent + 2, step);
                self.line(
                    indent + 1,
                    "retry_policy: { maximum_attempts: 2, initial_interval: 100ms }",
                );
            }
            false => self.steps(indent + 2, &step.blocks[0]),
        }
        self.line(indent + 1, "catch:");
        self.line(indent + 2, "- do:");
        self.steps(indent + 4, &step.blocks[1]);
        self.line(indent + 1, "finally:");
        self.steps(indent + 2, &step.blocks[2]);
    }

    /// It is told in the state how it ended, whatever becomes of the run then.
    fn saga(&mut self, indent: usize, step: &Step, passes_on: bool) {
        let before = self.saga.replace(self.key(step));
        self.line(indent, "- try:");
        self.line(indent + 2, "- saga:");
        self.steps(indent + 4, &step.blocks[0]);
        self.saga = before;
        self.mark(indent + 2, "saga", step, "completed");
        self.line(indent + 1, "catch:");
        self.line(indent + 2, &format!("- error: {FAILED}"));
        self.line(indent + 3, "do:");
        self.mark(indent + 4, "saga", step, "failed");
        if passes_on {
            self.conditional(indent + 4, "- fail:");
        }
    }
}

fn is_counted(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::While(_) | Kind::Repeat(_) | Kind::Try { retries: true }
    )
}

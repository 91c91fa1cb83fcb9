//! Definitions from the language's own grammar of steps, by a seed.

use std::fmt::Write as _;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len() as u64) as usize]
    }
}

const NEXUS: &str = "nexus: { endpoint: random, service: numbers, operation: quick, input: 1, schedule_to_close_timeout: 5s }";
const STEPS_MAX: u64 = 4;
const DEPTH_MAX: u32 = 3;

/// The task queue of activities on the real server, where there is no server for `http` and its like; there is the Nexus endpoint
/// `random` besides. Without it everything is simulated.
pub type TaskQueue = Option<&'static str>;

/// A workflow of this type and, as another document, the child that it may start: the type `NAME-child`.
pub fn definition(workflow: &str, task_queue: TaskQueue, seed: u64) -> String {
    let mut writer = Writer {
        random: Random(seed),
        text: String::new(),
        ids: 0,
        in_loop: false,
        child: Some(format!("{workflow}-child")),
        is_simulated: task_queue.is_none(),
    };
    writer.workflow(workflow, task_queue);
    let child = writer.child.take().unwrap_or_default();
    writer.text += "---\n";
    writer.workflow(&child, task_queue);
    writer.text
}

struct Writer {
    random: Random,
    text: String,
    ids: u32,
    in_loop: bool,
    /// A child starts no further one.
    child: Option<String>,
    is_simulated: bool,
}

impl Writer {
    fn workflow(&mut self, workflow: &str, task_queue: TaskQueue) {
        let depth = if self.child.is_some() { 0 } else { 2 };
        let queue = task_queue.map_or(String::new(), |queue| format!("task_queue: {queue}, "));
        let _ = writeln!(
            self.text,
            "segno: 1\nworkflow: {workflow}\ndefaults: {{ activity: {{ {queue}start_to_close_timeout: 5s, \
             retry_policy: {{ maximum_attempts: 3, initial_interval: 1s }} }} }}"
        );
        self.text += "state: { n: 0, m: 0, told: [], turn: \"${ input.?turn.orValue(0) }\" }\n\
            queries: { n: \"${ state.n }\" }\n\
            signals:\n  poke:\n    do:\n      - set: { n: \"${ state.n + 1 }\" }\n";
        self.block(3, 2);
        self.text += "  tell:\n    finish_before_completion: false\n    do:\n      - set: { told: \"${ state.told + [args] }\" }\n";
        self.text += "updates:\n  add:\n    validate: \"args != 13\"\n    do:\n      - set: { m: \"${ state.m + args }\" }\n";
        self.block(3, 2);
        self.text += "      - return: ${ state.m }\n";
        self.text += "blocks:\n  part:\n    input: integer\n    do:\n";
        self.block(3, 2);
        self.text += "      - return: ${ input + 1 }\nsteps:\n";
        self.block(1, depth);
        if self.random.below(5) == 0 {
            self.text += "  - if: state.turn < 2\n    then: [{ continue_as_new: { input: { turn: \"${ state.turn + 1 }\" } } }]\n";
        }
        self.text += "  - return: { n: \"${ state.n }\", m: \"${ state.m }\" }\n";
    }

    /// Steps, so many levels in.
    fn block(&mut self, indent: usize, depth: u32) {
        for _ in 0..1 + self.random.below(STEPS_MAX) {
            self.step(indent, depth);
        }
    }

    fn line(&mut self, indent: usize, text: &str) {
        let _ = writeln!(self.text, "{}{text}", "  ".repeat(indent));
    }

    fn id(&mut self) -> String {
        self.ids += 1;
        format!("s{}", self.ids)
    }

    fn condition(&mut self) -> &'static str {
        self.random.of(&[
            "state.n % 2 == 0",
            "state.m > 3",
            "state.n < 2",
            "size(state.told) > 0",
            "true",
        ])
    }

    fn length(&mut self) -> &'static str {
        self.random.of(&["0s", "1s", "1s", "2s", "5s", "10s"])
    }

    fn step(&mut self, indent: usize, depth: u32) {
        let kinds = if depth < DEPTH_MAX { 28 } else { 15 };
        match self.random.below(kinds) {
            0 => self.line(indent, "- set: { n: \"${ state.n + 1 }\" }"),
            1 => self.line(indent, "- set: { m: \"${ state.m + state.n }\" }"),
            2 => {
                let length = self.length();
                self.line(indent, &format!("- timer: {length}"));
            }
            3 | 4 => self.activity(indent),
            5 => self.wait(indent),
            6 => self.started(indent),
            7 => self.line(indent, "- log: \"n is ${ state.n }\""),
            8 => self.line(indent, "- upsert: { memo: { n: \"${ state.n }\" } }"),
            9 if depth < 2 => self.line(indent, "- { call: part, input: \"${ state.n }\" }"),
            9 => self.tried(indent, "signal: poke, workflow_id: nobody"),
            10 => self.ending(indent),
            11 => self.child(indent),
            12 => self.line(indent, "- details: \"n is ${ state.n }\""),
            13 => self.line(indent, &format!("- {NEXUS}")),
            14 => self.tried(indent, "cancel_workflow: { workflow_id: nobody }"),
            15 => self.choice(indent, depth),
            16 | 17 => self.branches(indent, depth),
            18 | 19 => self.attempt(indent, depth),
            20 => self.each(indent, depth),
            21 => self.turns(indent, depth),
            22 => self.saga(indent, depth),
            23 => self.nested(indent, depth, "do"),
            24 => self.nested(indent, depth, "shield"),
            25 => self.switch(indent, depth),
            26 => self.again(indent, depth),
            _ => self.activity(indent),
        }
    }

    fn tried(&mut self, indent: usize, step: &str) {
        self.line(indent, &format!("- try: [{{ {step} }}]"));
        self.line(indent + 1, "catch: [{ do: [{ set: { m: 1 } }] }]");
    }

    /// One of those that need nobody else's worker.
    fn built_in(&mut self) -> &'static str {
        self.random.of(&[
            "http: { url: \"http://localhost/\" }",
            "exec: { command: sort }",
            "grpc: { url: \"http://localhost\", service: a.B, method: C }",
            "callback: { http: { url: \"http://localhost/\" } }",
        ])
    }

    fn child(&mut self, indent: usize) {
        let Some(child) = self.child.clone() else {
            return self.activity(indent);
        };
        self.ids += 1;
        let id = format!("workflow_id: \"${{ workflow.id }}-{}\"", self.ids);
        let policy = self.random.of(&["terminate", "abandon", "request_cancel"]);
        let options = format!(
            "child: {child}, {id}, input: {{}}, parent_close_policy: {policy}, workflow_execution_timeout: 20s"
        );
        if self.random.below(2) == 0 {
            return self.line(indent, &format!("- {{ {options} }}"));
        }
        let handle = self.id();
        self.line(
            indent,
            &format!("- {{ id: {handle}, start: {{ {options} }} }}"),
        );
        if self.random.below(2) == 0 {
            self.tried(indent, &format!("signal: poke, handle: {handle}"));
        }
        self.end_of(indent, &handle);
    }

    /// What becomes of something that was started.
    fn end_of(&mut self, indent: usize, handle: &str) {
        match self.random.below(3) {
            0 => self.line(indent, &format!("- await: {handle}")),
            1 => {
                self.line(indent, &format!("- cancel: {handle}"));
                self.line(indent, &format!("- try: [{{ await: {handle} }}]"));
                self.line(indent + 1, "catch: [{ do: [{ set: { m: 7 } }] }]");
            }
            _ => {}
        }
    }

    fn switch(&mut self, indent: usize, depth: u32) {
        self.line(indent, "- switch: state.n % 4");
        self.line(indent + 1, "cases:");
        for case in ["is: 0", "in: [1, 2]"] {
            self.line(indent + 2, &format!("- {case}"));
            self.line(indent + 3, "do:");
            self.block(indent + 4, depth + 1);
        }
        self.line(indent + 1, "default:");
        self.block(indent + 2, depth + 1);
    }

    fn again(&mut self, indent: usize, depth: u32) {
        let in_loop = std::mem::replace(&mut self.in_loop, true);
        self.line(
            indent,
            "- while: state.n < 3 && workflow.history_length < 300",
        );
        self.line(indent + 1, "do:");
        self.line(indent + 2, "- set: { n: \"${ state.n + 1 }\" }");
        self.line(indent + 2, "- timer: 1s");
        self.block(indent + 2, depth + 1);
        self.in_loop = in_loop;
    }

    fn activity(&mut self, indent: usize) {
        let name = self.random.of(&["quick", "slow", "flaky", "broken"]);
        let condition = self.condition();
        if self.is_simulated && self.random.below(3) == 0 {
            let built_in = self.built_in();
            self.line(indent, &format!("- {built_in}"));
            if !built_in.starts_with("callback") && self.random.below(2) == 0 {
                self.line(indent + 1, "local: true");
            }
        } else {
            self.line(indent, &format!("- activity: {name}"));
            self.line(indent + 1, "input: ${ state.n }");
        }
        if self.random.below(4) == 0 {
            self.line(indent + 1, &format!("when: {condition}"));
        }
        if self.random.below(4) == 0 {
            let kind = self
                .random
                .of(&["try_cancel", "wait_cancellation_completed", "abandon"]);
            self.line(indent + 1, &format!("cancellation_type: {kind}"));
        }
    }

    fn wait(&mut self, indent: usize) {
        let until = self
            .random
            .of(&["state.n > 1", "state.m > 0", "size(state.told) > 1"]);
        let length = self.random.of(&["2s", "10s", "1m"]);
        match self.random.below(2) {
            0 => self.line(
                indent,
                &format!("- wait: {{ until: \"{until}\", timeout: {length} }}"),
            ),
            _ => self.line(
                indent,
                &format!("- wait: {{ signal: note, timeout: {length} }}"),
            ),
        }
        self.line(
            indent + 1,
            "on_timeout: [{ set: { n: \"${ state.n + 2 }\" } }]",
        );
    }

    fn started(&mut self, indent: usize) {
        let id = self.id();
        let what = match self.random.below(4) {
            0 => NEXUS.to_owned(),
            1 if self.is_simulated => self.built_in().to_owned(),
            _ => {
                let name = self.random.of(&["quick", "slow", "flaky"]);
                format!("activity: {name}, input: 1")
            }
        };
        self.line(indent, &format!("- {{ id: {id}, start: {{ {what} }} }}"));
        self.end_of(indent, &id);
    }

    fn ending(&mut self, indent: usize) {
        let condition = self.condition();
        let end = match self.random.below(6) {
            0 => "fail: { type: Odd, message: enough }",
            1 => "return: early",
            2 if self.in_loop => "break:",
            3 if self.in_loop => "continue:",
            _ => "set: { n: 0 }",
        };
        self.line(indent, &format!("- if: {condition} && state.n > 3"));
        self.line(indent + 1, &format!("then: [{{ {end} }}]"));
    }

    fn choice(&mut self, indent: usize, depth: u32) {
        let condition = self.condition();
        self.line(indent, &format!("- if: {condition}"));
        self.line(indent + 1, "then:");
        self.block(indent + 2, depth + 1);
        self.line(indent + 1, "else:");
        self.block(indent + 2, depth + 1);
    }

    fn branches(&mut self, indent: usize, depth: u32) {
        let kind = self.random.of(&["parallel", "race"]);
        let in_loop = std::mem::replace(&mut self.in_loop, false);
        self.line(indent, &format!("- {kind}:"));
        for name in ["a", "b", "c"]
            .iter()
            .take(2 + self.random.below(2) as usize)
        {
            self.line(indent + 2, &format!("{name}:"));
            self.block(indent + 3, depth + 1);
        }
        self.in_loop = in_loop;
    }

    fn attempt(&mut self, indent: usize, depth: u32) {
        self.line(indent, "- try:");
        self.block(indent + 2, depth + 1);
        if self.random.below(3) == 0 {
            self.line(
                indent + 1,
                "retry_policy: { maximum_attempts: 2, initial_interval: 1s }",
            );
        }
        self.line(indent + 1, "catch:");
        let error = self
            .random
            .of(&["Flaky", "timeout", "[activity, cancelled]"]);
        if self.random.below(2) == 0 {
            self.line(indent + 2, &format!("- error: {error}"));
            self.line(indent + 3, "do: [{ set: { n: \"${ state.n + 1 }\" } }]");
        }
        self.line(indent + 2, "- as: problem");
        self.line(indent + 3, "do:");
        self.block(indent + 4, depth + 1);
        if self.random.below(3) == 0 {
            self.line(indent + 1, "finally:");
            self.line(indent + 2, "- set: { m: \"${ state.m + 1 }\" }");
        }
    }

    fn each(&mut self, indent: usize, depth: u32) {
        let concurrency = 1 + self.random.below(3);
        let in_loop = std::mem::replace(&mut self.in_loop, concurrency == 1);
        self.line(indent, "- for_each: [1, 2, 3]");
        self.line(indent + 1, &format!("as: i{depth}"));
        self.line(indent + 1, &format!("concurrency: {concurrency}"));
        self.line(indent + 1, "do:");
        self.block(indent + 2, depth + 1);
        self.in_loop = in_loop;
    }

    fn turns(&mut self, indent: usize, depth: u32) {
        let in_loop = std::mem::replace(&mut self.in_loop, false);
        self.line(indent, "- repeat:");
        self.line(indent + 2, "- set: { n: \"${ state.n + 1 }\" }");
        self.line(indent + 2, "- timer: 1s");
        self.block(indent + 2, depth + 1);
        self.line(
            indent + 1,
            "until: state.n > 2 || workflow.history_length > 300",
        );
        self.in_loop = in_loop;
    }

    fn saga(&mut self, indent: usize, depth: u32) {
        self.line(indent, "- saga:");
        let name = self.random.of(&["quick", "slow"]);
        self.line(indent + 2, &format!("- activity: {name}"));
        self.line(indent + 3, "compensate: [{ activity: quick, input: undo }]");
        if self.random.below(2) == 0 {
            self.line(indent + 3, "compensate_on: started");
        }
        self.block(indent + 2, depth + 1);
    }

    fn nested(&mut self, indent: usize, depth: u32, kind: &str) {
        self.line(indent, "- do:");
        self.block(indent + 2, depth + 1);
        if kind == "shield" {
            self.line(indent + 1, "shield: true");
        }
        if kind == "do" && self.random.below(2) == 0 {
            let length = self.random.of(&["1s", "3s", "20s"]);
            self.line(indent + 1, &format!("timeout: {length}"));
        }
    }
}

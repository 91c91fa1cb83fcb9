//! What the hunter's definitions are made of: a tree of steps that a seed grows and that shrinking cuts.

use super::generate::Random;

/// Steps beside each other.
const STEPS_MAX: u64 = 3;
const DEPTH_MAX: u32 = 3;
/// After so many steps no further ones have steps within them.
const NESTED_UNTIL: u32 = 35;
/// Attempts that fail before one that does not, where that is for who catches it.
const FAILS_LONG: u64 = 6;

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Unique in its program: names, ids and keys are made of it.
    pub number: u32,
    pub kind: Kind,
    pub blocks: Vec<Vec<Step>>,
}

/// How an effect on the outside is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    Http,
    LocalHttp,
    Activity,
    Callback,
}

/// A call that the ledger records under a key of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    pub via: Via,
    /// How long an attempt takes.
    pub ms: u64,
    /// Attempts that fail first.
    pub fails: u64,
    /// What a result has beside its key.
    pub size: u64,
    pub cancellation: Option<&'static str>,
    /// Undone by another effect, when what it belongs to fails.
    pub undone: bool,
}

/// What bounds the wait for a signal that one step alone waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    Wait,
    Do,
    /// The timeout of a `do` around a condition that the signal's handler makes hold.
    Condition,
    Race,
}

/// What becomes of something that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Awaited,
    Cancelled,
    Left,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Count,
    Timer(u64),
    Effect(Effect),
    Started(Effect, After),
    Exec {
        local: bool,
    },
    /// Takes the next signal `job`, for so many milliseconds.
    Job(u64),
    Until(&'static str, u64),
    Gate(Deadline, u64),
    /// One that leaves no trace outside, as it is written.
    Plain(&'static str),
    /// One that fails and is caught.
    Refused(&'static str),
    SignalSelf,
    Child {
        started: bool,
        signalled: bool,
        policy: &'static str,
    },
    /// Local steps with results of so many bytes.
    Many {
        count: u64,
        size: u64,
    },
    /// A local step that fails until its time, in milliseconds, is over.
    Hopeless(u64),
    Fail,
    ContinueAsNew,
    Return,
    Break,
    If(&'static str),
    Switch,
    ForEach {
        count: u64,
        concurrency: u64,
    },
    While(u64),
    Repeat(u64),
    Parallel {
        wait_all: bool,
    },
    Race,
    Try {
        retries: bool,
    },
    Saga {
        passes_on: bool,
    },
    Do {
        timeout: Option<u64>,
        shield: bool,
    },
    Call,
}

/// How the main steps end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// After a client has said so.
    Closed,
    /// As soon as the steps before are done.
    Free,
    /// Without a `return`, although the definition has an `output`.
    Nothing,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    pub body: Vec<Step>,
    /// What the handler of the signal `note` does beside recording it, and whether it records it last.
    pub note: Vec<Step>,
    pub note_records_last: bool,
    pub add: Vec<Step>,
    pub add_records_last: bool,
    pub block: Vec<Step>,
    pub child: Vec<Step>,
    /// Continuations by hand at the end of the steps, and at most.
    pub turns: u64,
    /// Continuations keep the definition, whatever is newer.
    pub stays: bool,
    pub automatic: bool,
    pub ending: Ending,
    pub drains: bool,
}

/// Where a step stands, and what is allowed there.
#[derive(Debug, Clone, Copy)]
struct Place {
    depth: u32,
    /// In the main steps, where a run may end.
    main: bool,
    /// At most one time in a run.
    once: bool,
    /// Keys have a counter that may have moved on.
    counted: bool,
    in_saga: bool,
    in_loop: bool,
    in_block: bool,
    caught: bool,
    in_child: bool,
}

impl Place {
    fn main() -> Place {
        Place {
            depth: 0,
            main: true,
            once: true,
            counted: false,
            in_saga: false,
            in_loop: false,
            in_block: false,
            caught: false,
            in_child: false,
        }
    }

    fn handler() -> Place {
        Place {
            depth: 1,
            main: false,
            once: false,
            ..Place::main()
        }
    }

    fn inner(self) -> Place {
        Place {
            depth: self.depth + 1,
            ..self
        }
    }
}

pub struct Grower {
    pub random: Random,
    numbers: u32,
}

impl Program {
    pub fn of(seed: u64) -> Program {
        let mut grower = Grower {
            random: Random(seed),
            numbers: 0,
        };
        grower.program()
    }

    /// All its steps.
    pub fn steps(&self) -> Vec<&Step> {
        let mut all = Vec::new();
        for part in self.parts() {
            collect(part, &mut all);
        }
        all
    }

    pub fn parts(&self) -> [&Vec<Step>; 5] {
        [&self.body, &self.note, &self.add, &self.block, &self.child]
    }

    pub fn parts_mut(&mut self) -> [&mut Vec<Step>; 5] {
        [
            &mut self.body,
            &mut self.note,
            &mut self.add,
            &mut self.block,
            &mut self.child,
        ]
    }

    pub fn has_child(&self) -> bool {
        self.steps()
            .iter()
            .any(|step| matches!(step.kind, Kind::Child { .. }))
    }

    /// The steps that alone wait for a signal, which has their numbers.
    pub fn gates(&self) -> Vec<(u32, Deadline)> {
        let mut all = Vec::new();
        collect(&self.body, &mut all);
        let gates = all.iter().filter_map(|step| match step.kind {
            Kind::Gate(deadline, _) => Some((step.number, deadline)),
            _ => None,
        });
        gates.collect()
    }
}

fn collect<'a>(steps: &'a [Step], all: &mut Vec<&'a Step>) {
    for step in steps {
        all.push(step);
        for block in &step.blocks {
            collect(block, all);
        }
    }
}

impl Grower {
    fn chance(&mut self, one_in: u64) -> bool {
        self.random.below(one_in) == 0
    }

    fn program(&mut self) -> Program {
        let inside = |grower: &mut Self, place: Place| match grower.random.below(3) {
            0 => Vec::new(),
            1 => vec![grower.leaf(place)],
            _ => grower.block(place),
        };
        let note = inside(self, Place::handler());
        let add = inside(self, Place::handler());
        let block_place = Place {
            in_block: true,
            ..Place::handler()
        };
        let block = self.block(block_place);
        let child_place = Place {
            in_child: true,
            depth: 2,
            ..Place::main()
        };
        Program {
            note,
            note_records_last: !self.chance(3),
            add,
            add_records_last: !self.chance(3),
            block,
            child: self.block(child_place),
            body: self.block(Place::main()),
            turns: match self.random.below(10) {
                0 => 6 + self.random.below(10),
                turns => turns % 3,
            },
            stays: self.chance(3),
            automatic: self.chance(5),
            ending: match self.random.below(12) {
                0 => Ending::Nothing,
                1..=6 => Ending::Free,
                _ => Ending::Closed,
            },
            drains: !self.chance(4),
        }
    }

    fn block(&mut self, place: Place) -> Vec<Step> {
        (0..=self.random.below(STEPS_MAX))
            .map(|_| self.step(place))
            .collect()
    }

    fn made(&mut self, kind: Kind, blocks: Vec<Vec<Step>>) -> Step {
        self.numbers += 1;
        Step {
            number: self.numbers,
            kind,
            blocks,
        }
    }

    fn milliseconds(&mut self) -> u64 {
        [0, 20, 50, 150, 300, 600, 1_000][self.random.below(7) as usize]
    }

    fn step(&mut self, place: Place) -> Step {
        let has_room = self.numbers < NESTED_UNTIL;
        let nested = has_room && place.depth < DEPTH_MAX && self.random.below(2) == 0;
        match nested {
            true => self.nested(place),
            false => self.leaf(place),
        }
    }

    fn leaf(&mut self, place: Place) -> Step {
        let kind = match self.random.below(27) {
            0 => Kind::Count,
            1..=4 => Kind::Timer(self.milliseconds()),
            5..=8 => Kind::Effect(self.effect(place)),
            9 => {
                let effect = Effect {
                    undone: false,
                    ..self.effect(place)
                };
                let after = [After::Awaited, After::Cancelled, After::Left];
                let after = after[self.random.below(3) as usize];
                match effect.via {
                    Via::Callback => Kind::Effect(effect),
                    _ if after == After::Awaited || place.caught => Kind::Started(effect, after),
                    _ => Kind::Started(effect, After::Left),
                }
            }
            10 => Kind::Exec {
                local: self.chance(2),
            },
            11 | 12 if place.main && !place.in_child => Kind::Job(self.milliseconds() + 50),
            13 => {
                let until = self.random.of(&[
                    "state.n > 1",
                    "size(state.seen) > 2",
                    "size(state.done) > 0",
                    "state.closed",
                ]);
                Kind::Until(until, self.milliseconds() + 20)
            }
            14..=16 if place.once && !place.in_child => self.gate(),
            17 => Kind::Plain(self.plain()),
            18 => Kind::Refused(self.random.of(&[
                "signal: note, workflow_id: nobody",
                "cancel_workflow: { workflow_id: nobody }",
                "cancel_workflow: { workflow_id: \"${ workflow.id }\" }",
            ])),
            19 if place.main => Kind::SignalSelf,
            20 if place.main && !place.in_child => self.child(),
            21 if place.main => self.many(),
            22 if self.chance(2) => Kind::Hopeless(300 + self.random.below(700)),
            23 => self.end(place),
            // It is tried for ever if nobody says that it is not there.
            25 => Kind::Refused(
                "activity: \"${ 'nowhere-' + workflow.type }\", local: true, start_to_close_timeout: 1s, retry_policy: { initial_interval: 200ms }",
            ),
            24 if place.depth < DEPTH_MAX && self.numbers < NESTED_UNTIL => {
                return self.nested(place);
            }
            _ => Kind::Timer(self.milliseconds()),
        };
        self.made(kind, Vec::new())
    }

    fn gate(&mut self) -> Kind {
        use Deadline::{Condition, Do, Race, Wait};
        let deadline = [Wait, Do, Condition, Race][self.random.below(4) as usize];
        Kind::Gate(deadline, 300 + self.random.below(1_700))
    }

    fn plain(&mut self) -> &'static str {
        self.random.of(&[
            "log: \"n is ${ state.n }\"",
            "details: \"n is **${ state.n }**\"",
            "upsert: { memo: { n: \"${ state.n }\" } }",
            "upsert: { search_attributes: { Rank: \"${ state.n }\" } }",
            "nexus: { endpoint: steps, service: quotes, operation: quick, input: { value: 2 }, schedule_to_close_timeout: 20s }",
        ])
    }

    fn child(&mut self) -> Kind {
        Kind::Child {
            started: self.chance(2),
            signalled: self.chance(2),
            policy: self.random.of(&["terminate", "abandon", "request_cancel"]),
        }
    }

    fn many(&mut self) -> Kind {
        match self.random.below(2) {
            0 => Kind::Many {
                count: 14,
                size: 350_000,
            },
            _ => Kind::Many {
                count: 30,
                size: 10,
            },
        }
    }

    fn effect(&mut self, place: Place) -> Effect {
        let via = match self.random.below(7) {
            0..=2 => Via::Http,
            3 => Via::LocalHttp,
            4 | 5 => Via::Activity,
            _ => Via::Callback,
        };
        let may_be_undone = (place.in_saga || place.main) && !place.in_block && !place.counted;
        let undone = may_be_undone && self.chance(if place.in_saga { 1 } else { 6 });
        let fails = match self.random.below(5) {
            0 => 1,
            1 if place.caught => FAILS_LONG,
            _ => 0,
        };
        let ms = self.milliseconds();
        Effect {
            via: match via {
                Via::Callback if undone => Via::Http,
                via => via,
            },
            ms: if fails > 1 { ms.min(100) } else { ms },
            fails,
            size: [0, 0, 0, 2_000, 60_000][self.random.below(5) as usize],
            cancellation: match self.random.below(5) {
                _ if undone => None,
                0 => Some("wait_cancellation_completed"),
                1 => Some("abandon"),
                _ => None,
            },
            undone,
        }
    }

    /// What ends the run, the handler or the loop.
    fn end(&mut self, place: Place) -> Kind {
        match self.random.below(4) {
            0 if place.in_loop => Kind::Break,
            1 if place.main && !place.in_child => Kind::ContinueAsNew,
            2 if place.main => Kind::Return,
            _ if place.caught || place.main && self.chance(4) => Kind::Fail,
            _ => Kind::Count,
        }
    }

    fn nested(&mut self, place: Place) -> Step {
        let inner = place.inner();
        let aside = Place {
            in_loop: false,
            ..inner
        };
        let repeated = Place {
            once: false,
            ..inner
        };
        let counted = Place {
            counted: true,
            in_loop: true,
            ..repeated
        };
        match self.random.below(13) {
            0 => {
                let conditions = ["state.n % 2 == 0", "size(state.seen) > 1", "state.closed"];
                let condition = self.random.of(&conditions);
                let blocks = vec![self.block(inner), self.block(inner)];
                self.made(Kind::If(condition), blocks)
            }
            1 => {
                let blocks = vec![self.block(inner), self.block(inner)];
                self.made(Kind::Switch, blocks)
            }
            2 | 3 => {
                let concurrency = 1 + self.random.below(3);
                let count = 1 + self.random.below(4);
                let place = Place {
                    in_loop: concurrency == 1,
                    ..repeated
                };
                let blocks = vec![self.block(place)];
                self.made(Kind::ForEach { count, concurrency }, blocks)
            }
            4 => {
                let kind = match self.random.below(2) {
                    0 => Kind::While(1 + self.random.below(3)),
                    _ => Kind::Repeat(1 + self.random.below(3)),
                };
                let blocks = vec![self.block(counted)];
                self.made(kind, blocks)
            }
            5 | 6 => {
                let blocks = self.branches(aside);
                let wait_all = self.chance(3);
                self.made(Kind::Parallel { wait_all }, blocks)
            }
            7 => {
                let blocks = self.branches(aside);
                self.made(Kind::Race, blocks)
            }
            8 => self.attempt(inner),
            9 | 10 if !place.counted && !place.in_saga && !place.in_block => self.saga(aside),
            11 if !place.in_block && !place.in_child => self.made(Kind::Call, Vec::new()),
            _ => {
                let timeout = (!self.chance(3)).then(|| 200 + self.random.below(1_000));
                let shield = timeout.is_none() || self.chance(4);
                let place = Place {
                    caught: inner.caught || timeout.is_some(),
                    ..aside
                };
                let blocks = vec![self.block(place)];
                self.made(Kind::Do { timeout, shield }, blocks)
            }
        }
    }

    fn branches(&mut self, place: Place) -> Vec<Vec<Step>> {
        let count = 2 + self.random.below(2);
        (0..count).map(|_| self.block(place)).collect()
    }

    fn attempt(&mut self, place: Place) -> Step {
        let retries = self.chance(3) && !place.in_saga;
        let tried = Place {
            caught: true,
            counted: place.counted || retries,
            once: place.once && !retries,
            in_loop: place.in_loop && !retries,
            ..place
        };
        let blocks = vec![
            self.block(tried),
            self.block(place),
            self.block(Place {
                in_loop: false,
                main: false,
                once: false,
                ..place
            }),
        ];
        self.made(Kind::Try { retries }, blocks)
    }

    /// The last block fails in most of them.
    fn saga(&mut self, place: Place) -> Step {
        let place = Place {
            in_saga: true,
            caught: true,
            ..place
        };
        let effect = self.effect(place);
        let mut steps = vec![self.made(Kind::Effect(effect), Vec::new())];
        steps.extend(self.block(place));
        match self.random.below(4) {
            0 => {}
            1 => steps.push(self.made(Kind::Fail, Vec::new())),
            _ => {
                let mut branches = self.branches(place);
                let effect = self.effect(place);
                branches[0].push(self.made(Kind::Effect(effect), Vec::new()));
                let ms = self.milliseconds();
                let failing = vec![
                    self.made(Kind::Timer(ms), Vec::new()),
                    self.made(Kind::Fail, Vec::new()),
                ];
                branches.push(failing);
                steps.push(self.made(Kind::Parallel { wait_all: false }, branches));
            }
        }
        let passes_on = place.main && self.chance(5);
        self.made(Kind::Saga { passes_on }, vec![steps])
    }
}

//! What is done to a program, to its worker and to the server, and when: all of it by a seed.

use super::generate::Random;
use super::program::Program;

/// No client and no killer does anything later than this after a round's beginning, but for the word to close.
pub const ROUND_MS: u64 = 7_000;

/// Temporal's UI asks two of them by itself.
const QUERIES: [&str; 3] = ["all", "__stack_trace", "__temporal_workflow_metadata"];

/// When a client does something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Milliseconds after the start.
    At(u64),
    /// So many milliseconds after the nth event of a kind.
    After(Moment, u64, u64),
    /// So many milliseconds after the word to close.
    Closing(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    RunStarted,
    TaskScheduled,
    TaskCompleted,
    TimerStarted,
    /// Shortly before it fires.
    TimerDue,
    TimerFired,
    ActivityScheduled,
    ActivityEnded,
    /// Shortly before the time of the step is over that alone waits for a signal.
    GateDue(u32),
}

/// How often a message is delivered, always under the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    One,
    /// By two senders at one time.
    AtOnce,
    /// A second time so many milliseconds later, maybe to another run.
    Later(u64),
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Signal {
        name: String,
        id: String,
        copies: Copies,
    },
    Update {
        id: String,
        copies: Copies,
    },
    Query(&'static str),
    Cancel,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    pub when: When,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartWith {
    Nothing,
    Signal,
    Update,
}

/// One run of one program, with its continuations and children.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    pub seed: u64,
    pub program: Program,
    pub with: StartWith,
    /// Milliseconds after the round's beginning.
    pub start: u64,
    pub actions: Vec<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chaos {
    /// Killed, and replaced so many milliseconds later.
    Kill(u64),
    Pause(u64),
    Replace,
    Server,
    /// The definitions change; where they are deployed, by a new version, for so many percent.
    Change(u64),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    pub seed: u64,
    pub cache: Option<u64>,
    pub is_deployed: bool,
    /// The worker is a version of a deployment, and whatever replaces it another one.
    pub is_versioned: bool,
    /// Calls of the worker are delayed, made twice, and their answers lost.
    pub proxied: bool,
    pub chaos: Vec<(u64, Chaos)>,
    pub experiments: Vec<Experiment>,
}

impl Round {
    /// With so many experiments, of the seeds from this one on.
    pub fn of(seed: u64, count: u64) -> Round {
        let mut random = Random(seed ^ 0x0C7A_0501);
        let cache = [Some(0), Some(1), None][random.below(3) as usize];
        let is_deployed = random.below(2) == 0;
        let proxied = random.below(4) == 0;
        let is_versioned = random.below(4) == 0;
        let mut chaos = Vec::new();
        let mut at = 300 + random.below(1_000);
        while at < ROUND_MS - 500 {
            let away = 100 + random.below(2_400);
            let (what, takes) = match random.below(9) {
                0..=3 => (Chaos::Kill(away), away),
                4..=6 => (Chaos::Pause(away), away),
                7 => (Chaos::Replace, 1_300),
                _ => (Chaos::Change(random.below(2) * 50 + 50), 0),
            };
            chaos.push((at, what));
            at += takes + 200 + random.below(1_600);
        }
        if random.below(5) == 0 {
            chaos.insert(0, (random.below(4_000), Chaos::Server));
            chaos.sort_by_key(|(at, _)| *at);
        }
        // Some rounds leave the worker alone.
        if random.below(6) == 0 {
            chaos.clear();
        }
        let experiments = (0..count).map(|number| Experiment::of(seed * 1_000 + number));
        Round {
            seed,
            cache,
            is_deployed,
            is_versioned,
            proxied,
            chaos,
            experiments: experiments.collect(),
        }
    }

    /// When all that is done at set times is done, in milliseconds; what follows on events gets some seconds.
    pub fn length_ms(&self) -> u64 {
        const FOR_EVENTS: u64 = 4_000;
        let mut end = 0;
        for (at, chaos) in &self.chaos {
            let takes = match chaos {
                Chaos::Kill(away) | Chaos::Pause(away) => *away,
                Chaos::Replace | Chaos::Server => 2_000,
                Chaos::Change(_) => 1_000,
            };
            end = end.max(at + takes);
        }
        for experiment in &self.experiments {
            for action in &experiment.actions {
                let at = match action.when {
                    When::At(at) => at,
                    When::After(..) => FOR_EVENTS,
                    When::Closing(_) => 0,
                };
                end = end.max(experiment.start + at);
            }
        }
        end.min(ROUND_MS)
    }

    pub fn restarts_server(&self) -> bool {
        self.chaos.iter().any(|(_, chaos)| *chaos == Chaos::Server)
    }
}

impl Experiment {
    pub fn of(seed: u64) -> Experiment {
        let program = Program::of(seed);
        let mut random = Random(seed ^ 0xD1CE);
        let with = [StartWith::Nothing, StartWith::Signal, StartWith::Update];
        let with = with[[0, 0, 1, 2][random.below(4) as usize]];
        let mut clients = Clients {
            random,
            ids: 0,
            gates: program.gates().into_iter().map(|(n, _)| n).collect(),
        };
        let actions = clients.actions();
        let start = clients.random.below(1_500);
        Experiment {
            seed,
            program,
            with,
            start,
            actions,
        }
    }
}

struct Clients {
    random: Random,
    ids: u64,
    gates: Vec<u32>,
}

impl Clients {
    fn id(&mut self) -> String {
        self.ids += 1;
        format!("m{}", self.ids)
    }

    fn actions(&mut self) -> Vec<Action> {
        let mut all = Vec::new();
        if self.random.below(2) == 0 {
            // Asked before the first workflow task.
            for _ in 0..=self.random.below(3) {
                let query = self.random.of(&QUERIES);
                let at = self.random.below(2) * self.random.below(60);
                all.push(self.action(When::At(at), What::Query(query)));
            }
        }
        if self.random.below(4) == 0 {
            // And told something.
            for _ in 0..=self.random.below(3) {
                let what = self.what();
                all.push(self.action(When::At(0), what));
            }
        }
        if self.random.below(3) == 0 {
            // While it comes to its end.
            for _ in 0..=self.random.below(8) {
                let what = self.what();
                let late = self.random.below(250);
                all.push(self.action(When::Closing(late), what));
            }
        }
        for _ in 0..self.random.below(7) {
            let when = self.when();
            let what = self.what();
            all.push(self.action(when, what));
        }
        for _ in 0..self.random.below(3) {
            all.extend(self.storm());
        }
        for gate in self.gates.clone() {
            let name = format!("gate-{gate}");
            let id = self.id();
            let what = What::Signal {
                name,
                id,
                copies: Copies::One,
            };
            let when = match self.random.below(4) {
                0 => When::At(self.random.below(ROUND_MS - 2_000)),
                1 => When::After(
                    Moment::TimerStarted,
                    self.random.below(4),
                    self.random.below(2_000),
                ),
                _ => When::After(Moment::GateDue(gate), 0, self.random.below(250)),
            };
            all.push(self.action(when, what));
        }
        if self.random.below(7) == 0 {
            let when = self.when();
            all.push(self.action(when, What::Cancel));
        }
        all
    }

    fn action(&mut self, when: When, what: What) -> Action {
        Action { when, what }
    }

    fn when(&mut self) -> When {
        match self.random.below(2) {
            0 => When::At(self.random.below(ROUND_MS - 1_500)),
            _ => When::After(self.moment(), self.random.below(5), self.random.below(150)),
        }
    }

    fn moment(&mut self) -> Moment {
        use Moment::*;
        [
            RunStarted,
            RunStarted,
            TaskScheduled,
            TaskCompleted,
            TimerStarted,
            TimerDue,
            TimerFired,
            ActivityScheduled,
            ActivityEnded,
        ][self.random.below(9) as usize]
    }

    /// Many at one moment.
    fn storm(&mut self) -> Vec<Action> {
        let when = self.when();
        let spread = [1, 1, 60, 400][self.random.below(4) as usize];
        let count = 2 + self.random.below(10);
        let mut all = Vec::new();
        for _ in 0..count {
            let late = self.random.below(spread);
            let when = match when {
                When::At(at) => When::At(at + late),
                When::After(moment, nth, delay) => When::After(moment, nth, delay + late),
                When::Closing(at) => When::Closing(at + late),
            };
            let what = self.what();
            all.push(self.action(when, what));
        }
        all
    }

    fn what(&mut self) -> What {
        match self.random.below(12) {
            0..=4 => self.signal("note"),
            5 | 6 => self.signal("job"),
            7..=9 => What::Update {
                id: self.id(),
                copies: self.copies(),
            },
            10 => What::Query("all"),
            _ => What::Query(self.random.of(&QUERIES)),
        }
    }

    fn copies(&mut self) -> Copies {
        match self.random.below(8) {
            0 => Copies::AtOnce,
            1 => Copies::Later(self.random.below(1_500)),
            _ => Copies::One,
        }
    }

    fn signal(&mut self, name: &str) -> What {
        What::Signal {
            name: name.to_owned(),
            id: self.id(),
            copies: self.copies(),
        }
    }
}

//! The kinds of steps, and the facts about each that do not depend on its content: one row for each kind, from which
//! every other list of kinds derives.

use super::tables::ACTIONS;
use super::{Action, ActivityStep, BuiltInStep, Name, Started, Step, Steps, Timer, table};
use crate::words::BuiltIn;

/// A kind of step, named by its action key. In the order of [`ACTIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Activity,
    Http,
    Exec,
    Grpc,
    Callback,
    Timer,
    Wait,
    Set,
    If,
    Switch,
    ForEach,
    While,
    Repeat,
    Break,
    Continue,
    Parallel,
    Race,
    Try,
    Saga,
    Do,
    Call,
    Child,
    Start,
    Await,
    Cancel,
    Signal,
    CancelWorkflow,
    Nexus,
    ContinueAsNew,
    Upsert,
    Log,
    Details,
    Return,
    Fail,
}

/// The facts about a kind of step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// Whether the step itself waits for something outside. A cancellation arrives at such a step.
    pub(crate) waits: bool,
    /// What the step ends beside itself.
    pub(crate) ends: Ends,
    pub(crate) runs: Runs,
    /// What is in flight on the server while the step waits.
    pub(crate) in_flight: Option<InFlight>,
    pub(crate) gives: Gives,
    /// Whether `start` can start it without awaiting it.
    pub(crate) can_be_started: bool,
}

/// What a step ends beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    Nothing,
    /// The turn of the loop around it.
    Turn,
    Loop,
    /// The workflow, handler or block of `blocks`; a failure, unless something catches it.
    Function,
}

/// The steps that a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    Nothing,
    /// The steps of its own blocks, each at most once per execution of the step.
    Blocks,
    /// The steps of its own block, in turns.
    Loop,
    /// A block of `blocks`.
    Called,
}

/// What the server or the worker has in flight for a step; the server limits the number of each but the timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InFlight {
    Activity,
    Child,
    Nexus,
    /// A signal to another workflow.
    Signal,
    /// A request to cancel another workflow.
    CancelRequest,
    Timer,
}

/// What a step's id is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    Null,
    /// A value whose type only a run knows.
    Value,
    /// A value whose type the definition determines.
    Typed,
}

impl Kind {
    pub(crate) const fn facts(self) -> Facts {
        use InFlight::{Activity, CancelRequest, Child, Nexus, Signal, Timer};
        use Kind as K;
        let (nothing, turn, around, function) =
            (Ends::Nothing, Ends::Turn, Ends::Loop, Ends::Function);
        let (none, blocks, turns, called) = (Runs::Nothing, Runs::Blocks, Runs::Loop, Runs::Called);
        let (null, value, typed) = (Gives::Null, Gives::Value, Gives::Typed);
        #[rustfmt::skip]
        let (waits, ends, runs, in_flight, gives, can_be_started) = match self {
            //                    waits  ends      runs    in flight            gives  can be started
            K::Activity       => (true,  nothing,  none,   Some(Activity),      typed, true),
            K::Http           => (true,  nothing,  none,   Some(Activity),      typed, true),
            K::Exec           => (true,  nothing,  none,   Some(Activity),      typed, true),
            K::Grpc           => (true,  nothing,  none,   Some(Activity),      typed, true),
            K::Callback       => (true,  nothing,  none,   Some(Activity),      typed, true),
            K::Timer          => (true,  nothing,  none,   Some(Timer),         null,  false),
            K::Wait           => (true,  nothing,  blocks, Some(Timer),         value, false),
            K::Set            => (false, nothing,  none,   None,                null,  false),
            K::If             => (false, nothing,  blocks, None,                value, false),
            K::Switch         => (false, nothing,  blocks, None,                value, false),
            K::ForEach        => (false, nothing,  turns,  None,                value, false),
            K::While          => (false, nothing,  turns,  None,                value, false),
            K::Repeat         => (false, nothing,  turns,  None,                value, false),
            K::Break          => (false, around,   none,   None,                value, false),
            K::Continue       => (false, turn,     none,   None,                value, false),
            K::Parallel       => (false, nothing,  blocks, None,                value, false),
            K::Race           => (false, nothing,  blocks, None,                value, false),
            K::Try            => (false, nothing,  blocks, None,                value, false),
            K::Saga           => (false, nothing,  blocks, None,                value, false),
            K::Do             => (false, nothing,  blocks, Some(Timer),         value, false),
            K::Call           => (false, nothing,  called, None,                typed, false),
            K::Child          => (true,  nothing,  none,   Some(Child),         value, true),
            K::Start          => (true,  nothing,  none,   None,                typed, false),
            K::Await          => (true,  nothing,  none,   None,                value, false),
            K::Cancel         => (false, nothing,  none,   None,                null,  false),
            K::Signal         => (true,  nothing,  none,   Some(Signal),        null,  false),
            K::CancelWorkflow => (true,  nothing,  none,   Some(CancelRequest), null,  false),
            K::Nexus          => (true,  nothing,  none,   Some(Nexus),         value, true),
            K::ContinueAsNew  => (false, function, none,   None,                value, false),
            K::Upsert         => (false, nothing,  none,   None,                null,  false),
            K::Log            => (false, nothing,  none,   None,                null,  false),
            K::Details        => (false, nothing,  none,   None,                null,  false),
            K::Return         => (false, function, none,   None,                null,  false),
            K::Fail           => (false, function, none,   None,                null,  false),
        };
        Facts {
            waits,
            ends,
            runs,
            in_flight,
            gives,
            can_be_started,
        }
    }

    /// The row of [`ACTIONS`]: its keys and what they mean.
    pub(crate) fn row(self) -> &'static table::Action {
        &ACTIONS[self as usize]
    }

    /// The action key.
    pub fn key(self) -> &'static str {
        self.row().key.name
    }

    pub(crate) const fn of_built_in(built_in: BuiltIn) -> Kind {
        match built_in {
            BuiltIn::Http => Kind::Http,
            BuiltIn::Exec => Kind::Exec,
            BuiltIn::Grpc => Kind::Grpc,
            BuiltIn::Callback => Kind::Callback,
        }
    }
}

/// Each kind has its row, at its own position.
const _: () = {
    let mut place = 0;
    while place < ACTIONS.len() {
        assert!(ACTIONS[place].kind as usize == place);
        place += 1;
    }
    assert!(ACTIONS.len() == Kind::Fail as usize + 1);
};

impl Facts {
    pub(crate) const fn is_loop(&self) -> bool {
        matches!(self.runs, Runs::Loop)
    }

    pub(crate) const fn has_blocks(&self) -> bool {
        !matches!(self.runs, Runs::Nothing)
    }

    pub(crate) const fn calls(&self) -> bool {
        matches!(self.runs, Runs::Called)
    }

    /// Whether no step after it in its block runs.
    pub(crate) const fn ends_block(&self) -> bool {
        !matches!(self.ends, Ends::Nothing)
    }

    /// Whether it leaves the loop around it.
    pub(crate) const fn leaves_loop(&self) -> bool {
        matches!(self.ends, Ends::Loop | Ends::Function)
    }
}

/// An operation outside the workflow, as a step of its own or started by `start`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation<'a> {
    Activity(&'a ActivityStep),
    BuiltIn(&'a BuiltInStep),
    Child,
    Nexus,
}

impl Started {
    pub(crate) fn operation(&self) -> Operation<'_> {
        match self {
            Started::Activity(step) => Operation::Activity(step),
            Started::BuiltIn(step) => Operation::BuiltIn(step),
            Started::Child(_) => Operation::Child,
            Started::Nexus(_) => Operation::Nexus,
        }
    }
}

impl Action {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Action::Activity(_) => Kind::Activity,
            Action::BuiltIn(call) => Kind::of_built_in(call.kind),
            Action::Timer(Timer::For(_) | Timer::Until(_)) => Kind::Timer,
            Action::Wait(_) => Kind::Wait,
            Action::Set(_) => Kind::Set,
            Action::If { .. } => Kind::If,
            Action::Switch { .. } => Kind::Switch,
            Action::ForEach(_) => Kind::ForEach,
            Action::While { .. } => Kind::While,
            Action::Repeat { .. } => Kind::Repeat,
            Action::Break => Kind::Break,
            Action::Continue => Kind::Continue,
            Action::Parallel { .. } => Kind::Parallel,
            Action::Race { .. } => Kind::Race,
            Action::Try(_) => Kind::Try,
            Action::Saga { .. } => Kind::Saga,
            Action::Do { .. } => Kind::Do,
            Action::Call { .. } => Kind::Call,
            Action::Child(_) => Kind::Child,
            Action::Start(_) => Kind::Start,
            Action::Await(_) => Kind::Await,
            Action::Cancel(_) => Kind::Cancel,
            Action::Signal(_) => Kind::Signal,
            Action::CancelWorkflow { .. } => Kind::CancelWorkflow,
            Action::Nexus(_) => Kind::Nexus,
            Action::ContinueAsNew(_) => Kind::ContinueAsNew,
            Action::Upsert { .. } => Kind::Upsert,
            Action::Log { .. } => Kind::Log,
            Action::Details(_) => Kind::Details,
            Action::Return(_) => Kind::Return,
            Action::Fail(_) => Kind::Fail,
        }
    }

    pub(crate) fn facts(&self) -> Facts {
        self.kind().facts()
    }

    /// The operation outside the workflow that it runs and awaits.
    pub(crate) fn awaited_operation(&self) -> Option<Operation<'_>> {
        let operation = match self {
            Action::Activity(step) => Operation::Activity(step),
            Action::BuiltIn(step) => Operation::BuiltIn(step),
            Action::Child(_) => Operation::Child,
            Action::Nexus(_) => Operation::Nexus,
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
            | Action::Fail(_) => return None,
        };
        Some(operation)
    }

    /// What `start` starts.
    pub(crate) fn started(&self) -> Option<&Started> {
        if let Action::Start(started) = self {
            return Some(started);
        }
        None
    }

    /// The operation outside the workflow that it runs, awaited or not.
    pub(crate) fn operation(&self) -> Option<Operation<'_>> {
        let started = self.started().map(Started::operation);
        self.awaited_operation().or(started)
    }

    /// The blocks that are written inside it, in the order of the text.
    pub(crate) fn blocks(&self) -> Vec<&Steps> {
        match self {
            Action::Wait(wait) => wait.on_timeout.iter().collect(),
            Action::If {
                then, otherwise, ..
            } => vec![then, otherwise],
            Action::Switch { cases, default, .. } => {
                cases.iter().map(|c| &c.steps).chain([default]).collect()
            }
            Action::ForEach(for_each) => vec![&for_each.steps],
            Action::While { steps, .. }
            | Action::Repeat { steps, .. }
            | Action::Saga { steps, .. }
            | Action::Do { steps, .. } => vec![steps],
            Action::Parallel { branches, .. } | Action::Race { branches } => {
                branches.iter().map(|b| &b.steps).collect()
            }
            Action::Try(action) => {
                let catches = action.catches.iter().map(|c| &c.steps);
                let steps = std::iter::once(&action.steps);
                steps.chain(catches).chain([&action.finally]).collect()
            }
            Action::Activity(_)
            | Action::BuiltIn(_)
            | Action::Timer(_)
            | Action::Set(_)
            | Action::Break
            | Action::Continue
            | Action::Call { .. }
            | Action::Child(_)
            | Action::Start(_)
            | Action::Await(_)
            | Action::Cancel(_)
            | Action::Signal(_)
            | Action::CancelWorkflow { .. }
            | Action::Nexus(_)
            | Action::ContinueAsNew(_)
            | Action::Upsert { .. }
            | Action::Log { .. }
            | Action::Details(_)
            | Action::Return(_)
            | Action::Fail(_) => Vec::new(),
        }
    }
}

impl Step {
    /// The blocks inside a step, its `compensate` last.
    pub(crate) fn blocks(&self) -> Vec<&Steps> {
        let mut blocks = self.action.value.blocks();
        blocks.extend(&self.compensate);
        blocks
    }

    /// Whether no step after it in its block runs.
    pub(crate) fn ends_block(&self) -> bool {
        self.when.is_none() && self.action.value.facts().ends_block()
    }

    /// The name of the block under `blocks` that it calls.
    pub(crate) fn called(&self) -> Option<&Name> {
        if let Action::Call { block, .. } = &self.action.value {
            return Some(block);
        }
        debug_assert!(!self.action.value.facts().calls());
        None
    }
}

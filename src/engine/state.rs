//! A run in flight, as plain data: routines with their frames and slots, awaited operations, buffers. It can be
//! serialised between two activations and continued from the bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::command::{ContinueAsNew, ScheduleLocalActivity};
use super::failure::Failure;
use super::invariant::{Violation, WAITS};
use super::job::{Activation, Initialize, Job, Resolution};
use super::load::Load;
use super::pending::Pending;
use super::steps::Cancelling;
use crate::program::Program;
use crate::value::{Duration, Map, Payload, Timestamp, Value};
use crate::words::{BlockId, ChildCancellationType, StepId};

/// Routines are numbered in the order of their creation, which is the order in which they run.
pub(crate) type RoutineId = u32;

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Run {
    pub(crate) info: Initialize,
    pub(crate) phase: Phase,
    /// The jobs that arrived before the program was known, in order.
    pub(crate) early: Vec<Job>,
    /// A map; `set` replaces it as a whole.
    pub(crate) state: Value,
    /// Grows with every `set`, so that a condition is evaluated again only if something changed.
    pub(crate) state_version: u64,
    pub(crate) random: u64,
    pub(crate) next_seq: u32,
    pub(crate) next_routine: RoutineId,
    pub(crate) routines: BTreeMap<RoutineId, Routine>,
    pub(crate) ready: BTreeSet<RoutineId>,
    /// Routines that wait for a signal or a condition.
    pub(crate) watching: BTreeSet<RoutineId>,
    /// Routines that are throttled: their step would be one operation too many for the server.
    pub(crate) held: BTreeSet<RoutineId>,
    pub(crate) operations: BTreeMap<u32, Operation>,
    pub(crate) pending: Pending,
    /// Signals without a handler, until a `wait` consumes them.
    pub(crate) signals: BTreeMap<String, VecDeque<Value>>,
    pub(crate) memo: BTreeMap<String, Payload>,
    pub(crate) search_attributes: BTreeMap<String, Payload>,
    pub(crate) cancel_requested: bool,
    pub(crate) ending: Option<Ending>,
    pub(crate) details: String,
    /// The pacing timer, which lets a run continue in the next workflow task.
    pub(crate) breather: Option<u32>,
    /// The flags that the run began with. A continuation has its own, so they are not carried.
    #[serde(skip)]
    pub(crate) flags: Vec<u32>,
    /// Jobs that have arrived and wait until the run has processed those before them. It is empty whenever the run is
    /// carried.
    #[serde(skip)]
    pub(crate) inbox: VecDeque<Job>,
    /// Where the main steps chose how the run ends, if they did. It is carried separately: see [`Left`].
    #[serde(skip)]
    pub(crate) leaving: Option<Box<Leaving>>,
    /// Frames with compensations that the main steps left with their end, outermost first. They undo what the main
    /// steps did if the run fails afterwards.
    #[serde(skip)]
    pub(crate) left_frames: Vec<Frame>,
    /// Grows with every `set` of a handler, and of a branch that another branch ended by leaving the main steps.
    #[serde(skip)]
    pub(crate) handled_version: u64,
    /// What the workflow task has sent; only kept if the run has `LOCAL_RESULTS_COUNTED`. A continuation begins with
    /// none.
    #[serde(skip)]
    pub(crate) load: Load,
    #[serde(skip)]
    pub(crate) cancelling: Cancelling,
    /// The step that the engine executes. It survives a panic, so that the log can name it.
    #[serde(skip)]
    pub(crate) at: Option<StepId>,
    #[serde(skip)]
    pub(crate) violation: Violation,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Phase {
    /// Waits for the marker that contains the bundle; jobs that arrived before it wait too.
    Binding,
    Running,
    Closed,
}

/// How the run ends, once the handlers that it waits for are done.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Ending {
    Completed(Value),
    Failed(Failure),
    Cancelled,
    ContinuedAsNew(Box<ContinueAsNew>),
    /// Continue as new with everything that runs carried along: nothing is waited for.
    CarriedOver(Box<ContinueAsNew>),
}

/// What belongs to one run alone: a continuation begins without it, so its form may change.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Beside {
    flags: Vec<u32>,
    inbox: VecDeque<Job>,
    left: Left,
    load: Load,
    cancelling: Cancelling,
}

/// How far the main steps are on their way out. A run that is carried meanwhile has it after the state's own form,
/// where older engines do not look. Its form is as stable as that of [`Run`].
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Left {
    leaving: Option<Box<Leaving>>,
    handled_version: u64,
    frames: Vec<Frame>,
}

/// A `return` or `continue_as_new` of the main steps, and what its values were evaluated from.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Leaving {
    pub(crate) step: StepId,
    /// The routine of the main steps that did so.
    pub(crate) routine: RoutineKind,
    pub(crate) locals: Vec<Option<Value>>,
    /// [`Run::handled_version`] at that time.
    pub(crate) handled_version: u64,
    /// Its outcome.
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Routine {
    pub(crate) kind: RoutineKind,
    pub(crate) frames: Vec<Frame>,
    /// By slot; see [`crate::program::slot`].
    pub(crate) locals: Vec<Option<Value>>,
    /// (slot, seq) of started operations.
    pub(crate) handles: Vec<(u32, u32)>,
    pub(crate) waiting: Option<Waiting>,
    /// The outcome of the step in which it waited.
    pub(crate) resume: Option<Outcome>,
    /// A cancellation that arrives at the next step that would wait, inside the frames from this one on.
    pub(crate) cancel_pending: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum RoutineKind {
    Main,
    Signal {
        handler: u32,
    },
    Update {
        handler: u32,
        protocol_instance_id: String,
    },
    Branch {
        parent: RoutineId,
        index: u32,
    },
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Outcome {
    Value(Value),
    Failed(Failure),
    Return(Value),
    Break,
    Continue,
    ContinueAsNew(Box<ContinueAsNew>),
}

/// What a routine is executing, innermost last.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) enum Frame {
    Block {
        block: BlockId,
        next: u32,
        last: Value,
    },
    Function {
        function: FunctionRef,
        saga: Option<Saga>,
        caller: Option<Box<Caller>>,
    },
    /// `while` and `repeat`.
    Loop {
        step: StepId,
    },
    /// `for_each`, one turn at a time.
    Turns {
        step: StepId,
        items: Items,
        next: u32,
        results: Vec<Value>,
    },
    Fan(Box<Fan>),
    Try(Box<Try>),
    Saga {
        step: StepId,
        saga: Saga,
    },
    Deadline {
        step: StepId,
        timer: u32,
        expired: bool,
    },
    Shield {
        cancel_pending: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum FunctionRef {
    Main,
    Signal(u32),
    Update(u32),
    Block(u32),
}

/// A caller's names, while the called block has its own.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Caller {
    pub(crate) locals: Vec<Option<Value>>,
    pub(crate) handles: Vec<(u32, u32)>,
}

/// The items of a `for_each`: (index or key, item).
pub(crate) type Items = Vec<(Value, Value)>;

/// Branches that run concurrently: `parallel`, `race`, `for_each` with `concurrency`.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Fan {
    pub(crate) step: StepId,
    pub(crate) kind: FanKind,
    /// The branches that have not ended, by index.
    pub(crate) running: BTreeMap<u32, RoutineId>,
    pub(crate) results: Vec<Option<Value>>,
    /// Turns that have not begun, only for `for_each`.
    pub(crate) pending: VecDeque<(Value, Value)>,
    pub(crate) next_index: u32,
    /// The outcome of the whole, if one branch decided it.
    pub(crate) decided: Option<Outcome>,
    /// No further branch begins.
    pub(crate) stopped: bool,
    /// It has just stopped: the running branches must still be cancelled.
    pub(crate) cancels_others: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum FanKind {
    Parallel,
    Race,
    ForEach,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Try {
    pub(crate) step: StepId,
    pub(crate) phase: TryPhase,
    pub(crate) attempt: u32,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) enum TryPhase {
    Body,
    /// Waits before a retry.
    Backoff,
    Catch {
        failure: Failure,
    },
    Finally {
        outcome: Outcome,
    },
}

#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Saga {
    /// Compensations of the steps that completed, oldest first.
    pub(crate) compensations: Vec<Compensation>,
    pub(crate) compensating: Option<Box<Compensating>>,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Compensation {
    pub(crate) block: BlockId,
    pub(crate) locals: Vec<Option<Value>>,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Compensating {
    pub(crate) failure: Failure,
    pub(crate) locals: Vec<Option<Value>>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Waiting {
    /// For an operation that this routine's step started, or for a handle.
    Operation {
        seq: u32,
    },
    /// Only for a child's start.
    ChildStart {
        seq: u32,
    },
    Signal {
        step: StepId,
        timer: Option<u32>,
        timed_out: bool,
    },
    Condition {
        step: StepId,
        timer: Option<u32>,
        timed_out: bool,
        seen: Option<u64>,
    },
    Branches,
}

/// Something outside that will resolve.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Operation {
    pub(crate) kind: OperationKind,
    /// The step that started it.
    pub(crate) step: Option<StepId>,
    /// The routines that wait for it; for a handle, none unless one awaits it.
    pub(crate) waiters: Vec<RoutineId>,
    /// A handle outlives its resolution.
    pub(crate) is_handle: bool,
    pub(crate) resolution: Option<Resolution>,
    /// When it resolves by itself, for timers.
    pub(crate) fires_at: Option<Timestamp>,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) enum OperationKind {
    Binding,
    Timer,
    /// The time limit of that routine's frame.
    Deadline {
        routine: RoutineId,
        frame: u32,
    },
    Breather,
    Activity,
    LocalActivity(Box<ScheduleLocalActivity>),
    /// A local activity's long backoff; then it is scheduled again under its previous seq.
    LocalBackoff {
        activity: u32,
    },
    Child {
        workflow_type: String,
        workflow_id: String,
        run_id: Option<String>,
        cancellation_type: ChildCancellationType,
    },
    /// The request that the child with this seq cancels itself.
    CancelRequest {
        child: u32,
    },
    SignalExternal,
    CancelExternal,
    Nexus,
    /// An activity that is abandoned if it is cancelled.
    Abandonable {
        activity_type: String,
        activity_id: String,
    },
}

impl Run {
    pub(crate) fn new(info: Initialize) -> Self {
        Run {
            random: info.random_seed,
            memo: info.memo.clone(),
            search_attributes: info.search_attributes.clone(),
            info,
            phase: Phase::Binding,
            early: Vec::new(),
            state: Value::map(Map::new()),
            state_version: 0,
            next_seq: 1,
            next_routine: 0,
            routines: BTreeMap::new(),
            ready: BTreeSet::new(),
            watching: BTreeSet::new(),
            held: BTreeSet::new(),
            pending: Pending::default(),
            operations: BTreeMap::new(),
            signals: BTreeMap::new(),
            cancel_requested: false,
            ending: None,
            details: String::new(),
            breather: None,
            flags: Vec::new(),
            inbox: VecDeque::new(),
            leaving: None,
            left_frames: Vec::new(),
            handled_version: 0,
            load: Load::default(),
            cancelling: Cancelling::default(),
            at: None,
            violation: Violation::default(),
        }
    }

    /// What a snapshot has besides the fields that are carried.
    pub(crate) fn beside(&self) -> Beside {
        Beside {
            flags: self.flags.clone(),
            inbox: self.inbox.clone(),
            left: self.left(),
            load: self.load.clone(),
            cancelling: self.cancelling.clone(),
        }
    }

    pub(crate) fn put_beside(&mut self, beside: Beside) {
        self.flags = beside.flags;
        self.inbox = beside.inbox;
        self.put_left(beside.left);
        self.load = beside.load;
        self.cancelling = beside.cancelling;
    }

    pub(crate) fn left(&self) -> Left {
        Left {
            leaving: self.leaving.clone(),
            handled_version: self.handled_version,
            frames: self.left_frames.clone(),
        }
    }

    pub(crate) fn put_left(&mut self, left: Left) {
        self.leaving = left.leaving;
        self.handled_version = left.handled_version;
        self.left_frames = left.frames;
    }

    pub(crate) fn take_seq(&mut self) -> u32 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// Adds a routine after all existing ones, ready to run.
    pub(crate) fn spawn(&mut self, routine: Routine) -> RoutineId {
        let id = self.next_routine;
        self.next_routine += 1;
        self.routines.insert(id, routine);
        self.ready.insert(id);
        id
    }

    /// A routine continues with what it waited for.
    pub(crate) fn resume(&mut self, id: RoutineId, outcome: Outcome) {
        let Some(routine) = self.routines.get_mut(&id) else {
            return self.violated(WAITS);
        };
        routine.waiting = None;
        routine.resume = Some(outcome);
        self.watching.remove(&id);
        self.ready.insert(id);
    }
}

impl Operation {
    pub(crate) fn of(kind: OperationKind) -> Self {
        Operation {
            kind,
            step: None,
            waiters: Vec::new(),
            is_handle: false,
            resolution: None,
            fires_at: None,
        }
    }
}

impl Routine {
    pub(crate) fn new(kind: RoutineKind, frames: Vec<Frame>, locals: Vec<Option<Value>>) -> Self {
        Routine {
            kind,
            frames,
            locals,
            handles: Vec::new(),
            waiting: None,
            resume: None,
            cancel_pending: None,
        }
    }

    /// The innermost step that it is at.
    pub(crate) fn step(&self, program: &Program) -> Option<StepId> {
        let blocks = self.frames.iter().rev();
        let mut at = blocks.filter_map(|frame| frame.step(program));
        at.next()
    }

    pub(crate) fn cancel_later(&mut self, from: usize) {
        let from = from as u32;
        self.cancel_pending = Some(self.cancel_pending.map_or(from, |before| before.min(from)));
    }

    pub(crate) fn handle(&self, slot: u32) -> Option<u32> {
        self.handles
            .iter()
            .rev()
            .find(|(s, _)| *s == slot)
            .map(|(_, seq)| *seq)
    }
}

/// The progress of an activation; not part of a run's data.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    pub(crate) now: Timestamp,
    pub(crate) is_replaying: bool,
    pub(crate) history_length: u32,
    pub(crate) history_size_bytes: u64,
    pub(crate) continue_as_new_suggested: bool,
    pub(crate) flags: Vec<u32>,
}

impl Clock {
    pub(crate) fn of(activation: &Activation) -> Clock {
        Clock {
            now: activation.now,
            is_replaying: activation.is_replaying,
            history_length: activation.history_length,
            history_size_bytes: activation.history_size_bytes,
            continue_as_new_suggested: activation.continue_as_new_suggested,
            flags: activation.flags.clone(),
        }
    }
}

/// A duration that the server accepts for a timer.
pub(crate) fn timer_length(duration: Duration) -> Duration {
    duration.max(Duration::from_millis(1))
}

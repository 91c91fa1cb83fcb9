//! The words that definitions, programs, the engine and the cluster's client share: option values with Temporal's names, the kinds of failures, the ids of
//! steps and blocks. Plain data that imports nothing but values.

use crate::value::Duration;

/// A step of a program, by its place in the arena.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct StepId(pub u32);

/// A sequence of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct BlockId(pub u32);

/// One of the generic worker's own activities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuiltIn {
    Http,
    Exec,
    Grpc,
    Callback,
}

impl BuiltIn {
    pub(crate) const ALL: [BuiltIn; 4] = [
        BuiltIn::Http,
        BuiltIn::Exec,
        BuiltIn::Grpc,
        BuiltIn::Callback,
    ];

    /// The built-in activity with this activity type.
    pub(crate) fn named(activity_type: &str) -> Option<BuiltIn> {
        let mut all = BuiltIn::ALL.into_iter();
        all.find(|built_in| built_in.name() == activity_type)
    }

    /// Whether the workflow's own worker can run it as a local activity. A callback is completed from outside.
    pub(crate) fn can_be_local(self) -> bool {
        match self {
            BuiltIn::Http | BuiltIn::Exec | BuiltIn::Grpc => true,
            BuiltIn::Callback => false,
        }
    }

    /// The action key and the activity type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            BuiltIn::Http => "http",
            BuiltIn::Exec => "exec",
            BuiltIn::Grpc => "grpc",
            BuiltIn::Callback => "callback",
        }
    }
}

/// `history`: whether a run continues as new by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum History {
    Automatic,
    #[default]
    Manual,
}

/// What the cancellation of a step does with its activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) enum ActivityCancellationType {
    #[default]
    TryCancel,
    WaitCancellationCompleted,
    Abandon,
}

/// What the cancellation of a step does with its child workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) enum ChildCancellationType {
    Abandon,
    TryCancel,
    #[default]
    WaitCancellationCompleted,
    WaitCancellationRequested,
}

/// What the server does with a child when its parent closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) enum ParentClosePolicy {
    #[default]
    Terminate,
    Abandon,
    RequestCancel,
}

/// What the server does if a start uses the id of a closed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum WorkflowIdReusePolicy {
    #[default]
    AllowDuplicate,
    AllowDuplicateFailedOnly,
    RejectDuplicate,
    TerminateIfRunning,
}

/// What the server does if a start uses the id of a running one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkflowIdConflictPolicy {
    Fail,
    UseExisting,
    TerminateExisting,
}

/// Which version's workers execute a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersioningBehavior {
    /// The version of its first task, until the run ends.
    Pinned,
    /// The version that is current or ramping when its next task is due.
    AutoUpgrade,
}

/// On which version's workers a continuation starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum InitialVersioningBehavior {
    AutoUpgrade,
    UseRampingVersion,
}

/// `definition` of `continue_as_new`: the run's own bundle, or the newest one at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ContinuedVersion {
    Pinned,
    #[default]
    Latest,
}

/// What happens to the other branches of a `parallel` step if one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    #[default]
    CancelOthers,
    WaitAll,
}

/// What happens to the remaining compensations if one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCompensationFailure {
    /// Continue with the other compensations, then fail with the first failure.
    #[default]
    Continue,
    /// Stop compensating and fail with the compensation's failure.
    Fail,
}

/// Which steps `compensate` undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CompensateOn {
    #[default]
    Completed,
    /// However it ended once it was started.
    Started,
}

/// How important a log line is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// The kinds of failures. LANGUAGE: a `catch` matches on kind or type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum FailureKind {
    Application,
    Timeout,
    Cancelled,
    Terminated,
    Server,
    ResetWorkflow,
    Activity,
    ChildWorkflow,
    NexusOperation,
    NexusHandler,
}

impl FailureKind {
    pub(crate) const ALL: [FailureKind; 10] = [
        FailureKind::Application,
        FailureKind::Timeout,
        FailureKind::Cancelled,
        FailureKind::Terminated,
        FailureKind::Server,
        FailureKind::ResetWorkflow,
        FailureKind::Activity,
        FailureKind::ChildWorkflow,
        FailureKind::NexusOperation,
        FailureKind::NexusHandler,
    ];

    /// The name that a `catch` uses.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Application => "application",
            FailureKind::Timeout => "timeout",
            FailureKind::Cancelled => "cancelled",
            FailureKind::Terminated => "terminated",
            FailureKind::Server => "server",
            FailureKind::ResetWorkflow => "reset_workflow",
            FailureKind::Activity => "activity",
            FailureKind::ChildWorkflow => "child_workflow",
            FailureKind::NexusOperation => "nexus",
            FailureKind::NexusHandler => "nexus_handler",
        }
    }
}

/// Which of Temporal's timeouts has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum TimeoutType {
    StartToClose,
    ScheduleToStart,
    ScheduleToClose,
    Heartbeat,
}

impl TimeoutType {
    pub fn name(self) -> &'static str {
        match self {
            TimeoutType::StartToClose => "start_to_close",
            TimeoutType::ScheduleToStart => "schedule_to_start",
            TimeoutType::ScheduleToClose => "schedule_to_close",
            TimeoutType::Heartbeat => "heartbeat",
        }
    }
}

/// Why Temporal does not retry an activity or child again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum RetryState {
    Unspecified,
    InProgress,
    NonRetryableFailure,
    Timeout,
    MaximumAttemptsReached,
    RetryPolicyNotSet,
    InternalServerError,
    CancelRequested,
}

/// When and how often something is retried. `None` is Temporal's default.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct RetryPolicy {
    pub initial_interval: Option<Duration>,
    pub backoff_coefficient: Option<f64>,
    pub maximum_interval: Option<Duration>,
    pub maximum_attempts: Option<u32>,
    pub non_retryable_error_types: Vec<String>,
}

/// A word that the language has for one of several values, and what it means in messages and in the reference.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
}

/// An option's values, each with its word.
pub(crate) trait Word: Copy + 'static {
    /// In the order of the reference.
    const CHOICES: &'static [Choice];
    /// In the same order.
    const ALL: &'static [Self];

    /// The value of this word.
    fn named(word: &str) -> Option<Self> {
        let mut choices = Self::CHOICES.iter();
        let place = choices.position(|choice| choice.name == word)?;
        Self::ALL.get(place).copied()
    }
}

macro_rules! words {
    ($($name:ident { $($variant:ident = $word:literal, $meaning:literal;)+ })+) => {$(
        impl Word for $name {
            const CHOICES: &'static [Choice] =
                &[$(Choice { name: $word, meaning: $meaning }),+];
            const ALL: &'static [Self] = &[$($name::$variant),+];
        }
    )+};
}

words! {
    History {
        Manual = "manual", "the history grows until the workflow ends or reaches a `continue_as_new`";
        Automatic = "automatic", "it continues as new by itself when the server suggests it";
    }
    VersioningBehavior {
        Pinned = "pinned", "a run stays with the worker version that it began on";
        AutoUpgrade = "auto_upgrade", "its next workflow task runs on the version that is current then";
    }
    ActivityCancellationType {
        TryCancel = "try_cancel", "request the cancellation and continue at once";
        WaitCancellationCompleted = "wait_cancellation_completed", "request it and wait until the activity has ended";
        Abandon = "abandon", "request nothing and continue at once";
    }
    ChildCancellationType {
        WaitCancellationCompleted = "wait_cancellation_completed", "request the cancellation and wait until the child has ended";
        WaitCancellationRequested = "wait_cancellation_requested", "wait until the request has reached the child";
        TryCancel = "try_cancel", "request it and continue at once";
        Abandon = "abandon", "request nothing and continue at once";
    }
    ParentClosePolicy {
        Terminate = "terminate", "the child is terminated when its parent closes";
        Abandon = "abandon", "the child continues";
        RequestCancel = "request_cancel", "the cancellation of the child is requested";
    }
    WorkflowIdReusePolicy {
        AllowDuplicate = "allow_duplicate", "a closed workflow's id may be used again";
        AllowDuplicateFailedOnly = "allow_duplicate_failed_only", "only if that workflow did not complete";
        RejectDuplicate = "reject_duplicate", "never";
        TerminateIfRunning = "terminate_if_running", "a running workflow with the id is terminated";
    }
    WorkflowIdConflictPolicy {
        Fail = "fail", "starting fails while a workflow with the id runs";
        UseExisting = "use_existing", "the running workflow is used instead";
        TerminateExisting = "terminate_existing", "the running workflow is terminated";
    }
    InitialVersioningBehavior {
        AutoUpgrade = "auto_upgrade", "the version that is current, or ramping for this workflow id";
        UseRampingVersion = "use_ramping_version", "the version that is ramping";
    }
    ContinuedVersion {
        Latest = "latest", "the definition that is newest then";
        Pinned = "pinned", "the run's own";
    }
    OnFailure {
        CancelOthers = "cancel_others", "the first failure cancels the other branches";
        WaitAll = "wait_all", "the others finish first, then the step fails";
    }
    OnCompensationFailure {
        Continue = "continue", "continue with the other compensations, then fail with the first failure";
        Fail = "fail", "stop compensating and fail with the compensation's failure";
    }
    CompensateOn {
        Completed = "completed", "one that completed";
        Started = "started", "one that started, however it ended: it may have failed, timed out or been cancelled after its effect";
    }
    LogLevel {
        Debug = "debug", "for debugging";
        Info = "info", "what happens";
        Warn = "warn", "what should not happen";
        Error = "error", "what went wrong";
    }
}

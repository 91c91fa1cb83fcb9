//! Fixed faults, put back one at a time by a switch, so that tests can show that the hunter finds each. Only builds
//! with debug assertions have the switch; in others no fault is ever on.

/// A fault that `SEGNO_FAULT` puts back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The main steps run before the handlers of messages that arrived with what woke them.
    StepsBeforeHandlers,
    /// `return` and `continue_as_new` evaluate their values before running handlers have finished.
    ValuesBeforeHandlers,
    /// Signals kept for a `wait` are dropped at a manual `continue_as_new`.
    KeptSignalsDropped,
    /// Within one workflow task the order in history does not decide between a deadline and what it bounds.
    OrderIgnored,
    /// A step with `compensate` that is cancelled in flight counts as not done.
    EffectLeft,
    /// A run without `return` completes with null, whatever its `output` requires.
    OutputUnchecked,
    /// Output drops control characters of data.
    DataFiltered,
    /// `schedule_to_close_timeout` of a local activity does not bound its retries.
    LocalTimeoutIgnored,
    /// A local activity of an unknown type waits for ever.
    UnknownLocalWaits,
    /// The mark of a deployed version is sent with the second workflow task if a query came first.
    VersionMarkedLate,
    /// A query shows a run events that no workflow task has delivered.
    QueriedAhead,
    /// Results of local activities do not count towards the bounds of a workflow task.
    LocalResultsUncounted,
    /// The registry's numbers start at 1 again after its workflow was ended.
    RegistryBeginsAnew,
    /// A carried state without a definition is accepted, and its run hangs.
    StateWithoutDefinition,
    /// `segno run` executes attempts for time that passed while no process ran.
    PastAttemptsRun,
    /// The journal of `segno run` is closed in several commits.
    JournalClosedInParts,
    /// `segno run` waits out a clock that was set back.
    ClockFollowed,
}

impl Fault {
    pub const ALL: [(Fault, &str); 17] = [
        (Fault::StepsBeforeHandlers, "steps-before-handlers"),
        (Fault::ValuesBeforeHandlers, "values-before-handlers"),
        (Fault::KeptSignalsDropped, "kept-signals-dropped"),
        (Fault::OrderIgnored, "order-ignored"),
        (Fault::EffectLeft, "effect-left"),
        (Fault::OutputUnchecked, "output-unchecked"),
        (Fault::DataFiltered, "data-filtered"),
        (Fault::LocalTimeoutIgnored, "local-timeout-ignored"),
        (Fault::UnknownLocalWaits, "unknown-local-waits"),
        (Fault::VersionMarkedLate, "version-marked-late"),
        (Fault::QueriedAhead, "queried-ahead"),
        (Fault::LocalResultsUncounted, "local-results-uncounted"),
        (Fault::RegistryBeginsAnew, "registry-begins-anew"),
        (Fault::StateWithoutDefinition, "state-without-definition"),
        (Fault::PastAttemptsRun, "past-attempts-run"),
        (Fault::JournalClosedInParts, "journal-closed-in-parts"),
        (Fault::ClockFollowed, "clock-followed"),
    ];

    /// Whether `SEGNO_FAULT` puts this fault back.
    #[cfg(debug_assertions)]
    pub(crate) fn is_on(self) -> bool {
        static ON: std::sync::OnceLock<Option<Fault>> = std::sync::OnceLock::new();
        *ON.get_or_init(|| {
            let wanted = std::env::var("SEGNO_FAULT").ok()?;
            let found = Fault::ALL.iter().find(|(_, name)| *name == wanted);
            assert!(found.is_some(), "SEGNO_FAULT: unknown fault `{wanted}`");
            found.map(|(fault, _)| *fault)
        }) == Some(self)
    }

    #[cfg(not(debug_assertions))]
    pub(crate) const fn is_on(self) -> bool {
        false
    }
}

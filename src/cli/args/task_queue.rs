//! The task queue to use when no flag names one.

/// The task queue of workers and clients if no flag names one.
pub(crate) const TASK_QUEUE_DEFAULT: &str = "segno";

const TASK_QUEUE_VARIABLE: &str = "SEGNO_TASK_QUEUE";

/// The queue of a definition for which no flag names one.
pub(crate) fn task_queue_of(definitions: Option<&str>) -> String {
    let own = own_task_queue();
    own.unwrap_or_else(|| definitions.unwrap_or(TASK_QUEUE_DEFAULT).to_owned())
}

/// The queue that the environment names.
pub(crate) fn own_task_queue() -> Option<String> {
    let from_environment = std::env::var(TASK_QUEUE_VARIABLE).ok();
    from_environment.filter(|queue| !queue.is_empty())
}

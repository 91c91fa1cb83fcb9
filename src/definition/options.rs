//! The options of activities and children, each declared once: its word, type, meaning and default, and in which group
//! of keys it is allowed. Tables, the definition's tree, the parser, programs and the compiler generate their parts
//! from these declarations, by what [`activity_options`] and [`child_options`] hand to their macros.

/// Hands the options of activities to a macro.
macro_rules! activity_options {
    ($layer:ident) => {
        $layer! {
            /// Options of an activity.
            ActivityOptions {
                ACTIVITY_OPTIONS {
                    task_queue: [Name], "The task queue of the workers that run it.",
                        default "the workflow's";
                    start_to_close_timeout: [Length], "The longest time that one attempt may run.";
                    schedule_to_close_timeout: [Length],
                        "The longest time from scheduling to the end, including all attempts and waits.";
                    schedule_to_start_timeout: [Length],
                        "The longest time that an attempt may wait for a worker.";
                    heartbeat_timeout: [Heartbeat], "The longest time between two heartbeats of an attempt.";
                    retry_policy: [Retries], "When and how often a failed attempt is retried.",
                        default "the server's: without bound";
                    cancellation_type: [Word ActivityCancellationType],
                        "What happens to it when the step is cancelled.",
                        default "`try_cancel`; of a local activity, and of one that a `compensate` undoes, `wait_cancellation_completed`";
                    activity_id: [Name], "Its id in history.", default "a number";
                    priority: [Priority], "Its place in the task queue.";
                }
                /// Options that an activity completed from outside cannot have.
                LOCAL {
                    local: [Flag],
                        "Run it inside the workflow's own worker, without a task queue: for short work only.",
                        default "false";
                }
            }
        }
    };
}

/// Hands the options of children to a macro.
macro_rules! child_options {
    ($layer:ident) => {
        $layer! {
            /// Options of a child workflow.
            ChildOptions {
                CHILD_OPTIONS {
                    workflow_id: [Name], "The child's workflow id.",
                        default "the parent's run id with a number";
                    task_queue: [Name], "The task queue of the child's workers.",
                        default "the parent's";
                    workflow_execution_timeout: [Length],
                        "The longest time for the child with all its retries and continuations.";
                    workflow_run_timeout: [Length], "The longest time for one run.";
                    workflow_task_timeout: [Length], "The longest time for one workflow task.",
                        default "10s";
                    retry_policy: [Retries],
                        "When and how often a failed child is started again.",
                        default "none";
                    parent_close_policy: [DefaultWord ParentClosePolicy],
                        "What happens to the child when its parent closes.",
                        default "`terminate`";
                    workflow_id_reuse_policy: [DefaultWord WorkflowIdReusePolicy],
                        "Whether the id of a closed workflow may be used again.",
                        default "`allow_duplicate`";
                    cancellation_type: [DefaultWord ChildCancellationType],
                        "What happens to the child when the step is cancelled.",
                        default "`wait_cancellation_completed`";
                    cron_schedule: [Cron],
                        "Runs the child repeatedly, by this cron expression.";
                    memo: [Mapping], "Notes that are shown with the child.";
                    search_attributes: [Mapping], "Search attributes of the child.";
                    priority: [Priority], "The priority of the child's tasks.";
                }
            }
        }
    };
}

pub(crate) use {activity_options, child_options};

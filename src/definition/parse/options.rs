//! Options that several places share.

use std::sync::{Arc, LazyLock};

use super::Parser;
use super::fields::Fields;
use crate::definition::options::{activity_options, child_options};
use crate::definition::table::{Key, key};
use crate::definition::{
    ActivityOptions, ChildOptions, PriorityOption, RetryPolicy, StartOptions, tables,
};
use crate::words::{
    ActivityCancellationType, ChildCancellationType, ParentClosePolicy, WorkflowIdReusePolicy,
};

/// Reads an option by its kind, under the key that its table declares.
macro_rules! read {
    ($parser:ident, $fields:ident, $key:expr, Name) => {
        $parser.template($fields, $key)
    };
    ($parser:ident, $fields:ident, $key:expr, Length) => {
        $parser.duration($fields, $key)
    };
    ($parser:ident, $fields:ident, $key:expr, Heartbeat) => {
        $parser.duration($fields, $key)
    };
    ($parser:ident, $fields:ident, $key:expr, Retries) => {
        $parser.retry_policy($fields)
    };
    ($parser:ident, $fields:ident, $key:expr, Priority) => {
        $parser.priority($fields)
    };
    ($parser:ident, $fields:ident, $key:expr, Flag) => {
        $parser.flag($fields, $key)
    };
    ($parser:ident, $fields:ident, $key:expr, Cron) => {
        $parser.template($fields, $key)
    };
    ($parser:ident, $fields:ident, $key:expr, Mapping) => {
        $parser.template($fields, $key)
    };
    ($parser:ident, $fields:ident, $key:expr, Word $word:ident) => {
        $parser.word::<$word>($fields, $key)
    };
    ($parser:ident, $fields:ident, $key:expr, DefaultWord $word:ident) => {
        $parser.word::<$word>($fields, $key)
    };
}

/// Options that are read by their declarations.
pub(super) trait Options {
    fn are_in(fields: &Fields<'_>) -> bool;
    fn read(parser: &mut Parser, fields: &Fields<'_>) -> Self;
}

macro_rules! reading {
    (
        $(#[$doc:meta])*
        $options:ident {
            $(
                $(#[$group_doc:meta])*
                $group:ident {
                    $($field:ident: [$($kind:tt)+], $meaning:literal $(, default $default:literal)?;)+
                }
            )+
        }
    ) => {
        impl Options for $options {
            fn are_in(fields: &Fields<'_>) -> bool {
                $($(fields.get(const { Key::of(stringify!($field)) }).is_some())||+)||+
            }

            fn read(parser: &mut Parser, fields: &Fields<'_>) -> Self {
                $options {
                    $($($field: read!(parser, fields, const { Key::of(stringify!($field)) }, $($kind)+),)+)+
                }
            }
        }
    };
}

activity_options!(reading);
child_options!(reading);

impl Parser {
    /// What a step sets itself, which is nothing for most steps.
    pub(super) fn own_options<O: Options>(&mut self, fields: &Fields<'_>) -> Option<Box<O>> {
        O::are_in(fields).then(|| Box::new(O::read(self, fields)))
    }

    pub(super) fn activity_options(&mut self, fields: &Fields<'_>) -> ActivityOptions {
        Options::read(self, fields)
    }

    pub(super) fn child_options(&mut self, fields: &Fields<'_>) -> ChildOptions {
        Options::read(self, fields)
    }

    pub(super) fn start_options(&mut self, fields: &Fields<'_>) -> Arc<StartOptions> {
        static NOTHING: LazyLock<Arc<StartOptions>> = LazyLock::new(Arc::default);
        let Some(fields) = self.table(fields, key!("start"), &tables::START) else {
            return NOTHING.clone();
        };
        Arc::new(StartOptions {
            workflow_id: self.template(&fields, key!("workflow_id")),
            task_queue: self.text(&fields, key!("task_queue")),
            workflow_execution_timeout: self.duration(&fields, key!("workflow_execution_timeout")),
            workflow_run_timeout: self.duration(&fields, key!("workflow_run_timeout")),
            workflow_task_timeout: self.duration(&fields, key!("workflow_task_timeout")),
            retry_policy: self.retry_policy(&fields),
            workflow_id_reuse_policy: self.word(&fields, key!("workflow_id_reuse_policy")),
            workflow_id_conflict_policy: self.word(&fields, key!("workflow_id_conflict_policy")),
            cron_schedule: self.text(&fields, key!("cron_schedule")),
            memo: self.template(&fields, key!("memo")),
            search_attributes: self.template(&fields, key!("search_attributes")),
        })
    }

    pub(super) fn retry_policy(&mut self, fields: &Fields<'_>) -> Option<RetryPolicy> {
        let fields = self.table(fields, key!("retry_policy"), &tables::RETRY_POLICY)?;
        Some(RetryPolicy {
            initial_interval: self.duration(&fields, key!("initial_interval")),
            backoff_coefficient: self.template(&fields, key!("backoff_coefficient")),
            maximum_interval: self.duration(&fields, key!("maximum_interval")),
            maximum_attempts: self.template(&fields, key!("maximum_attempts")),
            non_retryable_error_types: self.texts(&fields, key!("non_retryable_error_types")),
        })
    }

    fn priority(&mut self, fields: &Fields<'_>) -> Option<PriorityOption> {
        let fields = self.table(fields, key!("priority"), &tables::PRIORITY)?;
        Some(PriorityOption {
            priority_key: self.template(&fields, key!("priority_key")),
            fairness_key: self.template(&fields, key!("fairness_key")),
            fairness_weight: self.template(&fields, key!("fairness_weight")),
        })
    }
}

//! Flags that several commands have in common.

pub(crate) mod codec;
pub(crate) mod connection;
pub(crate) mod input;
pub(crate) mod own;
pub(crate) mod policy;
pub(crate) mod registry;
pub(crate) mod task_queue;
pub(crate) mod values;

use clap::Args;

use crate::client::WorkflowRef;

/// Which workflow a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorkflowArgs {
    /// The workflow's id
    #[arg(value_name = "WORKFLOW_ID")]
    pub(crate) workflow_id: String,
    /// The run [default: the latest]
    #[arg(long, short = 'r')]
    run_id: Option<String>,
}

impl WorkflowArgs {
    pub(crate) fn reference(&self) -> WorkflowRef {
        WorkflowRef::new(&self.workflow_id, self.run_id.clone())
    }
}

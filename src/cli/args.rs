//! Flags that several commands have in common.

pub mod codec;
pub mod connection;
pub mod input;
pub mod own;
pub mod policy;
pub mod registry;
pub mod task_queue;
pub mod values;

use clap::Args;

use crate::client::WorkflowRef;

/// Which workflow a command is about.
#[derive(Debug, Clone, Args)]
pub struct WorkflowArgs {
    /// The workflow's id
    #[arg(value_name = "WORKFLOW_ID")]
    pub workflow_id: String,
    /// The run; without it the latest is meant
    #[arg(long, short = 'r')]
    run_id: Option<String>,
}

impl WorkflowArgs {
    pub fn reference(&self) -> WorkflowRef {
        WorkflowRef::new(&self.workflow_id, self.run_id.clone())
    }
}

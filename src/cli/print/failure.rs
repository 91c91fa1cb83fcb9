//! A workflow's failure, for people.

use std::fmt::Write;

use super::payload::failure_json;
use super::{Tone, styled};
use crate::engine::failure::{Failure, FailureInfo};
use crate::payload::with_marks;

/// The failure and its causes, outermost first, one a line with the details below. What is still encoded is marked.
pub(crate) fn failure_text(failure: &Failure) -> String {
    let failure = &with_marks(failure);
    let mut text = String::new();
    for (depth, failure) in failure.chain().enumerate() {
        let indent = "  ".repeat(depth);
        let lead = if depth == 0 {
            String::new()
        } else {
            styled(Tone::Dim, "caused by ")
        };
        let _ = writeln!(
            text,
            "{indent}{lead}{}: {}",
            styled(Tone::Bold, heading(failure)),
            failure.message.replace('\n', &format!("\n{indent}  "))
        );
        if let FailureInfo::Application { details, .. } = &failure.info
            && !details.is_empty()
        {
            let details = &failure_json(failure)["details"];
            let _ = writeln!(text, "{indent}  {}{details}", styled(Tone::Dim, "details "));
        }
    }
    text.trim_end().to_owned()
}

fn heading(failure: &Failure) -> String {
    let kind = failure.kind().name();
    match &failure.info {
        FailureInfo::Application { error_type, .. } if !error_type.is_empty() => error_type.clone(),
        FailureInfo::Timeout { timeout_type, .. } => format!("{kind} {}", timeout_type.name()),
        FailureInfo::Activity { activity_type, .. } => format!("{kind} {activity_type}"),
        FailureInfo::ChildWorkflow {
            workflow_type,
            workflow_id,
            ..
        } => {
            format!("{kind} {workflow_type} {workflow_id}")
        }
        FailureInfo::NexusOperation { operation, .. } => format!("{kind} {operation}"),
        _ => kind.to_owned(),
    }
}

pub(crate) fn failed(what: &str) -> String {
    format!("{}: {what}", styled(Tone::Bad, "error"))
}

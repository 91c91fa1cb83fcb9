//! What a failed attempt of a built-in activity tells.

use segno::engine::failure::{Failure, FailureInfo};

/// The failure's type, whether an attempt more may mend it, and the message.
pub fn told(failure: Failure) -> (String, bool, String) {
    match failure.info {
        FailureInfo::Application {
            error_type,
            non_retryable,
            ..
        } => (error_type, !non_retryable, failure.message),
        other => (format!("{other:?}"), false, failure.message),
    }
}

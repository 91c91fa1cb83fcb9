//! Flags an `if` or a `when` that is just `true` or `false`.
//!
//! ```yaml
//! - if: false
//!   then: [{ activity: never }]
//! ```
//!
//! `while: true` is not flagged: such loops are often intended.

use super::Subject;
use crate::definition::Action;
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let mut flag = |condition: &Expression, what: &str| {
        if let Some(value) = condition.as_bool() {
            let message = format!("this `{what}` is always {value}");
            diagnostics.push(
                Diagnostic::warning("constant-condition", condition.range(), message)
                    .help("write a condition over the input, the state or a result, or remove it"),
            );
        }
    };
    subject.each_step(&mut |step| {
        if let Some(when) = &step.when {
            flag(when, "when");
        }
        if let Action::If { condition, .. } = &step.action.value {
            flag(condition, "if");
        }
    });
}

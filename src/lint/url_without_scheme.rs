//! Flags a constant `url` of `http` that does not begin with a scheme.
//!
//! A request needs an absolute URL. One without `http://` or `https://` fails at each attempt.
//!
//! ```yaml
//! - http: { url: api.example.com/orders }
//! ```
//!
//! Write the scheme: `https://api.example.com/orders`.

use super::Subject;
use crate::definition::Action;
use crate::diagnostic::Diagnostic;
use crate::words::BuiltIn;

const SCHEMES: [&str; 2] = ["http://", "https://"];

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    subject.each_step(&mut |step| {
        let Action::BuiltIn(call) = &step.action.value else {
            return;
        };
        if call.kind != BuiltIn::Http {
            return;
        }
        let Some((range, beginning)) = call.request.beginning_of("url") else {
            return;
        };
        let beginning = beginning.to_ascii_lowercase();
        if SCHEMES.iter().any(|scheme| beginning.starts_with(scheme)) {
            return;
        }
        let message = format!("`{}` has no scheme", subject.program.sources.text(range));
        diagnostics.push(
            Diagnostic::warning("url-without-scheme", range, message)
                .label("not an absolute URL")
                .help("write `https://` or `http://` before it"),
        );
    });
}

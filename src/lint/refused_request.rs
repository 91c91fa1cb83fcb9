//! Flags methods and headers that the worker refuses in a request.
//!
//! Some methods and headers control where a message is sent or how it is framed, and only the worker sets them: `CONNECT`,
//! `TRACE`, and the headers `host`, `content-length`, `transfer-encoding`, `connection` and similar ones. For `grpc` these are also
//! `content-type`, `user-agent` and `grpc-…`. A request that sets one fails at each attempt.
//!
//! ```yaml
//! - http: { url: https://api.example.com, headers: { host: internal.example.com } }
//! ```
//!
//! Leave the header out: the worker sets it from the `url`.

use super::Subject;
use crate::accepted;
use crate::definition::Operation;
use crate::diagnostic::Diagnostic;
use crate::expression::Template;
use crate::source::Range;
use crate::words::BuiltIn;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    subject.each_step(&mut |step| {
        let Some(Operation::BuiltIn(call)) = step.action.value.operation() else {
            return;
        };
        let mut refuse = |range: Range, message: String, help: &str| {
            diagnostics.push(Diagnostic::error("refused-request", range, message).help(help));
        };
        match call.kind {
            BuiltIn::Http => http(&call.request, &[], &mut refuse),
            BuiltIn::Callback => http(&call.request, &["http"], &mut refuse),
            BuiltIn::Grpc => {
                let names = [&["metadata"][..], &["secrets"]];
                let names = names.iter().flat_map(|path| call.request.keys_at(path));
                for (range, name) in names {
                    if let Err(message) = accepted::grpc_metadata(name) {
                        refuse(range, message, "leave it out");
                    }
                }
            }
            BuiltIn::Exec => {}
        }
    });
}

fn http(request: &Template, inside: &[&str], refuse: &mut dyn FnMut(Range, String, &str)) {
    let at = |path: &[&'static str]| [inside, path].concat();
    if let Some((range, method)) = request.text_at(&at(&["method"]))
        && let Err(message) = accepted::http_method(method)
    {
        refuse(
            range,
            message,
            "use another method, such as `GET` or `POST`",
        );
    }
    let names = [at(&["headers"]), at(&["secrets", "headers"])];
    for (range, name) in names.iter().flat_map(|path| request.keys_at(path)) {
        if let Err(message) = accepted::http_header(name) {
            refuse(
                range,
                message,
                "leave it out: the worker sets it from the `url` and the body",
            );
        }
    }
}

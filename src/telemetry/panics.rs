//! Panics as events of the log: the message may quote anything, so it is redacted like all logs.

use std::io::Write;
use std::panic::PanicHookInfo;

use super::lines::{LineWriter, Lines};
use crate::activity::redact::logs;

/// Logs panics as events from now on, redacted and on one line; before, the standard library prints them unchanged.
pub(super) fn log_panics(lines: Lines) {
    std::panic::set_hook(Box::new(move |panic| match logs::can_clean() {
        true => log(panic),
        // The redactor itself is running at this moment, so the message cannot be redacted.
        false => drop(LineWriter(lines).write(b"ERROR a thread panicked while it redacted a line")),
    }));
}

fn log(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let location = panic.location().map(tracing::field::display);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    tracing::error!(
        location,
        thread,
        "a thread panicked: {}",
        text.unwrap_or_default()
    );
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use crate::telemetry::{LogFormat, LogLevel, init_logs};

    const SECRET: &str = "s3cret-in-a-panic";
    const CHILD: &str = "SEGNO_TEST_PANICS_WITH";

    /// The process that panics is this test again.
    #[test]
    fn a_panic_is_one_redacted_line() {
        if let Ok(secret) = std::env::var(CHILD) {
            crate::activity::redact::logs::keep_out(&secret.clone().into());
            init_logs(LogLevel::Info, LogFormat::Text).unwrap();
            let panics = move || panic!("cannot read {secret}\n\u{1b}[2Jof the host");
            assert!(std::thread::spawn(panics).join().is_err());
            return;
        }
        let test = std::thread::current();
        let test = test.name().unwrap_or_default().to_owned();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([&test, "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, SECRET)
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        let log = String::from_utf8_lossy(&child.stderr);
        let line = log.lines().find(|line| line.contains("a thread panicked"));
        let line = line.unwrap_or_else(|| panic!("{log}"));
        assert!(
            line.contains("ERROR") && line.contains("cannot read [redacted]"),
            "{line}"
        );
        assert!(
            line.contains("of the host") && line.contains("panics.rs"),
            "{line}"
        );
        assert!(!log.contains(SECRET) && !log.contains('\u{1b}'), "{log}");
    }
}

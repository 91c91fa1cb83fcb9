//! The hunter is itself tested: a fault that was mended is put back by a switch, and it has to find it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use segno::faults::Fault;

use super::FAULTS;
use super::process::Process;

/// Without it these, which the first rounds show: of the engine, of local activities, of the commands and of `segno run`.
const QUICK: [&str; 4] = [
    "steps-before-handlers",
    "local-results-uncounted",
    "data-filtered",
    "past-attempts-run",
];
const MINUTES: u64 = 10;
/// The last round may begin shortly before its time is over.
const PATIENCE: Duration = Duration::from_secs(60 * MINUTES + 240);

/// Those that it does not find.
pub fn unfound() -> Vec<String> {
    // `all`, or a part of their names.
    let variable = std::env::var(FAULTS).unwrap_or_default();
    let names = Fault::ALL.iter().map(|(_, name)| *name);
    let wanted = names.filter(|name| match variable.as_str() {
        "" => QUICK.contains(name),
        "all" => true,
        part => name.contains(part),
    });
    wanted.filter_map(unfound_one).collect()
}

fn unfound_one(name: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut hunt = Command::new(std::env::current_exe().unwrap());
    hunt.args(["nothing_is_lost", "--exact", "--nocapture"])
        .env("SEGNO_FAULT", name)
        .env("SEGNO_HUNT_MINUTES", MINUTES.to_string())
        .env("SEGNO_HUNT_FIRST_ONLY", "1")
        // The simulator has the same engine, with the same fault: what differs from it is something else.
        .env("SEGNO_HUNT_KNOWN", "simulator differs");
    let begin = Instant::now();
    let process = Process::spawn(&hunt, &log);
    while !process.has_ended() && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = read(&log);
    let found: Vec<&str> = told.lines().filter(|l| l.starts_with("found: ")).collect();
    let seconds = begin.elapsed().as_secs();
    match found.first() {
        Some(first) => {
            let summary = told.lines().find(|line| line.contains(" rounds in "));
            let summary = summary.unwrap_or_default();
            println!("{name} was found in {seconds} s: {first}\n    {summary}");
            None
        }
        None => {
            let summary =
                |line: &&str| line.contains("panicked at") || line.contains(" rounds in ");
            let summary: Vec<&str> = told.lines().filter(summary).collect();
            Some(format!("{name} was not found in {seconds} s: {summary:#?}"))
        }
    }
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
}

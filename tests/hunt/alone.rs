//! `segno run`, killed, paused and taken up again: what was done is not done again, and its result is given.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use super::check::Violation;
use super::generate::Random;
use super::process::Process;
use super::support::segno;

/// Beside each round of the others: all ways are among as many seeds.
pub const PER_ROUND: u64 = 6;
/// A step says so before it does anything.
const BEGUN: &str = "begun";
const STEPS: [&str; 3] = ["first", "second", "third"];
/// It ends within seconds, also where many run at one time.
const END_TIMEOUT: Duration = Duration::from_secs(60);
const RESULT: &str = "\"all was done\"";
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

struct Alone {
    folder: tempfile::TempDir,
    interruptions: u64,
    /// Builds for tests take the clock from a file.
    has_clock: bool,
}

/// One run with interruptions by a seed.
pub async fn hunt(seed: u64) -> Vec<Violation> {
    let mut random = Random(seed ^ 0xA104E);
    match seed % PER_ROUND {
        0 | 1 => interrupted(&mut random).await,
        2 => clock_set(&mut random).await,
        _ => killed_at_its_end(&mut random).await,
    }
}

/// The clock of the day jumps, forwards or backwards, while it runs.
async fn clock_set(random: &mut Random) -> Vec<Violation> {
    let mut alone = Alone::new(900, 400);
    std::fs::write(alone.file("clock"), "0").unwrap();
    alone.has_clock = true;
    let process = alone.process();
    sleep(Duration::from_millis(300 + random.below(1_500))).await;
    let seconds = [-7_200, -600, 3_600][random.below(3) as usize];
    std::fs::write(alone.file("next"), seconds.to_string()).unwrap();
    std::fs::rename(alone.file("next"), alone.file("clock")).unwrap();
    let mut found = Vec::new();
    if !alone.told(&process).await {
        let text = format!(
            "its clock was set by {seconds} s: {}",
            Alone::read(&alone.file("out"))
        );
        found.push(Violation {
            kind: "clock followed",
            text,
        });
        drop(process);
        return found;
    }
    found.extend(alone.checked().await);
    found
}

/// Killed or paused wherever it is, for longer than a step may take.
async fn interrupted(random: &mut Random) -> Vec<Violation> {
    let step_ms = 200 + random.below(400);
    let mut alone = Alone::new(random.below(1_000), step_ms);
    for _ in 0..1 + random.below(2) {
        let process = alone.process();
        match random.below(3) {
            0 => sleep(Duration::from_millis(300 + random.below(2_000))).await,
            // While a step is under way.
            _ => {
                let begun = alone.ends(BEGUN) + random.below(2);
                for _ in 0..1_000 {
                    if alone.ends(BEGUN) > begun || alone.is_told() {
                        break;
                    }
                    sleep(LOOK_AGAIN_AFTER).await;
                }
                sleep(Duration::from_millis(random.below(step_ms))).await;
            }
        }
        if alone.is_told() {
            break;
        }
        alone.interruptions += 1;
        let away = Duration::from_millis(3_000 + random.below(7_000));
        match random.below(3) {
            0 => {
                process.signal(Signal::STOP);
                sleep(away).await;
                process.signal(Signal::CONT);
                alone.told(&process).await;
            }
            1 => {
                process.signal(Signal::INT);
                sleep(Duration::from_millis(200)).await;
                drop(process);
                sleep(away).await;
            }
            _ => {
                drop(process);
                sleep(away).await;
            }
        }
    }
    alone.checked().await
}

/// Killed while it writes its end down: then all steps are long done.
async fn killed_at_its_end(random: &mut Random) -> Vec<Violation> {
    let mut alone = Alone::new(250, 1);
    let process = alone.process();
    let last = STEPS[STEPS.len() - 1];
    for _ in 0..4_000 {
        if alone.ends(last) > 0 {
            break;
        }
        sleep(LOOK_AGAIN_AFTER).await;
    }
    // The timer after the last step.
    sleep(Duration::from_millis(200 + random.below(140))).await;
    drop(process);
    if !alone.is_told() {
        alone.interruptions += 1;
    }
    let mut found = alone.checked().await;
    for step in STEPS {
        let ends = alone.ends(step);
        if ends > 1 {
            let text = format!("{step} was done {ends} times, the first time before the kill");
            found.push(Violation {
                kind: "done again",
                text,
            });
        }
    }
    found
}

impl Alone {
    fn new(timer_ms: u64, step_ms: u64) -> Alone {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger");
        std::fs::write(&ledger, "").unwrap();
        let mut text = format!("segno: 1\nworkflow: alone\nsteps:\n  - timer: {timer_ms}ms\n");
        let (ledger, seconds) = (ledger.display(), step_ms as f64 / 1_000.0);
        for step in STEPS {
            text += &format!(
                "  - exec: {{ command: shell, args: [-c, \"echo {BEGUN} >> {ledger}; sleep {seconds}; echo {step} >> {ledger}\"] }}\n    start_to_close_timeout: 2s\n    retry_policy: {{ initial_interval: 100ms, backoff_coefficient: 1 }}\n"
            );
        }
        text += &format!("  - timer: 200ms\n  - return: {RESULT}\n");
        std::fs::write(folder.path().join("alone.yaml"), text).unwrap();
        Alone {
            folder,
            interruptions: 0,
            has_clock: false,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn process(&self) -> Process {
        let mut command = Command::new(segno());
        command
            .arg("run")
            .arg(self.file("alone.yaml"))
            .arg("--state")
            .arg(self.file("run.db"))
            .args(["--exec-allow", "shell=/bin/sh"])
            .env("NO_COLOR", "1")
            .current_dir(self.folder.path());
        if self.has_clock {
            command.env("SEGNO_TEST_CLOCK", self.file("clock"));
        }
        Process::spawn(&command, &self.file("out"))
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    fn is_told(&self) -> bool {
        Alone::read(&self.file("out")).lines().any(|l| l == RESULT)
    }

    fn ends(&self, step: &str) -> u64 {
        let ledger = Alone::read(&self.file("ledger"));
        ledger.lines().filter(|line| *line == step).count() as u64
    }

    async fn told(&self, process: &Process) -> bool {
        let begin = tokio::time::Instant::now();
        while begin.elapsed() < END_TIMEOUT && !self.is_told() {
            if process.has_ended() {
                sleep(Duration::from_millis(50)).await;
                return self.is_told();
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.is_told()
    }

    /// Taken up a last time, to its end.
    async fn checked(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if !self.is_told() {
            let process = self.process();
            if !self.told(&process).await {
                let text = format!(
                    "it never told its result: {}",
                    Alone::read(&self.file("out"))
                );
                found.push(Violation {
                    kind: "result never told",
                    text,
                });
            }
        }
        for step in STEPS {
            let ends = self.ends(step);
            if ends > 1 + self.interruptions {
                let text = format!(
                    "{step} was done {ends} times with {} interruptions: {}",
                    self.interruptions,
                    Alone::read(&self.file("out"))
                );
                found.push(Violation {
                    kind: "done too often",
                    text,
                });
            }
        }
        found
    }
}

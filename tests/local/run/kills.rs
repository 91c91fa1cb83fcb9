//! `segno run` is killed, by the system at each write and from outside at random moments, and the same command goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::place::{Place, signal};
use crate::support::run::Run;
use crate::support::segno;

const LEDGER: &str = r#"segno: 1
workflow: main
defaults: { activity: { start_to_close_timeout: 1m, retry_policy: { initial_interval: 10ms } } }
steps:
  - id: a
    exec: { command: sh, args: [-c, "echo a $SEGNO_ATTEMPT >> log; echo one"] }
  - timer: 1ms
  - log: between
  - id: b
    local: true
    exec: { command: sh, args: [-c, "echo b $SEGNO_ATTEMPT >> log; echo two"] }
  - return: { a: "${ a.stdout }", b: "${ b.stdout }" }
"#;

/// What happens to a process that writes beyond the size that its files may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// It is killed, in the middle of the write.
    Killed,
    /// The write fails, as on a full disk.
    Refused,
}

/// Lets no file grow beyond so many blocks of 512 bytes: the system itself stops the process at the write that would make it longer.
/// The journal grows by less than a page with each write, so that all sizes together are all of its writes.
fn limited(place: &Place, blocks: u64, beyond: Beyond) -> Command {
    let trap = match beyond {
        Beyond::Killed => "",
        Beyond::Refused => "trap '' XFSZ; ",
    };
    let mut command = place.command(Path::new("/bin/sh"));
    let script = format!("ulimit -c 0; {trap}ulimit -f {blocks}; exec \"$0\" \"$@\"");
    command.args(["-c", &script]);
    command.arg(segno()).args(Place::arguments());
    command
}

/// So many blocks are between two limits: less than half a page.
const BLOCKS_STEP: u64 = 3;
const BLOCKS_MAX: u64 = 2000;

/// Stops a process at one write, and lets the same command go on. True where nothing stopped the first.
fn stopped_at(blocks: u64, beyond: Beyond, fault: Option<&'static str>) -> Result<bool, String> {
    let place = Place::new(LEDGER, fault);
    let first = Run::of(&mut limited(&place, blocks, beyond));
    let wanted = serde_json::json!({"a": "one\n", "b": "two\n"});
    let is_given = |run: &Run| {
        let given = serde_json::from_str::<serde_json::Value>(&run.stdout);
        given.is_ok_and(|given| given == wanted)
    };
    if first.code == 0 {
        let is_right = is_given(&first) && place.log() == "a 1\nb 1\n";
        return is_right.then_some(true).ok_or(format!("{first:#?}"));
    }
    let log = place.log();
    let second = place.run();
    let both = || {
        format!(
            "{blocks} blocks, {beyond:?}: {first:#?} {second:#?} {}",
            place.log()
        )
    };
    if second.code != 0 || !is_given(&second) {
        return Err(both());
    }
    if !format!("{}{}", first.stderr, second.stderr).contains("info: between") {
        return Err(format!("a line of the log is lost: {}", both()));
    }
    if is_given(&first) && place.log() != log {
        return Err(format!("what was given already was run again: {}", both()));
    }
    let lines = place.log();
    let lines: Vec<&str> = lines.lines().collect();
    let each: BTreeSet<&str> = lines.iter().copied().collect();
    let is_in_order = lines.is_sorted_by_key(|line| line.chars().next());
    // The one that was under way, or whose end could not be written down, is the only one that may be made again.
    if each.len() != lines.len() || lines.len() > 3 || !is_in_order {
        return Err(both());
    }
    Ok(false)
}

/// The limits from the first write on to the one that is no limit any more.
fn limits(beyond: Beyond) -> Vec<u64> {
    let mut limits = Vec::new();
    for blocks in (1..BLOCKS_MAX).step_by(BLOCKS_STEP as usize) {
        limits.push(blocks);
        if stopped_at(blocks, beyond, None).unwrap() {
            return limits;
        }
    }
    panic!("{BLOCKS_MAX} blocks are too few");
}

#[test]
fn a_kill_at_any_write_loses_nothing_and_repeats_nothing_that_ended() {
    let limits = limits(Beyond::Killed);
    assert!(limits.len() > 20, "the writes were not met: {limits:?}");
    // The end is what went wrong: from there the fault is found soon.
    let last = limits.iter().rev();
    let mut with_fault =
        last.map(|l| stopped_at(*l, Beyond::Killed, Some("journal-closed-in-parts")));
    assert!(with_fault.any(|found| found.is_err()), "the fault shows");
}

/// Each process goes on from what the one before has left, and may write a little more than that one might.
#[test]
fn processes_that_are_all_stopped_at_a_write_end_the_run_together() {
    for beyond in [Beyond::Killed, Beyond::Refused] {
        let place = Place::new(LEDGER, None);
        let mut processes = 0;
        let last = (1..BLOCKS_MAX)
            .step_by(BLOCKS_STEP as usize)
            .find_map(|more| {
                processes += 1;
                let written = place.path().join(".segno/run.db-wal").metadata();
                let written = written.map_or(0, |file| file.len() / 512);
                let run = Run::of(&mut limited(&place, written + more, beyond));
                place.await_programs();
                (run.code == 0).then_some(run)
            });
        let last = last.unwrap();
        assert_eq!(last.json(), serde_json::json!({"a": "one\n", "b": "two\n"}));
        let log = place.log();
        let lines: Vec<&str> = log.lines().collect();
        let each: BTreeSet<&str> = lines.iter().copied().collect();
        assert_eq!(each.len(), lines.len(), "{beyond:?}: {log}");
        let is_in_order = lines.is_sorted_by_key(|line| line.chars().next());
        assert!(is_in_order && lines.len() <= processes, "{beyond:?}: {log}");
        assert!(processes > 10, "{beyond:?}: {processes}");
    }
}

const WAITS: &str = r#"segno: 1
workflow: main
state: { gone: false }
signals: { go: { do: [{ set: { gone: true } }] } }
steps:
  - wait: { until: state.gone }
  - return: gone
"#;

#[test]
fn a_signal_that_was_sent_is_not_lost_by_a_kill() {
    let mut sent = 0;
    for blocks in (1..BLOCKS_MAX).step_by(BLOCKS_STEP as usize) {
        let place = Place::new(WAITS, None);
        let first = Run::of(limited(&place, blocks, Beyond::Killed).args(["--signal", "go"]));
        if first.code == 0 {
            assert!(sent > 0, "every process was killed before");
            return;
        }
        let was_sent = first.stderr.contains("the signal `go` was sent");
        sent += u32::from(was_sent);
        let mut second = place.command(&segno());
        second.args(Place::arguments());
        if !was_sent {
            second.args(["--signal", "go"]);
        }
        assert_eq!(Run::of(&mut second).ok().json(), "gone");
    }
    panic!("{BLOCKS_MAX} blocks are too few");
}

#[test]
fn a_disk_that_is_full_at_any_write_loses_nothing_and_repeats_nothing_that_ended() {
    let limits = limits(Beyond::Refused);
    assert!(limits.len() > 20, "the writes were not met: {limits:?}");
}

/// The result is written to a file that may not grow by more than so many bytes.
#[test]
fn a_kill_in_the_middle_of_the_result_gives_it_again() {
    const BLOCKS: u64 = 4096;
    for (room, beyond) in [
        (0, Beyond::Killed),
        (5, Beyond::Killed),
        (0, Beyond::Refused),
        (5, Beyond::Refused),
    ] {
        let place = Place::new(LEDGER, None);
        let mut out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(place.path().join("out"))
            .unwrap();
        out.set_len(BLOCKS * 512 - room).unwrap();
        out.seek(SeekFrom::End(0)).unwrap();
        let status = limited(&place, BLOCKS, beyond)
            .stdout(out)
            .stderr(Stdio::null())
            .status();
        assert!(!status.unwrap().success());
        assert_eq!(place.log(), "a 1\nb 1\n");
        for signal in [&[][..], &["--signal", "late"]] {
            // One that comes too late is refused in words; another input is another run's.
            let place = &place;
            let other = Run::of(
                place
                    .command(&segno())
                    .args(Place::arguments())
                    .args(["--input", "1"]),
            );
            assert_eq!(other.code, 1);
            assert!(other.stderr.contains("has not been printed"), "{other:#?}");
            if signal.is_empty() {
                continue;
            }
            let mut again = place.command(&segno());
            let again = Run::of(again.args(Place::arguments()).args(signal)).ok();
            assert_eq!(again.json()["b"], "two\n");
            let why = "the signal `late` was not sent: `main` has ended";
            assert!(again.stderr.contains(why), "{again:#?}");
        }
        assert_eq!(place.log(), "a 1\nb 1\n", "nothing was run again");
        // It was given: the same command begins another run.
        place.run().ok();
        assert_eq!(place.log(), "a 1\nb 1\n".repeat(2));
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

const BRANCHES: u64 = 3;
const STEPS: u64 = 3;

/// Branches of steps that write their names and attempts down, in one and after the other in each branch.
fn branches(random: &mut Random) -> String {
    let mut text = String::from(
        "segno: 1\nworkflow: main\ndefaults: { activity: { start_to_close_timeout: 1m, retry_policy: { initial_interval: 10ms } } }\n\
         steps:\n  - parallel:\n",
    );
    for branch in 0..BRANCHES {
        text += &format!("      b{branch}:\n");
        for step in 0..STEPS {
            let sleep = random.below(4);
            let script = format!("echo {branch} {step} $SEGNO_ATTEMPT >> log; sleep 0.{sleep}");
            let exec = format!("exec: {{ command: sh, args: [-c, '{script}'] }}");
            text += &match random.below(5) {
                0 => format!("        - {exec}\n          local: true\n"),
                1 => format!(
                    "        - timer: {}ms\n        - {exec}\n",
                    random.below(400)
                ),
                2 => format!(
                    "        - timer: {}m\n        - {exec}\n",
                    1 + random.below(2)
                ),
                3 => format!("        - child: part\n          input: \"{script}\"\n"),
                _ => format!("        - {exec}\n"),
            };
        }
    }
    text + "  - return: ended\n---\nsegno: 1\nworkflow: part\nsteps:\n  \
            - exec: { command: sh, args: [-c, \"${ input }\"] }\n    start_to_close_timeout: 1m\n    retry_policy: { initial_interval: 10ms }\n"
}

/// What went wrong, as the log of the steps shows it.
fn wrong(log: &str, kills: u64) -> Option<String> {
    let mut newest: BTreeMap<&str, &str> = BTreeMap::new();
    let mut attempts: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
    for line in log.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [branch, step, attempt] = fields[..] else {
            return Some(format!("a torn line: {line:?}"));
        };
        let former = newest.insert(branch, step);
        if former.is_some_and(|former| former > step) {
            return Some(format!(
                "step {step} of branch {branch} ran again after it ended"
            ));
        }
        let attempts = attempts.entry((branch, step)).or_default();
        attempts.push(attempt.parse().unwrap());
        if !attempts.is_sorted_by(|a, b| a < b) || attempts.len() as u64 > 1 + kills {
            return Some(format!(
                "attempts of step {step} of branch {branch}: {attempts:?}"
            ));
        }
    }
    let all = (BRANCHES * STEPS) as usize;
    (attempts.len() != all).then(|| format!("{} of {all} steps ran", attempts.len()))
}

/// Kills, interrupts, stops and moves the clock of one process after the other until one gives the result.
fn disturbed(seed: u64, fault: Option<&'static str>) -> Option<String> {
    let mut random = Random(seed);
    let place = Place::new(&branches(&mut random), fault);
    let (mut kills, mut clock, mut furthest) = (0, 0, 0);
    loop {
        let mut child = place.spawn();
        let ended = loop {
            std::thread::sleep(Duration::from_millis(50 + random.below(600)));
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            match random.below(6) {
                0 | 1 => signal(&child, Signal::KILL),
                2 => signal(&child, Signal::INT),
                3 => {
                    signal(&child, Signal::STOP);
                    std::thread::sleep(Duration::from_millis(random.below(3000)));
                    signal(&child, Signal::CONT);
                    continue;
                }
                _ => {
                    match random.below(2) {
                        0 => clock -= [60, 3600][random.below(2) as usize],
                        _ => {
                            furthest += [30, 3600][random.below(2) as usize];
                            clock = furthest;
                        }
                    }
                    place.set_clock(clock);
                    continue;
                }
            }
            kills += 1;
            let status = child.wait().unwrap();
            place.await_programs();
            break status;
        };
        // Whoever is killed after that has given it.
        if place.read("out") == "\"ended\"\n" {
            return wrong(&place.log(), kills);
        }
        if ended.success() || kills > 200 {
            let err = place.read("err");
            return Some(format!("{ended} after {kills} kills: {err}"));
        }
    }
}

/// `SEGNO_TEST_SEED` repeats one; `SEGNO_RUN_KILLS` says how many there are.
#[test]
fn no_step_that_ended_runs_again_whatever_happens_to_the_process() {
    let given = |name| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let first = given("SEGNO_TEST_SEED");
    let count = given("SEGNO_RUN_KILLS").unwrap_or(8);
    let some = std::collections::hash_map::RandomState::new();
    let drawn = std::hash::BuildHasher::hash_one(&some, 0u8) >> 16;
    let seeds = match first {
        Some(seed) => seed..seed + 1,
        None => drawn..drawn + count,
    };
    for seed in seeds {
        if let Some(wrong) = disturbed(seed, None) {
            panic!("SEGNO_TEST_SEED={seed}: {wrong}");
        }
    }
    let found = (0..20).any(|seed| disturbed(seed, Some("past-attempts-run")).is_some());
    assert!(found, "the fault shows");
}

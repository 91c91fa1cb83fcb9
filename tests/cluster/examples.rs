//! Every example of `workflows/` on a real server: plainly, without a cache, with its worker killed, and replayed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::scenarios::{ALL, Scenario};
use super::support::worker::Worker;

/// Times that a worker is killed under the examples.
const KILLS: u64 = 10;

/// The worker is killed at some moment of these first milliseconds, in which the examples do most of what they do.
const KILLED_WITHIN_MILLIS: u64 = 4000;

/// Runs every scenario at once on the worker, and makes sure that every replay agrees with its history.
fn run_all(worker: &Worker) {
    let failed: Vec<_> = std::thread::scope(|scope| {
        let started =
            ALL.map(|(name, scenario)| (name, scope.spawn(move || run(worker, scenario))));
        let failed = |(name, thread): (_, std::thread::ScopedJoinHandle<'_, ()>)| {
            thread.join().is_err().then_some(name)
        };
        started.into_iter().filter_map(failed).collect()
    });
    assert!(failed.is_empty(), "{failed:?} failed");
}

fn run(worker: &Worker, scenario: Scenario) {
    for workflow in scenario(worker) {
        workflow.assert_no_task_failed();
        workflow.assert_replays();
    }
}

#[test]
fn every_example_completes_and_replays() {
    run_all(&Worker::of_examples(&[]));
}

#[test]
fn every_example_completes_when_each_task_replays_its_run() {
    run_all(&Worker::of_examples(&["--max-cached-workflows", "0"]));
}

/// `SEGNO_TEST_SEED` repeats the moments of an earlier test. Half of the workers have no cache.
#[test]
fn every_example_completes_though_its_worker_is_killed() {
    let clock = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .subsec_nanos()
            .into()
    };
    let given = std::env::var("SEGNO_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(clock);
    println!("SEGNO_TEST_SEED={seed}");
    for kill in 0..KILLS {
        let moment = Duration::from_millis(scattered(seed + kill) % KILLED_WITHIN_MILLIS);
        println!("kill {kill} after {moment:?}");
        let cache: &[&str] = if kill % 2 == 0 {
            &[]
        } else {
            &["--max-cached-workflows", "0"]
        };
        let worker = Worker::of_examples(cache);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(moment);
                worker.kill_and_restart();
            });
            run_all(&worker);
        });
    }
}

/// SplitMix64: neighbours come far apart.
fn scattered(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

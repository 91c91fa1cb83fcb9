//! The hunter: random definitions, random clients, workers and servers that are killed, and what must be so all the same.
//! Without a word from the environment it hunts the same rounds each time. `SEGNO_HUNT_MINUTES` says for how long, from another round on each time;
//! `SEGNO_HUNT_SEED` with which round to begin.

#![cfg(all(feature = "cluster", unix))]

mod agree;
mod alone;
mod check;
#[path = "../cluster/steps/compare.rs"]
#[allow(dead_code, reason = "its differences alone are told")]
mod compare;
mod drive;
mod effects;
#[cfg(debug_assertions)]
mod faults;
#[path = "../local/random/generate.rs"]
#[allow(dead_code, reason = "its random numbers alone are taken")]
mod generate;
#[path = "../cluster/simulator/guide.rs"]
mod guide;
mod history;
mod hunter;
mod ledger;
mod plan;
mod process;
mod program;
mod proxy;
mod round;
mod shrink;
#[path = "../cluster/simulator/simulated.rs"]
#[allow(dead_code, reason = "its simulator alone is taken")]
mod simulated;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
#[path = "../cluster/steps/text.rs"]
#[allow(dead_code, reason = "its lines alone are taken")]
mod text;
mod undisturbed;
mod world;
mod write;

/// Says which of the faults that were mended are put back and hunted, instead of what nobody knows.
const FAULTS: &str = "SEGNO_HUNT_FAULTS";

/// Some of them wait for commands.
const THREADS: usize = 6;

#[test]
fn nothing_is_lost() {
    // Faults are hunted by processes of their own.
    if std::env::var_os(FAULTS).is_some() && std::env::var_os("SEGNO_FAULT").is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let found = runtime.block_on(hunter::hunt());
    assert_eq!(found, 0, "what was found stands above");
}

/// With `SEGNO_HUNT_FAULTS=all` each of those that were mended.
#[cfg(debug_assertions)]
#[test]
fn faults_that_are_put_back_are_found() {
    if std::env::var_os(FAULTS).is_none() {
        return;
    }
    let unfound = faults::unfound();
    assert!(unfound.is_empty(), "{}", unfound.join("\n"));
}

/// Most definitions that are grown can be served.
#[test]
fn most_programs_are_sound() {
    let sound = (0..200).filter(|seed| round::is_sound(&program::Program::of(*seed)));
    let count = sound.count();
    assert!(count >= 150, "{count} of 200 are");
}

//! The simulator against the real server: every case of the step tests has the same events in the same order in both,
//! but for those that are listed with their reasons; random programs and schedules too.

#![cfg(feature = "cluster")]

#[path = "simulator/activities.rs"]
mod activities;
#[path = "simulator/agreement.rs"]
mod agreement;
#[path = "steps/case.rs"]
mod case;
#[path = "steps/compare.rs"]
mod compare;
#[path = "random/generate.rs"]
mod generate;
#[path = "simulator/random_programs.rs"]
mod random_programs;
#[path = "simulator/schedules.rs"]
mod schedules;
#[path = "simulator/server.rs"]
mod server;
mod support;
#[path = "steps/text.rs"]
mod text;

use segno::client::ConnectionSettings;
use segno::worker::Replay;
use temporalio_protos::temporal::api::history::v1::History;

const BUILT_IN: &str = "what the worker's own activities do outside is simulated for the simpler requests of `http` only";

/// Cases whose histories are not the same, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("callback-busy-endpoint", BUILT_IN),
    ("callback-cancelled-abandon", BUILT_IN),
    ("callback-cancelled-try", BUILT_IN),
    ("callback-cancelled-wait", BUILT_IN),
    ("callback-fails-outside", BUILT_IN),
    ("callback-heartbeat-timeout", BUILT_IN),
    ("callback-refused", BUILT_IN),
    ("callback-retried-with-a-new-token", BUILT_IN),
    ("example-callback", BUILT_IN),
    ("example-exec", BUILT_IN),
    ("example-grpc", BUILT_IN),
    ("exec-exit-caught", BUILT_IN),
    ("exec-goes-on-from-its-heartbeat", BUILT_IN),
    ("exec-heartbeat-timeout", BUILT_IN),
    ("exec-json", BUILT_IN),
    ("exec-not-allowed", BUILT_IN),
    ("grpc-status-caught", BUILT_IN),
    ("grpc-unknown-method", BUILT_IN),
    ("http-polls", BUILT_IN),
    ("start-exec-and-grpc", BUILT_IN),
    (
        "nexus-times-out",
        "the server does not begin an operation that has too little time left",
    ),
];

#[test]
fn agrees_with_the_server() {
    let cases = case::all();
    let mut wrong = Vec::new();
    let mut agreed = 0;
    for case in &cases {
        let listed = DIFFERENT.iter().find(|(name, _)| *name == case.name);
        match (agreement::compare(case), listed) {
            (None, None) => agreed += 1,
            (None, Some((name, _))) => wrong.push(format!("{name} is listed and agrees")),
            (Some(_), Some(_)) => {}
            (Some(difference), None) => wrong.push(difference),
        }
    }
    println!("{agreed} of {} cases agree", cases.len());
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{}\n{count} are wrong",
        wrong.join("\n\n")
    );
}

/// Within a minute; `SEGNO_RANDOM_PROGRAMS` says how many, `SEGNO_RANDOM_FIRST` from which number on.
#[test]
fn random_programs_agree_with_the_server() {
    let number = |variable: &str, otherwise: u64| {
        let text = std::env::var(variable).ok();
        text.map_or(otherwise, |text| text.parse().unwrap())
    };
    let first = number("SEGNO_RANDOM_FIRST", 1);
    let count = number("SEGNO_RANDOM_PROGRAMS", 24);
    let wrong = random_programs::compare(first, count as usize);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn times_of_schedules_agree_with_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let wrong = runtime.block_on(schedules::times());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn runs_of_schedules_that_overlap_agree_with_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let wrong = runtime.block_on(schedules::overlapping());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Temporal's own core library takes every simulated history for a real one.
#[test]
fn simulated_histories_replay_with_core() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let settings = ConnectionSettings {
        disable_config_env: true,
        disable_config_file: true,
        ..ConnectionSettings::default()
    };
    let settings = settings.resolve().unwrap();
    let mut wrong = Vec::new();
    for case in &case::all() {
        for (workflow_id, events) in agreement::histories(case) {
            let history = History { events };
            let replay = Replay::default();
            let replayed = runtime.block_on(replay.run(&history, &settings)).unwrap();
            if let Some(divergence) = replayed.divergence {
                wrong.push(format!(
                    "{}, {workflow_id}: {}",
                    case.name,
                    divergence.text()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

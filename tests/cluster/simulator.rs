//! The simulator against the real server: every case of the step tests has the same events in the same order in both;
//! random programs and schedules too.

mod activities;
mod agreement;
#[path = "../local/random/generate.rs"]
mod generate;
mod guide;
mod limits;
mod random_programs;
mod recorded;
mod schedules;
mod server;
mod simulated;
mod transitions;

use crate::steps::{case, compare, follow, text};
use crate::support;
use segno::client::ConnectionSettings;
use segno::worker::Replay;
use temporalio_protos::temporal::api::history::v1::History;

#[test]
fn agrees_with_the_server() {
    let cases = case::all();
    let wrong: Vec<String> = cases.iter().filter_map(agreement::compare).collect();
    let (count, all) = (wrong.len(), cases.len());
    println!("{} of {all} cases agree", all - count);
    assert!(
        wrong.is_empty(),
        "{}\n{count} are wrong",
        wrong.join("\n\n")
    );
    transitions::take_the_rest();
    let untaken = transitions::untaken();
    assert!(
        untaken.is_empty(),
        "no case takes these rows of the worker's state machines:\n{}",
        untaken.join("\n")
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
fn simulated_workflow_tasks_take_no_more_than_the_servers() {
    limits::local_results();
    limits::large_updates();
}

#[test]
fn limits_are_those_of_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let on_server = runtime.block_on(limits::on_server());
    for (simulated, came) in limits::simulated().iter().zip(&on_server) {
        assert_eq!(simulated, came);
    }
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

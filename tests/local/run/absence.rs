//! Time in which nobody ran a workflow, and clocks that jump.

use rustix::process::Signal;

use super::place::{Place, signal};
use crate::support::until;

/// How a process is away for an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    Killed,
    Interrupted,
    /// It is there all the time, and the clock jumps: so does the time of a machine that is suspended.
    Suspended,
}

const TIMER: &str = r#"segno: 1
workflow: main
steps:
  - timer: 10m
  - id: paid
    exec: { command: sh, args: [-c, "echo pay >> log; sleep 0.2; echo paid"] }
    OPTIONS
  - return: ${ paid.stdout }
"#;

/// Executions of the step after a timer that passed while the process was away.
fn executions(options: &str, away: Away, fault: Option<&'static str>) -> usize {
    let place = Place::new(&TIMER.replace("OPTIONS", options), fault);
    let mut child = place.spawn();
    place.await_in("err", "run.yaml:4");
    if away != Away::Suspended {
        signal(
            &child,
            match away {
                Away::Interrupted => Signal::INT,
                _ => Signal::KILL,
            },
        );
        child.wait().unwrap();
    }
    place.set_clock(3600);
    if away == Away::Suspended {
        assert!(child.wait().unwrap().success(), "{}", place.read("err"));
        assert_eq!(place.read("out"), "\"paid\\n\"\n");
    } else {
        assert_eq!(place.run().ok().json(), "paid\n");
    }
    place.log().lines().count()
}

#[test]
fn a_step_after_a_timer_that_passed_while_away_is_executed_once() {
    for options in [
        "start_to_close_timeout: 20s",
        "schedule_to_close_timeout: 20s",
        "{ start_to_close_timeout: 20s, schedule_to_start_timeout: 20s, heartbeat_timeout: 20s }",
        "{ local: true, start_to_close_timeout: 20s }",
        "{ local: true, schedule_to_close_timeout: 20s }",
    ] {
        let options = options
            .trim_matches(['{', '}', ' '])
            .replace(", ", "\n    ");
        for away in [Away::Killed, Away::Interrupted, Away::Suspended] {
            let executions = executions(&options, away, None);
            assert_eq!(executions, 1, "{options}, {away:?}");
        }
    }
    let put_back = executions(
        "start_to_close_timeout: 20s",
        Away::Killed,
        Some("past-attempts-run"),
    );
    assert!(put_back > 1, "the fault shows: {put_back}");
}

const UNDER_WAY: &str = r#"segno: 1
workflow: main
steps:
  - id: paid
    exec: { command: sh, args: [-c, "echo $SEGNO_ATTEMPT >> log; while ! test -e go; do sleep 0.05; done; echo paid"] }
    start_to_close_timeout: 10m
    retry_policy: { maximum_attempts: MAXIMUM, initial_interval: 10ms }
    OPTIONS
  - return: ${ paid.stdout }
"#;

#[test]
fn an_attempt_under_way_when_its_process_is_killed_counts() {
    for (options, maximum) in [("", 1), ("", 2), ("local: true", 1), ("local: true", 2)] {
        let definition = UNDER_WAY.replace("OPTIONS", options);
        let place = Place::new(&definition.replace("MAXIMUM", &maximum.to_string()), None);
        let mut child = place.spawn();
        place.await_in("log", "1\n");
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::write(place.path().join("go"), "").unwrap();
        let ended = place.run();
        let remark = "attempt 1 of `exec` was running when the last process ended";
        assert!(ended.stderr.contains(remark), "{ended:#?}");
        if maximum == 1 {
            assert_eq!(ended.code, 1, "{ended:#?}");
            assert!(ended.stderr.contains("the workflow failed: "), "{ended:#?}");
            assert_eq!(place.log(), "1\n");
        } else {
            assert_eq!(ended.ok().json(), "paid\n");
            assert_eq!(place.log(), "1\n2\n");
        }
    }
}

#[test]
fn a_process_that_is_interrupted_stops_its_programs() {
    for leaves in [Signal::INT, Signal::TERM] {
        let definition = UNDER_WAY.replace("OPTIONS", "").replace("MAXIMUM", "2");
        let place = Place::new(&definition, None);
        let mut child = place.spawn();
        place.await_in("log", "1\n");
        signal(&child, leaves);
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(place.read("err").contains("the run is kept"));
        place.await_programs();
        std::fs::write(place.path().join("go"), "").unwrap();
        assert_eq!(place.run().ok().json(), "paid\n");
        assert_eq!(place.log(), "1\n2\n");
    }
}

#[test]
fn an_attempt_that_stands_still_with_its_process_does_not_time_out() {
    for options in [
        "start_to_close_timeout: 6s",
        "start_to_close_timeout: 10m\n    heartbeat_timeout: 6s",
        "local: true\n    start_to_close_timeout: 6s",
    ] {
        let definition = UNDER_WAY.replace("MAXIMUM", "0").replace("OPTIONS", "");
        let definition = definition.replace("start_to_close_timeout: 10m", options);
        let place = Place::new(&definition, None);
        let mut child = place.spawn();
        place.await_in("log", "1\n");
        signal(&child, Signal::STOP);
        std::thread::sleep(std::time::Duration::from_secs(8));
        // The machine was suspended, too.
        place.set_clock(3600);
        std::fs::write(place.path().join("go"), "").unwrap();
        signal(&child, Signal::CONT);
        assert!(child.wait().unwrap().success(), "{}", place.read("err"));
        assert_eq!(place.log(), "1\n", "{options}");
    }
}

const CLOCK: &str = "segno: 1\nworkflow: main\nsteps:\n  - timer: 2s\n  - return: ended\n";

#[test]
fn a_clock_that_is_set_back_is_not_waited_out() {
    let place = Place::new(CLOCK, None);
    let mut child = place.spawn();
    place.await_in("err", "run.yaml:4");
    place.set_clock(-3600);
    assert!(child.wait().unwrap().success(), "{}", place.read("err"));
    // Between two processes, too.
    let place = Place::new(CLOCK, None);
    let mut child = place.spawn();
    place.await_in("err", "run.yaml:4");
    child.kill().unwrap();
    child.wait().unwrap();
    place.set_clock(-3600);
    assert_eq!(place.run().ok().json(), "ended");
}

#[test]
fn a_clock_that_is_followed_back_is_waited_out() {
    let place = Place::new(CLOCK, Some("clock-followed"));
    let mut child = place.spawn();
    place.await_in("err", "run.yaml:4");
    place.set_clock(-3600);
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert!(child.try_wait().unwrap().is_none(), "the fault shows");
    place.set_clock(0);
    until("the end", || child.try_wait().unwrap());
}

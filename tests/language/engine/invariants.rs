//! What cannot happen fails the workflow task, and names the invariant: the engine neither guesses nor stays silent.

use std::sync::Arc;

use segno::engine::command::CommandKind;
use segno::engine::job::{Activation, Initialize, Job, Resolution};
use segno::engine::{Instance, TaskFailure};
use segno::value::{Timestamp, Value};

use super::{OneProgram, loaded};

const WAITS: &str = "\
segno: 1
workflow: w
steps:
  - wait: { signal: x }
";

/// Its first step waits for no signal.
const SETS: &str = "\
segno: 1
workflow: w
state: { a: 1 }
steps:
  - set: { a: 2 }
";

fn activation(job: Job) -> Activation {
    Activation {
        now: Timestamp::from_nanos(0).expect("a time"),
        is_replaying: false,
        history_length: 0,
        history_size_bytes: 0,
        continue_as_new_suggested: false,
        flags: Vec::new(),
        jobs: vec![job],
    }
}

/// A run that has asked for its definition, and the answer.
fn asked(workflow_type: &str, digest: Option<&str>, programs: &OneProgram) -> (Instance, Job) {
    let mut newest = programs.0.bundle.clone();
    if let Some(digest) = digest {
        newest.digest = digest.to_owned();
    }
    let mut instance = Instance::new();
    let start = Initialize {
        workflow_type: workflow_type.into(),
        newest: Some(Arc::new(newest)),
        ..Initialize::default()
    };
    let job = Job::Initialize(Box::new(start));
    let commands = instance.activate(activation(job), programs).unwrap();
    let resolves = commands.iter().find_map(|command| match &command.kind {
        CommandKind::ScheduleLocalActivity(schedule) => Some(schedule.seq),
        _ => None,
    });
    let job = Job::ResolveActivity {
        seq: resolves.expect("the run asks for its definition"),
        resolution: Resolution::Completed(Value::Bytes(b"bundle".as_slice().into())),
    };
    (instance, job)
}

#[test]
fn a_marker_with_another_definition_than_was_asked_for_binds_no_run() {
    let programs = OneProgram(loaded(WAITS));
    for (workflow_type, digest, said) in [
        (
            "w",
            Some("sha256:another"),
            "holds another one than was asked for",
        ),
        (
            "v",
            None,
            "holds one of `w`; the run's workflow type is `v`",
        ),
    ] {
        let (mut instance, job) = asked(workflow_type, digest, &programs);
        let bound = instance.activate(activation(job), &programs);
        let TaskFailure(why) = bound.expect_err("it is not the run's");
        assert!(why.contains(said), "{why}");
    }
}

#[test]
fn a_broken_invariant_fails_the_workflow_task() {
    let programs = OneProgram(loaded(WAITS));
    let (mut instance, job) = asked("w", None, &programs);
    instance.activate(activation(job), &programs).unwrap();

    // The state of one definition under another: the run waits for a signal at a step that sets a value.
    let snapshot = instance.snapshot().expect("it is bound");
    let another = OneProgram(loaded(SETS));
    let mut instance = Instance::restore(&snapshot, &another).unwrap();
    for _ in 0..2 {
        let job = Job::Signal {
            name: "x".into(),
            input: Vec::new(),
        };
        let TaskFailure(why) = instance
            .activate(activation(job), &another)
            .expect_err("nothing can come of it, now or later");
        assert_eq!(
            why,
            "the engine broke an invariant: a wait's step says what it waits for"
        );
    }
}

//! `segno definitions rollback`: what new runs get after it, whatever was done to the type before.

use super::deploying::Project;
use super::support::run::Run;

/// Does one step to the type `rolled`: `deploy TEXT [OPTION…]`, or a command of `segno definitions`.
fn step(project: &Project, step: &str) -> Run {
    let words: Vec<&str> = step.split_whitespace().collect();
    match words.as_slice() {
        ["deploy", text, options @ ..] => {
            project.write("rolled", text);
            project.deploy(options)
        }
        command => project.definitions(command),
    }
}

fn after(steps: &[&str]) -> Project {
    let project = Project::new();
    for text in steps {
        step(&project, text).ok();
    }
    project
}

/// `rolled` is a type, its versions 1, 2 and 3 are numbered in the order of the deployments.
fn assert_routes(cases: &[(&[&str], &str)]) {
    for (steps, route) in cases {
        assert_eq!(after(steps).route("rolled"), *route, "{steps:#?}");
    }
}

#[test]
fn a_rollback_ends_a_ramp() {
    assert_routes(&[
        (
            &["deploy one", "deploy two --percent 20", "rollback rolled"],
            "1",
        ),
        (
            &[
                "deploy one",
                "deploy two",
                "deploy three --percent 20",
                "rollback rolled",
            ],
            "2",
        ),
        (
            &[
                "deploy one",
                "deploy two",
                "deploy three --percent 20",
                "rollback rolled@1",
            ],
            "1",
        ),
        // What was only ramped was not in force.
        (
            &[
                "deploy one",
                "deploy two --percent 20",
                "rollback rolled",
                "deploy three",
                "rollback rolled",
            ],
            "1",
        ),
        (
            &[
                "deploy one",
                "deploy two --percent 20",
                "ramp rolled@2 --percent 100",
                "rollback rolled",
            ],
            "1",
        ),
    ]);
}

#[test]
fn a_rollback_leads_to_what_was_in_force_before() {
    let three = ["deploy one", "deploy two", "deploy three"];
    let [one, two, three] = three;
    assert_routes(&[
        (&[one, two, three, "rollback rolled"], "2"),
        // It is a change like any other.
        (
            &[one, two, three, "rollback rolled", "rollback rolled"],
            "3",
        ),
        (
            &[one, two, three, "rollback rolled@1", "rollback rolled"],
            "3",
        ),
        (&[one, two, one, "rollback rolled"], "2"),
        (
            &[one, "deploy two --no-route", three, "rollback rolled"],
            "1",
        ),
        (
            &[
                one,
                two,
                three,
                "delete rolled@2 --with-runs",
                "rollback rolled",
            ],
            "1",
        ),
        (
            &[one, two, "pin rolled@1", three, "rollback rolled"],
            "2 pinned",
        ),
        (
            &[one, "delete rolled --with-runs", two, "rollback rolled"],
            "1",
        ),
    ]);
}

#[test]
fn a_retired_type_has_new_runs_again() {
    let (one, two, retire) = ("deploy one", "deploy two", "delete rolled --with-runs");
    let (one_waits, two_waits) = ("deploy one --no-route", "deploy two --no-route");
    assert_routes(&[
        (&[one, two, retire, "rollback rolled"], "2"),
        (&[one, two, retire, "rollback rolled@1"], "1"),
        (
            &[one, two, retire, "rollback rolled", "rollback rolled"],
            "1",
        ),
        (
            &[one, "deploy two --percent 20", retire, "rollback rolled"],
            "1",
        ),
        (&[one, two, retire, "ramp rolled@1 --percent 100"], "1"),
        (&[one_waits, "rollback rolled@1"], "1"),
        (&[one_waits, "ramp rolled@1 --percent 100"], "1"),
        (&[one, retire, two_waits, "rollback rolled"], "1"),
        (&[one, retire, two_waits, "rollback rolled@2"], "2"),
    ]);
}

#[test]
fn what_cannot_be_rolled_back_is_refused_with_what_can_be_done() {
    let gives = "run `segno definitions rollback rolled@1` to give it new runs";
    let cases: [(&[&str], &str, &[&str], &str); 5] = [
        (
            &["deploy one"],
            "rollback rolled",
            &[
                "no other version of rolled was in force before rolled@1",
                "segno definitions rollback rolled@VERSION",
                "segno definitions rollback --revision REVISION",
                "segno definitions ramp rolled@VERSION --percent 0",
            ],
            "1",
        ),
        (
            &["deploy one --no-route"],
            "rollback rolled",
            &[
                "no version of rolled has been in force",
                "segno definitions rollback rolled@VERSION",
            ],
            "retired",
        ),
        (
            &["deploy one --no-route"],
            "ramp rolled@1 --percent 20",
            &["rolled is retired, so it has no new runs to share", gives],
            "retired",
        ),
        (
            &["deploy one", "delete rolled --with-runs"],
            "pin rolled@1",
            &["rolled is retired, so it has no new runs", gives],
            "retired",
        ),
        (
            &["deploy one", "deploy two"],
            "rollback rolled@3",
            &["rolled has no version \"3\"; it has 1, 2"],
            "2",
        ),
    ];
    for (steps, refused, all_said, route) in cases {
        let project = after(steps);
        let run = step(&project, refused);
        assert_eq!(run.code, 1, "{run:#?}");
        for said in all_said {
            assert!(run.stderr.contains(said), "{said}: {run:#?}");
        }
        assert_eq!(project.route("rolled"), route, "{steps:?}, {refused}");
    }
}

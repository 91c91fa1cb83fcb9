//! Schedules: what the server has after `segno schedule`, and what it starts.

use std::process::Command;

use serde_json::{Value, json};

use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::worker::Worker;
use super::support::{root, segno, until};

/// Nothing comes of itself at these times.
const FAR: [&str; 2] = ["--start-time", "2030-01-01T00:00:00Z"];

fn worker() -> Worker {
    Worker::start(&root().join("tests/cluster/schedules"), &[])
}

struct Schedule {
    id: String,
}

impl Schedule {
    #[track_caller]
    fn create(name: &str, arguments: &[&str]) -> Schedule {
        let id = Cluster::get().unique(name);
        let schedule = Schedule { id };
        schedule.segno("create", arguments).ok();
        schedule
    }

    fn segno(&self, verb: &str, arguments: &[&str]) -> Run {
        let command = ["schedule", verb, &self.id];
        Cluster::get().segno(&[&command[..], arguments].concat())
    }

    #[track_caller]
    fn describe(&self) -> Value {
        self.segno("describe", &["--output", "json"]).ok().json()
    }

    fn describe_until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until(what, || Some(self.describe()).filter(&holds))
    }

    /// Starts what it starts as if the time were this one, so that no two runs have the same id.
    #[track_caller]
    fn start_at(&self, hour: &str, policy: &str) {
        let end = format!("2025-01-01T{hour}:00:00Z");
        let start = format!("2025-01-01T{hour}:00:00+00:30");
        let times = ["--start-time", &start, "--end-time", &end];
        let policy = ["--overlap-policy", policy];
        self.segno("backfill", &[&times[..], &policy[..]].concat())
            .ok();
    }
}

fn statuses(description: &Value) -> Vec<&str> {
    let recent = description["recentActions"].as_array().unwrap();
    recent
        .iter()
        .map(|action| action["status"].as_str().unwrap())
        .collect()
}

fn started_ids(description: &Value) -> Vec<String> {
    let recent = description["recentActions"].as_array().unwrap();
    let id = |action: &Value| {
        action["workflow"]["workflowId"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    recent.iter().map(id).collect()
}

fn started_event(workflow_id: &str) -> Value {
    let history = Cluster::get().segno(&["history", workflow_id, "--output", "json"]);
    let events = &history.ok().json()["events"];
    events[0]["workflowExecutionStartedEventAttributes"].clone()
}

#[test]
fn a_schedule_has_what_the_flags_say() {
    let schedule = Schedule::create(
        "said",
        &[
            &["--type", "hello", "--task-queue", "somewhere"][..],
            &["--interval", "6h/5h", "--interval", "90m"],
            &[
                "--calendar",
                r#"{"hour":"9-17/2","minute":[0,30],"dayOfWeek":"Fri","comment":"late"}"#,
            ],
            &[
                "--skip",
                r#"{"month":"Dec","dayOfMonth":"24-26","hour":"*","minute":"*"}"#,
            ],
            &["--time-zone", "Europe/Berlin", "--jitter", "1m"],
            &[
                "--end-time",
                "2031-01-01T00:00:00Z",
                "--overlap-policy",
                "buffer-one",
            ],
            &[
                "--catchup-window",
                "1h",
                "--pause-on-failure",
                "--remaining-actions",
                "7",
            ],
            &["--paused", "--notes", "not yet"],
            &[
                "--schedule-memo",
                r#"about={"team":"night"}"#,
                "--schedule-search-attribute",
                r#"Stage="later""#,
            ],
            &FAR,
        ]
        .concat(),
    );
    let description = schedule.describe();
    assert_eq!(
        description["spec"],
        json!({
            "intervals": [{ "every": "21600s", "offset": "18000s" }, { "every": "5400s", "offset": "0s" }],
            "calendars": [{ "minute": "0,30", "hour": "9-17/2", "dayOfWeek": "5", "comment": "late" }],
            "skip": [{ "minute": "*", "hour": "*", "dayOfMonth": "24-26", "month": "12" }],
            "timeZone": "Europe/Berlin",
            "startTime": "2030-01-01T00:00:00Z",
            "endTime": "2031-01-01T00:00:00Z",
            "jitter": "60s",
        })
    );
    assert_eq!(
        description["policies"],
        json!({ "overlapPolicy": "BufferOne", "catchupWindow": "3600s", "pauseOnFailure": true })
    );
    assert_eq!(description["paused"], true);
    assert_eq!(description["notes"], "not yet");
    assert_eq!(description["remainingActions"], 7);
    assert_eq!(description["memo"], json!({ "about": { "team": "night" } }));
    assert_eq!(description["searchAttributes"]["Stage"], "later");

    let listed = until("the schedule's place in the list", || {
        let list = [
            "schedule",
            "list",
            "--query",
            "Stage = 'later'",
            "--output",
            "json",
        ];
        let list = Cluster::get().segno(&list).ok().json();
        let of_it = |entry: &&Value| entry["scheduleId"] == *schedule.id;
        list.as_array().unwrap().iter().find(of_it).cloned()
    });
    assert_eq!(
        (&listed["type"], &listed["paused"]),
        (&json!("hello"), &json!(true))
    );
    let text = schedule.segno("describe", &[]).ok().stdout;
    for line in [
        "every              6h, 5h later",
        "state              paused",
        "note               not yet",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

/// In Berlin summer begins on 2030-03-31 at two, which is one in UTC.
#[test]
fn calendars_and_cron_strings_keep_their_time_zone() {
    for times in [
        &[
            "--calendar",
            r#"{"hour":"3","minute":"30"}"#,
            "--time-zone",
            "Europe/Berlin",
        ][..],
        &["--cron", "30 3 * * *", "--time-zone", "europe/berlin"],
        &["--cron", "CRON_TZ=Europe/Berlin 30 3 * * *"],
    ] {
        let rest = ["--type", "hello", "--start-time", "2030-03-30T00:00:00Z"];
        let schedule = Schedule::create("zone", &[times, &rest].concat());
        let description = schedule.describe();
        assert_eq!(
            description["nextActionTimes"].as_array().unwrap()[..2],
            [json!("2030-03-30T02:30:00Z"), json!("2030-03-31T01:30:00Z")],
            "{times:?}"
        );
        assert_eq!(description["spec"]["timeZone"], "Europe/Berlin");
    }
}

#[test]
fn a_trigger_starts_the_workflow_with_all_that_is_said() {
    let worker = worker();
    let schedule = Schedule::create(
        "trigger",
        &[
            &[
                "--type",
                "schedules-done",
                "--task-queue",
                &worker.task_queue,
            ][..],
            &[
                "--interval",
                "1h",
                "--workflow-id",
                "report",
                "--input",
                r#"{"size":3}"#,
            ],
            &[
                "--execution-timeout",
                "2h",
                "--run-timeout",
                "30m",
                "--task-timeout",
                "7s",
            ],
            &[
                "--retry-maximum-attempts",
                "3",
                "--retry-initial-interval",
                "2s",
            ],
            &[
                "--memo",
                r#"for="Ada""#,
                "--search-attribute",
                r#"Stage="first""#,
            ],
            &[
                "--priority-key",
                "2",
                "--fairness-key",
                "team",
                "--static-summary",
                "A report",
            ],
            &FAR,
        ]
        .concat(),
    );
    schedule.segno("trigger", &[]).ok();
    let description = schedule.describe_until("the run's end", |d| statuses(d) == ["COMPLETED"]);
    assert_eq!(description["actionCount"], 1);
    let id = &started_ids(&description)[0];
    assert!(id.starts_with("report-20"), "{id}");
    let event = started_event(id);
    assert_eq!(event["workflowType"]["name"], "schedules-done");
    assert_eq!(event["workflowExecutionTimeout"], "7200s");
    assert_eq!(event["workflowRunTimeout"], "1800s");
    assert_eq!(event["workflowTaskTimeout"], "7s");
    assert_eq!(event["retryPolicy"]["maximumAttempts"], 3);
    assert_eq!(event["retryPolicy"]["initialInterval"], "2s");
    assert_eq!(event["memo"]["fields"]["for"]["data"], "IkFkYSI=");
    assert_eq!(
        event["searchAttributes"]["indexedFields"]["Stage"]["data"],
        "ImZpcnN0Ig=="
    );
    assert_eq!(event["input"]["payloads"][0]["data"], "eyJzaXplIjozfQ==");
    assert_eq!(event["priority"]["priorityKey"], 2);
    assert_eq!(event["priority"]["fairnessKey"], "team");
    let action = &description["action"];
    assert_eq!(
        (&action["input"], &action["staticSummary"]),
        (&json!({ "size": 3 }), &json!("A report"))
    );
}

#[test]
fn a_backfill_starts_what_the_time_would_have_started() {
    let worker = worker();
    let schedule = Schedule::create(
        "backfill",
        &[
            &[
                "--type",
                "schedules-done",
                "--task-queue",
                &worker.task_queue,
            ][..],
            &[
                "--interval",
                "1h/15m",
                "--overlap-policy",
                "buffer-all",
                "--paused",
                "--input",
                "{}",
            ],
        ]
        .concat(),
    );
    let times = [
        "--start-time",
        "2025-01-01T00:00:00Z",
        "--end-time",
        "2025-01-01T02:15:00Z",
    ];
    schedule.segno("backfill", &times).ok();
    let description = schedule.describe_until("the runs' end", |d| statuses(d) == ["COMPLETED"; 3]);
    let expected = ["00:15", "01:15", "02:15"];
    let expected = expected.map(|time| format!("{}-2025-01-01T{time}:00Z", schedule.id));
    assert_eq!(started_ids(&description), expected);
}

/// One run is there already when the policy is asked for.
#[test]
fn the_overlap_policy_decides_what_happens_beside_a_run() {
    let worker = worker();
    for (policy, expected) in [
        ("skip", &["RUNNING"][..]),
        ("buffer-one", &["RUNNING"]),
        ("buffer-all", &["RUNNING"]),
        ("cancel-other", &["CANCELED", "RUNNING"]),
        ("terminate-other", &["TERMINATED", "RUNNING"]),
        ("allow-all", &["RUNNING", "RUNNING"]),
    ] {
        let schedule = Schedule::create(
            policy,
            &[
                &[
                    "--type",
                    "schedules-waits",
                    "--task-queue",
                    &worker.task_queue,
                ][..],
                &["--interval", "1h", "--paused"],
            ]
            .concat(),
        );
        schedule.start_at("10", "skip");
        schedule.describe_until("the first run", |d| statuses(d) == ["RUNNING"]);
        for hour in ["11", "12"] {
            if expected.len() == 2 && hour == "12" {
                continue;
            }
            schedule.start_at(hour, policy);
            // Of two that come at once the server lets one wait until something else happens.
            schedule.describe_until("one more", |d| {
                let started = d["recentActions"].as_array().unwrap().len() as u64;
                let count = |key: &str| d[key].as_u64().unwrap();
                started + count("overlapSkipped") + count("buffered") > u64::from(hour == "12") + 1
            });
        }
        let (skipped, buffered) = match policy {
            "skip" => (2, 0),
            "buffer-one" => (1, 1),
            "buffer-all" => (0, 2),
            _ => (0, 0),
        };
        schedule.describe_until(policy, |d| {
            statuses(d) == expected && d["overlapSkipped"] == skipped && d["buffered"] == buffered
        });
        schedule.segno("delete", &[]).ok();
    }
}

#[test]
fn a_pause_keeps_its_note_and_ends() {
    let schedule = Schedule::create("paused", &["--type", "hello", "--interval", "1h"]);
    schedule
        .segno("pause", &["--note", "the shop is closed"])
        .ok();
    let paused = schedule.describe();
    assert_eq!(
        (&paused["paused"], &paused["notes"]),
        (&json!(true), &json!("the shop is closed"))
    );
    schedule.segno("unpause", &["--note", "open again"]).ok();
    let open = schedule.describe();
    assert_eq!(
        (&open["paused"], &open["notes"]),
        (&json!(false), &json!("open again"))
    );
    assert_eq!(
        schedule.segno("pause", &[]).ok().stdout,
        format!("{} is paused\n", schedule.id)
    );
    schedule.segno("delete", &[]).ok();
    let gone = schedule.segno("describe", &[]);
    assert!(
        gone.code == 1 && gone.stderr.contains("there is no schedule with the id"),
        "{gone:#?}"
    );
}

#[test]
fn a_schedule_ends_with_its_remaining_actions_and_pauses_on_failure() {
    let worker = worker();
    let queue = ["--task-queue", &worker.task_queue];
    let often = [
        "--interval",
        "1s",
        "--type",
        "schedules-done",
        "--remaining-actions",
        "2",
    ];
    let often = Schedule::create("often", &[&often[..], &queue].concat());
    often.describe_until("the last of its actions", |d| {
        d["remainingActions"] == 0 && d["actionCount"] == 2
    });
    let fails = [
        "--interval",
        "1s",
        "--type",
        "schedules-fails",
        "--pause-on-failure",
    ];
    let fails = Schedule::create("fails", &[&fails[..], &queue].concat());
    let paused = fails.describe_until("the pause", |d| d["paused"] == true);
    assert!(
        paused["notes"].as_str().unwrap().contains("failure"),
        "{paused:#}"
    );
}

#[test]
fn an_update_changes_what_it_says_and_keeps_the_rest() {
    let schedule = Schedule::create(
        "updated",
        &[
            &[
                "--type",
                "hello",
                "--input",
                r#"{"name":"Ada"}"#,
                "--memo",
                "kept=1",
            ][..],
            &[
                "--cron",
                "TZ=Asia/Tokyo @daily",
                "--jitter",
                "1m",
                "--notes",
                "kept",
                "--schedule-memo",
                "kept=1",
            ],
            &FAR,
        ]
        .concat(),
    );
    let before = schedule.describe();
    assert_eq!(before["spec"]["timeZone"], "Asia/Tokyo");
    let said = [
        "--interval",
        "2h",
        "--run-timeout",
        "5m",
        "--overlap-policy",
        "CancelOther",
    ];
    let attribute = ["--schedule-search-attribute", r#"Stage="new""#];
    schedule
        .segno("update", &[&said[..], &attribute].concat())
        .ok();
    let after = schedule.describe();
    let spec = json!({ "intervals": [{ "every": "7200s", "offset": "0s" }], "startTime": "2030-01-01T00:00:00Z", "jitter": "60s" });
    assert_eq!(after["spec"], spec);
    assert_eq!(after["policies"]["overlapPolicy"], "CancelOther");
    assert_eq!(after["searchAttributes"]["Stage"], "new");
    let mut action = before["action"].clone();
    action["runTimeout"] = "300s".into();
    assert_eq!(after["action"], action);
    for kept in ["notes", "memo", "paused"] {
        assert_eq!(after[kept], before[kept]);
    }
    let early = schedule.segno("update", &["--end-time", "2029-01-01T00:00:00Z"]);
    assert!(
        early.code == 2 && early.stderr.contains("before it starts"),
        "{early:#?}"
    );

    schedule
        .segno(
            "update",
            &["--replace", "--type", "hello", "--interval", "1h"],
        )
        .ok();
    let replaced = schedule.describe();
    assert_eq!(
        replaced["spec"],
        json!({ "intervals": [{ "every": "3600s", "offset": "0s" }] })
    );
    assert_eq!(
        (&replaced["notes"], &replaced["action"]["input"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn a_definition_gives_its_defaults_and_judges_the_input() {
    let folder = ["--definitions", "tests/cluster/schedules"];
    let rest = [
        "--type",
        "schedules-done",
        "--interval",
        "1h",
        "--input",
        r#"{"size":3}"#,
    ];
    let schedule = Schedule::create("defined", &[&folder[..], &rest, &FAR].concat());
    let action = &schedule.describe()["action"];
    assert_eq!(action["taskQueue"], "nobody-polls-this");
    assert_eq!(action["runTimeout"], "3600s");
    assert_eq!(action["memo"], json!({ "size": 3 }));
    for (arguments, why) in [
        (&["--input", r#"{"size":"large"}"#][..], "breaks its schema"),
        (
            &["--type", "schedules-nowhere"],
            "has no valid definition of schedules-nowhere",
        ),
    ] {
        let wrong = schedule.segno("update", &[arguments, &folder].concat());
        assert!(wrong.code == 2 && wrong.stderr.contains(why), "{wrong:#?}");
    }
    let cron = [
        &["schedule", "create", "cron", "--type", "schedules-cron"][..],
        &folder,
    ]
    .concat();
    let cron = Cluster::get().segno(&cron);
    assert!(
        cron.code == 2 && cron.stderr.contains("a `cron_schedule` under `start`"),
        "{cron:#?}"
    );
}

/// What the schedule starts is encrypted as what `segno start` starts is, and is still so after an update.
#[test]
fn what_a_schedule_starts_goes_through_the_codecs() {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "0123456789abcdef0123456789abcdef").unwrap();
    let codec = format!("--codec-key=test={}", key.path().display());
    let rest = [
        "--type",
        "hello",
        "--input",
        "\"hush\"",
        "--memo",
        "for=\"hush\"",
    ];
    let memo = [
        "--schedule-memo",
        "of=\"hush\"",
        "--search-attribute",
        "Stage=\"open\"",
    ];
    let schedule = Schedule::create("secret", &[&rest[..], &memo, &FAR, &[&codec]].concat());
    for _ in 0..2 {
        let sealed = schedule.segno("describe", &["--output", "json"]);
        let is_refused = sealed.code == 1
            && sealed
                .stderr
                .contains("none of the given codecs decodes it");
        assert!(is_refused, "{sealed:#?}");
        let sealed = sealed.json();
        assert!(!sealed.to_string().contains("hush"), "{sealed:#}");
        assert_eq!(sealed["action"]["searchAttributes"]["Stage"], "open");
        let open = schedule.segno("describe", &["--output", "json", &codec]);
        let open = open.ok().json();
        assert_eq!(open["action"]["input"], "hush");
        assert_eq!(open["action"]["memo"]["for"], "hush");
        assert_eq!(open["memo"]["of"], "hush");
        let update = ["--interval", "1h", &codec];
        schedule.segno("update", &update).ok();
    }
}

/// The commands of the page, one after the other, and what they print.
#[test]
fn the_examples_of_the_page_are_true() {
    let page = std::fs::read_to_string(root().join("docs/schedules.md")).unwrap();
    let (_, block) = page.split_once("```console\n").unwrap();
    let block = block.split("```").next().unwrap();
    let commands: Vec<_> = block.split("$ ").skip(1).collect();
    assert!(commands.len() > 5, "{block}");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", segno().parent().unwrap().display());
    for command in commands {
        let (command, wanted) = command.split_once('\n').unwrap();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .env("PATH", &path)
            .env("TEMPORAL_ADDRESS", &Cluster::get().address)
            .env("NO_COLOR", "1");
        assert_eq!(Run::of(&mut shell).ok().stdout, wanted, "{command}");
    }
}

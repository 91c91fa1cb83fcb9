//! Payload codecs on the real server: what is secret is nowhere in the history, in whatever it was on its way, and
//! everybody with the key can read it: another SDK, Temporal's own command line, a worker with newer keys.

use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::support::cluster::{Cluster, python, spawn_bound};
use super::support::run::Run;
use super::support::worker::Worker;
use super::support::{root, until};

/// Each secret text of these tests has it, and nothing else does.
pub const SECRET: &str = "hush";
const OLD: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const NEW: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
/// The queue of the activities in Python.
pub const ACTIVITIES: &str = "sealed-activities";

/// The keys' files, and the worker in Python that has both keys.
pub struct Sealed {
    folder: tempfile::TempDir,
    _python: Child,
}

impl Sealed {
    pub fn get() -> &'static Sealed {
        static SEALED: OnceLock<Sealed> = OnceLock::new();
        SEALED.get_or_init(|| {
            let cluster = Cluster::get();
            let python = python();
            let status = Command::new("sh")
                .args(["-c", ". ./tools.sh && tools_codecs"])
                .current_dir(root())
                .status();
            assert!(status.unwrap().success(), "the ciphers cannot be installed");
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("old"), OLD).unwrap();
            std::fs::write(folder.path().join("new"), NEW).unwrap();
            std::fs::write(folder.path().join("token"), "Bearer of-keys\n").unwrap();
            let mut command = Command::new(python);
            command
                .args(["tests/cluster/codecs/worker.py", ACTIVITIES])
                .arg(format!("old={}", folder.path().join("old").display()))
                .arg(format!("new={}", folder.path().join("new").display()))
                .env("TEMPORAL_ADDRESS", &cluster.address);
            let python = spawn_bound(&command, Stdio::null(), Stdio::null());
            Sealed {
                folder,
                _python: python,
            }
        })
    }

    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The flags for these keys, of which the first encrypts.
    pub fn keys(&self, names: &[&str]) -> Vec<String> {
        let key = |name: &&str| format!("--codec-key={name}={}", self.file(name));
        let also = "--encode-common-attributes".to_owned();
        names.iter().map(key).chain([also]).collect()
    }
}

pub fn worker(flags: &[String]) -> Worker {
    let mut arguments: Vec<&str> = flags.iter().map(String::as_str).collect();
    arguments.extend(["--exec-allow", "cat=/bin/cat"]);
    Worker::start(&root().join("tests/cluster/codecs"), &arguments)
}

fn beside(worker: &Worker, flags: &[String]) -> Worker {
    let mut arguments: Vec<&str> = flags.iter().map(String::as_str).collect();
    arguments.extend(["--exec-allow", "cat=/bin/cat"]);
    worker.beside(&arguments)
}

/// The command line with these flags.
pub fn with(flags: &[String], arguments: &[&str]) -> Run {
    let flags = flags.iter().map(String::as_str);
    let arguments: Vec<&str> = arguments.iter().copied().chain(flags).collect();
    Cluster::get().segno(&arguments)
}

pub fn start(worker: &Worker, flags: &[String], workflow_type: &str, input: &Value) -> String {
    let id = worker.cluster.unique(workflow_type);
    let input = input.to_string();
    let arguments = [
        "start",
        workflow_type,
        "--task-queue",
        &worker.task_queue,
        "--workflow-id",
        &id,
        "--input",
        &input,
        "--task-timeout",
        "2s",
        "--execution-timeout",
        "150s",
        "--memo",
        "owner=\"hush-owner\"",
        "--headers",
        "trace=\"hush-trace\"",
        "--static-summary",
        "hush-summary",
    ];
    with(flags, &arguments).ok();
    id
}

/// Every run's events as the server has them, from the first run on.
pub fn raw_histories(id: &str) -> Vec<Value> {
    let cluster = Cluster::get();
    // Without the keys it cannot show all, and says so by its exit code.
    let described = cluster.segno(&["describe", id, "--output", "json"]);
    let mut histories = Vec::new();
    let mut next = described.json()["runId"].as_str().map(str::to_owned);
    while let Some(run_id) = next {
        let history = cluster.segno(&["history", id, "--run-id", &run_id, "--output", "json"]);
        let history = history.ok().json();
        let started = &history["events"][0]["workflowExecutionStartedEventAttributes"];
        next = started["continuedExecutionRunId"]
            .as_str()
            .filter(|id| !id.is_empty())
            .map(str::to_owned);
        histories.insert(0, history);
    }
    histories
}

/// All texts in a value, and what they hold where they are base64.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            found.push(text.clone());
            let bytes = BASE64.decode(text).unwrap_or_default();
            found.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            found.push(name.clone());
            texts(value, found);
        }),
        _ => {}
    }
}

pub fn holds(value: &Value, wanted: &str) -> bool {
    let mut found = Vec::new();
    texts(value, &mut found);
    found.iter().any(|text| text.contains(wanted))
}

pub fn count(history: &Value, event_type: &str) -> usize {
    let events = history["events"].as_array().unwrap();
    let name = format!("EVENT_TYPE_{event_type}");
    events.iter().filter(|e| e["eventType"] == name).count()
}

/// Waits until the run waits for the signal `go`, then lets it go on, by an update that is refused and one that is not.
pub fn drive(id: &str, flags: &[String], round: usize) {
    until("the last step but one", || {
        let arguments = ["query", id, "said", "--input", r#"{"ask": "hush-ask"}"#];
        let run = with(flags, &[&arguments[..], &["--output", "json"]].concat());
        let said = if run.code == 0 {
            run.json()["queryResult"].take()
        } else {
            Value::Null
        };
        let word = if round == 1 { "hush-word" } else { "hush-go" };
        let wanted = format!("hush-ask {word}-receipt {word}-half-{word}-signal {word}");
        (said == wanted).then_some(())
    });
    let refused = with(flags, &["query", id, "said", "--input", "\"hush-no-map\""]);
    assert!(
        refused.stderr.contains("hush-no-map") || refused.code == 1,
        "{refused:#?}"
    );
    let refused = with(flags, &["update", id, "amend", "--input", "\"hush!\""]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(
        refused.stderr.contains("not hush!") || refused.stdout.contains("not hush!"),
        "{refused:#?}"
    );
    let amended = with(
        flags,
        &[
            "update",
            id,
            "amend",
            "--input",
            "\"hush-amend\"",
            "--output",
            "json",
        ],
    );
    assert_eq!(amended.ok().json()["result"], "hush-amend-amended");
    with(flags, &["signal", id, "go", "--input", "\"hush-go\""]).ok();
}

#[test]
fn nothing_secret_is_in_the_history_while_keys_are_rotated() {
    let sealed = Sealed::get();
    let (before, after) = (sealed.keys(&["old", "new"]), sealed.keys(&["new", "old"]));
    let first = worker(&before);
    let input = json!({ "word": "hush-word", "round": 1, "queue": ACTIVITIES });
    let id = start(&first, &before, "sealed", &input);
    drive(&id, &before, 1);
    let second_run = || {
        let described = with(&after, &["describe", &id, "--output", "json"])
            .ok()
            .json();
        (raw_histories(&id).len() == 2).then_some(described)
    };
    let described = until("the second run", second_run);
    assert!(holds(&described, "hush-owner"), "{described:#}");
    for arguments in [
        &["describe", &id][..],
        &[
            "list",
            "--query",
            &format!("WorkflowId = '{id}'"),
            "--output",
            "json",
        ],
        &["query", &id, "said", "--input", r#"{"ask": "plain"}"#],
    ] {
        let unread = Cluster::get().segno(arguments);
        assert_eq!(unread.code, 1, "{unread:#?}");
        assert!(!unread.stdout.contains("hush-owner"), "{unread:#?}");
    }
    assert_says_encrypted(&Cluster::get().segno(&["describe", &id]));

    // The new key comes first now; what is in the history was encrypted with the old one.
    first.kill();
    let second = beside(&first, &after);
    drive(&id, &after, 2);
    let ended = with(&after, &["result", &id, "--output", "json"]).json();
    assert_eq!(ended["status"], "FAILED", "{ended:#}");
    assert_eq!(ended["failure"]["type"], "Ended");
    assert_eq!(ended["failure"]["message"], "the word was hush-go");
    let said = "hush-go-receipt hush-go-half-hush-go-signal hush-go";
    assert_eq!(ended["failure"]["details"]["said"], said, "{ended:#}");

    seen_without_keys(&id);

    let histories = raw_histories(&id);
    assert_eq!(histories.len(), 2);
    for history in &histories {
        assert!(!holds(history, SECRET), "{history:#}");
        assert!(holds(history, "Encoded failure"));
        assert!(holds(history, "shown"), "a search attribute is plain");
        for (event_type, least) in [
            ("MARKER_RECORDED", 1),
            ("ACTIVITY_TASK_COMPLETED", 2),
            ("ACTIVITY_TASK_FAILED", 1),
            ("CHILD_WORKFLOW_EXECUTION_COMPLETED", 1),
            ("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED", 1),
            ("WORKFLOW_EXECUTION_SIGNALED", 1),
            ("WORKFLOW_EXECUTION_UPDATE_COMPLETED", 1),
            ("WORKFLOW_PROPERTIES_MODIFIED", 1),
        ] {
            assert!(
                count(history, event_type) >= least,
                "{event_type} {history:#}"
            );
        }
        assert_eq!(count(history, "WORKFLOW_TASK_FAILED"), 0, "{history:#}");
        let child = &history["events"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|event| {
                let started = &event["childWorkflowExecutionStartedEventAttributes"];
                started["workflowExecution"]["workflowId"].as_str()
            });
        let child = raw_histories(child.unwrap()).remove(0);
        assert!(!holds(&child, SECRET), "{child:#}");
    }
    assert!(holds(&histories[0], "old") && holds(&histories[1], "new"));
    let raw = Cluster::get()
        .segno(&["describe", &id, "--output", "json"])
        .json();
    assert!(!holds(&raw, SECRET), "{raw:#}");
    let listed = [
        "list",
        "--query",
        &format!("WorkflowId='{id}'"),
        "--output",
        "json",
    ];
    let listed = Cluster::get().segno(&listed).json();
    assert!(!holds(&listed, SECRET), "{listed:#}");

    replays(&id, sealed);
    drop(second);
}

/// A failed run, as it is shown to whoever has no key: marks in the place of what is encoded, and neither ciphertext nor what stands for it on the server.
fn seen_without_keys(id: &str) {
    let cluster = Cluster::get();
    let first = raw_histories(id).remove(0)["events"][0]["workflowExecutionStartedEventAttributes"]
        ["originalExecutionRunId"]
        .as_str()
        .unwrap()
        .to_owned();
    let mark = "<encoded as binary/encrypted>";
    let unread = |arguments: &[&str]| {
        let shown = cluster.segno(arguments);
        assert_eq!(shown.code, 1, "{shown:#?}");
        assert!(shown.stderr.contains("--codec-key ID=FILE"), "{shown:#?}");
        for hidden in ["Encoded failure", SECRET] {
            let all = format!("{}{}", shown.stdout, shown.stderr);
            assert!(!all.contains(hidden), "{hidden}: {shown:#?}");
        }
        shown
    };
    let failed = unread(&["result", id]);
    assert!(
        failed.stderr.contains(&format!("Ended: {mark}")),
        "{failed:#?}"
    );
    let failed = unread(&["result", id, "-o", "json"]).json();
    assert_eq!(failed["failure"]["message"], mark, "{failed:#}");
    assert_eq!(failed["failure"]["type"], "Ended", "{failed:#}");
    let run = ["history", id, "--run-id", &first];
    for more in [&[][..], &["--brief"]] {
        let table = unread(&[&run[..], more].concat());
        let said = format!("decline: Declined: {mark}");
        assert!(table.stdout.contains(&said), "{table:#?}");
    }
    let timeline = unread(&[&run[..], &["--timeline"]].concat()).stdout;
    assert!(
        timeline.contains(&format!("failed: Declined: {mark}")),
        "{timeline}"
    );
    // The author's local activity is there, the one of the run's definition is not.
    let locals = timeline.matches("local activity").count();
    assert_eq!(locals, 1, "{timeline}");
    assert!(timeline.contains("local activity exec"), "{timeline}");
}

/// With the keys; and what is said without.
fn replays(id: &str, sealed: &Sealed) {
    let replayed = with(&sealed.keys(&["new", "old"]), &["replay", id]).ok();
    assert_eq!(replayed.stdout, format!("replays {id}\n"));
    let file = sealed.folder.path().join("raw.json");
    let raw = Cluster::get().segno(&["history", id, "--output", "json"]);
    std::fs::write(&file, raw.ok().stdout).unwrap();
    let file = ["replay", "--file", file.to_str().unwrap()];
    with(&sealed.keys(&["new", "old"]), &file).ok();
    for (flags, missing) in [
        (
            sealed.keys(&["old"]),
            "the key `new`, which is not among the codec's keys (old)",
        ),
        (Vec::new(), "binary/encrypted with the key `"),
    ] {
        let failed = with(&flags, &file);
        let text = format!("{}{}", failed.stdout, failed.stderr);
        assert!(failed.code == 2 && text.contains(missing), "{failed:#?}");
    }
}

#[test]
fn a_worker_without_the_key_fails_the_task_and_one_with_it_goes_on() {
    let sealed = Sealed::get();
    let all = sealed.keys(&["new", "old"]);
    let worker = worker(&sealed.keys(&["old"]));
    let id = start(
        &worker,
        &all,
        "sealed-short",
        &json!({ "queue": ACTIVITIES }),
    );
    let message = until("a failed workflow task", || {
        let history = raw_histories(&id).remove(0);
        let mut events = history["events"].as_array().unwrap().iter();
        events.find_map(|event| {
            let failed = &event["workflowTaskFailedEventAttributes"]["failure"];
            failed["message"].as_str().map(str::to_owned)
        })
    });
    assert_eq!(message, "Encoded failure");
    let decoded = with(&sealed.keys(&["old", "new"]), &["history", &id])
        .ok()
        .stdout;
    assert!(
        decoded.contains("the key `new`, which is not among the codec's keys (old)"),
        "{decoded}"
    );
    assert!(worker.logs().contains("the key `new`"), "{}", worker.logs());
    // Nobody answers, and the reason is known.
    let unanswered = with(&all, &["query", &id, "anything"]);
    assert_eq!(unanswered.code, 1, "{unanswered:#?}");
    for said in ["the run's workflow task keeps failing", "the key `new`"] {
        assert!(unanswered.stderr.contains(said), "{unanswered:#?}");
    }
    // With one key of two the rest is shown.
    let partly = with(&sealed.keys(&["old"]), &["history", &id]);
    assert_eq!(partly.code, 1, "{partly:#?}");
    assert!(partly.stdout.contains("the key `new`"), "{partly:#?}");
    let plain = ["signal", &id, "other", "--input", "1", "--output", "json"];
    let plain = Cluster::get().segno(&plain);
    let said = "are encoded as binary/encrypted, but this one is sent unencoded";
    assert!(plain.stderr.contains(said), "{plain:#?}");
    assert_eq!(plain.ok().json()["plainInEncodedRun"], json!(true));
    let sealed_signal = ["signal", &id, "other", "--input", "1", "--output", "json"];
    let sealed_signal = with(&all, &sealed_signal).ok().json();
    assert_eq!(sealed_signal["plainInEncodedRun"], json!(false));
    worker.kill();
    let other = beside(&worker, &[]);
    until("a worker without any codec to say so", || {
        other
            .logs()
            .contains("none of the codecs decodes it")
            .then_some(())
    });
    other.kill();

    let _able = beside(&worker, &all);
    with(&all, &["signal", &id, "word", "--input", "\"hush\""]).ok();
    let ended = with(&all, &["result", &id, "--output", "json"]).json();
    assert_eq!(ended["status"], "COMPLETED", "{ended:#}");
    assert_eq!(ended["result"], "hush-receipt");
    for form in ["text", "json"] {
        let unread = Cluster::get().segno(&["result", &id, "--output", form]);
        assert_says_encrypted(&unread);
        assert_eq!(unread.stdout, "", "{unread:#?}");
    }
}

/// Whoever has no key gets no ciphertext for a result.
#[track_caller]
fn assert_says_encrypted(run: &Run) {
    assert_eq!(run.code, 1, "{run:#?}");
    let says = "it is encoded as binary/encrypted, and none of the given codecs decodes it";
    assert!(run.stderr.contains(says), "{run:#?}");
}

/// The kinds of payloads that the SDKs' default converters know, from an activity in Python through a workflow to it again.
#[test]
fn every_kind_of_payload_comes_back_as_it_was() {
    let sealed = Sealed::get();
    let keys = sealed.keys(&["new", "old"]);
    let worker = worker(&keys);
    let id = start(&worker, &keys, "kinds", &json!({ "queue": ACTIVITIES }));
    let ended = with(&keys, &["result", &id, "--output", "json"]).json();
    let plain =
        |encoding: &str, data: &str| json!({ "encoding": encoding, "data": BASE64.encode(data) });
    let json = |data: &str| plain("json/plain", data);
    let bytes = |data: &[u8]| json!({ "encoding": "binary/plain", "data": BASE64.encode(data) });
    let mut protobuf = plain("json/protobuf", r#"{"runId":"r","workflowId":"w"}"#);
    protobuf["messageType"] = json!("temporal.api.common.v1.WorkflowExecution");
    let expected = json!({
        "passed": [
            json(r#"{"a":"\u00fc","b":[1,2.5,null]}"#),
            bytes(b"\x00\xff\x10"),
            plain("binary/null", ""),
            protobuf,
        ],
        "made": [
            json("[1,2.5,null]"),
            bytes(b"\x00\xff\x10!"),
            plain("binary/null", ""),
            json("\"w\""),
            json(r#"{"runId":"r","workflowId":"w"}"#),
        ],
        "read": ["w", "00ff10", true, "ü"],
        "known": ["ü", 3, true, "r"],
    });
    assert_eq!(ended["result"], expected, "{ended:#}");
    with(&keys, &["replay", &id]).ok();
}

#[test]
fn a_schedule_keeps_its_input_and_notes_encrypted() {
    let sealed = Sealed::get();
    let keys = sealed.keys(&["new", "old"]);
    let worker = worker(&keys);
    let id = worker.cluster.unique("sealed-schedule");
    let create = [
        "schedule",
        "create",
        &id,
        "--type",
        "sealed-child",
        "--task-queue",
        &worker.task_queue,
        "--input",
        "\"hush-scheduled\"",
        "--schedule-memo",
        "why=\"hush-why\"",
    ];
    with(&keys, &create).ok();
    with(&keys, &["schedule", "trigger", &id]).ok();
    let describe = ["schedule", "describe", &id, "--output", "json"];
    let started = until("the scheduled run", || {
        let described = with(&keys, &describe).ok().json();
        assert!(holds(&described, "hush-scheduled") && holds(&described, "hush-why"));
        let started = &described["recentActions"][0]["workflow"]["workflowId"];
        started.as_str().map(str::to_owned)
    });
    let unread = Cluster::get().segno(&describe);
    assert_says_encrypted(&unread);
    let raw = unread.json();
    assert!(!holds(&raw, SECRET), "{raw:#}");
    with(&keys, &["signal", &started, "word", "--input", "\"hush\""]).ok();
    let ended = with(&keys, &["result", &started, "--output", "json"]).json();
    assert_eq!(ended["result"], "hush-scheduled-hush", "{ended:#}");
    assert!(!holds(&raw_histories(&started)[0], SECRET));
    with(&keys, &["schedule", "delete", &id]).ok();
}

//! A start's headers are the client's: they bring no definition and no state that the worker does not have.

use segno::client::StartOptions;
use segno::engine::{CHAIN_HEADER, DEFINITION_HEADER, SIGNALS_HEADER, STATE_HEADER};
use segno::value::{Duration, Payload, Value};
use segno::words::RetryPolicy;
use serde_json::json;

use super::support::cluster::Cluster;
use super::support::until;
use super::victim::{OWN, Victim, bundle, bytes, foreign, payload};

fn with_headers(workflow: &str, headers: Vec<(&str, Payload)>) -> StartOptions {
    StartOptions {
        workflow_type: workflow.to_owned(),
        headers: headers
            .into_iter()
            .map(|(name, payload)| (name.to_owned(), payload))
            .collect(),
        ..StartOptions::default()
    }
}

fn text(text: &str) -> Payload {
    Payload::from_value(&Value::from(text)).unwrap()
}

#[test]
fn a_client_runs_no_definition_of_its_own() {
    let victim = Victim::new();
    let beside = victim.beside();
    let trace = victim.folder.path().join("trace");
    let own = foreign("own", &trace);
    let run_id = "0190a5c2-5a5a-7000-8000-000000000000";
    let table = [
        vec![(DEFINITION_HEADER, bytes(&own))],
        vec![(DEFINITION_HEADER, bytes(&foreign("other", &trace)))],
        // Vouching is not in what the client can say.
        vec![(DEFINITION_HEADER, bytes(&own)), (CHAIN_HEADER, text(""))],
        vec![
            (DEFINITION_HEADER, bytes(&own)),
            (CHAIN_HEADER, text(run_id)),
        ],
        vec![
            (DEFINITION_HEADER, bytes(&own)),
            (STATE_HEADER, bytes(&[0; 64])),
        ],
    ];
    for (row, headers) in table.into_iter().enumerate() {
        let end = victim.start(with_headers("own", headers));
        assert_eq!(end["result"], "own", "row {row}: {end:#}");
        beside.signal("add", &json!(null));
    }
    let log = victim.worker.logs();
    let ignored = format!("ignoring the start's header `{DEFINITION_HEADER}`");
    assert_eq!(log.matches(&ignored).count(), 5, "{log}");

    // The server repeats the client's header in each attempt and in each run of a cron.
    let options = StartOptions {
        retry_policy: Some(RetryPolicy {
            initial_interval: Some(Duration {
                seconds: 0,
                nanos: 10_000_000,
            }),
            ..RetryPolicy::default()
        }),
        ..with_headers(
            "again",
            vec![(DEFINITION_HEADER, bytes(&foreign("again", &trace)))],
        )
    };
    let end = victim.start(options);
    assert_eq!(end["result"], "own", "{end:#}");
    assert!(!trace.exists(), "a program ran");

    beside.signal("end", &json!(null));
    assert_eq!(beside.result(), json!(5));
    beside.assert_no_task_failed();
    victim.assert_unharmed();
}

#[test]
fn a_definition_that_the_worker_has_may_be_asked_for() {
    let victim = Victim::new();
    let known = bundle("own", OWN);
    let end = victim.start(with_headers(
        "own",
        vec![(DEFINITION_HEADER, bytes(&known))],
    ));
    assert_eq!(end["result"], "own", "{end:#}");
    assert!(!victim.worker.logs().contains("ignoring the start"));
    // One of another type is none for this one.
    let end = victim.start(with_headers(
        "again",
        vec![(DEFINITION_HEADER, bytes(&known))],
    ));
    assert_eq!(end["status"], "FAILED", "{end:#}");
    assert!(victim.worker.logs().contains("ignoring the start"));
}

/// A run that was continued with its own definition keeps it in its retries, whose headers are repeated by the server.
#[test]
fn what_a_run_hands_over_counts_in_retries_too() {
    let victim = Victim::new();
    let write = |says: &str| {
        let text = format!(
            "segno: 1\nworkflow: chain\nsteps:\n  - if: input == null\n    then: [{{ continue_as_new: {{ input: 1, definition: pinned }} }}]\n  \
             - wait: {{ signal: go }}\n  - if: workflow.attempt < 3\n    then: [{{ fail: {{ type: Again, message: again }} }}]\n  - return: {says}\n"
        );
        std::fs::write(victim.folder.path().join("chain.yaml"), text).unwrap();
    };
    write("one");
    until("the definition", || {
        victim.worker.logs().contains("chain").then_some(())
    });
    let id = Cluster::get().unique("chain");
    victim.begin(StartOptions {
        workflow_id: Some(id.clone()),
        retry_policy: Some(RetryPolicy {
            initial_interval: Some(Duration {
                seconds: 0,
                nanos: 10_000_000,
            }),
            ..RetryPolicy::default()
        }),
        ..with_headers("chain", Vec::new())
    });
    let segno = |arguments: &[&str]| Cluster::get().segno(arguments);
    let attempt = || {
        let described = segno(&["history", &id, "--output", "json"]).json();
        described["events"][0]["workflowExecutionStartedEventAttributes"].clone()
    };
    until("the continuation", || {
        attempt()["continuedExecutionRunId"].as_str().map(|_| ())
    });
    write("two");
    for number in [2, 3] {
        segno(&["signal", &id, "go"]).ok();
        until("the next attempt", || {
            (attempt()["attempt"] == number).then_some(())
        });
    }
    segno(&["signal", &id, "go"]).ok();
    let end = segno(&["result", &id, "--output", "json"]).json();
    assert_eq!(end["result"], "one", "{end:#}");
}

#[test]
fn hostile_headers_harm_nobody() {
    let victim = Victim::new();
    let beside = victim.beside();
    let known = bytes(&bundle("own", OWN));
    let bomb = zstd::bulk::compress(&vec![0; 512 << 20], 19).unwrap();
    let files = zstd::bulk::compress(&[0x1a, 0].repeat(4 << 20), 19).unwrap();
    let hostile = [
        ("nothing", bytes(&[])),
        ("zeros", bytes(&[0; 16 << 10])),
        ("lists of lists", bytes(&[7, 1].repeat(8 << 10))),
        ("optionals", bytes(&[14, 1].repeat(8 << 10))),
        ("a bomb", bytes(&bomb)),
        ("four million files", bytes(&files)),
        ("large", bytes(&[0xff; 1 << 20])),
        ("null", payload("binary/null", b"")),
        ("deep JSON", payload("json/plain", &[b'['; 100_000])),
        ("no JSON", payload("json/plain", b"\xff\xfe")),
        ("another encoding", payload("binary/made-up", b"x")),
        ("no encoding", Payload::default()),
    ];
    let mut starts = 0;
    for (what, payload) in &hostile {
        for headers in [
            vec![(DEFINITION_HEADER, payload.clone())],
            // A state without a definition once hung its run in silence.
            vec![(STATE_HEADER, payload.clone())],
            vec![
                (DEFINITION_HEADER, known.clone()),
                (STATE_HEADER, payload.clone()),
            ],
            vec![
                (DEFINITION_HEADER, payload.clone()),
                (CHAIN_HEADER, payload.clone()),
            ],
            vec![
                (SIGNALS_HEADER, payload.clone()),
                (CHAIN_HEADER, payload.clone()),
            ],
            vec![("_tracer-data", payload.clone())],
        ] {
            let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
            let options = StartOptions {
                memo: vec![("segno-registry".to_owned(), payload.clone())],
                ..with_headers("own", headers.clone())
            };
            let end = victim.start(options);
            assert_eq!(end["result"], "own", "{what} in {names:?}: {end:#}");
            starts += 1;
        }
        beside.signal("add", &json!(null));
    }
    assert_eq!(starts, 72);
    beside.signal("end", &json!(null));
    assert_eq!(beside.result(), json!(hostile.len()));
    beside.assert_no_task_failed();
    victim.assert_unharmed();
}

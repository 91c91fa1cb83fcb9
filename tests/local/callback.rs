//! The `callback` activity with real endpoints and programs: what is handed over to them, and what is not.

use std::path::Path;
use std::sync::Arc;

use crate::attempt::{Recorded, context};
use crate::http::server::Server;
use crate::told::told;
use segno::activity::callback::Callback;
use segno::activity::exec::Exec;
use segno::activity::http::Http;
use segno::activity::policy::Policy;
use segno::activity::secret::Secrets;
use segno::activity::{Activity, ActivityContext};
use segno::engine::failure::{Failure, FailureInfo};
use segno::value::{Duration, Value as Datum, parse_json, to_json};
use serde_json::{Value, json};

/// `token-of-the-attempt` in base64.
const TOKEN: &str = "dG9rZW4tb2YtdGhlLWF0dGVtcHQ=";

fn callback() -> Callback {
    let secrets = Secrets {
        folder: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/secrets")),
    };
    let refuse = ["refused.example".to_owned()];
    let policy = Arc::new(Policy::new(&[], &refuse).unwrap());
    let programs = ["shell=/bin/sh".to_owned()];
    let exec = Exec::new(&programs, &[], secrets.clone()).unwrap();
    Callback::new(
        Arc::new(Http::new(policy, secrets).unwrap()),
        Arc::new(exec),
    )
}

fn handed() -> ActivityContext {
    ActivityContext {
        workflow_id: "straße 100%".into(),
        attempt: 2,
        task_token: b"token-of-the-attempt".to_vec(),
        heartbeat_details: vec![Datum::Int(7)],
        ..context("callback")
    }
}

async fn run_with(context: ActivityContext, request: Value) -> Result<Value, Failure> {
    let input = parse_json(request.to_string().as_bytes()).unwrap();
    let result = callback().run(context, vec![input]).await?;
    Ok(to_json(&result).unwrap())
}

async fn run(request: Value) -> Result<Value, Failure> {
    run_with(handed(), request).await
}

#[test]
fn a_success_only_begins_it() {
    assert!(callback().is_completed_outside());
}

#[tokio::test]
async fn an_endpoint_gets_the_token_in_headers_and_a_body() {
    let server = Server::start().await;
    let http = json!({ "url": server.url("/echo") });
    run(json!({ "http": http })).await.unwrap();
    let sent = server.last();
    assert_eq!(sent.line, "POST /echo HTTP/1.1");
    let headers = [
        ("segno-task-token", TOKEN),
        ("segno-namespace", "default"),
        ("segno-workflow-id", "stra%C3%9Fe 100%25"),
        ("segno-run-id", "run"),
        ("segno-activity-id", "1"),
        ("segno-attempt", "2"),
        ("content-type", "application/json"),
    ];
    for (name, text) in headers {
        assert_eq!(sent.headers[name], text, "{name}");
    }
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    let expected = json!({
        "task_token": TOKEN, "namespace": "default", "workflow_id": "straße 100%", "run_id": "run",
        "activity_id": "1", "attempt": 2, "workflow_type": "type", "last_heartbeat": 7,
    });
    assert_eq!(body, expected);
}

/// A body of the author's own stays as it is, with the secrets in it, and a `GET` has none.
#[tokio::test]
async fn what_the_author_wrote_goes_as_it_is() {
    let server = Server::start().await;
    let secrets = json!({ "body": { "/key": "TOKEN" } });
    let http = json!({ "url": server.url("/echo"), "body": { "amount": 5 }, "secrets": secrets });
    run(json!({ "http": http })).await.unwrap();
    let sent = server.last();
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(
        (&body["amount"], body.as_object().unwrap().len()),
        (&json!(5), 2)
    );
    assert_eq!(sent.headers["segno-task-token"], TOKEN);

    let http =
        json!({ "url": server.url("/echo"), "method": "get", "headers": { "segno-attempt": 9 } });
    run(json!({ "http": http })).await.unwrap();
    let sent = server.last();
    assert_eq!(
        (sent.line.as_str(), sent.body.as_str()),
        ("GET /echo HTTP/1.1", "")
    );
    assert_eq!(sent.headers["segno-attempt"], "2");
}

/// What the endpoint answers is not read, be it too large or no JSON.
#[tokio::test]
async fn the_answer_is_not_read() {
    let server = Server::start().await;
    for path in ["/big/3000000", "/body/application%2Fjson/%7B"] {
        let http = json!({ "url": server.url(path) });
        run(json!({ "http": http })).await.unwrap();
    }
}

#[tokio::test]
async fn a_program_gets_the_token_in_variables() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        r#"printf '%s\n' "$SEGNO_TASK_TOKEN" "$SEGNO_NAMESPACE" "$SEGNO_WORKFLOW_ID" "$SEGNO_RUN_ID" \
        "$SEGNO_ACTIVITY_ID" "$SEGNO_ATTEMPT" "$SEGNO_LAST_HEARTBEAT" > {}/seen; printf '\377'"#,
        folder.path().display()
    );
    let exec = json!({ "command": "shell", "args": ["-c", script] });
    run(json!({ "exec": exec })).await.unwrap();
    let seen = std::fs::read_to_string(folder.path().join("seen")).unwrap();
    let expected = format!("{TOKEN}\ndefault\nstraße 100%\nrun\n1\n2\n7\n");
    assert_eq!(seen, expected);
}

/// Whoever has the token can end the attempt: it is in nothing that stays.
#[tokio::test]
async fn the_token_is_in_no_failure() {
    let server = Server::start().await;
    let tell = r#"echo "$SEGNO_TASK_TOKEN" >&2; exit 3"#;
    let requests = [
        json!({ "exec": { "command": "shell", "args": ["-c", tell] } }),
        json!({ "http": { "url": server.url("/repeat/500") } }),
    ];
    for request in requests {
        let failure = run(request).await.expect_err("it was taken");
        let FailureInfo::Application { details, .. } = &failure.info else {
            panic!("{failure:?}");
        };
        let details = to_json(&details[0]).unwrap().to_string();
        assert!(details.contains("[redacted]"), "{details}");
        assert!(!format!("{failure:?}").contains(TOKEN), "{failure:?}");
    }
}

#[tokio::test]
async fn failures_say_what_is_wrong() {
    let server = Server::start().await;
    let elsewhere = Server::start().await;
    let to = |path: &str, status: u16| {
        let to: String =
            url::form_urlencoded::byte_serialize(elsewhere.url(path).as_bytes()).collect();
        json!({ "http": { "url": server.url(&format!("/redirect/{status}?to={to}")) } })
    };
    let http = |path: &str| json!({ "http": { "url": server.url(path) } });
    let shell = |script: &str| json!({ "exec": { "command": "shell", "args": ["-c", script] } });
    let cases = [
        (http("/status/503"), "HttpStatus", true, "was answered 503"),
        (http("/status/403"), "HttpStatus", false, "was answered 403"),
        (
            json!({ "http": { "url": "http://127.0.0.1:1" } }),
            "HttpTransport",
            true,
            "was not answered",
        ),
        (
            json!({ "http": { "url": "http://refused.example" } }),
            "HttpPolicy",
            false,
            "refused.example",
        ),
        (
            json!({ "http": { "url": server.url("/never"), "timeout": "50ms" } }),
            "HttpTimeout",
            true,
            "within 50ms",
        ),
        (
            to("/echo", 307),
            "HttpPolicy",
            false,
            "a task token does not go to another origin",
        ),
        (
            to("/echo", 303),
            "HttpPolicy",
            false,
            "a task token does not go to another origin",
        ),
        (shell("exit 4"), "ExecExit", true, "exit code 4"),
        (
            json!({ "exec": { "command": "rm" } }),
            "ExecPolicy",
            false,
            "does not allow the program `rm`",
        ),
        (
            json!({ "exec": { "comand": "rm" } }),
            "CallbackRequest",
            false,
            "did you mean `command`",
        ),
        (
            json!({ "http": {} }),
            "CallbackRequest",
            false,
            "needs a `url`",
        ),
        (
            json!({}),
            "CallbackRequest",
            false,
            "`http` or `exec`, one of them",
        ),
        (
            json!({ "grpc": {} }),
            "CallbackRequest",
            false,
            "no key `grpc`",
        ),
    ];
    for (request, error_type, is_retried, message) in cases {
        let shown = request.to_string();
        let told = told(run(request).await.expect_err(&shown));
        assert_eq!((&*told.0, told.1), (error_type, is_retried), "{}", told.2);
        assert!(told.2.contains(message), "{}", told.2);
    }
}

#[tokio::test]
async fn nobody_completes_a_local_activity() {
    let context = ActivityContext {
        is_local: true,
        ..handed()
    };
    let request = json!({ "exec": { "command": "shell", "args": ["-c", "true"] } });
    let told = told(run_with(context, request).await.expect_err("it was taken"));
    assert_eq!((&*told.0, told.1), ("CallbackRequest", false), "{}", told.2);
}

/// They might come after one of the outside, and make the server forget what that said.
#[tokio::test]
async fn no_heartbeat_is_sent_beside_those_of_the_outside() {
    let server = Server::start().await;
    let heartbeats = Arc::new(Recorded::default());
    let context = ActivityContext {
        heartbeats: heartbeats.clone(),
        heartbeat_timeout: Some(Duration::from_millis(3)),
        ..handed()
    };
    let cancellation = context.cancellation.clone();
    let request = json!({ "http": { "url": server.url("/never") } });
    let cancelling = async {
        while server.last().line.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        cancellation.cancel();
    };
    let (failure, ()) = tokio::join!(run_with(context, request), cancelling);
    assert!(failure.unwrap_err().is_cancelled());
    assert_eq!(heartbeats.0.lock().unwrap().len(), 0);
}

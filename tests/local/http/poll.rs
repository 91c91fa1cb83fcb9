//! Asking again until the answer is there, and what an attempt hands over to the next.

use std::sync::Arc;

use segno::engine::failure::Failure;
use segno::value::parse_json;
use segno::value::to_json;
use serde_json::json;

use super::server::Server;
use super::{http, run_with, told};
use crate::attempt::{Recorded, context};

/// Polls after an attempt that said this; gives the end, and what the heartbeats say.
async fn poll(
    request: serde_json::Value,
    last: Option<serde_json::Value>,
) -> (Result<serde_json::Value, Failure>, Vec<serde_json::Value>) {
    let heartbeats = Arc::new(Recorded::default());
    let mut context = context("http");
    context.heartbeats = heartbeats.clone();
    let last = last.map(|last| parse_json(last.to_string().as_bytes()).unwrap());
    context.heartbeat_details = last.into_iter().collect();
    let end = run_with(&http(&[], &[]), context, request).await;
    let heartbeats = heartbeats.0.lock().unwrap();
    let told = heartbeats
        .iter()
        .map(|details| to_json(&details[0]).unwrap());
    (end, told.collect())
}

#[tokio::test]
async fn it_asks_again_where_the_answer_says() {
    let server = Server::start().await;
    let request = json!({ "method": "POST", "url": server.url("/begin/3"), "body": {}, "poll": { "every": "1ms" } });
    let (answer, told) = poll(request.clone(), None).await;
    assert_eq!(answer.unwrap()["status"], 200);
    let state = "GET /state/3 HTTP/1.1";
    assert_eq!(
        server.lines(),
        ["POST /begin/3 HTTP/1.1", state, state, state]
    );
    let url = server.url("/state/3");
    assert_eq!(told.last(), Some(&json!({ "polls": 3, "url": url })));

    // The next attempt does not begin the job anew.
    let (answer, told) = poll(request, Some(json!({ "polls": 3, "url": url }))).await;
    assert_eq!(
        (answer.unwrap()["status"].clone(), told.len()),
        (json!(200), 0)
    );
    assert_eq!(server.lines().len(), 5);
    assert_eq!(server.last().line, state);
}

#[tokio::test]
async fn the_body_may_say_not_yet() {
    let server = Server::start().await;
    let states = |states: &str| {
        json!({
            "url": server.url(&format!("/states/{states}")),
            "poll": { "every": "1ms", "pending_status": ["404", "418-420"], "pending_body": { "/job/state": ["queued", "running"], "/none": null } },
        })
    };
    let (answer, told) = poll(states("404,queued,running,419,done"), None).await;
    assert_eq!(answer.unwrap()["body"]["job"]["state"], "done");
    assert_eq!(told.last(), Some(&json!({ "polls": 4 })));

    // A failure ends the attempt, and the next one counts on.
    let (answer, told) = poll(states("queued,503"), Some(json!({ "polls": 4 }))).await;
    assert_eq!(self::told(&answer.unwrap_err()), ("HttpStatus", true, None));
    assert_eq!(told.last(), Some(&json!({ "polls": 5 })));
    let (answer, _) = poll(states("queued,400"), None).await;
    assert_eq!(
        self::told(&answer.unwrap_err()),
        ("HttpStatus", false, None)
    );
    let (answer, told) = poll(states("202,done"), None).await;
    assert_eq!(
        (answer.unwrap()["status"].clone(), told),
        (json!(202), vec![])
    );
}

/// What is no poll of ours, or leads where the policy does not let it, begins at the beginning or is refused.
#[tokio::test]
async fn what_the_last_heartbeat_says_is_not_trusted() {
    let server = Server::start().await;
    let request = json!({ "url": server.url("/echo"), "poll": {} });
    for last in [
        json!("page 7"),
        json!({ "polls": "x", "url": 5 }),
        json!([1]),
    ] {
        let (answer, _) = poll(request.clone(), Some(last)).await;
        assert_eq!(answer.unwrap()["status"], 200);
    }
    for url in ["http://169.254.169.254/", "file:///etc/passwd"] {
        let (answer, _) = poll(request.clone(), Some(json!({ "polls": 1, "url": url }))).await;
        assert!(!self::told(&answer.unwrap_err()).1, "{url}");
    }
}

#[tokio::test]
async fn a_place_with_a_secret_is_not_told() {
    let server = Server::start().await;
    let secrets = json!({ "headers": { "authorization": "TOKEN" } });
    let request =
        json!({ "url": server.url("/job/2"), "poll": { "every": "1ms" }, "secrets": secrets });
    let (answer, told) = poll(request, None).await;
    assert_eq!(answer.unwrap()["status"], 200);
    assert_eq!(server.last().headers["authorization"], "t0k3n-value");
    assert_eq!(told.last(), Some(&json!({ "polls": 2 })));
}

#[tokio::test]
async fn each_poll_has_its_time_and_mistakes_are_said() {
    let server = Server::start().await;
    let slow = json!({ "url": server.url("/never"), "timeout": "50ms", "poll": {} });
    let (answer, _) = poll(slow, None).await;
    assert_eq!(told(&answer.unwrap_err()), ("HttpTimeout", true, None));
    for (wrong, message) in [
        (json!(5), "`poll` is a mapping"),
        (json!({ "evry": "1s" }), "did you mean `every`?"),
        (json!({ "every": "0s" }), "`every` is a positive duration"),
        (
            json!({ "pending_status": "x" }),
            "`pending_status` is a status",
        ),
        (
            json!({ "pending_body": { "state": 1 } }),
            "`state` is no JSON Pointer",
        ),
    ] {
        let request = json!({ "url": server.url("/echo"), "poll": wrong });
        let failure = poll(request, None).await.0.unwrap_err();
        assert_eq!(told(&failure), ("HttpRequest", false, None));
        assert!(failure.message.contains(message), "{}", failure.message);
    }
}

//! The `http` activity against real sockets: what it sends, what it makes of answers, where it does not go.

mod policy;
mod poll;
pub mod server;

use std::sync::Arc;

use crate::attempt::{Recorded, context};
use segno::activity::http::Http;
use segno::activity::policy::Policy;
use segno::activity::secret::Secrets;
use segno::activity::{Activity, ActivityContext};
use segno::engine::failure::{Failure, FailureInfo};
use segno::value::{Duration, parse_json, to_json};
use serde_json::json;
use server::Server;

fn http(allow: &[&str], refuse: &[&str]) -> Http {
    let own = |list: &[&str]| list.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    let policy = Policy::new(&own(allow), &own(refuse)).unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/secrets");
    let secrets = Secrets {
        folder: Some(folder),
    };
    Http::new(Arc::new(policy), secrets).unwrap()
}

async fn run(request: serde_json::Value) -> Result<serde_json::Value, Failure> {
    run_with(&http(&[], &[]), context("http"), request).await
}

async fn run_with(
    http: &Http,
    context: ActivityContext,
    request: serde_json::Value,
) -> Result<serde_json::Value, Failure> {
    let input = parse_json(request.to_string().as_bytes()).unwrap();
    let result = http.run(context, vec![input]).await?;
    Ok(to_json(&result).unwrap())
}

/// The type, whether it is retried, and the wait before that.
fn told(failure: &Failure) -> (&str, bool, Option<i64>) {
    match &failure.info {
        FailureInfo::Application {
            error_type,
            non_retryable,
            next_retry_delay,
            ..
        } => (
            error_type,
            !non_retryable,
            next_retry_delay.map(|d| d.seconds),
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_goes_out_as_it_was_asked_for() {
    let server = Server::start().await;
    let answer = run(json!({
        "method": "put",
        "url": server.url("/echo?kept=1"),
        "query": { "q": "a b", "many": [1, 2], "none": null },
        "headers": { "X-One": "1", "X-Number": 7 },
        "body": { "amount": 12.5, "currency": "EUR" },
    }))
    .await
    .unwrap();
    assert_eq!(answer["status"], 200);
    assert_eq!(answer["headers"]["content-type"], "application/json");
    let echo = &answer["body"];
    assert_eq!(
        echo["line"],
        "PUT /echo?kept=1&q=a+b&many=1&many=2 HTTP/1.1"
    );
    assert_eq!(echo["headers"]["x-one"], "1");
    assert_eq!(echo["headers"]["x-number"], "7");
    assert_eq!(echo["headers"]["content-type"], "application/json");
    assert_eq!(echo["body"], r#"{"amount":12.5,"currency":"EUR"}"#);
}

/// RFC 8259 lets a reader skip a byte order mark before JSON, and some servers send one.
#[tokio::test]
async fn a_byte_order_mark_before_json_is_skipped() {
    let server = Server::start().await;
    for (path, expected) in [
        (
            "/body/application%2Fjson/%EF%BB%BF%7B%22a%22%3A1%7D",
            json!({ "a": 1 }),
        ),
        (
            "/body/application%2Fproblem%2Bjson/%EF%BB%BF%5B%5D",
            json!([]),
        ),
        ("/body/application%2Fjson/%EF%BB%BF", json!(null)),
    ] {
        let answer = run(json!({ "method": "get", "url": server.url(path) })).await;
        assert_eq!(answer.unwrap()["body"], expected, "{path}");
    }
    let asked = json!({
        "method": "get",
        "url": server.url("/body/text%2Fplain/%EF%BB%BF7"),
        "response": "json",
    });
    assert_eq!(run(asked).await.unwrap()["body"], 7);
}

#[tokio::test]
async fn bodies_by_their_shape() {
    let server = Server::start().await;
    for (part, method, content_type, body) in [
        (json!({}), "GET", None, ""),
        (
            json!({ "body": "text" }),
            "POST",
            Some("text/plain; charset=utf-8"),
            "text",
        ),
        (
            json!({ "form": { "a": "1 2", "b": [3, 4] } }),
            "POST",
            Some("application/x-www-form-urlencoded"),
            "a=1+2&b=3&b=4",
        ),
        (
            json!({ "body": [1], "headers": { "content-type": "application/vnd.api+json" } }),
            "POST",
            Some("application/vnd.api+json"),
            "[1]",
        ),
    ] {
        let mut request = part.clone();
        request["url"] = server.url("/echo").into();
        let echo = run(request).await.unwrap()["body"].clone();
        assert!(echo["line"].as_str().unwrap().starts_with(method), "{part}");
        assert_eq!(
            echo["headers"]["content-type"].as_str(),
            content_type,
            "{part}"
        );
        assert_eq!(echo["body"], body, "{part}");
    }
}

#[tokio::test]
async fn answers_by_their_content_type() {
    let server = Server::start().await;
    for (path, response, body) in [
        (
            "/body/application%2Fjson/%7B%22a%22%3A1%7D",
            "auto",
            json!({ "a": 1 }),
        ),
        (
            "/body/application%2Fproblem%2Bjson/%5B1%5D",
            "auto",
            json!([1]),
        ),
        ("/body/text%2Fplain/hello", "auto", json!("hello")),
        (
            "/body/text%2Fplain%3Bcharset%3Diso-8859-1/%E9t%E9",
            "auto",
            json!("été"),
        ),
        ("/body/image%2Fpng/%FF%FE", "auto", json!("//4=")),
        ("/body/text%2Fplain/%7B%7D", "json", json!({})),
        ("/body/text%2Fplain/hello", "bytes", json!("aGVsbG8=")),
        ("/body/text%2Fplain/hello", "none", json!(null)),
        ("/body/application%2Fjson/", "auto", json!(null)),
    ] {
        let answer = run(json!({ "url": server.url(path), "response": response })).await;
        assert_eq!(answer.unwrap()["body"], body, "{path} as {response}");
    }
    let broken = server.url("/body/application%2Fjson/%7Boops");
    let failure = run(json!({ "url": broken })).await.unwrap_err();
    assert_eq!(told(&failure), ("HttpResponse", false, None), "{failure:?}");
}

#[tokio::test]
async fn statuses_become_failures_that_heal_or_stay() {
    let server = Server::start().await;
    for (status, extra, expected) in [
        (404, json!({}), ("HttpStatus", false, None)),
        (503, json!({}), ("HttpStatus", true, None)),
        (
            429,
            json!({ "query": { "retry-after": "7" } }),
            ("HttpStatus", true, Some(7)),
        ),
        (
            503,
            json!({ "query": { "retry-after": "0" } }),
            ("HttpStatus", true, None),
        ),
        (
            400,
            json!({ "query": { "retry-after": "7" } }),
            ("HttpStatus", false, None),
        ),
        (
            409,
            json!({ "retryable": [409] }),
            ("HttpStatus", true, None),
        ),
        (
            500,
            json!({ "non_retryable": "500-599" }),
            ("HttpStatus", false, None),
        ),
        (
            200,
            json!({ "success": [201] }),
            ("HttpStatus", false, None),
        ),
    ] {
        let mut request = extra.clone();
        request["url"] = server.url(&format!("/status/{status}")).into();
        let failure = run(request).await.unwrap_err();
        assert_eq!(told(&failure), expected, "{status} {extra}");
        assert!(
            failure.message.contains(&status.to_string()),
            "{}",
            failure.message
        );
        let details = to_json(&failure.to_value()).unwrap()["details"].clone();
        assert_eq!(details["status"], status);
        assert_eq!(details["body"], json!({ "why": "asked" }));
    }
    let answer = run(json!({ "url": server.url("/status/404"), "success": [200, 404] })).await;
    assert_eq!(answer.unwrap()["status"], 404);
}

#[tokio::test]
async fn a_retry_after_may_be_a_date() {
    let server = Server::start().await;
    let date = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3600);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&date)
        .unwrap();
    let request = json!({ "url": server.url("/status/503"), "query": { "retry-after": date } });
    let failure = run(request).await.unwrap_err();
    let (_, _, wait) = told(&failure);
    assert!((3000..=3600).contains(&wait.unwrap()), "{wait:?}");
}

#[tokio::test]
async fn a_body_beyond_its_bound_is_an_error_that_names_it() {
    let server = Server::start().await;
    let url = server.url("/big/1048577");
    let failure = run(json!({ "url": url })).await.unwrap_err();
    assert_eq!(told(&failure), ("HttpResponse", false, None));
    assert!(
        failure.message.contains("HTTP_RESPONSE_SIZE_BYTES_MAX"),
        "{}",
        failure.message
    );
    let answer = run(json!({ "url": url, "response_size_bytes_max": 1_048_577 })).await;
    assert_eq!(answer.unwrap()["body"].as_str().unwrap().len(), 1_048_577);
    let failure = run(json!({ "url": url, "success": 204 }))
        .await
        .unwrap_err();
    assert_eq!(told(&failure).0, "HttpStatus");
    assert!(failure.to_value().get("details").is_some());
}

#[tokio::test]
async fn redirects_are_followed_by_their_rules() {
    let server = Server::start().await;
    for (status, line) in [
        (302, "GET /echo HTTP/1.1"),
        (303, "GET /echo HTTP/1.1"),
        (307, "POST /echo HTTP/1.1"),
    ] {
        let url = server.url(&format!("/redirect/{status}?to=/echo"));
        let echo = run(json!({ "url": url, "body": { "a": 1 } }))
            .await
            .unwrap();
        assert_eq!(echo["body"]["line"], line);
        let body = if status == 307 { r#"{"a":1}"# } else { "" };
        assert_eq!(echo["body"]["body"], body);
    }
    let loops = server.url("/redirect/302?to=/redirect/302%3Fto=x");
    let failure = run(json!({ "url": server.url("/loop"), "redirects": 3 }))
        .await
        .unwrap_err();
    assert!(
        failure.message.contains("more than 3 times"),
        "{}",
        failure.message
    );
    let answer = run(json!({ "url": loops, "redirects": 0, "success": 302 })).await;
    assert_eq!(answer.unwrap()["status"], 302);
}

#[tokio::test]
async fn the_policy_holds_for_urls_redirects_and_what_names_resolve_to() {
    let server = Server::start().await;
    let port = server.port();
    let open = http(&[], &[]);
    let closed = http(&[], &["127.0.0.0/8", "::1"]);
    let listed = http(&["*.example.com"], &[]);
    let redirected = server.url("/redirect/302?to=http://169.254.169.254/latest/meta-data");
    let back = format!("http://localhost:{port}/echo");
    for (http, url, word) in [
        (
            &open,
            "http://169.254.169.254/latest".to_owned(),
            "metadata service",
        ),
        (
            &open,
            "http://metadata.google.internal/".to_owned(),
            "metadata service",
        ),
        (&open, redirected, "metadata service"),
        (&closed, server.url("/echo"), "policy refuses the address"),
        (&closed, back.clone(), "policy refuses the address"),
        (&listed, back.clone(), "not among those"),
    ] {
        let failure = run_with(http, context("http"), json!({ "url": url }))
            .await
            .unwrap_err();
        assert_eq!(
            told(&failure),
            ("HttpPolicy", false, None),
            "{url}: {failure:?}"
        );
        assert!(failure.message.contains(word), "{url}: {}", failure.message);
    }
    for allow in ["localhost", "127.0.0.0/8"] {
        let answer = run_with(
            &http(&[allow], &[]),
            context("http"),
            json!({ "url": back }),
        )
        .await;
        assert_eq!(answer.unwrap()["status"], 200, "{allow}");
    }
}

#[tokio::test]
async fn secrets_go_out_and_never_come_back() {
    let server = Server::start().await;
    let answer = run(json!({
        "url": server.url("/echo"),
        "body": { "card": { "number": "1" } },
        "secrets": {
            "headers": { "authorization": { "name": "TOKEN", "prefix": "Bearer " } },
            "query": { "key": "KEY" },
            "body": { "/card/code": "CODE" },
        },
    }))
    .await
    .unwrap();
    let sent = server.last();
    assert_eq!(sent.line, "POST /echo?key=k%2Fe%22y HTTP/1.1");
    assert_eq!(sent.headers["authorization"], "Bearer t0k3n-value");
    assert_eq!(sent.body, r#"{"card":{"number":"1","code":"735001"}}"#);
    let seen = answer.to_string();
    assert_eq!(
        answer["body"]["headers"]["authorization"],
        "Bearer [redacted]"
    );
    for secret in ["t0k3n-value", "k%2Fe%22y", "k/e", "735001"] {
        assert!(!seen.contains(secret), "{seen}");
    }
    let basic = json!({ "basic_auth": { "username": "me", "password": "TOKEN" } });
    run(json!({ "url": server.url("/echo"), "secrets": basic }))
        .await
        .unwrap();
    assert_eq!(
        server.last().headers["authorization"],
        "Basic bWU6dDBrM24tdmFsdWU="
    );
}

#[tokio::test]
async fn secrets_are_in_no_failure() {
    let server = Server::start().await;
    let secrets = json!({ "query": { "key": "KEY" }, "headers": { "authorization": "TOKEN" } });
    let failures = [
        run(json!({ "url": server.url("/status/400"), "secrets": secrets })).await,
        run(json!({ "url": server.url("/reflect"), "secrets": secrets })).await,
        run(json!({ "url": "http://127.0.0.1:1/", "secrets": secrets })).await,
        run(json!({ "secrets": { "url": "HOOK" } })).await,
    ];
    for failure in failures {
        let seen = format!("{:?}", failure.unwrap_err());
        for secret in ["t0k3n-value", "k/e", "k%2Fe", "hook-path", "hook-host"] {
            assert!(!seen.contains(secret), "{seen}");
        }
    }
}

#[tokio::test]
async fn secrets_stay_with_the_origin_they_were_meant_for() {
    let (server, other) = (Server::start().await, Server::start().await);
    let to = format!("/redirect/307?to={}", other.url("/echo"));
    let secrets = json!({ "headers": { "x-api-key": "TOKEN", "authorization": "TOKEN" } });
    let answer = run(json!({ "url": server.url(&to), "secrets": secrets }))
        .await
        .unwrap();
    assert_eq!(answer["body"]["headers"]["x-api-key"], json!(null));
    assert_eq!(other.last().headers.get("authorization"), None);
    let request =
        json!({ "url": server.url(&to), "body": {}, "secrets": { "body": { "/pin": "CODE" } } });
    let failure = run(request).await.unwrap_err();
    assert_eq!(told(&failure), ("HttpPolicy", false, None), "{failure:?}");
}

#[tokio::test]
async fn what_is_no_request_is_said() {
    for (request, word) in [
        (json!(null), "a request is a mapping"),
        (json!({}), "needs a `url`"),
        (json!({ "url": "/relative" }), "not an absolute URL"),
        (json!({ "url": "ftp://a" }), "http:// or https://"),
        (json!({ "url": "http://a:b@c" }), "basic_auth"),
        (
            json!({ "url": "http://a", "header": {} }),
            "did you mean `headers`?",
        ),
        (
            json!({ "url": "http://a", "headers": { "a": { "secret": "TOKEN" } } }),
            "headers.a",
        ),
        (
            json!({ "url": "http://a", "body": 1, "form": {} }),
            "not both",
        ),
        (
            json!({ "url": "http://a", "success": "fine" }),
            "`success` is a status",
        ),
        (json!({ "url": "http://a", "timeout": -1 }), "`timeout`"),
        (
            json!({ "url": "http://a", "redirects": 99 }),
            "HTTP_REDIRECTS_MAX",
        ),
        (
            json!({ "url": "http://a", "response_size_bytes_max": 1e9 }),
            "PAYLOAD_SIZE_BYTES_MAX",
        ),
        (
            json!({ "url": "http://a", "secrets": { "body": { "/a": "TOKEN" } } }),
            "`secrets.body`",
        ),
    ] {
        let failure = run(request.clone()).await.unwrap_err();
        assert_eq!(told(&failure), ("HttpRequest", false, None), "{request}");
        assert!(
            failure.message.contains(word),
            "{request}: {}",
            failure.message
        );
    }
    let missing = json!({ "url": "http://a", "secrets": { "query": { "k": "NOWHERE" } } });
    let failure = run(missing).await.unwrap_err();
    assert_eq!(told(&failure), ("HttpSecret", true, None));
}

#[tokio::test]
async fn time_cancellation_and_heartbeats() {
    let server = Server::start().await;
    let slow = json!({ "url": server.url("/never"), "timeout": "50ms" });
    let failure = run(slow).await.unwrap_err();
    assert_eq!(told(&failure), ("HttpTimeout", true, None));

    let heartbeats = Arc::new(Recorded::default());
    let mut context = context("http");
    context.heartbeats = heartbeats.clone();
    context.heartbeat_timeout = Some(Duration::from_millis(30));
    let cancellation = context.cancellation.clone();
    let http = http(&[], &[]);
    let running = run_with(&http, context, json!({ "url": server.url("/never") }));
    let cancelling = async {
        while heartbeats.0.lock().unwrap().len() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        cancellation.cancel();
    };
    let (failure, ()) = tokio::join!(running, cancelling);
    assert!(failure.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn no_answer_is_retried() {
    let failure = run(json!({ "url": "http://127.0.0.1:1/" }))
        .await
        .unwrap_err();
    assert_eq!(told(&failure), ("HttpTransport", true, None));
    assert!(failure.message.contains("refused"), "{}", failure.message);
}

#[tokio::test]
async fn https_is_spoken() {
    let server = Server::start().await;
    let url = server.url("/echo").replace("http:", "https:");
    let failure = run(json!({ "url": url })).await.unwrap_err();
    assert_eq!(told(&failure), ("HttpTransport", true, None));
    assert!(failure.message.contains("tls"), "{}", failure.message);
}

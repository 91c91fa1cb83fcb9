//! The `grpc` activity where no server answers: what it refuses, and what it says of what it cannot reach.
mod hostile;

use std::sync::Arc;

use crate::{attempt, told};

use segno::activity::Activity;
use segno::activity::grpc::Grpc;
use segno::activity::policy::Policy;
use segno::activity::secret::Secrets;
use segno::value::parse_json;
use serde_json::{Value, json};

/// The type, whether an attempt more may mend it, and the message.
async fn failed(request: Value) -> (String, bool, String) {
    let refuse = ["refused.example".to_owned()];
    let policy = Arc::new(Policy::new(&[], &refuse).unwrap());
    let input = parse_json(request.to_string().as_bytes()).unwrap();
    let grpc = Grpc::new(policy, Secrets::default());
    let result = grpc.run(attempt::context("grpc"), vec![input]).await;
    told::told(result.expect_err("it was answered"))
}

fn call(url: &str, rest: Value) -> Value {
    let mut call = json!({ "url": url, "service": "a.B", "method": "C" });
    let rest = rest.as_object().unwrap().clone();
    call.as_object_mut().unwrap().extend(rest);
    call
}

#[tokio::test]
async fn failures_say_what_is_wrong() {
    let listener = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address =
        |listener: &std::net::TcpListener| format!("http://{}", listener.local_addr().unwrap());
    // Nobody listens there any more.
    let closed = address(&listener());
    // This one takes connections and says nothing.
    let listening = listener();
    let silent = address(&listening);
    let cases = [
        (
            call(&closed, json!({})),
            ("GrpcTransport", true, "did not reach the server"),
        ),
        (
            call(&silent, json!({ "timeout": "200ms" })),
            ("GrpcTimeout", true, "was not answered within 200ms"),
        ),
        (
            call("https://refused.example", json!({})),
            ("GrpcPolicy", false, "refuses the host refused.example"),
        ),
        (
            call("http://169.254.169.254", json!({})),
            ("GrpcPolicy", false, "a cloud's metadata service"),
        ),
        (
            call(
                &closed,
                json!({ "secrets": { "authorization": "NOT_THERE" } }),
            ),
            ("GrpcSecret", true, "the worker has no secret `NOT_THERE`"),
        ),
        (
            call(&closed, json!({ "metadata": { "a b": 1 } })),
            ("GrpcRequest", false, "the metadata `a b` cannot be sent"),
        ),
        (
            call(&closed, json!({ "metadata": { "Host": "x" } })),
            (
                "GrpcRequest",
                false,
                "the metadata `host` is the worker's to set",
            ),
        ),
        (
            call(&closed, json!({ "secrets": { "grpc-timeout": "A" } })),
            (
                "GrpcRequest",
                false,
                "the metadata `grpc-timeout` is the worker's to set",
            ),
        ),
        (
            call("ftp://example.com", json!({})),
            (
                "GrpcRequest",
                false,
                "`url` begins with http:// or https://",
            ),
        ),
        (
            call(&closed, json!({ "mesage": {} })),
            ("GrpcRequest", false, "did you mean `message`?"),
        ),
    ];
    for (request, (error_type, is_retried, message)) in cases {
        let told = failed(request).await;
        assert_eq!((&*told.0, told.1), (error_type, is_retried), "{}", told.2);
        assert!(told.2.contains(message), "{}", told.2);
    }
}

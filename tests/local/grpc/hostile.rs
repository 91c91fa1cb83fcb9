//! Servers that answer to hurt: small messages that grow when they are decoded, and their own words without bound.

use std::sync::Arc;

use segno::activity::Activity;
use segno::activity::grpc::Grpc;
use segno::activity::policy::Policy;
use segno::activity::secret::Secrets;
use segno::engine::failure::Failure;
use segno::limits::GRPC_STATUS_SIZE_BYTES_MAX;
use segno::value::{parse_json, to_json};
use serde_json::{Value, json};

use crate::grpc_server::{Said, Says, delimited, descriptors, files, is_reflection, serve};
use crate::{attempt, told};

async fn call(says: Says) -> Result<Value, Failure> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/secrets");
    let secrets = Secrets {
        folder: Some(folder),
    };
    let grpc = Grpc::new(Arc::new(Policy::default()), secrets);
    let request = json!({
        "url": serve(says).await,
        "service": "a.B",
        "method": "C",
        "secrets": { "x-token": "TOKEN" },
    });
    let input = parse_json(request.to_string().as_bytes()).unwrap();
    let mut context = attempt::context("grpc");
    context.start_to_close_timeout = Some(segno::value::Duration::from_seconds(60));
    let result = grpc.run(context, vec![input]).await?;
    Ok(to_json(&result).unwrap())
}

fn answers(answer: Vec<u8>) -> Says {
    Arc::new(move |path, _| match is_reflection(path) {
        true => files(&[descriptors()]),
        false => Said::Message(answer.clone()),
    })
}

#[tokio::test]
async fn a_sound_answer_is_read() {
    let answer = call(answers(vec![
        0x0a, 0, 0x12, 3, 1, 2, 3, 0x1a, 2, b'h', b'i',
    ]))
    .await;
    let expected = json!({ "inner": [{}], "numbers": [1, 2, 3], "text": "hi" });
    assert_eq!(answer.unwrap(), expected);
}

#[tokio::test]
async fn what_would_grow_beyond_bounds_is_refused_before_it_is_decoded() {
    let half = 2 * 1024 * 1024 - 64;
    let mut numbers = vec![0x12];
    prost_reflect::prost::encoding::encode_varint(half as u64, &mut numbers);
    numbers.extend(vec![1; half]);
    // In a group of an unknown field, and one level deeper at each byte.
    let groups = vec![0x23; half];
    let nested = (0..200).fold(Vec::new(), |inner: Vec<u8>, _| {
        let mut outer = Vec::new();
        delimited(&mut outer, 1, &inner);
        outer
    });
    for (name, answer) in [
        ("messages", [0x0a, 0].repeat(half / 2)),
        ("numbers", numbers),
        ("unknown fields", [0x20, 1].repeat(half / 2)),
        ("groups", groups),
        ("nested", nested),
    ] {
        let (error_type, is_retried, message) =
            told::told(call(answers(answer)).await.unwrap_err());
        assert_eq!((&*error_type, is_retried), ("GrpcAnswer", false), "{name}");
        assert!(
            message.contains("GRPC_DECODED_SIZE_BYTES_MAX"),
            "{name}: {message}"
        );
    }
    for (name, file) in [
        ("messages", [0x22, 0].repeat(half / 2)),
        ("imports", [0x1a, 0].repeat(half / 2)),
    ] {
        let says: Says = Arc::new(move |_, _| files(std::slice::from_ref(&file)));
        let (error_type, is_retried, message) = told::told(call(says).await.unwrap_err());
        assert_eq!((&*error_type, is_retried), ("GrpcRequest", false), "{name}");
        assert!(
            message.contains("GRPC_DECODED_SIZE_BYTES_MAX"),
            "{name}: {message}"
        );
    }
    let says: Says = Arc::new(move |_, _| files(&vec![Vec::new(); half / 2]));
    let message = told::told(call(says).await.unwrap_err()).2;
    assert!(message.contains("GRPC_DESCRIPTOR_FILES_MAX"), "{message}");
}

#[tokio::test]
async fn a_servers_own_words_are_quoted_without_secrets_and_within_a_bound() {
    let echo = |percent: bool| -> Says {
        Arc::new(move |_, headers| {
            let token = headers["x-token"].to_str().unwrap();
            let token = match percent {
                true => token.bytes().map(|b| format!("%{b:02x}")).collect(),
                false => token.to_owned(),
            };
            Said::Status(5, format!("{token} {}", "x".repeat(8000)))
        })
    };
    for percent in [true, false] {
        let message = told::told(call(echo(percent)).await.unwrap_err()).2;
        assert!(message.contains("NOT_FOUND: [redacted] xxx"), "{message}");
        assert!(
            message.len() < GRPC_STATUS_SIZE_BYTES_MAX + 100,
            "{}",
            message.len()
        );
        assert!(message.ends_with(" …"));
    }
}

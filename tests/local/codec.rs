//! The codecs by themselves: the formats of other SDKs' codecs, keys and their rotation, and what is said of what cannot
//! be decoded.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use segno::client::{CodecKind, CodecSettings, ConnectionSettings, KeySource};
use segno::limits::CODEC_DECOMPRESSED_SIZE_BYTES_MAX;
use segno::payload::{Codec, CodecError, Key, Keyring, Stage, payloads_from_json, value_to_proto};
use segno::value::Value;
use serde_json::json;
use temporalio_protos::temporal::api::common::v1::{Memo, Payload, SearchAttributes};
use temporalio_protos::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

const SAMPLE_KEY: (&str, &[u8]) = ("test-key-id", b"test-key-test-key-test-key-test!");
const OLD_KEY: (&str, &[u8]) = ("2025", b"0123456789abcdef0123456789ABCDEF");

fn keys(keys: &[(&str, &[u8])]) -> Stage {
    let keys = keys.iter().map(|(id, key)| Key::read(id, key).unwrap());
    Stage::Encryption(Keyring::new(keys.collect()).unwrap())
}

fn payload(value: &Value) -> Payload {
    value_to_proto(value).unwrap()
}

fn encoding(payload: &Payload) -> &str {
    std::str::from_utf8(&payload.metadata["encoding"]).unwrap()
}

async fn encoded(codec: &Codec, payload: Payload) -> Payload {
    let mut encoded = codec.encode_payloads(vec![payload]).await.unwrap();
    encoded.pop().unwrap()
}

async fn decoded(codec: &Codec, payload: Payload) -> Result<Payload, CodecError> {
    let mut decoded = codec.decode_payloads(vec![payload]).await?;
    Ok(decoded.pop().unwrap())
}

#[tokio::test]
async fn what_other_sdks_encoded_is_decoded() {
    let mut vectors = 0;
    for line in include_str!("../codec/vectors.jsonl").lines() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let payload = |name: &str| {
            let payloads = json!({ "payloads": [vector[name]] }).to_string();
            payloads_from_json(payloads.as_bytes()).unwrap().remove(0)
        };
        let stages = vector["codecs"].as_str().unwrap().split(',');
        let stages = stages.map(|name| match name {
            "compression" => Stage::Compression,
            _ => keys(&[OLD_KEY, SAMPLE_KEY]),
        });
        let codec = Codec::new(stages.collect());
        let plain = decoded(&codec, payload("encoded")).await.unwrap();
        assert_eq!(plain, payload("plain"), "{line}");
        vectors += 1;
    }
    assert_eq!(vectors, 15);
}

#[tokio::test]
async fn a_chain_encodes_in_its_order_and_decodes_backwards() {
    let codec = Codec::new(vec![Stage::Compression, keys(&[SAMPLE_KEY])]);
    let plain = payload(&Value::from("secret ".repeat(100)));
    let sealed = encoded(&codec, plain.clone()).await;
    assert_eq!(encoding(&sealed), "binary/encrypted");
    assert_eq!(
        sealed.metadata["encryption-key-id"],
        SAMPLE_KEY.0.as_bytes()
    );
    assert!(sealed.data.len() < 200, "{}", sealed.data.len());
    let compressed = decoded(&Codec::new(vec![keys(&[SAMPLE_KEY])]), sealed.clone()).await;
    assert_eq!(encoding(&compressed.unwrap()), "binary/zlib");
    assert_eq!(decoded(&codec, sealed.clone()).await.unwrap(), plain);
    let again = encoded(&codec, plain).await;
    assert_ne!(again.data, sealed.data, "a nonce was used twice");
}

#[tokio::test]
async fn only_what_gets_smaller_is_compressed() {
    let codec = Codec::new(vec![Stage::Compression]);
    let small = payload(&Value::Int(1));
    assert_eq!(encoded(&codec, small.clone()).await, small);
    let large = encoded(&codec, payload(&Value::from("a".repeat(1000)))).await;
    assert_eq!(encoding(&large), "binary/zlib");
}

#[tokio::test]
async fn a_compressed_payload_is_bounded() {
    let codec = Codec::new(vec![Stage::Compression]);
    let huge = Payload {
        data: vec![0; CODEC_DECOMPRESSED_SIZE_BYTES_MAX + 1],
        ..Default::default()
    };
    let huge = encoded(&codec, huge).await;
    assert!(huge.data.len() < 100_000);
    let error = decoded(&codec, huge).await.unwrap_err().to_string();
    assert!(
        error.contains("CODEC_DECOMPRESSED_SIZE_BYTES_MAX"),
        "{error}"
    );
    let mut broken = encoded(&codec, payload(&Value::from("a".repeat(1000)))).await;
    broken.data.truncate(12);
    assert!(decoded(&codec, broken).await.is_err());
}

#[tokio::test]
async fn a_new_first_key_encrypts_and_the_old_one_still_decrypts() {
    let before = Codec::new(vec![keys(&[OLD_KEY])]);
    let after = Codec::new(vec![keys(&[SAMPLE_KEY, OLD_KEY])]);
    let plain = payload(&Value::from("kept"));
    let old = encoded(&before, plain.clone()).await;
    let new = encoded(&after, plain.clone()).await;
    assert_eq!(new.metadata["encryption-key-id"], SAMPLE_KEY.0.as_bytes());
    assert_eq!(decoded(&after, old).await.unwrap(), plain);
    let error = decoded(&before, new).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "a payload is encrypted with the key `test-key-id`, which is not among the codec's keys (2025)"
    );
}

#[tokio::test]
async fn a_wrong_key_or_a_changed_payload_is_named() {
    let codec = Codec::new(vec![keys(&[SAMPLE_KEY])]);
    let sealed = encoded(&codec, payload(&Value::from("x"))).await;
    let mut changed = sealed.clone();
    *changed.data.last_mut().unwrap() ^= 1;
    let mut short = sealed.clone();
    short.data.truncate(5);
    let impostor = Codec::new(vec![keys(&[(SAMPLE_KEY.0, OLD_KEY.1)])]);
    for (codec, payload, said) in [
        (&codec, changed, "the key `test-key-id`, which does not"),
        (&codec, short, "the key `test-key-id`, which does not"),
        (&impostor, sealed.clone(), "another key named `test-key-id`"),
    ] {
        let error = decoded(codec, payload).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let mut other = sealed;
    let cipher = b"ChaCha20-Poly1305".to_vec();
    other.metadata.insert("encryption-cipher".into(), cipher);
    let error = decoded(&codec, other).await.unwrap_err().to_string();
    assert!(error.contains("ChaCha20-Poly1305"), "{error}");
}

#[tokio::test]
async fn of_a_message_all_but_the_search_attributes_is_encoded() {
    let fields = |name: &str| [(name.to_owned(), payload(&Value::from(name)))].into();
    let plain = StartWorkflowExecutionRequest {
        input: segno::payload::payloads_to_proto(vec![Default::default()]),
        memo: Some(Memo {
            fields: fields("memo"),
        }),
        search_attributes: Some(SearchAttributes {
            indexed_fields: fields("Stage"),
        }),
        ..Default::default()
    };
    let codec = Codec::new(vec![keys(&[SAMPLE_KEY])]);
    let mut message = plain.clone();
    codec.encode(&mut message).await.unwrap();
    assert_eq!(message.search_attributes, plain.search_attributes);
    let memo = &message.memo.as_ref().unwrap().fields["memo"];
    assert_eq!(encoding(memo), "binary/encrypted");
    assert_eq!(
        encoding(&message.input.as_ref().unwrap().payloads[0]),
        "binary/encrypted"
    );

    let without = Codec::default().decode_all(&mut message.clone()).await;
    let error = without.unwrap_err().to_string();
    assert!(
        error.contains("binary/encrypted with the key `test-key-id`"),
        "{error}"
    );
    let mut left = message.clone();
    let other = Codec::new(vec![keys(&[OLD_KEY])]);
    other.decode_what_can_be(&mut left).await;
    assert_eq!(left, message);
    codec.decode_all(&mut message).await.unwrap();
    assert_eq!(message, plain);
}

#[test]
fn a_key_is_32_bytes_in_one_of_three_forms() {
    let hexadecimal = "00ff".repeat(16);
    let base64 = "AP8A/wD/AP8A/wD/AP8A/wD/AP8A/wD/AP8A/wD/AP8=";
    for text in [
        hexadecimal.as_bytes(),
        base64.as_bytes(),
        &[b'\n'; 32],
        b"test-key-test-key-test-key-test!\r\n",
        format!("{hexadecimal}\n").as_bytes(),
    ] {
        assert!(Key::read("k", text).is_ok(), "{text:?}");
    }
    for text in [&b""[..], b"short", &[0; 16], "00fg".repeat(16).as_bytes()] {
        let error = Key::read("k", text).err().unwrap().to_string();
        assert!(error.contains("the key `k` must have 32 bytes"), "{error}");
    }
}

#[test]
fn settings_that_would_leave_something_plain_are_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SAMPLE_KEY.1).unwrap();
    let key = |id: &str| (id.to_owned(), KeySource::File(file.path().to_owned()));
    let missing = KeySource::File("no/such/file".into());
    let unset = KeySource::Variable("SEGNO_NO_SUCH_KEY".into());
    let server = Some("http://localhost:1".to_owned());
    use CodecKind::{Compression, Encryption, Remote};
    for (codecs, keys, endpoint, expected) in [
        (vec![], vec![], None, "none"),
        (vec![], vec![key("a")], None, "encryption"),
        (vec![], vec![], server.clone(), "remote"),
        (vec![Compression], vec![], None, "compression"),
        (
            vec![Compression, Encryption],
            vec![key("a"), key("b")],
            None,
            "compression encryption",
        ),
        (vec![Remote], vec![], None, "--codec-endpoint"),
        (
            vec![Encryption],
            vec![],
            None,
            "the codec encryption has no key",
        ),
        (
            vec![Compression],
            vec![key("a")],
            None,
            "add --codec encryption",
        ),
        (
            vec![Compression],
            vec![],
            server.clone(),
            "add --codec remote",
        ),
        (vec![], vec![key("a")], server, "in which order"),
        (
            vec![],
            vec![key("a"), key("a")],
            None,
            "the key `a` is given twice",
        ),
        (vec![Compression; 2], vec![], None, "given twice"),
        (
            vec![Remote],
            vec![],
            Some("ftp://x".to_owned()),
            "not an http or https URL",
        ),
        (
            vec![],
            vec![("new".into(), missing)],
            None,
            "the key `new` cannot be read",
        ),
        (
            vec![],
            vec![("env".into(), unset)],
            None,
            "SEGNO_NO_SUCH_KEY",
        ),
    ] {
        let settings = ConnectionSettings {
            codec: CodecSettings {
                codecs,
                keys,
                endpoint,
                ..Default::default()
            },
            ..Default::default()
        };
        let resolved = settings.codec.resolve(None, "default");
        match resolved {
            Ok(codec) => assert_eq!(codec.to_string(), expected),
            Err(error) => assert!(error.to_string().contains(expected), "{error}"),
        }
    }
}

/// `segno codec encode` of one small payload, with nothing but the environment.
fn encode_with(environment: &[(&str, &str)]) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_segno"))
        .args(["codec", "encode"])
        .envs(environment.iter().copied())
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let payload = br#"{"payloads":[{"metadata":{"encoding":"YmluYXJ5L3BsYWlu"},"data":"AAAA"}]}"#;
    // It may have ended already, having refused its settings.
    let _ = process.stdin.take().unwrap().write_all(payload);
    process.wait_with_output().unwrap()
}

#[test]
fn the_environment_names_codecs_and_keys() {
    let key = "0a".repeat(32);
    let output = encode_with(&[
        ("SEGNO_CODEC", "compression,encryption"),
        ("SEGNO_CODEC_KEY", "new=env:KEY_OF_TEST"),
        ("KEY_OF_TEST", &key),
    ]);
    assert!(output.status.success(), "{output:?}");
    let payload = payloads_from_json(&output.stdout).unwrap().remove(0);
    assert_eq!(encoding(&payload), "binary/encrypted");
    assert_eq!(payload.metadata["encryption-key-id"], b"new");

    for (environment, wanted) in [
        (&[][..], "no codec was given"),
        (
            &[("SEGNO_CODEC", "encryption")],
            "the codec encryption has no key",
        ),
        (
            &[("SEGNO_CODEC_KEY", "secret")],
            "expected ID=FILE or ID=env:NAME",
        ),
        (
            &[("SEGNO_CODEC_KEY", "new=no/such/file")],
            "the key `new` cannot be read: no/such/file",
        ),
        (
            &[
                ("SEGNO_CODEC_KEY", "new=env:KEY_OF_TEST"),
                ("KEY_OF_TEST", "too short"),
            ],
            "the key `new` must have 32 bytes",
        ),
    ] {
        let output = encode_with(environment);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(wanted), "{text}");
        assert!(!text.contains("too short"), "{text}");
    }
}

#[test]
fn an_endpoint_of_the_profile_is_used_and_a_flag_wins_over_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let profile = "[profile.default.codec]\nendpoint = \"not a URL\"\n";
    std::fs::write(file.path(), profile).unwrap();
    let settings = |codec: CodecSettings| ConnectionSettings {
        config_file: Some(file.path().display().to_string()),
        disable_config_env: true,
        codec,
        ..Default::default()
    };
    let error = settings(CodecSettings::default()).resolve().err().unwrap();
    assert!(error.to_string().contains("\"not a URL\""), "{error}");
    let flag = CodecSettings {
        endpoint: Some("http://localhost:8081/{namespace}".into()),
        ..Default::default()
    };
    assert!(settings(flag).resolve().is_ok());
    let compression = CodecSettings {
        codecs: vec![CodecKind::Compression],
        ..Default::default()
    };
    assert!(
        settings(compression).resolve().is_ok(),
        "the profile may be other tools'"
    );
}

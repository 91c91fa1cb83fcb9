//! Secrets in all their forms, planted and searched for.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use secrecy::SecretString;

use super::*;

fn redactor(secrets: &[&str]) -> Redactor {
    let mut redactor = Redactor::default();
    for secret in secrets {
        redactor.add(&SecretString::from(*secret));
    }
    redactor
}

#[test]
fn an_empty_secret_takes_nothing_out() {
    let redactor = redactor(&[""]);
    assert_eq!(redactor.text("text"), "text");
    assert_eq!(redactor.bytes(b"bytes"), b"bytes");
    assert!(redactor.is_empty());
}

#[test]
fn secrets_are_taken_out_in_every_form() {
    let redactor = redactor(&["p\"a ss/1~é", "123456"]);
    for text in [
        r#"p"a ss/1~é"#,
        r#"p\"a ss/1~é"#,
        r#"p\"a ss\/1~\u00e9"#,
        r#"\u0070\u0022a ss/1~\u00E9"#,
        r#"p\x22a ss/1~\xc3\xa9"#,
        "p%22a%20ss%2F1~%C3%A9",
        "p%22a%20ss%2f1%7e%c3%a9",
        "p%22a+ss%2F1~%C3%A9",
        "p%2522a%2520ss%252F1~%25C3%25A9",
        "p&quot;a ss/1~&#233;",
        "p&#34;a ss&#x2F;1~&#xE9;",
        "70226120 73732f31 7ec3a9",
        "70226120\n73732F31\n7EC3A9",
        "123456",
        "MTIzNDU2",
        "313233343536",
    ] {
        assert_eq!(
            redactor.text(&format!("<{text}>")),
            "<[redacted]>",
            "{text}"
        );
    }
    assert_eq!(redactor.bytes(b"\xff123456\xff"), b"\xff[redacted]\xff");
    let value = crate::value::parse_json(
        br#"{"123456": [123456, "x123456y", {"a": "p\"a ss\/1~\u00e9"}], "n": 12345, "d": 123456.0}"#,
    )
    .unwrap();
    assert_eq!(
        crate::value::to_json_string(&redactor.value(&value)).unwrap(),
        r#"{"[redacted]":["[redacted]","x[redacted]y",{"a":"[redacted]"}],"n":12345,"d":"[redacted]"}"#
    );
}

#[test]
fn base64_is_found_at_any_alignment_in_both_alphabets_and_wrapped() {
    let secret = "s3cr?t>~~~?>-of-some-length-that-fills-more-than-one-line-of-an-encoder";
    let redactor = redactor(&[secret]);
    for before in ["", "u", "us", "user:"] {
        for after in ["", ":", "::", ":more"] {
            let data = format!("{before}{secret}{after}");
            for encoded in [
                STANDARD.encode(&data),
                STANDARD_NO_PAD.encode(&data),
                URL_SAFE_NO_PAD.encode(&data),
            ] {
                let wrapped = format!("{}\r\n{}", &encoded[..76], &encoded[76..]);
                for text in [encoded, wrapped] {
                    let clean = redactor.text(&format!("Basic {text}."));
                    assert!(clean.contains(REDACTED), "{data}: {clean}");
                    let left: String = clean.replace(REDACTED, "").replace("Basic ", "");
                    assert!(
                        left.len() <= 2 * before.len() + 2 * after.len() + 3,
                        "{data}: {clean}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_a_secret_consists_of_is_taken_out_too() {
    let json = r#"{"user": "robert", "key": "a\/b c\"d", "pin": 908172, "n": 7, "deep": [{"url": "https://x.example/hooks/T0P53CR3T?sig=abcd%2Fe"}], "is": true}"#;
    let url = "postgres://app:hunter22@db.example:5432/orders?password=x%20yz9&v=1";
    let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----";
    let redactor = redactor(&[json, url, pem]);
    for text in [
        "robert",
        "a/b c\"d",
        r#"a\/b c\"d"#,
        "a%2Fb%20c%22d",
        "908172",
        "T0P53CR3T",
        "/hooks/T0P53CR3T?sig=abcd%2Fe",
        "abcd/e",
        "abcd%2fe",
        "hunter22",
        "x yz9",
        "x%20yz9",
        "MIIEvQIBADANBg",
        "kqhkiG9w0BAQEF",
        json,
        url,
        pem,
    ] {
        assert_eq!(redactor.text(text), REDACTED, "{text}");
    }
    // Too short to be distinguished from other data, and the name of the host.
    for text in ["true", "7", "x.example", "db.example:5432"] {
        assert_eq!(redactor.text(text), text);
    }
}

#[test]
fn what_was_taken_out_stays_as_it_is() {
    let redactor = redactor(&["redacted", "act"]);
    let once = redactor.text("redacted, act and fact");
    assert_eq!(once, "[redacted], [redacted] and f[redacted]");
    assert_eq!(redactor.text(&once), once);
}

#[test]
fn the_beginning_of_a_secret_before_a_cut_goes_too() {
    let redactor = redactor(&["0123456789abcdef"]);
    for end in 1..16 {
        let text = format!("{}{}", "-".repeat(200), &"0123456789abcdef"[..end]);
        let kept = redactor.bytes_of_cut(text.as_bytes());
        assert!(kept.iter().all(|byte| *byte == b'-'), "{end}");
        assert!(kept.len() > 90);
    }
    let text = format!("{}0123456789abcdef{}", "-".repeat(100), "-".repeat(90));
    let kept = redactor.bytes_of_cut(text.as_bytes());
    assert!(!String::from_utf8_lossy(&kept).contains("01"));
    assert_eq!(Redactor::default().bytes_of_cut(b"whole"), b"whole");
}

#[test]
fn long_texts_made_to_hurt_take_linear_time_and_memory() {
    let secret = "a".repeat(16 * 1024);
    let redactor = redactor(&[&secret, "aaaa", "%25", "\\\\", "&amp;"]);
    for piece in ["a", "%25", "\\u0061", "&amp;", "YWFh", "61"] {
        let text = piece.repeat(128 * 1024 / piece.len());
        assert!(redactor.text(&text).contains(REDACTED), "{piece}");
    }
}

/// How a secret may be written, with nested encoders.
fn encoded(secret: &str, encoders: &[usize]) -> String {
    encoders
        .iter()
        .fold(secret.to_owned(), |text, encoder| encode(&text, *encoder))
}

const ENCODERS: usize = 13;

fn encode(text: &str, encoder: usize) -> String {
    let each = |form: &dyn Fn(u8) -> String| text.bytes().map(form).collect::<String>();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    match encoder {
        0 => text.to_owned(),
        1 => url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        2 => each(&|b| {
            if is_plain(b) {
                char::from(b).into()
            } else {
                format!("%{b:02x}")
            }
        }),
        3 => each(&|b| {
            if is_plain(b) || b == b'~' {
                char::from(b).into()
            } else {
                format!("%{b:02X}")
            }
        }),
        4 => serde_json::Value::from(text).to_string(),
        5 => serde_json::Value::from(text)
            .to_string()
            .replace('/', "\\/"),
        6 => text
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04X}"))
            .collect(),
        7 => STANDARD.encode(text),
        8 => URL_SAFE_NO_PAD.encode(format!("user:{text}@host")),
        9 => STANDARD_NO_PAD.encode(format!("u:{text}")),
        10 => each(&|b| format!("{b:02x}")),
        11 => each(&|b| format!("{b:02X}")),
        _ => text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;"),
    }
}

/// Readings of a text by people and tools, by independent code.
fn readings(text: &str) -> Vec<String> {
    let mut readings = vec![text.to_owned()];
    for _ in 0..3 {
        for text in readings.clone() {
            let plain = percent(&text);
            readings.push(plain.replace('+', " "));
            readings.push(plain);
            let json = format!("\"{}\"", text.replace('"', ""));
            readings.extend(serde_json::from_str::<String>(&json).ok());
        }
        readings.sort();
        readings.dedup();
    }
    readings
}

fn percent(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &others[2..];
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn escapes_of_one_kind_within_another_are_undone_in_their_order() {
    let secret = r#"!a!"a0!A\"#;
    let carried = encoded(secret, &[4, 12]);
    let clean = redactor(&[secret]).text(&carried);
    assert!(clean.contains(REDACTED), "{carried} → {clean}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_reading_of_what_is_left_shows_the_secret(
        secret in "[!-~éλ]{3}[ -~éλ]{3,40}[!-~éλ]{3}",
        first in 0..ENCODERS,
        second in prop::sample::select(vec![0, 1, 2, 3, 4, 5, 12]),
        before in "[ -~]{0,20}",
        after in "[ -~]{0,20}",
    ) {
        let redactor = redactor(&[&secret]);
        let carried = encoded(&secret, &[first, second]);
        let clean = redactor.text(&format!("{before} {carried} {after}"));
        prop_assert!(clean.contains(REDACTED), "{carried} → {clean}");
        for reading in readings(&clean) {
            prop_assert!(!reading.contains(&secret), "{carried} → {clean}");
        }
        prop_assert_eq!(redactor.text(&clean), clean.clone());
    }

    #[test]
    fn texts_without_a_secret_stay_as_they_are(text in "[a-y0-9 %\\\\&;/\"]{0,200}") {
        let redactor = redactor(&["Zz-ZZ_zz!", "ZYXWVUT"]);
        prop_assert_eq!(redactor.text(&text), text.clone());
        prop_assert_eq!(redactor.bytes(text.as_bytes()), text.into_bytes());
    }
}

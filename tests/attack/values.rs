//! Values of clients: keys that collide, what recursive schemas branch over, and what refusals, logs and metrics say of them.

use std::io::{Read, Write};
use std::net::TcpStream;

use segno::client::StartOptions;
use segno::value::Value;
use serde_json::{Value as Json, json};

use super::support::free_port;
use super::support::until;
use super::victim::{Victim, json_payload};

/// Takes anything that is not refused, and answers how much.
const TAKES: &str = "\
segno: 1
workflow: takes
types:
  node:
    oneOf:
      - { type: object, properties: { next: { $ref: '#/types/node' }, kind: { const: a } } }
      - { type: object, properties: { next: { $ref: '#/types/node' }, kind: { const: b } } }
      - { type: integer }
state: { n: 0 }
signals:
  node: { input: { $ref: '#/types/node' }, do: [{ set: { n: \"${ state.n + 1 }\" } }] }
  number: { input: { type: integer }, do: [{ set: { n: \"${ state.n + 1 }\" } }] }
  map: { do: [{ set: { n: \"${ state.n + args.size() }\" } }] }
updates:
  node: { input: { $ref: '#/types/node' }, do: [{ return: \"${ state.n }\" }] }
  number: { input: { type: integer }, do: [{ return: \"${ state.n }\" }] }
  judged: { validate: \"'not so: ' + string(args)\", do: [{ return: \"${ state.n }\" }] }
queries:
  n: \"${ state.n }\"
  node: { input: { $ref: '#/types/node' }, result: \"${ state.n }\" }
  number: { input: { type: integer }, result: \"${ state.n }\" }
steps:
  - wait: { signal: end }
";

fn deep(levels: usize, innermost: &str) -> String {
    format!(
        "{}{innermost}{}",
        r#"{"next":"#.repeat(levels),
        "}".repeat(levels)
    )
}

/// Names of 32 bytes that had one hash in values, when it was FxHash: its seeds are the same everywhere.
fn colliding(count: usize) -> Vec<String> {
    let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let of = |number: u64| {
        let first = format!("{number:016}");
        let x = 0x243f_6a88_85a3_08d3 ^ half(&first.as_bytes()[..8]);
        let y = 0xa409_3822_299f_31d0 ^ half(&first.as_bytes()[8..]);
        let full = u128::from(x).wrapping_mul(u128::from(y));
        let last = (full as u64 ^ (full >> 64) as u64 ^ half(&[0x40; 8])).to_le_bytes();
        let is_text = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
        let last = last.iter().all(is_text).then_some(last)?;
        Some(format!("{first}01234567{}", String::from_utf8_lossy(&last)))
    };
    (0..).filter_map(of).take(count).collect()
}

#[test]
fn keys_that_collide_hold_nobody_up() {
    // With the hash that they collide in, each of these takes a worker minutes.
    const KEYS: usize = 20_000;
    let victim = Victim::with(&[("takes", TAKES)], &[]);
    let beside = victim.beside();
    let attacked = victim.attacked("takes");
    let names: Vec<_> = colliding(KEYS)
        .iter()
        .map(|name| format!("\"{name}\":0"))
        .collect();
    let object = format!("{{{}}}", names.join(","));
    for _ in 0..3 {
        victim.signal(&attacked, "map", vec![json_payload(&object)]);
        beside.signal("add", &json!(null));
    }
    beside.signal("end", &json!(null));
    assert_eq!(beside.result(), json!(3));
    let n = until("the objects", || {
        let n = victim.query(&attacked, "n", json_payload("null")).unwrap();
        (n == Value::Int(3 * KEYS as i64)).then_some(n)
    });
    drop(n);
    beside.assert_no_task_failed();
    victim.assert_unharmed();
}

#[test]
fn a_recursive_schema_costs_no_more_than_its_bound() {
    let victim = Victim::with(&[("takes", TAKES)], &[]);
    let beside = victim.beside();
    let attacked = victim.attacked("takes");
    // A few hundred bytes, which each level of two branches doubles the work for.
    for (levels, innermost) in [(40, "\"x\""), (120, "{}")] {
        let node = json_payload(deep(levels, innermost));
        assert!(node.data.len() < 1_200);
        let told = victim.query(&attacked, "node", node.clone()).unwrap_err();
        assert!(
            told.contains("breaks its schema") && told.len() < 20_000,
            "{told}"
        );
        let told = victim.refused_update(&attacked, "node", node.clone());
        assert!(
            told.contains("breaks its schema") && told.len() < 20_000,
            "{told}"
        );
        victim.signal(&attacked, "node", vec![node]);
        beside.signal("add", &json!(null));
    }
    beside.signal("end", &json!(null));
    assert_eq!(beside.result(), json!(2));
    let n = victim.query(&attacked, "n", json_payload("null"));
    assert_eq!(n, Ok(Value::Int(0)));
    beside.assert_no_task_failed();
    victim.assert_unharmed();
}

#[test]
fn refusals_quote_a_bounded_part() {
    let victim = Victim::with(&[("takes", TAKES)], &[]);
    let beside = victim.beside();
    let attacked = victim.attacked("takes");
    let text = json_payload(json!("x".repeat(1_300_000)).to_string());
    let name = "n".repeat(900);
    for (update, said) in [
        ("number", "is not of type \"integer\""),
        ("judged", "not so: xxx"),
        (&name, "has no update"),
    ] {
        let told = victim.refused_update(&attacked, update, text.clone());
        assert!(told.contains(said), "{told}");
        assert!(told.len() < 20_000, "{} bytes", told.len());
    }
    let told = victim.query(&attacked, "number", text.clone()).unwrap_err();
    assert!(
        told.contains("is not of type \"integer\"") && told.len() < 20_000,
        "{told}"
    );

    // What a client calls a signal, and what is in it, makes no lines of its own in the log.
    let forged = "x\n2026-01-01T00:00:00.000000Z  INFO worker started nobody\r\u{1b}[2K\u{85}";
    victim.signal(&attacked, "number", vec![text.clone()]);
    victim.signal(&attacked, forged, vec![text.clone()]);
    victim.signal(
        &attacked,
        "number",
        vec![json_payload(json!(forged).to_string())],
    );
    // The run is not wedged.
    let n = victim.query(&attacked, "n", json_payload("null"));
    assert_eq!(n, Ok(Value::Int(0)));
    let log = until("what the log says", || {
        let log = victim.worker.logs();
        (log.matches("is refused").count() == 2 && log.contains("it is kept")).then_some(log)
    });
    for line in log.lines() {
        assert!(line.len() < 20_000, "{} bytes", line.len());
        assert!(!line.starts_with("2026-01-01"), "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    beside.signal("end", &json!(null));
    assert_eq!(beside.result(), json!(0));
    beside.assert_no_task_failed();
    victim.assert_unharmed();
}

#[test]
fn what_clients_name_is_no_label() {
    let address = format!("127.0.0.1:{}", free_port());
    let victim = Victim::with(&[], &["--metrics-address", &address]);
    let beside = victim.beside();
    for number in 0..20 {
        victim.attacked(&format!("nobodys-{number}"));
    }
    let end = victim.start(StartOptions {
        workflow_type: "own".to_owned(),
        ..Default::default()
    });
    assert_eq!(end["result"], "own");
    let metrics = until("failed tasks", || {
        let mut stream = TcpStream::connect(&address).ok()?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut metrics = String::new();
        stream.read_to_string(&mut metrics).ok()?;
        let failed = metrics.lines().find(|line| {
            line.starts_with("temporal_workflow_task_execution_failed")
                && line.contains("\"other\"")
        });
        failed.is_some().then_some(metrics)
    });
    assert!(metrics.contains("workflow_type=\"own\""), "{metrics}");
    assert!(!metrics.contains("nobodys"), "{metrics}");
    beside.signal("end", &Json::Null);
    assert_eq!(beside.result(), json!(0));
    victim.assert_unharmed();
}

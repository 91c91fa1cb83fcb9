//! Secrets, planted at every place where a definition may put them, are in no history and no log, whatever hosts and programs
//! return; and programs do not find those that they were not given.

use std::sync::Arc;

use serde_json::json;

use super::grpc_server::{Said, serve};
use super::leaks::{ENCODINGS, Leaky, shows, texts};
use super::support::worker::Worker;
use super::victim::wait;

const TOKEN: &str = r#"T0k~n/+"9%&x<Qz"#;
const QUERY: &str = "qu3ry s/cr~t+é!";
const CODE: &str = r#"c0de"with\back/slash"#;
const PASSWORD: &str = "p4ss:w/rd?~x=";
const ACCOUNT: &str = r#"{"user": "json-us3r/x", "key": "k3y\"~\/+z", "pin": 90817263}"#;
/// Used by no step.
const OTHER: &str = "n0body-uses-this-0ne";

const DEFINITION: &str = r#"
segno: 1
workflow: leaks
input: true
defaults: { activity: { start_to_close_timeout: 30s, retry_policy: { maximum_attempts: 1 } } }
steps:
  - for_each: ${ input.paths }
    as: path
    concurrency: 4
    do:
      - try:
          - id: got
            http:
              method: POST
              url: ${ input.base + path }
              body: { a: 1 }
              secrets:
                headers: { x-token: TOKEN, x-account: ACCOUNT }
                query: { key: QUERY }
                body: { /code: CODE }
                basic_auth: { username: me, password: PASSWORD }
          - log: { message: got, fields: { body: "${ got.body }", headers: "${ got.headers }" } }
        catch:
          - error: activity
            do: [{ log: "${ error.message }" }]
  - for_each: ${ input.handed }
    as: path
    do:
      - try:
          - http: { secrets: { url: HOOK } }
        catch: [{ error: activity, do: [{ log: "${ error.message }" }] }]
      - try:
          - callback: { http: { url: "${ input.base + path }" } }
        catch: [{ error: activity, do: [{ log: "${ error.message }" }] }]
  - for_each: ${ input.scripts }
    as: script
    do:
      - try:
          - exec:
              command: shell
              args: [-c, "${ script }"]
              secrets: { TOKEN: TOKEN, ACCOUNT: ACCOUNT }
        catch: [{ error: activity, do: [{ log: "${ error.message }" }] }]
  - try:
      - exec:
          command: shell
          args: [-c, "${ input.json }"]
          stdout: json
          secrets: { ACCOUNT: ACCOUNT, TOKEN: TOKEN }
    catch: [{ error: activity, do: [{ log: "${ error.message }" }] }]
  - try:
      - grpc: { url: "${ input.grpc }", service: a.B, method: C, secrets: { x-token: TOKEN } }
    catch: [{ error: activity, do: [{ log: "${ error.message }" }] }]
  - id: read
    exec: { command: shell, args: [-c, "${ input.environment }"], success: [0, 1, 2] }
  - return: ${ read.stdout }
"#;

#[test]
fn planted_secrets_are_in_no_history_and_no_log() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("leaks.yaml"), DEFINITION).unwrap();
    let leaky = Leaky::start();
    let grpc = wait(serve(Arc::new(|_, headers| {
        let token = headers["x-token"].as_bytes();
        Said::Status(5, token.iter().map(|byte| format!("%{byte:02x}")).collect())
    })));
    let hook = format!("{}/fail/2/T0P-s3gment?sig=s1gn/ature", leaky.url);
    let account: serde_json::Value = serde_json::from_str(ACCOUNT).unwrap();
    let environment = [
        ("SEGNO_SECRET_TOKEN", TOKEN),
        ("SEGNO_SECRET_QUERY", QUERY),
        ("SEGNO_SECRET_CODE", CODE),
        ("SEGNO_SECRET_PASSWORD", PASSWORD),
        ("SEGNO_SECRET_ACCOUNT", ACCOUNT),
        ("SEGNO_SECRET_HOOK", &hook),
        ("SEGNO_SECRET_OTHER", OTHER),
        (
            "RUST_LOG",
            "info,segno=trace,hyper=trace,hyper_util=trace,reqwest=trace,tonic=debug,h2=debug",
        ),
    ];
    let arguments = [
        "--exec-allow",
        "shell=/bin/sh",
        "--exec-env",
        "TOKEN",
        "--exec-env",
        "ACCOUNT",
    ];
    let worker = Worker::with(folder.path(), &arguments, &environment);
    let modes =
        ["body", "json", "fail"].map(|mode| (0..ENCODINGS).map(move |n| format!("/{mode}/{n}")));
    let away = [1, 2, 7].map(|n| format!("/away/{n}"));
    let run = worker.launch(
        "leaks",
        &json!({
            "base": leaky.url,
            "grpc": grpc,
            "paths": modes.into_iter().flatten().chain(away.clone()).collect::<Vec<_>>(),
            "handed": away.iter().cloned().chain([7, 8, 11].map(|n| format!("/fail/{n}"))).collect::<Vec<_>>(),
            "scripts": [
                "printf %s \"$TOKEN\"; printf %s \"$ACCOUNT\" >&2",
                "printf %s \"x$TOKEN\" | base64; printf %s \"$ACCOUNT\" | base64 -w0 >&2; exit 3",
                "printf %s \"$TOKEN\" | od -An -v -tx1; printf %s \"$ACCOUNT\" | od -An -v -tx1 >&2; exit 1",
                "printf '\"%s\"\\n' \"$TOKEN\" >> \"$SEGNO_HEARTBEAT\"; sleep 0.5",
                "i=0; while [ $i -lt 3000 ]; do printf '%s\\n' \"$TOKEN$ACCOUNT\"; i=$((i+1)); done >&2; exit 9",
            ],
            "json": "printf '{\"a\": %s}' \"$ACCOUNT\"",
            "environment": "tr '\\0' '\\n' < /proc/$PPID/environ; true",
        }),
    );
    let read = run.result();
    assert!(
        !read.to_string().contains("SEGNO_SECRET"),
        "the environment is readable: {read}"
    );
    let tokens = leaky.tokens.lock().unwrap().clone();
    assert!(tokens.len() >= 6, "{tokens:?}");
    let field = |name: &str| account[name].as_str().unwrap().to_owned();
    let planted = [
        TOKEN,
        QUERY,
        CODE,
        PASSWORD,
        ACCOUNT,
        OTHER,
        &hook,
        "T0P-s3gment",
        "s1gn/ature",
        "90817263",
    ];
    let planted: Vec<String> = planted
        .map(str::to_owned)
        .into_iter()
        .chain([field("user"), field("key")])
        .chain(tokens)
        .collect();
    let mut found = Vec::new();
    texts(&json!(run.histories()), &mut found);
    assert!(found.iter().any(|text| text.contains("[redacted]")));
    found.sort();
    found.dedup();
    let excerpt = |text: &str| text.chars().take(400).collect::<String>();
    let pairs = planted
        .iter()
        .flat_map(|secret| found.iter().map(move |text| (secret, text)));
    let shown: Vec<_> = pairs
        .filter(|(secret, text)| shows(text, secret))
        .map(|(secret, text)| format!("history shows {secret}: {}", excerpt(text)))
        .collect();
    assert!(
        shown.is_empty(),
        "{} texts: {:#?}",
        shown.len(),
        &shown[..shown.len().min(5)]
    );
    let logs = worker.logs();
    assert!(logs.lines().count() > 100, "{logs}");
    for line in logs.lines() {
        for secret in &planted {
            assert!(!shows(line, secret), "the log shows {secret}: {line}");
        }
    }
}

/// A program may run as the worker's own user: what it may not have is not in what the kernel shows of the worker.
#[test]
fn a_program_reads_neither_the_environment_nor_the_memory_of_the_worker() {
    let folder = tempfile::tempdir().unwrap();
    let text = "segno: 1\nworkflow: peeks\ninput: true\nsteps:\n  - id: seen\n    exec: { command: peek, args: \"${ input }\", success: [0, 1, 2] }\n  - return: ${ seen.stdout }\n";
    std::fs::write(folder.path().join("peeks.yaml"), text).unwrap();
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0);
    // Who may trace everybody may read everything: as in a container, the program may not.
    let (peek, before) = match is_root {
        true => (
            "peek=/usr/bin/setpriv",
            vec!["--bounding-set=-all", "/bin/sh", "-c"],
        ),
        false => ("peek=/bin/sh", vec!["-c"]),
    };
    let secret = [
        ("SEGNO_SECRET_OTHER", OTHER),
        ("TEMPORAL_CODEC_AUTH", "c0dec-s3cret"),
    ];
    let worker = Worker::with(folder.path(), &["--exec-allow", peek], &secret);
    let script = "\
        for file in environ mem maps; do \
          (: < /proc/$PPID/$file) 2>/dev/null && echo \"$file can be opened\"; \
        done; \
        readlink /proc/$PPID/fd/0 > /dev/null 2>&1 && echo 'files can be seen'; \
        env; true";
    let arguments: Vec<&str> = before.into_iter().chain([script]).collect();
    let run = worker.launch("peeks", &json!(arguments));
    let seen = run.result().to_string();
    for word in [
        "environ can be read",
        "mem can be read",
        "files can be seen",
        OTHER,
        "c0dec-s3cret",
    ] {
        assert!(!seen.contains(word), "{word}: {seen}");
    }
    assert!(seen.contains("SEGNO_RUN_ID"), "{seen}");
}

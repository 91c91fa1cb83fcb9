//! The `exec` activity with real programs: what they get, what is made of their ends, and how they are ended.

use std::path::Path;
use std::sync::Arc;

use segno::activity::exec::Exec;
use segno::activity::secret::Secrets;
use segno::activity::{Activity, ActivityContext};
use segno::engine::failure::{Failure, FailureInfo};
use segno::limits::{
    EXEC_ERROR_OUTPUT_SIZE_BYTES_MAX, EXEC_FAILURE_OUTPUT_SIZE_BYTES_MAX,
    EXEC_OUTPUT_SIZE_BYTES_MAX,
};
use segno::value::{Duration, Value as Datum, parse_json, to_json};
use serde_json::{Value, json};

use crate::attempt::{Recorded, context};
use crate::told::told;

fn exec() -> Exec {
    let secrets = Secrets {
        folder: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/secrets")),
    };
    let programs = ["shell=/bin/sh".to_owned()];
    let variables = ["ONE", "TOKEN", "A"].map(str::to_owned);
    Exec::new(&programs, &variables, secrets).unwrap()
}

async fn run_with(context: ActivityContext, request: Value) -> Result<Value, Failure> {
    let input = parse_json(request.to_string().as_bytes()).unwrap();
    let result = exec().run(context, vec![input]).await?;
    Ok(to_json(&result).unwrap())
}

async fn shell(script: &str, rest: Value) -> Result<Value, Failure> {
    let mut request = json!({ "command": "shell", "args": ["-c", script] });
    let rest = rest.as_object().unwrap().clone();
    request.as_object_mut().unwrap().extend(rest);
    run_with(context("exec"), request).await
}

#[tokio::test]
async fn a_program_gets_its_input_and_a_small_environment() {
    let script = "cat; echo; echo $ONE $SEGNO_WORKFLOW_ID; echo ${CARGO_MANIFEST_DIR-none}; exit 3";
    let rest = json!({ "stdin": [1, "a"], "env": { "ONE": 1 }, "success": [0, 3] });
    let ended = shell(script, rest).await.unwrap();
    let expected =
        json!({ "exit_code": 3, "stdout": "[1,\"a\"]\n1 workflow\nnone\n", "stderr": "" });
    assert_eq!(ended, expected);
}

#[tokio::test]
async fn a_byte_order_mark_before_json_is_skipped() {
    let script = r#"printf '\357\273\277{"a": [1]}'"#;
    let ended = shell(script, json!({ "stdout": "json" })).await.unwrap();
    assert_eq!(ended["stdout"], json!({ "a": [1] }));
}

#[tokio::test]
async fn secrets_reach_the_program_and_nothing_else() {
    let (name, _) = secret();
    let script = "test -n \"$TOKEN\" && echo \"$TOKEN\" && echo \"$TOKEN\" >&2";
    let ended = shell(script, json!({ "secrets": { "TOKEN": name } })).await;
    let expected = json!({ "exit_code": 0, "stdout": "[redacted]\n", "stderr": "[redacted]\n" });
    assert_eq!(ended.unwrap(), expected);
}

#[tokio::test]
async fn failures_say_what_is_wrong() {
    let cases = [
        (
            shell("echo bad luck >&2; exit 7", json!({})).await,
            "ExecExit",
            true,
            "`shell` ended with exit code 7: bad luck",
        ),
        (
            shell("kill -9 $$", json!({})).await,
            "ExecExit",
            true,
            "`shell` ended with signal 9",
        ),
        (
            shell("echo {", json!({ "stdout": "json" })).await,
            "ExecOutput",
            false,
            "the output of `shell`",
        ),
        (
            shell("sleep 20", json!({ "timeout": "100ms" })).await,
            "ExecTimeout",
            true,
            "`shell` did not end within 100ms",
        ),
        (
            shell("true", json!({ "env": { "LD_PRELOAD": "x" } })).await,
            "ExecPolicy",
            false,
            "the worker does not let a definition set the variable `LD_PRELOAD`",
        ),
        (
            shell("true", json!({ "secrets": { "A": "not-there" } })).await,
            "ExecSecret",
            true,
            "the worker has no secret `not-there`",
        ),
        (
            shell("true", json!({ "success": 300 })).await,
            "ExecRequest",
            false,
            "`success` is an exit code from 0 to 255",
        ),
        (
            shell("true", json!({ "stdn": "" })).await,
            "ExecRequest",
            false,
            "did you mean `stdin`?",
        ),
        (
            shell("cat /dev/zero", json!({ "stdout": "bytes" })).await,
            "ExecOutput",
            false,
            &*format!("EXEC_OUTPUT_SIZE_BYTES_MAX ({EXEC_OUTPUT_SIZE_BYTES_MAX} bytes)"),
        ),
        (
            run_with(context("exec"), json!({ "command": "sh" })).await,
            "ExecPolicy",
            false,
            "the worker does not allow the program `sh`; it allows: shell",
        ),
    ];
    for (failed, error_type, is_retried, message) in cases {
        let told = told(failed.expect_err("it succeeded"));
        assert_eq!((&*told.0, told.1), (error_type, is_retried), "{}", told.2);
        assert!(told.2.contains(message), "{}", told.2);
    }
}

/// The name of a secret, and the secret.
fn secret() -> (&'static str, String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/secrets/TOKEN");
    let text = std::fs::read_to_string(file).unwrap();
    ("TOKEN", text.trim_end().to_owned())
}

/// Where the rest is dropped, no part of a secret is left before it.
#[tokio::test]
async fn a_secret_at_the_end_of_what_is_kept_goes_whole() {
    let (name, text) = secret();
    let before = EXEC_ERROR_OUTPUT_SIZE_BYTES_MAX - text.len() / 2;
    let script = format!("{{ head -c {before} /dev/zero | tr '\\0' x; echo \"$TOKEN\"; }} >&2");
    let ended = shell(&script, json!({ "secrets": { "TOKEN": name } })).await;
    let stderr = ended.unwrap()["stderr"].as_str().unwrap().to_owned();
    // As long as the secret may be in its longest form.
    assert!(stderr.len() > before - 8 * text.len(), "{}", stderr.len());
    assert_eq!(stderr.trim_end_matches('x'), "");
}

/// What a failure keeps is bounded: the server cuts a large one.
#[tokio::test]
async fn a_failure_keeps_the_end_of_the_output() {
    let script = "head -c 100000 /dev/zero | tr '\\0' a; printf end; head -c 9000 /dev/zero | tr '\\0' b >&2; exit 1";
    let failure = shell(script, json!({})).await.expect_err("it succeeded");
    let FailureInfo::Application { details, .. } = &failure.info else {
        panic!("{failure:?}");
    };
    let details = to_json(&details[0]).unwrap();
    for (name, end) in [("stdout", "aend"), ("stderr", "bb")] {
        let kept = details[name].as_str().unwrap();
        assert!(kept.starts_with("… ") && kept.ends_with(end), "{kept}");
        assert!(kept.len() <= EXEC_FAILURE_OUTPUT_SIZE_BYTES_MAX + "… ".len());
    }
    assert!(failure.message.len() < 2 * EXEC_FAILURE_OUTPUT_SIZE_BYTES_MAX);
}

/// Runs a script whose attempt has that progress before it, and gives what its heartbeats say, the same only once.
async fn heartbeats_of(script: &str, before: &[Datum], rest: Value) -> Vec<Value> {
    let heartbeats = Arc::new(Recorded::default());
    let context = ActivityContext {
        heartbeats: heartbeats.clone(),
        heartbeat_timeout: Some(Duration::from_seconds(60)),
        heartbeat_details: before.to_vec(),
        ..context("exec")
    };
    let mut request = json!({ "command": "shell", "args": ["-c", script] });
    let rest = rest.as_object().unwrap().clone();
    request.as_object_mut().unwrap().extend(rest);
    let _ = run_with(context, request).await;
    let heartbeats = heartbeats.0.lock().unwrap();
    let json = |details: &Vec<Datum>| details.iter().map(|d| to_json(d).unwrap()).collect();
    let mut told: Vec<Value> = heartbeats.iter().map(json).collect();
    told.dedup();
    told
}

#[tokio::test]
async fn a_program_says_how_far_it_has_come() {
    let say = |text: &str| format!("printf '{text}' >> $SEGNO_HEARTBEAT; exit 1");
    let big = "\"%070000d\"";
    for (script, told) in [
        ("true".to_owned(), json!([[]])),
        (say(r#"1\n{"page": 2}\n"#), json!([[], [{ "page": 2 }]])),
        (say(r"page seven\n"), json!([[], ["page seven"]])),
        (say(r"3\nnot yet whole"), json!([[], [3]])),
        (say(&format!(r"4\n{big}\n")), json!([[]])),
        (say(big), json!([[]])),
        (
            "echo 5 > new; mv new $SEGNO_HEARTBEAT".to_owned(),
            json!([[], [5]]),
        ),
        (
            "rm $SEGNO_HEARTBEAT; mkfifo $SEGNO_HEARTBEAT".to_owned(),
            json!([[]]),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("cd {}; {script}", folder.path().display());
        let heartbeats = heartbeats_of(&script, &[], json!({})).await;
        assert_eq!(json!(heartbeats), told, "{script}");
    }
}

/// Also what it writes when it is asked to end.
#[tokio::test]
async fn the_last_word_of_a_program_counts() {
    let folder = tempfile::tempdir().unwrap();
    let heartbeats = Arc::new(Recorded::default());
    let context = ActivityContext {
        heartbeats: heartbeats.clone(),
        ..context("exec")
    };
    let cancellation = context.cancellation.clone();
    let script = format!(
        "trap 'echo 9 > $SEGNO_HEARTBEAT; exit' TERM; touch {}/begun; sleep 20 & wait",
        folder.path().display()
    );
    let request = json!({ "command": "shell", "args": ["-c", script] });
    let run = tokio::spawn(run_with(context, request));
    seen(&folder.path().join("begun")).await;
    cancellation.cancel();
    assert!(run.await.unwrap().expect_err("it ended").is_cancelled());
    let told = heartbeats.0.lock().unwrap();
    assert!(
        matches!(told.as_slice(), [one] if matches!(one.as_slice(), [Datum::Int(9)])),
        "{told:?}"
    );
}

/// A heartbeat that says no more than "alive" says again what the attempt before has come to.
#[tokio::test]
async fn a_program_goes_on_from_the_last_heartbeat() {
    let echo = "echo \"$SEGNO_LAST_HEARTBEAT\" > $SEGNO_HEARTBEAT";
    let one = [parse_json(br#"{"page": [1]}"#).unwrap()];
    let told = json!([[{ "page": [1] }]]);
    assert_eq!(json!(heartbeats_of(echo, &one, json!({})).await), told);
    let several = [Datum::Int(1), Datum::from("two")];
    let told = json!([[1, "two"], [[1, "two"]]]);
    assert_eq!(json!(heartbeats_of(echo, &several, json!({})).await), told);
    let program = json!({ "heartbeats": "program" });
    assert_eq!(json!(heartbeats_of("true", &one, program).await), json!([]));
}

#[tokio::test]
async fn a_heartbeat_is_without_secrets() {
    let script = "echo \"{\\\"$TOKEN\\\": 1}\" > $SEGNO_HEARTBEAT";
    let secrets = json!({ "secrets": { "TOKEN": "TOKEN" } });
    let heartbeats = heartbeats_of(script, &[], secrets).await;
    assert_eq!(json!(heartbeats), json!([[], [{ "[redacted]": 1 }]]));
}

/// What identifies the attempt is the worker's own, whatever it lets definitions set.
#[tokio::test]
async fn a_definition_cannot_pretend_to_be_another_run() {
    let exec = Exec::new(
        &["shell=/bin/sh".to_owned()],
        &["SEGNO_RUN_ID".to_owned()],
        Secrets::default(),
    )
    .unwrap();
    let request = json!({
        "command": "shell", "args": ["-c", "echo $SEGNO_RUN_ID"], "env": { "SEGNO_RUN_ID": "other" },
    });
    let input = parse_json(request.to_string().as_bytes()).unwrap();
    let ended = exec.run(context("exec"), vec![input]).await.unwrap();
    assert_eq!(to_json(&ended).unwrap()["stdout"], "run\n");
}

/// Runs a script until it has made the file `begun`, cancels it, and waits for the activity's end.
async fn cancelled(script: &str, folder: &Path) {
    let context = context("exec");
    let cancellation = context.cancellation.clone();
    let script = format!("cd {}; {script}", folder.display());
    let request = json!({ "command": "shell", "args": ["-c", script] });
    let run = tokio::spawn(run_with(context, request));
    seen(&folder.join("begun")).await;
    cancellation.cancel();
    let failure = run.await.unwrap().expect_err("it succeeded");
    assert!(
        matches!(failure.info, FailureInfo::Cancelled { .. }),
        "{failure:?}"
    );
}

/// Cancelled, the program and what it began hear of it, and the attempt is over when they are.
#[tokio::test]
async fn a_cancelled_program_is_asked_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let script = "(trap 'sleep 0.3; touch ended; exit' TERM; touch begun; while true; do sleep 0.05; done) & wait";
    cancelled(script, folder.path()).await;
    assert!(folder.path().join("ended").exists());
}

/// What does not listen is ended by force, and what it began with it, though the program itself is gone already.
#[tokio::test]
async fn what_does_not_end_is_killed() {
    let deaf =
        "trap '' TERM; sh -c 'echo $PPID' > pid; touch begun; while true; do sleep 0.05; done";
    for script in [deaf.to_owned(), format!("({deaf}) > out 2> err & wait")] {
        let folder = tempfile::tempdir().unwrap();
        cancelled(&script, folder.path()).await;
        let id = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        let state = std::process::Command::new("ps")
            .args(["-o", "stat=", "-p", id.trim()])
            .output()
            .unwrap();
        let state = String::from_utf8(state.stdout).unwrap();
        assert!(
            state.is_empty() || state.starts_with('Z'),
            "{state}: {script}"
        );
    }
}

async fn seen(path: &Path) {
    let looks = async {
        while !path.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let patience = std::time::Duration::from_secs(300);
    tokio::time::timeout(patience, looks)
        .await
        .expect("it was never seen");
}

#[test]
fn the_worker_names_programs_by_absolute_paths() {
    let wrong = |program: &str| match Exec::new(&[program.to_owned()], &[], Secrets::default()) {
        Err(message) => message,
        Ok(_) => panic!("{program} was taken"),
    };
    assert_eq!(
        wrong("sort"),
        "`sort` is not a program for `exec`; expected NAME=PATH"
    );
    assert!(wrong("sh=bin/sh").contains("must be a file with an absolute path"));
    assert!(wrong("sh=/not/there").contains("must be a file with an absolute path"));
}

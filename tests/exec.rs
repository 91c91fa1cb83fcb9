//! The `exec` activity with real programs: what they get, what is made of their ends, and how they are ended.

#[path = "support/attempt.rs"]
mod attempt;

use std::path::Path;

use segno::activity::exec::Exec;
use segno::activity::secret::Secrets;
use segno::activity::{Activity, ActivityContext};
use segno::engine::failure::{Failure, FailureInfo};
use segno::limits::EXEC_OUTPUT_SIZE_BYTES_MAX;
use segno::value::{parse_json, to_json};
use serde_json::{Value, json};

use attempt::context;

fn exec() -> Exec {
    let secrets = Secrets {
        folder: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/secrets")),
    };
    Exec::new(&["shell=/bin/sh".to_owned()], secrets).unwrap()
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

/// The type, whether an attempt more may mend it, and the message.
fn told(failed: Result<Value, Failure>) -> (String, bool, String) {
    let failure = failed.expect_err("it succeeded");
    match failure.info {
        FailureInfo::Application {
            error_type,
            non_retryable,
            ..
        } => (error_type, !non_retryable, failure.message),
        other => (format!("{other:?}"), false, failure.message),
    }
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
async fn secrets_reach_the_program_and_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/secrets");
    let name = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let name = name.file_name().into_string().unwrap();
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
            "the variable `LD_PRELOAD` decides which code runs",
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
        let told = told(failed);
        assert_eq!((&*told.0, told.1), (error_type, is_retried), "{}", told.2);
        assert!(told.2.contains(message), "{}", told.2);
    }
}

/// Cancelled, the program and what it began hear of it.
#[tokio::test]
async fn a_cancelled_program_is_asked_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, ended) = (folder.path().join("begun"), folder.path().join("ended"));
    let script = format!(
        "(trap 'touch {}; exit' TERM; touch {}; while true; do sleep 0.05; done) & wait",
        ended.display(),
        begun.display()
    );
    let context = context("exec");
    let cancellation = context.cancellation.clone();
    let request = json!({ "command": "shell", "args": ["-c", script] });
    let run = tokio::spawn(run_with(context, request));
    seen(&begun).await;
    cancellation.cancel();
    let failure = run.await.unwrap().expect_err("it succeeded");
    assert!(
        matches!(failure.info, FailureInfo::Cancelled { .. }),
        "{failure:?}"
    );
    seen(&ended).await;
}

async fn seen(path: &Path) {
    let looks = async {
        while !path.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let patience = std::time::Duration::from_secs(30);
    tokio::time::timeout(patience, looks)
        .await
        .expect("it was never seen");
}

#[test]
fn the_worker_names_programs_by_absolute_paths() {
    let wrong = |program: &str| match Exec::new(&[program.to_owned()], Secrets::default()) {
        Err(message) => message,
        Ok(_) => panic!("{program} was taken"),
    };
    assert_eq!(
        wrong("sort"),
        "`sort` is no program for `exec`: say NAME=PATH"
    );
    assert!(wrong("sh=bin/sh").contains("no file with an absolute path"));
    assert!(wrong("sh=/not/there").contains("no file with an absolute path"));
}

//! The `exec` activity: a program on the worker's machine, under a name that the worker allows. No shell is involved.
//! Reference: docs/steps/exec.md.

mod process;
mod request;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use secrecy::ExposeSecret;

use self::process::{Ended, Program, ProgramError};
use self::request::{OutputKind, Request};
use super::attempt::{guarded, lasting};
use super::secret::{Redactor, Secrets};
use super::{Activity, ActivityContext};
use crate::engine::failure::{Failure, FailureInfo};
use crate::limits::EXEC_OUTPUT_SIZE_BYTES_MAX;
use crate::value::{Map, Value, parse_json};

/// The types of its failures.
pub mod failure_type {
    /// The input is not a command. Not retried.
    pub const REQUEST: &str = "ExecRequest";
    /// The worker lacks a secret that the command names.
    pub const SECRET: &str = "ExecSecret";
    /// The worker does not allow the program or a variable. Not retried.
    pub const POLICY: &str = "ExecPolicy";
    /// The program could not be run.
    pub const START: &str = "ExecStart";
    /// The program did not end in time.
    pub const TIMEOUT: &str = "ExecTimeout";
    /// The program ended without success; `details` say how.
    pub const EXIT: &str = "ExecExit";
    /// The output of a success cannot be read. Not retried, since the program had its effect.
    pub const OUTPUT: &str = "ExecOutput";
}

/// What a program sees of the worker's own environment.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];

pub struct Exec {
    programs: BTreeMap<String, PathBuf>,
    secrets: Secrets,
}

impl Exec {
    /// The programs that may be run, as `NAME=PATH`.
    pub fn new(programs: &[String], secrets: Secrets) -> Result<Exec, String> {
        let mut allowed = BTreeMap::new();
        for program in programs {
            let (name, path) = program
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| format!("`{program}` is no program for `exec`: say NAME=PATH"))?;
            let path = Path::new(path);
            if !path.is_absolute() || !path.is_file() {
                return Err(format!(
                    "the program `{name}` for `exec` is no file with an absolute path: {}",
                    path.display()
                ));
            }
            if allowed.insert(name.to_owned(), path.to_owned()).is_some() {
                return Err(format!("the program `{name}` for `exec` is given twice"));
            }
        }
        Ok(Exec {
            programs: allowed,
            secrets,
        })
    }
}

#[async_trait]
impl Activity for Exec {
    fn name(&self) -> &str {
        "exec"
    }

    async fn run(&self, context: ActivityContext, arguments: Vec<Value>) -> Result<Value, Failure> {
        let input = arguments.first().unwrap_or(&Value::Null);
        let request = input
            .force()
            .map_err(|e| e.to_string())
            .and_then(Request::read)
            .map_err(|e| lasting(failure_type::REQUEST, e))?;
        let mut redactor = Redactor::default();
        let program = self.program(&context, &request, &mut redactor)?;
        let what = format!("`{}`", request.command);
        let late = |limit| {
            let message = format!("{what} did not end within {limit:?}");
            Failure::application(failure_type::TIMEOUT, message)
        };
        let work = async {
            let ended = program.run().await;
            let ended = ended.map_err(|error| failed(&what, error))?;
            result(&request, &ended, &redactor, &what)
        };
        guarded(&context, request.timeout, &what, late, work).await
    }
}

impl Exec {
    fn program(
        &self,
        context: &ActivityContext,
        request: &Request,
        redactor: &mut Redactor,
    ) -> Result<Program, Failure> {
        let Some(path) = self.programs.get(&request.command) else {
            let allowed: Vec<&str> = self.programs.keys().map(String::as_str).collect();
            let allowed = match allowed.is_empty() {
                true => "it allows none".to_owned(),
                false => format!("it allows: {}", allowed.join(", ")),
            };
            let message = format!(
                "the worker does not allow the program `{}`; {allowed} (`segno worker --exec-allow NAME=PATH`)",
                request.command
            );
            return Err(lasting(failure_type::POLICY, message));
        };
        let mut environment: BTreeMap<String, String> = INHERITED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        environment.extend([
            ("SEGNO_WORKFLOW_ID".to_owned(), context.workflow_id.clone()),
            ("SEGNO_RUN_ID".to_owned(), context.run_id.clone()),
            ("SEGNO_ACTIVITY_ID".to_owned(), context.activity_id.clone()),
            ("SEGNO_ATTEMPT".to_owned(), context.attempt.to_string()),
        ]);
        let of_step = request.environment.iter().cloned();
        for (name, text) in of_step {
            environment.insert(allowed_variable(name)?, text);
        }
        for (name, secret) in &request.secrets {
            let secret = self.secrets.get(secret);
            let secret = secret.map_err(|e| Failure::application(failure_type::SECRET, e))?;
            redactor.add(&secret);
            let text = secret.expose_secret().to_owned();
            environment.insert(allowed_variable(name.clone())?, text);
        }
        Ok(Program {
            path: path.clone(),
            arguments: request.arguments.clone(),
            environment,
            input: request.input.clone(),
        })
    }
}

/// Variables that decide which code runs are the worker's own.
fn allowed_variable(name: String) -> Result<String, Failure> {
    let is_refused = name == "PATH" || name.starts_with("LD_") || name.starts_with("DYLD_");
    match is_refused {
        true => Err(lasting(
            failure_type::POLICY,
            format!("the variable `{name}` decides which code runs; only the worker sets it"),
        )),
        false => Ok(name),
    }
}

fn failed(what: &str, error: ProgramError) -> Failure {
    match error {
        ProgramError::Start(error) => Failure::application(
            failure_type::START,
            format!("{what} could not be run: {error}"),
        ),
        ProgramError::TooMuch => lasting(
            failure_type::OUTPUT,
            format!(
                "{what} wrote more than EXEC_OUTPUT_SIZE_BYTES_MAX ({EXEC_OUTPUT_SIZE_BYTES_MAX} bytes) to its standard output"
            ),
        ),
    }
}

fn result(
    request: &Request,
    ended: &Ended,
    redactor: &Redactor,
    what: &str,
) -> Result<Value, Failure> {
    let stderr = redactor.text(&String::from_utf8_lossy(&ended.stderr));
    let code = ended.code.filter(|code| request.success.contains(code));
    let Some(code) = code else {
        return Err(no_success(ended, &stderr, redactor, what));
    };
    let unreadable =
        |e: String| lasting(failure_type::OUTPUT, format!("the output of {what}: {e}"));
    let stdout = redactor.bytes(&ended.stdout);
    let stdout = match request.output {
        OutputKind::Bytes => Value::Bytes(stdout.into()),
        OutputKind::Text => {
            Value::from(String::from_utf8(stdout).map_err(|_| unreadable("it is no UTF-8".into()))?)
        }
        OutputKind::Json => parse_json(&stdout).map_err(|e| unreadable(e.to_string()))?,
    };
    Ok(Value::map(Map::from_iter([
        ("exit_code", Value::from(i64::from(code))),
        ("stdout", stdout),
        ("stderr", Value::from(stderr)),
    ])))
}

fn no_success(ended: &Ended, stderr: &str, redactor: &Redactor, what: &str) -> Failure {
    let how = match (ended.code, ended.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    };
    let number = |n: Option<i32>| n.map_or(Value::Null, |n| Value::from(i64::from(n)));
    let stdout = redactor.text(&String::from_utf8_lossy(&ended.stdout));
    let details = Value::map(Map::from_iter([
        ("exit_code", number(ended.code)),
        ("signal", number(ended.signal)),
        ("stdout", Value::from(stdout)),
        ("stderr", Value::from(stderr)),
    ]));
    let last_line = stderr.lines().rfind(|line| !line.trim().is_empty());
    let why = last_line.map_or(String::new(), |line| format!(": {}", line.trim()));
    Failure::new(
        format!("{what} ended with {how}{why}"),
        FailureInfo::Application {
            error_type: failure_type::EXIT.into(),
            non_retryable: false,
            details: vec![details],
            next_retry_delay: None,
        },
    )
}

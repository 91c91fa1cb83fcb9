//! The `exec` activity: a program on the worker's machine, under a name that the worker allows. No shell is involved.
//! Reference: docs/steps/exec.md.

mod heartbeat;
pub(crate) mod keeper;
mod process;
pub(super) mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use self::heartbeat::HeartbeatFile;
use self::keeper::Keeper;
use self::process::{Ended, Program, ProgramError};
use self::request::{OutputKind, Request};
use super::attempt::{Progress, guarded, lasting};
use super::secret::{Redactor, Secrets};
use super::{Activity, ActivityContext, input};
use crate::engine::failure::{Failure, FailureInfo};
use crate::limits::{
    EXEC_FAILURE_OUTPUT_SIZE_BYTES_MAX, EXEC_HEARTBEAT_SIZE_BYTES_MAX, EXEC_OUTPUT_SIZE_BYTES_MAX,
};
use crate::value::{Map, Value, parse_foreign_json, to_json_string};

/// The types of its failures.
pub(crate) mod failure_type {
    /// The input is not a command. Not retried.
    pub(crate) const REQUEST: &str = "ExecRequest";
    /// The worker lacks a secret that the command names.
    pub(crate) const SECRET: &str = "ExecSecret";
    /// The worker does not allow the program or a variable. Not retried.
    pub(crate) const POLICY: &str = "ExecPolicy";
    /// The program could not be run.
    pub(crate) const START: &str = "ExecStart";
    /// The program did not end in time.
    pub(crate) const TIMEOUT: &str = "ExecTimeout";
    /// The program ended without success; `details` have the cause.
    pub(crate) const EXIT: &str = "ExecExit";
    /// The output of a success cannot be read. Not retried, since the program had its effect.
    pub(crate) const OUTPUT: &str = "ExecOutput";
}

/// The variables of the worker's own environment that a program gets.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];

pub struct Exec {
    programs: BTreeMap<String, PathBuf>,
    /// Variables that definitions may set.
    variables: BTreeSet<String>,
    secrets: Secrets,
    keeper: Option<Arc<Keeper>>,
}

impl Exec {
    /// The programs that may be run, as `NAME=PATH`, and the environment variables that definitions may set for them.
    pub fn new(
        programs: &[String],
        variables: &[String],
        secrets: Secrets,
    ) -> Result<Exec, String> {
        let mut allowed = BTreeMap::new();
        for program in programs {
            let (name, path) = program
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| {
                    format!("`{program}` is not a program for `exec`; expected NAME=PATH")
                })?;
            let path = Path::new(path);
            if !path.is_absolute() || !path.is_file() {
                return Err(format!(
                    "the program `{name}` for `exec` must be a file with an absolute path; found {}",
                    path.display()
                ));
            }
            if allowed.insert(name.to_owned(), path.to_owned()).is_some() {
                return Err(format!("the program `{name}` for `exec` is given twice"));
            }
        }
        Ok(Exec {
            programs: allowed,
            variables: variables.iter().cloned().collect(),
            secrets,
            keeper: None,
        })
    }

    /// Adds a process beside this one that ends the programs if this one is killed: `segno`, at this path.
    pub(crate) fn with_keeper(self, segno: PathBuf) -> Result<Exec, String> {
        if self.programs.is_empty() {
            return Ok(self);
        }
        let keeper = Keeper::new(segno);
        let keeper = keeper.map_err(|e| format!("no folder for temporary files: {e}"))?;
        Ok(Exec {
            keeper: Some(Arc::new(keeper)),
            ..self
        })
    }
}

#[async_trait]
impl Activity for Exec {
    fn name(&self) -> &str {
        "exec"
    }

    async fn run(&self, context: ActivityContext, arguments: Vec<Value>) -> Result<Value, Failure> {
        let request = input::request(&arguments, Request::read, failure_type::REQUEST)?;
        self.end(&context, &request, Handed::default()).await
    }
}

/// What a program gets beside what its author wrote.
#[derive(Default)]
pub(super) struct Handed {
    pub(crate) variables: Vec<(String, String)>,
    /// They are in the variables, and removed from the program's output.
    pub(crate) secrets: Vec<Vec<u8>>,
}

impl Exec {
    /// How the program ended.
    pub(super) async fn end(
        &self,
        context: &ActivityContext,
        request: &Request,
        handed: Handed,
    ) -> Result<Value, Failure> {
        let mut redactor = Redactor::default();
        let mut program = self.program(context, request, handed, &mut redactor)?;
        let folder = self.keeper.as_ref().map(|keeper| keeper.folder());
        let mut heartbeat = HeartbeatFile::new(folder)
            .inspect_err(|e| tracing::warn!("a program gets no file for its heartbeats: {e}"))
            .ok();
        let path = heartbeat.as_ref().map(|file| file.path().to_string_lossy());
        program
            .environment
            .extend(path.map(|path| ("SEGNO_HEARTBEAT".to_owned(), path.into_owned())));
        let progress = Progress::new(context, request.is_alive_while_it_runs);
        let what = format!("`{}`", request.command);
        let late = |limit| {
            let message = format!("{what} did not end within {limit:?}");
            Failure::application(failure_type::TIMEOUT, message)
        };
        // If the activity is cancelled, late or dropped, the program is asked to end, and the attempt waits for that.
        let stop = CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        let running = program.start(stop.clone());
        let mut running = running.map_err(|error| failed(&what, error))?;
        let work = async {
            let ended = tokio::select! {
                ended = &mut running => ended,
                never = follow(&mut heartbeat, &progress, &redactor) => match never {},
            };
            let ended = ended.unwrap_or_else(|e| Err(ProgramError::Start(io::Error::other(e))));
            let ended = ended.map_err(|error| failed(&what, error))?;
            result(request, &ended, &redactor, &what)
        };
        let result = guarded(context, request.timeout, &progress, &what, late, work).await;
        if !running.is_finished() {
            stop.cancel();
            let _ = running.await;
        }
        if let Some(heartbeat) = &mut heartbeat {
            heartbeat.look(&progress, &redactor);
            progress.send_last(context);
        }
        redactor.end(result)
    }

    fn program(
        &self,
        context: &ActivityContext,
        request: &Request,
        handed: Handed,
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
        for (name, text) in &request.environment {
            self.check_variable(name)?;
            environment.insert(name.clone(), text.clone());
        }
        for (name, secret) in &request.secrets {
            self.check_variable(name)?;
            let text = secret.text(&self.secrets, redactor);
            let text = text.map_err(|e| Failure::application(failure_type::SECRET, e))?;
            environment.insert(name.clone(), text);
        }
        // Last, so that no definition can pretend to be another run.
        environment.extend([
            ("SEGNO_WORKFLOW_ID".to_owned(), context.workflow_id.clone()),
            ("SEGNO_RUN_ID".to_owned(), context.run_id.clone()),
            ("SEGNO_ACTIVITY_ID".to_owned(), context.activity_id.clone()),
            ("SEGNO_ATTEMPT".to_owned(), context.attempt.to_string()),
        ]);
        environment.extend(last_heartbeat(context));
        environment.extend(handed.variables);
        handed
            .secrets
            .iter()
            .for_each(|secret| redactor.add_bytes(secret));
        Ok(Program {
            path: path.clone(),
            arguments: request.arguments.clone(),
            environment,
            input: request.input.clone(),
            kept: self.keeper.as_ref().map(Keeper::keep),
        })
    }

    /// Many variables decide which code a program runs, so a definition may set only those that the worker allows.
    fn check_variable(&self, name: &str) -> Result<(), Failure> {
        match self.variables.contains(name) {
            true => Ok(()),
            false => Err(lasting(
                failure_type::POLICY,
                format!(
                    "the worker does not let a definition set the variable `{name}` (`segno worker --exec-env NAME`)"
                ),
            )),
        }
    }
}

enum Never {}

async fn follow(
    file: &mut Option<HeartbeatFile>,
    progress: &Progress,
    redactor: &Redactor,
) -> Never {
    if let Some(file) = file {
        file.follow(progress, redactor).await;
    }
    std::future::pending().await
}

/// The progress that the previous attempt reported, as far as it fits in an environment.
fn last_heartbeat(context: &ActivityContext) -> Option<(String, String)> {
    let last = context.last_heartbeat()?;
    let text = last.force().ok().and_then(|last| to_json_string(last).ok());
    let text = text.filter(|text| text.len() <= EXEC_HEARTBEAT_SIZE_BYTES_MAX);
    if text.is_none() {
        tracing::warn!(
            "the last heartbeat is no JSON of up to EXEC_HEARTBEAT_SIZE_BYTES_MAX ({EXEC_HEARTBEAT_SIZE_BYTES_MAX} bytes): the program begins without it"
        );
    }
    Some(("SEGNO_LAST_HEARTBEAT".to_owned(), text?))
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
    // A secret may be cut there as well, and would not be found.
    let stderr = match ended.is_stderr_cut {
        true => redactor.bytes_of_cut(&ended.stderr),
        false => redactor.bytes(&ended.stderr),
    };
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    let code = ended.code.filter(|code| request.success.contains(code));
    let Some(code) = code else {
        return Err(no_success(ended, &stderr, redactor, what));
    };
    let unreadable =
        |e: String| lasting(failure_type::OUTPUT, format!("the output of {what}: {e}"));
    // It is parsed first, and then redacted: escapes hide secrets, and a mark in place of a number is not JSON.
    let stdout = match request.output {
        OutputKind::Bytes => Value::Bytes(ended.stdout.as_slice().into()),
        OutputKind::Text => {
            let text = std::str::from_utf8(&ended.stdout);
            Value::from(text.map_err(|_| unreadable("it is no UTF-8".into()))?)
        }
        OutputKind::Json => {
            parse_foreign_json(&ended.stdout).map_err(|e| unreadable(e.to_string()))?
        }
    };
    Ok(Value::map(Map::from_iter([
        ("exit_code", Value::from(i64::from(code))),
        ("stdout", stdout),
        ("stderr", Value::from(stderr)),
    ])))
}

/// The end is the most informative: it usually has the error.
fn last_part(text: &str) -> String {
    if text.len() <= EXEC_FAILURE_OUTPUT_SIZE_BYTES_MAX {
        return text.to_owned();
    }
    let cut = text.len() - EXEC_FAILURE_OUTPUT_SIZE_BYTES_MAX;
    let start = (cut..).find(|&at| text.is_char_boundary(at));
    format!("… {}", &text[start.unwrap_or(cut)..])
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
        ("stdout", Value::from(last_part(&stdout))),
        ("stderr", Value::from(last_part(stderr))),
    ]));
    let last_line = last_part(stderr);
    let last_line = last_line.lines().rfind(|line| !line.trim().is_empty());
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

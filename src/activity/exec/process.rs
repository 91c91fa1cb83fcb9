//! A program's process: its input, its output, and its end, which can be requested.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::keeper::Kept;
use crate::limits::{EXEC_ERROR_OUTPUT_SIZE_BYTES_MAX, EXEC_OUTPUT_SIZE_BYTES_MAX};

/// The time between the request to end (SIGTERM) and the forced end (SIGKILL): less than the worker waits for a
/// cancelled activity.
const GRACE: Duration = Duration::from_secs(4);

pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) input: Vec<u8>,
    /// It ends with the worker.
    pub(crate) kept: Option<Kept>,
}

/// The variable that identifies a program, and everything that it starts.
pub(crate) const MARK: &str = "SEGNO_EXEC";

pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Its standard error was truncated.
    pub(crate) is_stderr_cut: bool,
}

pub(crate) enum ProgramError {
    Start(io::Error),
    /// More on its standard output than EXEC_OUTPUT_SIZE_BYTES_MAX.
    TooMuch,
}

impl Program {
    /// Starts it. The future ends with the process, which is asked to end once `stop` fires.
    pub(crate) fn start(
        mut self,
        stop: CancellationToken,
    ) -> Result<JoinHandle<Result<Ended, ProgramError>>, ProgramError> {
        if let Some(kept) = &self.kept {
            self.environment.insert(MARK.into(), kept.mark().into());
        }
        let child = self.spawn().map_err(ProgramError::Start)?;
        if let Some(kept) = &mut self.kept {
            kept.began(child.id());
        }
        Ok(tokio::spawn(supervise(child, self.input, self.kept, stop)))
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command.spawn()
    }
}

/// Serves the process until it has ended, and reports then that it no longer has to be ended.
async fn supervise(
    child: Child,
    input: Vec<u8>,
    mut kept: Option<Kept>,
    stop: CancellationToken,
) -> Result<Ended, ProgramError> {
    let ended = ended(child, input, kept.as_ref(), stop).await;
    if let Some(kept) = &mut kept {
        kept.ended();
    }
    ended
}

/// Serves the process until it has ended. After the request to end, its output is still read, so that it can end.
async fn ended(
    child: Child,
    input: Vec<u8>,
    kept: Option<&Kept>,
    stop: CancellationToken,
) -> Result<Ended, ProgramError> {
    let id = child.id();
    let kill_all = || {
        kill_group(id);
        if let Some(kept) = kept {
            kill_marked(&[kept.mark()]);
        }
    };
    let ended = exchange(child, input);
    tokio::pin!(ended);
    tokio::select! {
        ended = &mut ended => {
            if matches!(ended, Err(ProgramError::TooMuch)) {
                kill_all();
            }
            return ended;
        }
        () = stop.cancelled() => signal_group(id, false),
    }
    let in_time = tokio::time::timeout(GRACE, &mut ended).await;
    // The program may be gone while processes that it started are not: the group keeps its id as long as one of them
    // exists.
    kill_all();
    match in_time {
        Ok(ended) => ended,
        Err(_) => {
            let killed = tokio::time::timeout(GRACE, ended).await;
            killed.unwrap_or_else(|e| Err(ProgramError::Start(io::Error::other(e))))
        }
    }
}

async fn exchange(mut child: Child, input: Vec<u8>) -> Result<Ended, ProgramError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program need not read its input.
            let _ = stdin.write_all(&input).await;
        }
        Ok(())
    };
    let output = async {
        let mut kept = Vec::new();
        if let Some(stdout) = stdout {
            let mut bounded = stdout.take(EXEC_OUTPUT_SIZE_BYTES_MAX as u64 + 1);
            let _ = bounded.read_to_end(&mut kept).await;
        }
        match kept.len() > EXEC_OUTPUT_SIZE_BYTES_MAX {
            true => Err(ProgramError::TooMuch),
            false => Ok(kept),
        }
    };
    let errors = async {
        let (mut kept, mut dropped) = (Vec::new(), 0);
        if let Some(stderr) = stderr {
            let mut bounded = stderr.take(EXEC_ERROR_OUTPUT_SIZE_BYTES_MAX as u64);
            let _ = bounded.read_to_end(&mut kept).await;
            // The rest is read, so that the program does not block.
            let mut rest = bounded.into_inner();
            let read = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
            dropped = read.unwrap_or_default();
        }
        Ok((kept, dropped > 0))
    };
    let status = async { child.wait().await.map_err(ProgramError::Start) };
    let ((), stdout, (stderr, is_stderr_cut), status) =
        tokio::try_join!(feed, output, errors, status)?;
    Ok(Ended {
        code: status.code(),
        signal: signal_of(status),
        stdout,
        stderr,
        is_stderr_cut,
    })
}

#[cfg(unix)]
fn signal_group(id: Option<u32>, by_force: bool) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let signal = match by_force {
        true => Signal::KILL,
        false => Signal::TERM,
    };
    let id = id.and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(Pid::from_raw) {
        let _ = kill_process_group(id, signal);
    }
}

#[cfg(not(unix))]
fn signal_group(_: Option<u32>, _: bool) {}

pub(crate) fn kill_group(id: Option<u32>) {
    signal_group(id, true);
}

/// Ends every process that was started with one of the marks in its environment, including those that have left the
/// group.
#[cfg(target_os = "linux")]
pub(crate) fn kill_marked(marks: &[&str]) {
    use rustix::process::{Pid, Signal, kill_process};
    let marks: Vec<String> = marks.iter().map(|mark| format!("{MARK}={mark}")).collect();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let id = process.file_name().to_string_lossy().parse::<i32>().ok();
        let Some(id) = id.and_then(Pid::from_raw) else {
            continue;
        };
        // Those of other users cannot be read, and are not ours.
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        if variables.any(|variable| marks.iter().any(|mark| mark.as_bytes() == variable)) {
            let _ = kill_process(id, Signal::KILL);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn kill_marked(_: &[&str]) {}

#[cfg(unix)]
fn signal_of(status: std::process::ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal_of(_: std::process::ExitStatus) -> Option<i32> {
    None
}

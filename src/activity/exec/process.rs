//! A program's process: what goes in, what comes out, and its end, for which it can be asked.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::limits::{EXEC_ERROR_OUTPUT_SIZE_BYTES_MAX, EXEC_OUTPUT_SIZE_BYTES_MAX};

/// From the request to end (SIGTERM) to the end by force (SIGKILL): less than the worker waits for a cancelled activity.
const GRACE: Duration = Duration::from_secs(4);

pub struct Program {
    pub path: PathBuf,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub input: Vec<u8>,
}

pub struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// There was more of it.
    pub is_stderr_cut: bool,
}

pub enum ProgramError {
    Start(io::Error),
    /// More on its standard output than EXEC_OUTPUT_SIZE_BYTES_MAX.
    TooMuch,
}

impl Program {
    /// Begins it. What comes back ends with the process, which is asked to end once `stop` fires.
    pub fn start(
        self,
        stop: CancellationToken,
    ) -> Result<JoinHandle<Result<Ended, ProgramError>>, ProgramError> {
        let child = self.spawn().map_err(ProgramError::Start)?;
        Ok(tokio::spawn(supervise(child, self.input, stop)))
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

/// Serves the process until it has ended. While it is asked to end, what it still writes is read, so that it can.
async fn supervise(
    child: Child,
    input: Vec<u8>,
    stop: CancellationToken,
) -> Result<Ended, ProgramError> {
    let id = child.id();
    let ended = exchange(child, input);
    tokio::pin!(ended);
    tokio::select! {
        ended = &mut ended => {
            if matches!(ended, Err(ProgramError::TooMuch)) {
                signal_group(id, true);
            }
            return ended;
        }
        () = stop.cancelled() => signal_group(id, false),
    }
    let in_time = tokio::time::timeout(GRACE, &mut ended).await;
    // The program may be gone and what it began not: the group has its id as long as one of it is there.
    signal_group(id, true);
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
            // The rest is read, so that the program does not wait for room.
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

#[cfg(unix)]
fn signal_of(status: std::process::ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal_of(_: std::process::ExitStatus) -> Option<i32> {
    None
}

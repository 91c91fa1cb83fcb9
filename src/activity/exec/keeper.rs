//! Ends the programs of a worker that has ended, for whatever reason: a separate process beside the worker, which holds
//! the other end of a pipe and is notified of each program. When the pipe closes, it ends the programs that were
//! running, and everything that they started.
//!
//! A parent-death signal would not suffice: it is bound to a thread of the worker, and reaches only the program, not
//! what that started.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::process::{kill_group, kill_marked};

/// The argument that makes the worker's own program a keeper.
const ASKED: &str = "keep-programs";
const FOLDER_PREFIX: &str = "segno-exec-";
/// A program that was being started when the worker ended may appear a little later.
const LOOKS: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The worker's end.
pub(crate) struct Keeper {
    program: PathBuf,
    /// The folder of the worker's temporary files, which the keeper removes.
    folder: TempDir,
    state: Mutex<State>,
    marks: AtomicU64,
}

#[derive(Default)]
struct State {
    keeper: Option<(Child, ChildStdin)>,
    /// The running programs, by their marks; each with its process once it has one.
    programs: BTreeMap<String, Option<u32>>,
}

/// A program that is ended with the worker, until it has ended.
pub(crate) struct Kept {
    keeper: Arc<Keeper>,
    mark: String,
    is_running: bool,
}

impl Keeper {
    /// `program` is the `segno` program.
    pub(crate) fn new(program: PathBuf) -> io::Result<Keeper> {
        let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir()?;
        Ok(Keeper {
            program,
            folder,
            state: Mutex::default(),
            marks: AtomicU64::new(0),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Must be called before the program is started.
    pub(crate) fn keep(self: &Arc<Self>) -> Kept {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let mark = format!(
            "{}-{}-{}",
            std::process::id(),
            since.unwrap_or_default().as_nanos(),
            self.marks.fetch_add(1, Ordering::Relaxed)
        );
        self.tell(&format!("+{mark}\n"), |programs| {
            programs.insert(mark.clone(), None);
        });
        Kept {
            keeper: self.clone(),
            mark,
            is_running: false,
        }
    }

    /// Sends the keeper what has changed. A keeper that has ended is replaced by another, which receives everything.
    fn tell(&self, line: &str, change: impl FnOnce(&mut BTreeMap<String, Option<u32>>)) {
        let mut state = self.state();
        change(&mut state.programs);
        if let Some((_, pipe)) = &mut state.keeper
            && pipe.write_all(line.as_bytes()).is_ok()
        {
            return;
        }
        if let Some((mut gone, pipe)) = state.keeper.take() {
            drop(pipe);
            let _ = gone.wait();
        }
        match self.start(&state.programs) {
            Ok(keeper) => state.keeper = Some(keeper),
            Err(error) => {
                tracing::warn!("programs would outlive this worker if it were killed: {error}");
            }
        }
    }

    fn start(&self, programs: &BTreeMap<String, Option<u32>>) -> io::Result<(Child, ChildStdin)> {
        let mut command = Command::new(&self.program);
        command
            .args([ASKED.as_ref(), self.folder.path()])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // It must not receive the signals that a terminal sends to the worker.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut keeper = command.spawn()?;
        let pipe = keeper.stdin.take();
        let mut pipe = pipe.ok_or_else(|| io::Error::other("the keeper has no input"))?;
        for (mark, process) in programs {
            pipe.write_all(format!("+{mark}\n").as_bytes())?;
            if let Some(process) = process {
                pipe.write_all(format!("={mark} {process}\n").as_bytes())?;
            }
        }
        Ok((keeper, pipe))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// A variable in the environment of the program and of everything that it starts.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn began(&mut self, process: Option<u32>) {
        self.is_running = true;
        let Some(process) = process else { return };
        let mark = &self.mark;
        self.keeper
            .tell(&format!("={mark} {process}\n"), |programs| {
                programs.insert(mark.clone(), Some(process));
            });
    }

    /// The program has ended, or was ended.
    pub(crate) fn ended(&mut self) {
        self.is_running = false;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // No task waits for it any more, which happens when the worker ends: the keeper ends it.
        if self.is_running {
            return;
        }
        let mark = &self.mark;
        self.keeper.tell(&format!("-{mark}\n"), |programs| {
            programs.remove(mark);
        });
    }
}

/// The keeper's end, if this process is a keeper.
pub(crate) fn serve() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ASKED {
        return None;
    }
    let folder = PathBuf::from(arguments.next()?);
    let mut programs: BTreeMap<String, Option<u32>> = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if let Some(mark) = line.strip_prefix('+') {
            programs.insert(mark.to_owned(), None);
        } else if let Some(mark) = line.strip_prefix('-') {
            programs.remove(mark);
        } else if let Some((mark, process)) = line.strip_prefix('=').and_then(|l| l.split_once(' '))
        {
            programs.insert(mark.to_owned(), process.parse().ok());
        }
    }
    end(&programs);
    // Only what the worker created.
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with(FOLDER_PREFIX) {
        let _ = std::fs::remove_dir_all(&folder);
    }
    Some(ExitCode::SUCCESS)
}

fn end(programs: &BTreeMap<String, Option<u32>>) {
    if programs.is_empty() {
        return;
    }
    programs.values().for_each(|process| kill_group(*process));
    let marks: Vec<&str> = programs.keys().map(String::as_str).collect();
    for _ in 0..LOOKS {
        kill_marked(&marks);
        std::thread::sleep(LOOK_EVERY);
    }
}

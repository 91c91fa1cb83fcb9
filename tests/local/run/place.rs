//! A folder with a definition, the log that its steps write, and a clock that tests set.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::run::Run;
use crate::support::{segno, until};

pub struct Place {
    folder: tempfile::TempDir,
    fault: Option<&'static str>,
}

impl Place {
    /// The definition is in `run.yaml`; `fault` is put back.
    pub fn new(definition: &str, fault: Option<&'static str>) -> Place {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("run.yaml"), definition).unwrap();
        Place { folder, fault }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn arguments() -> [&'static str; 6] {
        let own = ["run", "run.yaml", "--workflow-type", "main"];
        [own[0], own[1], own[2], own[3], "--exec-allow", "sh=/bin/sh"]
    }

    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env("SEGNO_TEST_CLOCK", self.path().join("clock"))
            .env_remove("SEGNO_FAULT");
        if let Some(fault) = self.fault {
            command.env("SEGNO_FAULT", fault);
        }
        command
    }

    pub fn run(&self) -> Run {
        Run::of(self.command(&segno()).args(Place::arguments()))
    }

    /// Begins a process whose output is in the files `out` and `err`.
    pub fn spawn(&self) -> Process {
        let file = |name: &str| std::fs::File::create(self.path().join(name)).unwrap();
        let mut command = self.command(&segno());
        command.args(Place::arguments());
        let (out, err) = (file("out"), file("err"));
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        Process(command.spawn().unwrap())
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    pub fn log(&self) -> String {
        self.read("log")
    }

    pub fn await_in(&self, name: &str, text: &str) {
        until(&format!("{text:?} in {name}"), || {
            self.read(name).contains(text).then_some(())
        });
    }

    /// Waits for the programs that a killed process has left behind: what they write would come after what the next one writes.
    pub fn await_programs(&self) {
        let own = self.path().canonicalize().unwrap();
        let is_here = |process: std::fs::DirEntry| {
            let at = std::fs::read_link(process.path().join("cwd"));
            at.is_ok_and(|at| at == own)
        };
        until("the end of the programs", || {
            let mut processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
            (!processes.any(is_here)).then_some(())
        });
    }

    /// Sets the machine's clock, in seconds from the right time.
    pub fn set_clock(&self, seconds: i64) {
        // Whoever reads it meanwhile finds the one or the other.
        let new = self.path().join("clock.new");
        std::fs::write(&new, seconds.to_string()).unwrap();
        std::fs::rename(new, self.path().join("clock")).unwrap();
    }
}

/// It ends with the test, however that ends.
pub struct Process(Child);

impl Deref for Process {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let id = i32::try_from(child.id()).unwrap();
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

//! Processes that are killed, paused and let go on by their ids, and end with this one however it ends.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::support::root;

/// The shell keeps the process's id from being used again until it is told to end, by the end of the pipe.
const SCRIPT: &str = r#"log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!; cat >/dev/null; kill -9 $!; wait $!"#;

pub struct Process {
    shell: Child,
    pid: Pid,
}

impl Process {
    pub fn spawn(command: &Command, log: &Path) -> Process {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SCRIPT, "sh"])
            .arg(log)
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(command.get_current_dir().unwrap_or(root()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        File::options().append(true).create(true).open(log).unwrap();
        let mut shell = shell.spawn().unwrap();
        let mut line = String::new();
        let told = shell.stdout.take().unwrap();
        BufReader::new(told).read_line(&mut line).unwrap();
        let pid = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        Process { shell, pid }
    }

    /// It is there as a zombie only, or not at all.
    pub fn has_ended(&self) -> bool {
        let stat = format!("/proc/{}/stat", self.pid.as_raw_nonzero());
        let stat = std::fs::read_to_string(stat).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
        !matches!(state, Some(Some(state)) if state != 'Z')
    }

    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

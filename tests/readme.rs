//! Runs every command of README.md's console blocks and compares what it prints. `…` stands for any text in a line; run ids
//! and how long things take are not compared.

#![cfg(feature = "cluster")]

mod support;

use std::fs::File;
use std::process::{Child, Command, Stdio};

use regex::Regex;
use support::cluster::{spawn_bound, temporal};
use support::{free_port, root, segno, until};

/// A part of README.md that the test does something about.
enum Part {
    Run {
        command: String,
        expected: Vec<String>,
    },
    Save {
        path: String,
        text: String,
    },
}

fn parts(readme: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else {
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if info == "console" {
            parts.extend(commands(&block));
        } else if let Some((_, path)) = info.split_once(' ') {
            parts.push(Part::Save {
                path: path.to_owned(),
                text: block.join("\n") + "\n",
            });
        }
    }
    parts
}

/// A line that begins with `$` is a command, what follows is its output. The demo shows commands of its own.
fn commands(block: &[&str]) -> Vec<Part> {
    let mut parts = Vec::new();
    for line in block {
        let within_demo =
            matches!(parts.last(), Some(Part::Run { command, .. }) if command == "./demo");
        match (line.strip_prefix("$ "), parts.last_mut()) {
            (Some(command), _) if !within_demo => {
                parts.push(Part::Run {
                    command: command.to_owned(),
                    expected: Vec::new(),
                });
            }
            (_, Some(Part::Run { expected, .. })) => expected.push((*line).to_owned()),
            _ => panic!("a console block begins with `{line}`, not with a command"),
        }
    }
    parts
}

/// Where the commands run: the files that the README speaks of, on ports of its own.
struct Tour {
    folder: tempfile::TempDir,
    port: u16,
    ui_port: u16,
    background: Vec<Child>,
}

impl Tour {
    fn new() -> Tour {
        let folder = tempfile::tempdir().unwrap();
        let copied = Command::new("cp")
            .arg("-R")
            .arg(root().join("workflows"))
            .arg(folder.path())
            .status();
        assert!(copied.unwrap().success());
        // Installs the tools where they are missing.
        temporal();
        std::os::unix::fs::symlink(root().join(".tools"), folder.path().join(".tools")).unwrap();
        Tour {
            folder,
            port: free_port(),
            ui_port: free_port(),
            background: Vec::new(),
        }
    }

    fn command(&self, command: &str) -> Command {
        let folder = segno().parent().unwrap().display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .current_dir(self.folder.path())
            .env("PATH", format!("{folder}:{path}"))
            .env("SEGNO_DEV_PORT", self.port.to_string())
            .env("SEGNO_DEV_UI_PORT", self.ui_port.to_string())
            .env("TEMPORAL_ADDRESS", format!("127.0.0.1:{}", self.port))
            .env("SEGNO", segno())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        shell
    }

    fn run(&mut self, command: &str, expected: &[String]) {
        let port = |line: &String| {
            let line = line.replace("7233", &self.port.to_string());
            line.replace("8233", &self.ui_port.to_string())
        };
        let expected: Vec<_> = expected.iter().map(port).collect();
        println!("$ {command}");
        if let Some(background) = command.strip_suffix(" &") {
            return self.begin(background, &expected);
        }
        let mut shell = self.command(&format!("exec 2>&1; {command}"));
        if command == "./demo" {
            shell.current_dir(root());
        }
        let output = shell.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{text}");
        assert_like(&expected, &text, command);
    }

    fn begin(&mut self, command: &str, expected: &[String]) {
        let number = self.background.len();
        let path = self.folder.path().join(format!("output-{number}"));
        let logs = self.folder.path().join(format!("logs-{number}"));
        let mut shell = self.command(&format!("exec {command}"));
        // The test reads there when a definition has come into force.
        shell.env("RUST_LOG", "segno=info");
        let child = spawn_bound(
            &shell,
            File::create(&path).unwrap(),
            File::create(logs).unwrap(),
        );
        self.background.push(child);
        until(command, || {
            let text = std::fs::read_to_string(&path).unwrap();
            (text.lines().count() >= expected.len()).then_some(())
        });
        assert_like(expected, &std::fs::read_to_string(&path).unwrap(), command);
    }

    /// How often the worker has logged something about the file that the tour writes.
    fn reloads(&self) -> usize {
        let logs = std::fs::read_to_string(self.folder.path().join("logs-0")).unwrap_or_default();
        logs.matches("lunch").count()
    }

    /// Does something that the worker is to take notice of.
    fn reloaded(&mut self, change: impl FnOnce(&mut Tour)) {
        let before = self.reloads();
        change(self);
        until("the definition's reload", || {
            (self.reloads() > before).then_some(())
        });
    }
}

impl Drop for Tour {
    fn drop(&mut self) {
        for child in &mut self.background {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

#[test]
fn every_command_of_the_readme_prints_what_it_says() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut tour = Tour::new();
    for part in parts(&readme) {
        match part {
            // Workers leave tests alone.
            Part::Save { path, text } if path.ends_with(".test.yaml") => {
                std::fs::write(tour.folder.path().join(path), text).unwrap();
            }
            Part::Save { path, text } => tour.reloaded(|tour| {
                std::fs::write(tour.folder.path().join(path), text).unwrap();
            }),
            // The worker takes a changed file within a second. A slow machine may need more: it is asked, not timed.
            Part::Run { command, expected } if command.starts_with("sed ") => {
                tour.reloaded(|tour| tour.run(&command, &expected));
            }
            Part::Run { command, expected } => tour.run(&command, &expected),
        }
    }
}

fn assert_like(expected: &[String], found: &str, command: &str) {
    let found: Vec<_> = found.lines().map(comparable).collect();
    let expected: Vec<_> = expected.iter().map(|line| comparable(line)).collect();
    let pairs = expected.iter().zip(&found);
    let is_like = found.len() == expected.len() && pairs.clone().all(|(e, f)| is_like(e, f));
    assert!(
        is_like,
        "`{command}` prints\n{}\nand not\n{}",
        found.join("\n"),
        expected.join("\n")
    );
}

/// Without run ids, times and the bars that show them, and with one space between columns.
fn comparable(line: &str) -> String {
    let variable =
        Regex::new(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+\.\d{3}s|[·█]+").unwrap();
    let line = variable.replace_all(line, "…");
    let text = line.trim_start();
    let indent = &line[..line.len() - text.len()];
    indent.to_owned() + &text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_like(pattern: &str, text: &str) -> bool {
    let escaped: Vec<_> = pattern
        .split('…')
        .map(|part| regex::escape(part.trim_end()))
        .collect();
    let pattern = format!("^{}$", escaped.join(".*"));
    Regex::new(&pattern).unwrap().is_match(text)
}

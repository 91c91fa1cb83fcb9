//! Runs every command of README.md's console blocks and compares what it prints. `…` stands for any text in a line; run ids
//! and how long things take are not compared. The tour is given to one shell all at once, as somebody does who pastes it.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::cluster::{spawn_bound, temporal};
use crate::support::{free_port, root, segno, until};
use regex::Regex;

/// The demo has a block of its own, and shows commands that it runs itself.
const DEMO: &str = "./demo";

/// What the shell prints between two commands of the tour, with the number of the next.
const MARK: &str = "@@@@ ";

/// Waits of the tour are for the worker, which the test asks instead of waiting; each is for one more definition in force. What
/// the worker logs is kept aside.
const PRELUDE: &str = r#"
pids=
trap 'kill $pids 2>/dev/null; wait' EXIT TERM
segno() {
    case "$1" in
        dev) RUST_LOG=segno=info exec "$SEGNO" "$@" 2>> logs ;;
        *) "$SEGNO" "$@" ;;
    esac
}
reloads=0
sleep() {
    if [ "$1" = 1 ]; then command sleep 1; return; fi
    while [ "$(grep lunch logs | grep -c 'definition in force\|definition changed')" -le "$reloads" ]; do command sleep 0.1; done
    reloads=$((reloads + 1))
}
"#;

struct Said {
    command: String,
    expected: Vec<String>,
}

impl Said {
    fn is_in_background(&self) -> bool {
        self.command.ends_with(" &")
    }
}

fn commands(readme: &str) -> Vec<Said> {
    let mut commands = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        if line == "```console" {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            commands.extend(of_block(&block));
        }
    }
    commands
}

/// A line that begins with `$` is a command, with a document behind it if it reads one; what follows is its output.
fn of_block(block: &[&str]) -> Vec<Said> {
    let mut commands: Vec<Said> = Vec::new();
    let mut lines = block.iter();
    while let Some(line) = lines.next() {
        let within_demo = commands.last().is_some_and(|said| said.command == DEMO);
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) if !within_demo => {
                let mut command = command.to_owned();
                if command.ends_with("<<'END'") {
                    let document = lines.by_ref().take_while(|line| **line != "END");
                    for line in document {
                        let _ = write!(command, "\n{line}");
                    }
                    command += "\nEND";
                }
                commands.push(Said {
                    command,
                    expected: Vec::new(),
                });
            }
            (_, Some(said)) => said.expected.push((*line).to_owned()),
            _ => panic!("a console block begins with `{line}`, not with a command"),
        }
    }
    commands
}

/// Where the tour goes: the files that the README speaks of, on ports of its own.
struct Tour {
    folder: tempfile::TempDir,
    port: u16,
    ui_port: u16,
    /// Its end ends all that was started.
    shell: Option<Child>,
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
        File::create(folder.path().join("logs")).unwrap();
        Tour {
            folder,
            port: free_port(),
            ui_port: free_port(),
            shell: None,
        }
    }

    fn shell(&self, script: &str, folder: &Path) -> Command {
        let programs = segno().parent().unwrap().display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script])
            .current_dir(folder)
            .env("PATH", format!("{programs}:{path}"))
            .env("SEGNO_DEV_PORT", self.port.to_string())
            .env("SEGNO_DEV_UI_PORT", self.ui_port.to_string())
            .env("TEMPORAL_ADDRESS", format!("127.0.0.1:{}", self.port))
            .env("SEGNO", segno())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        shell
    }

    fn expected(&self, said: &Said) -> Vec<String> {
        let port = |line: &String| {
            let line = line.replace("7233", &self.port.to_string());
            line.replace("8233", &self.ui_port.to_string())
        };
        said.expected.iter().map(port).collect()
    }

    fn demo(&self, said: &Said) {
        let output = self.shell("exec 2>&1; ./demo", root()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{text}");
        assert_like(&self.expected(said), &text, DEMO);
    }

    /// Gives all commands to one shell, as its standard input, and returns what it has printed at the end.
    fn paste(&mut self, commands: &[Said]) -> String {
        let mut script = PRELUDE.to_owned();
        for (number, said) in commands.iter().enumerate() {
            let _ = write!(script, "echo '{MARK}{number}'\n{}\n", said.command);
            if said.is_in_background() {
                script += "pids=\"$pids $!\"\n";
            }
        }
        let end = format!("{MARK}{}\n", commands.len());
        let _ = writeln!(script, "echo '{}'", end.trim());
        let file = |name: &str| self.folder.path().join(name);
        std::fs::write(file("tour.sh"), script).unwrap();
        let shell = self.shell("exec sh -s < tour.sh 2>&1", self.folder.path());
        let output = File::create(file("output")).unwrap();
        self.shell = Some(spawn_bound(&shell, output, Stdio::inherit()));
        let printed = || std::fs::read_to_string(file("output")).unwrap();
        // Each command has its time, and not all of them one.
        for number in 0..=commands.len() {
            let mark = format!("{MARK}{number}\n");
            let command = number
                .checked_sub(1)
                .map_or("the shell", |n| &commands[n].command);
            until(command, || printed().contains(&mark).then_some(()));
        }
        printed()
    }
}

impl Drop for Tour {
    fn drop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }
}

#[test]
fn every_command_of_the_readme_prints_what_it_says() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (demo, commands): (Vec<_>, Vec<_>) = commands(&readme)
        .into_iter()
        .partition(|said| said.command == DEMO);
    // What `segno dev` suggests has to work as it is.
    let mut commands = commands;
    commands.push(Said {
        command: r#"eval "$(sed -n 's/^try  *//p' output)""#.to_owned(),
        expected: vec!["… started run …".to_owned()],
    });
    let mut tour = Tour::new();
    demo.iter().for_each(|said| tour.demo(said));
    let mut printed = tour.paste(&commands);
    println!("{printed}");
    // What runs in the background prints at times of its own.
    for said in commands.iter().filter(|said| said.is_in_background()) {
        for line in tour.expected(said) {
            let pattern = comparable(&line);
            let found = printed
                .lines()
                .find(|found| is_like(&pattern, &comparable(found)));
            let Some(found) = found.map(|found| format!("{found}\n")) else {
                panic!("`{}` does not print `{line}`:\n{printed}", said.command);
            };
            printed = printed.replacen(&found, "", 1);
        }
    }
    for (number, said) in commands.iter().enumerate() {
        let (begin, end) = (
            format!("{MARK}{number}\n"),
            format!("{MARK}{}\n", number + 1),
        );
        let text = printed
            .split_once(&begin)
            .unwrap()
            .1
            .split_once(&end)
            .unwrap()
            .0;
        let expected = match said.is_in_background() {
            true => Vec::new(),
            false => tour.expected(said),
        };
        assert_like(&expected, text, &said.command);
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

//! The documentation of the command line names every command, and no other.
#![cfg(feature = "cluster")]

use std::collections::BTreeSet;
use std::process::Command;

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_segno"))
        .args(command)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands below a command, by its help.
fn commands(command: &[&str]) -> BTreeSet<String> {
    let help = help(command);
    let Some((_, commands)) = help.split_once("Commands:\n") else {
        return BTreeSet::new();
    };
    commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_that_speaks_to_a_cluster_connects_as_the_worker_does() {
    const ALONE: [&str; 5] = ["codec", "dev", "eval", "lint", "schema"];
    let connection = |help: &str| {
        let (_, connection) = help.split_once("\nConnection:\n")?;
        let words = connection.split_whitespace();
        let flags = words.filter(|word| word.starts_with("--"));
        let own = flags.filter(|flag| !["--output", "--color"].contains(flag));
        Some(own.map(str::to_owned).collect::<BTreeSet<_>>())
    };
    let wanted = connection(&help(&["worker"])).unwrap();
    assert!(wanted.len() > 15, "{wanted:?}");
    for command in commands(&[]) {
        if ALONE.contains(&command.as_str()) {
            continue;
        }
        let below = commands(&[&command]);
        let names = match below.is_empty() {
            true => vec![vec![command.as_str()]],
            false => below
                .iter()
                .map(|name| vec![command.as_str(), name])
                .collect(),
        };
        for name in names {
            assert_eq!(connection(&help(&name)).as_ref(), Some(&wanted), "{name:?}");
        }
    }
}

#[test]
fn every_command_is_documented() {
    let commands = commands(&[]);
    let page = include_str!("../docs/command-line.md");
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `segno "));
    let documented: BTreeSet<String> = rows
        .filter_map(|row| row.split(['`', ' ']).next())
        .map(str::to_owned)
        .collect();
    assert_eq!(commands, documented);
}

#[test]
fn every_option_of_the_worker_is_documented() {
    let help = help(&["worker"]);
    let page = include_str!("../docs/worker.md");
    let global = ["--help", "--version", "--output", "--color"];
    let lines = help.lines().map(str::trim_start);
    let flags: Vec<&str> = lines
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| {
            line.split([' ', '=', '[', ','])
                .find(|word| word.starts_with("--"))
        })
        .filter(|flag| !global.contains(flag))
        .collect();
    assert!(flags.len() > 40, "{flags:?}");
    let missing: Vec<_> = flags
        .iter()
        .filter(|flag| !page.contains(&format!("`{flag}`")))
        .collect();
    assert!(missing.is_empty(), "docs/worker.md lacks {missing:?}");
}

#[test]
fn a_wrong_command_line_exits_with_2_and_an_unreachable_server_with_1() {
    let exit = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_segno"))
            .args(args)
            .args(["--address", "127.0.0.1:1", "--disable-config-file"])
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, text) = exit(&["start", "hello", "--input", "no json"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--input is not JSON"), "{text}");
    let (code, text) = exit(&["list"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("cannot reach a Temporal server at http://127.0.0.1:1/"),
        "{text}"
    );
}

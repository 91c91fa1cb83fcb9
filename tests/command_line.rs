//! The documentation of the command line names every command, and no other.
#![cfg(feature = "cluster")]

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn every_command_is_documented() {
    let help = Command::new(env!("CARGO_BIN_EXE_segno"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands: BTreeSet<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    let page = include_str!("../docs/command-line.md");
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `segno "));
    let documented: BTreeSet<&str> = rows
        .filter_map(|row| row.split(['`', ' ']).next())
        .collect();
    assert_eq!(commands, documented);
}

#[test]
fn every_option_of_the_worker_is_documented() {
    let help = Command::new(env!("CARGO_BIN_EXE_segno"))
        .args(["worker", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
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

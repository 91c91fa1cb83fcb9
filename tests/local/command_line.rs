//! The documentation of the command line names every command, and no other.
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
    const ALONE: [&str; 8] = [
        "codec", "dev", "eval", "explain", "lint", "run", "schema", "test",
    ];
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
    let page = include_str!("../../docs/command-line.md");
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
    let page = include_str!("../../docs/worker.md");
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

/// What the server would refuse, or take for something else, never leaves the machine.
#[test]
fn a_wrong_value_is_refused_with_what_is_right() {
    let start = "start hello";
    let create = "schedule create nightly --type hello";
    for (command, arguments, wanted) in [
        (start, &["--execution-timeout", "-5s"][..], "longer than 0s"),
        (start, &["--run-timeout", "0s"], "longer than 0s"),
        (
            start,
            &["--task-timeout", "soon"],
            "`soon` is not a duration",
        ),
        (start, &["--start-delay", "-1h"], "longer than 0s"),
        (
            start,
            &["--retry-backoff-coefficient", "0.5"],
            "a backoff coefficient is at least 1",
        ),
        (
            start,
            &["--retry-backoff-coefficient", "NaN"],
            "a backoff coefficient is at least 1",
        ),
        (
            start,
            &["--retry-backoff-coefficient", "twice"],
            "not a number",
        ),
        (
            start,
            &["--retry-maximum-attempts", "-1"],
            "the number of attempts is from 0",
        ),
        (
            start,
            &["--retry-maximum-attempts", "1.5"],
            "a whole number is expected",
        ),
        (
            start,
            &[
                "--retry-initial-interval",
                "10s",
                "--retry-maximum-interval",
                "5s",
            ],
            "the maximum interval, 5s, is shorter than the initial interval, 10s",
        ),
        (
            start,
            &["--retry-maximum-interval", "500ms"],
            "shorter than the initial interval, 1s",
        ),
        (
            start,
            &["--cron-schedule", "whenever"],
            "`whenever` is no cron schedule",
        ),
        (
            start,
            &["--cron-schedule", "61 * * * *"],
            "`61` is no minute",
        ),
        (
            start,
            &["--cron-schedule", "@daily", "--start-delay", "1h"],
            "cannot be used with",
        ),
        (start, &["--priority-key", "6"], "a priority key is from 1"),
        (start, &["--priority-key", "-1"], "a priority key is from 1"),
        (
            start,
            &["--fairness-weight", "0"],
            "a fairness weight is from 0.001 to 1000",
        ),
        (
            start,
            &["--fairness-key", &"k".repeat(65)],
            "FAIRNESS_KEY_SIZE_BYTES_MAX",
        ),
        (start, &["--workflow-id", ""], "this is empty"),
        (
            start,
            &["--task-queue", &"q".repeat(1001)],
            "ID_SIZE_BYTES_MAX",
        ),
        (
            start,
            &["--id-reuse-policy", "sometimes"],
            "possible values: allow-duplicate",
        ),
        (start, &["--memo", "a=b"], "--memo a is not JSON"),
        (start, &["--search-attribute", "a"], "expected KEY=VALUE"),
        (start, &["--update-input", "1"], "--update <NAME>"),
        (
            start,
            &["--update", "add", "--signal", "go"],
            "cannot be used with",
        ),
        (
            start,
            &["--update", "add", "--update-input", "x"],
            "--update-input is not JSON",
        ),
        (
            create,
            &["--interval", "0s"],
            "--interval: an interval must be at least 1s (SCHEDULE_INTERVAL_SECONDS_MIN)",
        ),
        (
            create,
            &["--interval", "1h/2h"],
            "an offset must be shorter than its interval",
        ),
        (create, &["--interval", "1500ms"], "in whole seconds"),
        (
            create,
            &["--cron", "nonsense"],
            "--cron: `nonsense` is not a cron string",
        ),
        (
            create,
            &["--cron", "60 * * * *"],
            "`60` is not valid for `minute`; `minute` must be from 0 to 59",
        ),
        (
            create,
            &["--cron", "TZ=UTC @daily", "--time-zone", "UTC"],
            "keep one",
        ),
        (
            create,
            &["--calendar", r#"{"hour":"25"}"#],
            "--calendar: `25` is not valid for `hour`",
        ),
        (
            create,
            &["--calendar", r#"{"our":"5"}"#],
            "unknown field `our`",
        ),
        (
            create,
            &["--calendar", r#"{"dayOfWeek":"Freitag"}"#],
            "`Freitag` is not valid for `day_of_week`",
        ),
        (
            create,
            &["--skip", r#"{"month":13}"#],
            "--skip: `13` is not valid for `month`",
        ),
        (
            create,
            &["--time-zone", "Mars/Olympus"],
            "--time-zone: there is no time zone `Mars/Olympus`",
        ),
        (
            create,
            &["--jitter", "-1s"],
            "--jitter: a jitter must not be negative",
        ),
        (
            create,
            &["--catchup-window", "1s"],
            "SCHEDULE_CATCHUP_WINDOW_SECONDS_MIN",
        ),
        (
            create,
            &["--start-time", "tomorrow"],
            "expected e.g. 2030-01-31T09:00:00Z",
        ),
        (
            create,
            &[
                "--start-time",
                "2030-01-02T00:00:00Z",
                "--end-time",
                "2030-01-01T00:00:00Z",
            ],
            "--end-time: the schedule ends at 2030-01-01T00:00:00Z, before it starts",
        ),
        (
            create,
            &["--overlap-policy", "never"],
            "possible values: skip, buffer-one",
        ),
        (
            create,
            &["--schedule-memo", "a=b"],
            "--schedule-memo a is not JSON",
        ),
        ("schedule create", &["nightly"], "--type <TYPE>"),
        (
            "schedule update nightly",
            &[],
            "nothing to change: no flag was given",
        ),
        ("schedule update nightly", &["--replace"], "--type <TYPE>"),
        (
            "schedule backfill nightly",
            &[
                "--start-time",
                "2030-01-02T00:00:00Z",
                "--end-time",
                "2030-01-02T00:00:00Z",
            ],
            "--end-time: the end of the time to backfill",
        ),
        ("schedule pause nightly", &["--note", ""], "this is empty"),
        (
            "namespace register night",
            &["--retention", "0s"],
            "longer than 0s",
        ),
        (
            "namespace update night",
            &[],
            "nothing to change: no flag was given",
        ),
        ("namespace delete night", &[], "pass --yes to confirm"),
        (
            "search-attribute create",
            &["--name", "A", "--type", "Date"],
            "possible values: Text, Keyword",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_segno"))
            .args(command.split(' '))
            .args(arguments)
            .args(["--address", "127.0.0.1:1", "--disable-config-file"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && text.contains(wanted),
            "segno {command} {arguments:?}: {text}"
        );
    }
}

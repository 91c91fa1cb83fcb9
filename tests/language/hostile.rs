//! Files made to hurt: each is refused with an error that names its bound, and costs little memory. `SEGNO_BINARY` names a release build to try in the
//! place of this one, with files of 1 MiB: see CONTRIBUTING.md.
#[path = "hostile/shapes.rs"]
mod shapes;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use segno::bundle::{Bundle, BundleFile, Versions};
use segno::limits::DEFINITION_SIZE_BYTES_MAX;
use shapes::{Shape, shapes};

const MEMORY_KIB_MAX: u64 = 200 * 1024;

/// What linting came to.
struct Linted {
    said: String,
    /// The most memory that the process had, watched while it ran.
    peak_kib: u64,
    /// What it took of all processors; the last millisecond may be missing.
    cpu: Duration,
    code: Option<i32>,
}

fn lint(name: &str, content: &[u8]) -> Linted {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(format!("{name}.yaml"));
    std::fs::write(&path, content).expect("the file is written");
    lint_path(&path)
}

fn lint_path(path: &Path) -> Linted {
    watched("lint", path)
}

fn watched(command: &str, path: &Path) -> Linted {
    let binary = released().unwrap_or_else(|| env!("CARGO_BIN_EXE_segno").into());
    let mut child = Command::new(binary)
        .arg(command)
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("segno runs");
    let status = format!("/proc/{}/status", child.id());
    let times = format!("/proc/{}/stat", child.id());
    let mut stdout = child.stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        stdout.read_to_string(&mut said).expect("it speaks UTF-8");
        said
    });
    let (mut peak, mut cpu) = (0, Duration::ZERO);
    let code = loop {
        if let Ok(times) = std::fs::read_to_string(&times) {
            cpu = cpu_of(&times).unwrap_or_default().max(cpu);
        }
        if let Ok(status) = std::fs::read_to_string(&status) {
            peak = status.lines().find_map(peak_of).unwrap_or(0).max(peak);
        }
        if let Some(status) = child.try_wait().expect("a child") {
            break status.code();
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    Linted {
        said: reader.join().expect("the reader ends"),
        peak_kib: peak,
        cpu,
        code,
    }
}

/// User and system time of a process, in the kernel's ticks of a hundredth of a second.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

fn peak_of(line: &str) -> Option<u64> {
    line.strip_prefix("VmHWM:")?
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()
}

fn refused(name: &str, content: impl AsRef<[u8]>, because: &[&str]) {
    let Linted {
        said,
        peak_kib: peak,
        code,
        ..
    } = lint(name, content.as_ref());
    assert_eq!(code, Some(1), "{name} is refused, not crashed on");
    for words in because {
        assert!(said.contains(words), "{name}: {words:?} is not in\n{said}");
    }
    assert!(peak < MEMORY_KIB_MAX, "{name} took {peak} KiB");
    assert!(
        said.len() < 200_000,
        "{name}: the report has {} bytes",
        said.len()
    );
}

#[test]
fn nesting_is_bounded() {
    let because = ["yaml-too-deep", "YAML_DEPTH_MAX"];
    refused("lists", format!("segno: {}", "[".repeat(100_000)), &because);
    let closed = format!("segno: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    refused("closed-lists", closed, &because);
    refused("mappings", "{a: ".repeat(100_000), &because);
    refused("block-lists", "- ".repeat(100_000) + "x", &because);
    refused("explicit-keys", "? ".repeat(100_000), &because);
    let staircase: String = (0..1_400).map(|i| " ".repeat(i) + "a:\n").collect();
    refused("staircase", staircase, &because);
}

#[test]
fn aliases_are_bounded() {
    let because = ["yaml-too-many-nodes", "YAML_NODES_MAX"];
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (name, of) in ('b'..='j').zip('a'..) {
        let aliases = vec![format!("*{of}"); 9].join(", ");
        bomb += &format!("{name}: &{name} [{aliases}]\n");
    }
    refused("bomb", bomb, &because);
    refused(
        "many-aliases",
        format!("a: &a x\nb: [{}]", ["*a"; 250_000].join(",")),
        &because,
    );
    let anchors: String = (0..120).map(|i| format!("&a{i} [")).collect();
    let nested = format!("{anchors}{}{}", "x, ".repeat(190_000), "]".repeat(120));
    refused("nested-anchors", nested, &because);
    let mut deep = String::from("a0: &a0 [x]\n");
    for i in 1..1_000 {
        deep += &format!("a{i}: &a{i} [*a{}]\n", i - 1);
    }
    refused("deep-aliases", deep, &["YAML_DEPTH_MAX"]);
}

#[test]
fn size_is_bounded() {
    let because = ["file-too-large", "DEFINITION_SIZE_BYTES_MAX"];
    let mut content = b"segno: ".to_vec();
    content.resize(100 * 1024 * 1024, b'x');
    refused("scalar", content, &because);
    refused("nodes", "- a\n".repeat(250_000), &["YAML_NODES_MAX"]);
    refused("documents", "---\n".repeat(250_000), &["YAML_NODES_MAX"]);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    refused(
        "nul",
        b"segno: 1\nworkflow: a\0b\n",
        &["control-character", "NUL"],
    );
    refused(
        "utf-8",
        b"segno: 1\nworkflow: \xFF\xFE\n",
        &["invalid-utf8", "0xFF"],
    );
    refused("utf-16", b"\xFF\xFEs\0e\0g\0n\0o\0", &["UTF-16"]);
    refused("cut-utf-8", b"segno: 1\nworkflow: \xC3", &["invalid-utf8"]);
}

#[test]
fn the_report_of_many_mistakes_is_bounded() {
    let because = ["too-many-problems", "DIAGNOSTICS_PER_FILE_MAX"];
    let head = "segno: 1\nworkflow: x\n";
    let keys: String = (0..60_000).map(|i| format!("k{i}: 1\n")).collect();
    refused("unknown-keys", format!("{head}steps: []\n{keys}"), &because);
    refused(
        "broken-documents",
        "--- [\n".repeat(150_000),
        &["DIAGNOSTICS_PER_FILE_MAX"],
    );
    refused(
        "same-key",
        format!("{head}{}", "a: 1\n".repeat(60_000)),
        &because,
    );
    let cut = "- return: ${ x ? {'a': 1} : 2 }\n".repeat(20_000);
    refused(
        "cut-expressions",
        format!("{head}steps:\n{cut}"),
        &["cut-expression"],
    );
}

#[test]
fn long_lines_are_shown_in_part() {
    refused("colons", "a: ".repeat(300_000), &["yaml-syntax"]);
    refused(
        "spaces",
        format!("segno:{}x", " ".repeat(1_000_000)),
        &["unknown-version"],
    );
    refused(
        "carriage-returns",
        format!("segno: \"{}\"", "\r".repeat(1_000_000)),
        &["unknown-version"],
    );
}

/// The release build that is tried, if not this one.
fn released() -> Option<PathBuf> {
    std::env::var_os("SEGNO_BINARY").map(PathBuf::from)
}

/// Four times the size takes about four times the time; whatever is looked at by each of its kind takes sixteen times. Time
/// of the processor is compared with itself, and short times are the process's own. A release build keeps the bound itself.
fn costs_in_proportion(shapes: impl Iterator<Item = &'static (&'static str, Shape)>) {
    let is_debug = cfg!(debug_assertions) && released().is_none();
    let (small, large) = if is_debug {
        (16 << 10, 64 << 10)
    } else {
        (256 << 10, 1_030_000)
    };
    // What is larger is refused unread. Some shapes overshoot.
    let fits = |text: &String| text.len() <= DEFINITION_SIZE_BYTES_MAX;
    for (name, shape) in shapes {
        let text = Some(shape(large)).filter(fits);
        let text = text.unwrap_or_else(|| shape(large - large / 8));
        assert!(
            fits(&text) && text.len() > large / 8 || name.contains("forty"),
            "{name} is {}",
            text.len()
        );
        let (one, four) = (
            lint(name, shape(small).as_bytes()),
            lint(name, text.as_bytes()),
        );
        // A worker's loading is in this process, which is no release build because the command is one.
        let loaded = match released() {
            None => load_time(text),
            Some(_) => Duration::ZERO,
        };
        println!(
            "{:>9.2?} {:>9.2?} {:>9.2?} {:>7} KiB {name}",
            one.cpu, four.cpu, loaded, four.peak_kib
        );
        for linted in [&one, &four] {
            assert!(
                matches!(linted.code, Some(0 | 1)),
                "{name}: {:?}",
                linted.code
            );
            assert!(
                linted.said.len() < 300_000,
                "{name}: {} bytes",
                linted.said.len()
            );
        }
        let least = Duration::from_millis(150);
        assert!(
            four.cpu < 9 * one.cpu.max(least),
            "{name}: {:?}, then {:?}",
            one.cpu,
            four.cpu
        );
        assert!(
            loaded < 9 * one.cpu.max(least),
            "{name}: {:?}, then {loaded:?} to load",
            one.cpu
        );
        assert!(
            four.peak_kib < MEMORY_KIB_MAX,
            "{name} took {} KiB",
            four.peak_kib
        );
        if !is_debug {
            assert!(four.cpu < Duration::from_secs(2), "{name}: {:?}", four.cpu);
        }
    }
}

/// What a worker does with a bundle of this definition takes of its thread.
fn load_time(text: String) -> Duration {
    let entry = BundleFile {
        path: "hostile.yaml".into(),
        text: text.into(),
    };
    let bundle = Bundle::from_files("hostile", Versions::NEWEST, entry, 0, Vec::new());
    let packed = bundle.expect("a bundle").encode().expect("a packed bundle");
    std::thread::scope(|scope| {
        let load = || {
            // Whether it can be loaded does not matter here, only what it takes.
            let _ = segno::registry::load(&packed);
            let spent = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the times");
            let nanos = spent.split(' ').next().and_then(|nanos| nanos.parse().ok());
            Duration::from_nanos(nanos.expect("a number"))
        };
        scope.spawn(load).join().expect("it is loaded or refused")
    })
}

#[test]
fn every_shape_costs_in_proportion_to_its_size() {
    costs_in_proportion(shapes().step_by(2));
}

#[test]
fn every_other_shape_costs_in_proportion_to_its_size() {
    costs_in_proportion(shapes().skip(1).step_by(2));
}

#[test]
fn what_cannot_be_compiled_within_the_bounds_names_them() {
    let of = |wanted: &str| {
        let (_, shape) = shapes().find(|(name, _)| *name == wanted).expect(wanted);
        shape(128 << 10)
    };
    for (shape, bound) in [
        ("types that refer twice", "SCHEMA_DEPTH_MAX"),
        ("forty types that refer twice", "SCHEMA_NODES_MAX"),
        ("definitions within a schema", "SCHEMA_DEPTH_MAX"),
        ("patterns in schemas", "PATTERNS_PROGRAM_SIZE_BYTES_MAX"),
        (
            "patterns in schemas that look ahead",
            "PATTERNS_PROGRAM_SIZE_BYTES_MAX",
        ),
        ("patterns in expressions", "PATTERNS_PROGRAM_SIZE_BYTES_MAX"),
        ("defaults with a long expression", "COMPILED_"),
        ("aliases of a long text", "YAML_ALIASES_SIZE_BYTES_MAX"),
        ("blocks that there are not", "DIAGNOSTICS_PER_FILE_MAX"),
    ] {
        let text = of(shape);
        refused(shape, &text, &[bound]);
    }
}

#[test]
fn a_chain_of_files_is_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| {
        std::fs::write(folder.path().join(name), text).expect("the file is written");
    };
    write(
        "a.yaml",
        "segno: 1\nworkflow: a\nuse: l0.yaml\nsteps: []\n".into(),
    );
    for i in 0..3_000 {
        let text = format!(
            "segno: 1\nuse: l{}.yaml\ntypes: {{ t{i}: string }}\n",
            i + 1
        );
        write(&format!("l{i}.yaml"), text);
    }
    for path in [folder.path().join("a.yaml"), folder.path().to_owned()] {
        let linted = lint_path(&path);
        assert_eq!(linted.code, Some(1), "{}", linted.said);
        assert!(linted.said.contains("BUNDLE_FILES_MAX"), "{}", linted.said);
    }
}

/// Of a folder's definitions each uses the same large library, and calls one block of it.
#[test]
fn a_library_is_not_kept_once_for_each_definition_that_uses_it() {
    let peak_of = |definitions: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("the file is written");
        };
        let block = |i: usize| {
            format!(
                "  block_{i}:\n    input: {{ type: object, required: [name], properties: {{ name: {{ type: string }} }} }}\n\
                 \x20   do:\n      - if: ${{ input.name + '{i}' == 'a{i}' }}\n        then: [{{ return: \"${{ input.name }} {i}\" }}]\n      - return: null\n"
            )
        };
        let blocks: String = (0..400).map(block).collect();
        write("library.yaml", format!("segno: 1\nblocks:\n{blocks}"));
        for i in 0..definitions {
            let steps = format!(
                "[{{ id: it, call: block_{i}, input: {{ name: a }} }}, {{ return: \"${{ it }}\" }}]"
            );
            write(
                &format!("d{i}.yaml"),
                format!("segno: 1\nworkflow: d{i}\nuse: library.yaml\nsteps: {steps}\n"),
            );
        }
        let run = watched("run", &folder.path().join("d0.yaml"));
        assert_eq!((run.code, run.said.trim()), (Some(0), "\"a 0\""));
        run.peak_kib
    };
    let (one, many) = (peak_of(1), peak_of(40));
    println!("one definition takes {one} KiB, 40 take {many} KiB");
    assert!(many < one + one / 2, "{one} KiB, then {many} KiB");
}

//! Results of tests, for people, scripts and CI.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use serde_json::json;

use super::Tested;
use super::find::Found;
use crate::cli::output::{CliError, Output, Tone, styled};
use crate::diagnostic::Diagnostic;
use crate::report::{Format, Report};
use crate::source::Sources;

/// What is wrong with files, before anything runs.
pub fn mistakes(found: &Found, output: Output) -> Result<(), CliError> {
    let format = match output.is_json() {
        true => Format::Json,
        false => Format::Text,
    };
    let show = |sources: &Sources, diagnostics: Vec<Diagnostic>| {
        if !diagnostics.is_empty() {
            let report = Report::new(sources, diagnostics, found.files);
            anstream::eprint!("{}", report.render(format, true));
        }
    };
    // What else lint says of definitions is not of their tests.
    for (sources, diagnostics) in &found.definitions {
        let errors = diagnostics.iter().filter(|d| d.is_error());
        show(sources, errors.cloned().collect());
    }
    show(&found.sources, found.diagnostics.clone());
    Ok(())
}

pub fn results(tested: &[Tested<'_>], sources: &Sources, output: Output) -> Result<(), CliError> {
    let failed = tested.iter().filter(|tested| !tested.passed()).count();
    if output.is_json() {
        let tests: Vec<_> = tested
            .iter()
            .map(|tested| as_json(tested, sources))
            .collect();
        return output.json(&json!({
            "tests": tests,
            "passed": tested.len() - failed,
            "failed": failed,
        }));
    }
    for tested in tested {
        let (tone, word) = match tested.passed() {
            true => (Tone::Good, "ok  "),
            false => (Tone::Bad, "FAIL"),
        };
        let elapsed = styled(
            Tone::Dim,
            format!(
                "{} in {}",
                tested.report.status,
                tested.report.elapsed.words()
            ),
        );
        output.line(format!(
            "{} {} · {}  {elapsed}",
            styled(tone, word),
            tested.suite.shown,
            tested.name
        ))?;
        if !tested.passed() {
            output.line(details(tested, sources, true).trim_end())?;
        }
    }
    let counted = match tested.len() {
        0 => "no tests were run".to_owned(),
        1 => "1 test".to_owned(),
        count => format!("{count} tests"),
    };
    output.line(match failed {
        0 if tested.is_empty() => counted,
        0 => format!("{counted}, all passed"),
        failed => format!("{counted}, {failed} failed"),
    })
}

/// What was expected, what came, and the steps with their lines.
fn details(tested: &Tested<'_>, sources: &Sources, colours: bool) -> String {
    let mut text = String::new();
    if !tested.report.problems.is_empty() {
        let report = Report::new(sources, tested.report.problems.clone(), 1);
        // How many there are says nothing of a single test.
        let shown = report.render(Format::Text, colours);
        text += shown.trim_end().trim_end_matches(&report.summary());
    }
    for crash in &tested.crashes {
        let _ = writeln!(text, "  {crash}");
    }
    if !tested.report.timeline.is_empty() {
        text += "the steps:\n";
        text += &tested.report.timeline;
    }
    text
}

fn as_json(tested: &Tested<'_>, sources: &Sources) -> serde_json::Value {
    let problems = tested.report.problems.iter().map(|problem| {
        json!({
            "message": problem.message,
            "location": sources.location(problem.range),
            "help": problem.help,
        })
    });
    json!({
        "file": tested.suite.shown,
        "workflow_type": &*tested.suite.file.workflow.value,
        "name": tested.name,
        "passed": tested.passed(),
        "status": tested.report.status,
        "elapsed": tested.report.elapsed.to_string(),
        "problems": problems.collect::<Vec<_>>(),
        "crashes": tested.crashes,
        "timeline": tested.report.timeline.lines().collect::<Vec<_>>(),
    })
}

/// One suite a file.
pub fn junit(tested: &[Tested<'_>], sources: &Sources) -> String {
    let failures = |tested: &[&Tested<'_>]| tested.iter().filter(|t| !t.passed()).count();
    let all: Vec<_> = tested.iter().collect();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"segno\" tests=\"{}\" failures=\"{}\">\n",
        all.len(),
        failures(&all)
    );
    let mut rest = all.as_slice();
    while let Some(first) = rest.first() {
        let same = |t: &&&Tested<'_>| t.suite.shown == first.suite.shown;
        let (of_file, others) = rest.split_at(rest.iter().take_while(same).count());
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\">",
            escaped(&first.suite.shown),
            of_file.len(),
            failures(of_file)
        );
        for tested in of_file {
            let (class, name) = (&tested.suite.file.workflow.value, tested.name);
            let _ = write!(
                text,
                "    <testcase classname=\"{}\" name=\"{}\"",
                escaped(class),
                escaped(name)
            );
            if tested.passed() {
                text += "/>\n";
                continue;
            }
            let message = tested.report.problems.first().map(|p| p.message.as_str());
            let message = message.or(tested.crashes.first().map(String::as_str));
            let _ = writeln!(
                text,
                ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                escaped(message.unwrap_or_default()),
                escaped(&details(tested, sources, false))
            );
        }
        text += "  </testsuite>\n";
        rest = others;
    }
    text + "</testsuites>\n"
}

/// XML has no place for most control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A path that stays within the folder it is put into.
pub fn relative(path: &str) -> PathBuf {
    let parts = Path::new(path).components();
    parts
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

//! Results of tests, for people, scripts and CI.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use serde_json::json;

use super::Tested;
use super::find::Found;
use crate::cli::error::CliError;
use crate::cli::print::{Output, Tone, complain_of, decorated, styled};
use crate::coverage::Coverage;
use crate::diagnostic::Diagnostic;
use crate::report::{Format, Report};
use crate::source::Sources;

/// Steps of a failing test that are shown; a loop has many.
const STEPS_SHOWN_MAX: usize = 200;

/// The errors of files, before anything runs.
pub(crate) fn mistakes(found: &Found, output: Output) -> Result<(), CliError> {
    let format = match output.is_json() {
        true => Format::Json,
        false => Format::Text,
    };
    let show = |sources: &Sources, diagnostics: Vec<Diagnostic>, files: usize| {
        if !diagnostics.is_empty() {
            let report = Report::new(sources, diagnostics, files);
            complain_of(&report, format);
        }
    };
    // Lint's other diagnostics of definitions do not belong to their tests.
    for definitions in &found.definitions {
        let errors = definitions.diagnostics.iter().filter(|d| d.is_error());
        let errors = errors.cloned().collect();
        show(&definitions.sources, errors, definitions.files);
    }
    show(&found.sources, found.diagnostics.clone(), found.files);
    Ok(())
}

pub(crate) fn results(
    tested: &[Tested<'_>],
    found: &Found,
    coverage: Option<&Coverage>,
    output: Output,
) -> Result<(), CliError> {
    let sources = &found.sources;
    let failed = tested.iter().filter(|tested| !tested.passed()).count();
    let mistakes = errors(found);
    if output.is_json() {
        let tests = tested.iter().map(|tested| as_json(tested, sources));
        let mut json = json!({
            "tests": tests.collect::<Vec<_>>(),
            "passed": tested.len() - failed,
            "failed": failed,
            "errors": mistakes.iter().map(|(problem, sources)| mistake(problem, sources)).collect::<Vec<_>>(),
        });
        if let Some(coverage) = coverage {
            json["coverage"] = coverage.json();
        }
        return output.json(&json);
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
    let counted = match failed {
        0 if tested.is_empty() => counted,
        0 => format!("{counted}, all passed"),
        failed => format!("{counted}, {failed} failed"),
    };
    if let Some(told) = crashed(tested) {
        output.line(told)?;
    }
    output.line(match mistakes.len() {
        0 => counted,
        1 => format!("{counted}; an error in the files prevents others from running"),
        count => format!("{counted}; {count} errors in the files prevent others from running"),
    })?;
    coverage.map_or(Ok(()), |coverage| output.line(coverage.table().trim_end()))
}

/// What `--crash` did.
fn crashed(tested: &[Tested<'_>]) -> Option<String> {
    let crashed = tested.iter().filter_map(|tested| tested.crashed.as_ref());
    let orders = crashed.clone().map(|crashed| crashed.orders).sum::<usize>();
    let count = crashed.count();
    let what = match count {
        1 => "1 test that passes was".to_owned(),
        count => format!("{count} tests that pass were"),
    };
    (count > 0).then(|| {
        format!("{what} replayed and restored after every step, and run in {orders} other orders")
    })
}

/// The errors of test files and definitions, each with the sources that it points into.
fn errors(found: &Found) -> Vec<(&Diagnostic, &Sources)> {
    let of_definitions = found.definitions.iter();
    let of_definitions = of_definitions.flat_map(|found| {
        let diagnostics = found.diagnostics.iter();
        diagnostics.map(move |d| (d, &found.sources))
    });
    let of_tests = found.diagnostics.iter().map(|d| (d, &found.sources));
    let all = of_definitions.chain(of_tests);
    all.filter(|(d, _)| d.is_error()).collect()
}

fn mistake(problem: &Diagnostic, sources: &Sources) -> serde_json::Value {
    json!({
        "message": problem.message,
        "location": sources.location(problem.range),
        "help": problem.help,
    })
}

/// The first and the last, if there are many.
fn some_steps(timeline: &str) -> String {
    let lines: Vec<&str> = timeline.lines().collect();
    let half = STEPS_SHOWN_MAX / 2;
    if lines.len() <= STEPS_SHOWN_MAX {
        return timeline.to_owned();
    }
    let (first, last) = (&lines[..half], &lines[lines.len() - half..]);
    let more = lines.len() - STEPS_SHOWN_MAX;
    format!(
        "{}\n… {more} more …\n{}\n",
        first.join("\n"),
        last.join("\n")
    )
}

/// What was expected, what happened, and the steps with their lines.
fn details(tested: &Tested<'_>, sources: &Sources, colours: bool) -> String {
    let mut text = String::new();
    if !tested.report.problems.is_empty() {
        let report = Report::new(sources, tested.report.problems.clone(), 1);
        // The number of errors is irrelevant for a single test.
        let shown = match colours {
            true => decorated(&report.render(Format::Text, true)),
            false => report.render(Format::Text, false),
        };
        text += shown.trim_end().trim_end_matches(&report.summary());
    }
    for crash in tested.crashes() {
        let _ = writeln!(text, "  {crash}");
    }
    if !tested.report.timeline.is_empty() {
        text += "the steps:\n";
        text += &some_steps(&tested.report.timeline);
    }
    text
}

fn as_json(tested: &Tested<'_>, sources: &Sources) -> serde_json::Value {
    let problems = tested.report.problems.iter();
    let problems = problems.map(|problem| mistake(problem, sources));
    json!({
        "file": tested.suite.shown,
        "workflow_type": &*tested.suite.file.workflow.value,
        "name": tested.name,
        "passed": tested.passed(),
        "status": tested.report.status,
        "elapsed": tested.report.elapsed.to_string(),
        "problems": problems.collect::<Vec<_>>(),
        "crashes": tested.crashes(),
        "orders": tested.crashed.as_ref().map(|found| found.orders),
        "timeline": tested.report.timeline.lines().collect::<Vec<_>>(),
    })
}

/// One suite for each file, and one for files with errors.
pub(crate) fn junit(tested: &[Tested<'_>], found: &Found) -> String {
    let sources = &found.sources;
    let mistakes = errors(found);
    let failures = |tested: &[&Tested<'_>]| tested.iter().filter(|t| !t.passed()).count();
    let all: Vec<_> = tested.iter().collect();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"segno\" tests=\"{}\" failures=\"{}\" errors=\"{}\">\n",
        all.len() + mistakes.len(),
        failures(&all),
        mistakes.len()
    );
    if !mistakes.is_empty() {
        text += &of_mistakes(&mistakes);
    }
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
            let message = message.or(tested.crashes().first().map(String::as_str));
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

fn of_mistakes(mistakes: &[(&Diagnostic, &Sources)]) -> String {
    let count = mistakes.len();
    let mut text = format!(
        "  <testsuite name=\"files\" tests=\"{count}\" failures=\"0\" errors=\"{count}\">\n"
    );
    for (problem, sources) in mistakes {
        let _ = writeln!(
            text,
            "    <testcase classname=\"files\" name=\"{}\">\n      <error message=\"{}\">{}</error>\n    </testcase>",
            escaped(&sources.location(problem.range)),
            escaped(&problem.message),
            escaped(&problem.help.join("\n"))
        );
    }
    text + "  </testsuite>\n"
}

/// XML does not allow most control characters: they are shown as JSON escapes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            c if c.is_control() && !matches!(c, '\n' | '\t') => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// A path that stays inside the folder that it is appended to.
pub(crate) fn relative(path: &str) -> PathBuf {
    let parts = Path::new(path).components();
    parts
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

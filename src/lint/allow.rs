//! Comments `# segno: allow(RULE) reason`, which silence warnings.

use std::collections::{BTreeMap, BTreeSet};

use super::RULES;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::limits::DIAGNOSTICS_PER_FILE_MAX;
use crate::load;
use crate::source::{FileId, Range, Sources};
use crate::yaml;

/// What begins such a comment.
const NAME: &str = "segno:";

/// A rule that a comment allows to be broken.
struct Allow {
    rule: String,
    /// The range of the rule's name.
    range: Range,
    /// The line whose warnings it silences.
    line: u32,
}

/// Removes the warnings that comments allow. In the files that `is_checked`, reports comments that are malformed, and unless there are errors, which hide
/// warnings, comments that allow nothing.
pub(crate) fn apply(
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
    is_checked: impl Fn(FileId) -> bool,
) {
    let mut allows = Vec::new();
    let mut found = BTreeMap::<FileId, Vec<Diagnostic>>::new();
    // Before it is read once more: few files have one.
    let may_have = |text: &str| {
        text.split('#')
            .skip(1)
            .any(|rest| rest.trim_start().starts_with(NAME))
    };
    for (id, file) in sources.files().filter(|(_, file)| may_have(&file.text)) {
        let content = content_lines(&file.text);
        for (range, text) in yaml::comments(id, &file.text) {
            match parsed(sources, range, &text, &content) {
                Some(Ok(parsed)) => allows.extend(parsed),
                Some(Err(warning)) if is_checked(id) => found.entry(id).or_default().push(warning),
                Some(Err(_)) | None => {}
            }
        }
    }
    let mut used = BTreeSet::<Range>::new();
    let has_errors = diagnostics.iter().any(Diagnostic::is_error);
    diagnostics.retain(|diagnostic| {
        let line = line(sources, diagnostic.range);
        let is_allowed = |allow: &Allow| {
            allow.rule == diagnostic.code
                && allow.range.file == diagnostic.range.file
                && allow.line == line
                && !diagnostic.is_error()
        };
        let allowing = allows.iter().filter(|allow| is_allowed(allow));
        let allowing: Vec<_> = allowing.map(|allow| allow.range).collect();
        used.extend(allowing.iter().copied());
        allowing.is_empty()
    });
    let unused = allows.iter().filter(|allow| {
        !has_errors && is_checked(allow.range.file) && !used.contains(&allow.range)
    });
    for allow in unused {
        let found = found.entry(allow.range.file).or_default();
        // One more is enough for the report to name the bound.
        if found.len() <= DIAGNOSTICS_PER_FILE_MAX {
            found.push(unused_allow(allow));
        }
    }
    diagnostics.extend(
        found
            .into_iter()
            .flat_map(|(file, found)| load::bounded(file, found)),
    );
}

fn unused_allow(allow: &Allow) -> Diagnostic {
    let message = format!(
        "the comment allows `{}`, which is not reported here",
        allow.rule
    );
    let warning = Diagnostic::warning("unused-allow", allow.range, message);
    let names = RULES.iter().map(|rule| rule.name);
    match did_you_mean(&allow.rule, names.clone()) {
        Some(near) if near != allow.rule => warning.label(format!("did you mean `{near}`?")).fix(
            format!("write `{near}`"),
            vec![(allow.range, near.to_owned())],
            true,
        ),
        _ => {
            warning.help("remove it, or move it to the line that it is for, or to the line before")
        }
    }
}

/// What a comment allows, if it is such a comment.
fn parsed(
    sources: &Sources,
    range: Range,
    text: &str,
    content: &[u32],
) -> Option<Result<Vec<Allow>, Diagnostic>> {
    let directive = text.trim_start().strip_prefix(NAME)?.trim_start();
    let names = match directive.strip_prefix("allow") {
        Some(rest) => rest.strip_prefix('(').and_then(|rest| rest.split_once(')')),
        None if directive.contains('(') => None,
        // Prose.
        None => return None,
    };
    let Some((names, reason)) = names else {
        return Some(Err(malformed(range, "the comment allows no rule")));
    };
    if reason.trim().is_empty() {
        return Some(Err(malformed(range, "the comment gives no reason")));
    }
    // Its own line if something precedes it there, otherwise the next line that has more than a comment.
    let own = line(sources, range);
    let next = content.partition_point(|line| *line < own);
    let line = content.get(next).copied().unwrap_or(own);
    // The comment has the names unchanged.
    let source = sources.text(range);
    let mut at = range.start as usize + source.find('(').unwrap_or_default() + 1;
    let allows = names.split(',').map(|name| {
        let start = at + (name.len() - name.trim_start().len());
        at += name.len() + 1;
        let name = name.trim();
        Allow {
            rule: name.to_owned(),
            range: Range::new(range.file, start as u32, (start + name.len()) as u32),
            line,
        }
    });
    Some(Ok(allows.collect()))
}

fn malformed(range: Range, message: &str) -> Diagnostic {
    Diagnostic::warning("malformed-allow", range, message)
        .help("write `# segno: allow(RULE) REASON`, for example `# segno: allow(unused-state) read by queries of older clients`")
}

fn line(sources: &Sources, range: Range) -> u32 {
    sources.file(range.file).position(range.start).line
}

/// The numbers of the lines that have more than a comment.
fn content_lines(text: &str) -> Vec<u32> {
    let has_content = |text: &str| {
        let text = text.trim_start();
        !text.is_empty() && !text.starts_with('#')
    };
    let lines = text.lines().zip(1..);
    let lines = lines.filter(|(text, _)| has_content(text));
    lines.map(|(_, line)| line).collect()
}

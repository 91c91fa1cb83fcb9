//! SARIF 2.1.0, which code hosts and editors import.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Report, severity, span};
use crate::diagnostic::Diagnostic;
use crate::source::{Range, Sources};

pub(super) fn render(report: &Report<'_>) -> String {
    let codes: BTreeSet<_> = report.diagnostics().iter().map(|d| d.code).collect();
    let rules: Vec<_> = codes.iter().map(|code| json!({ "id": code })).collect();
    let results: Vec<_> = report
        .diagnostics()
        .iter()
        .map(|diagnostic| result(report.sources, diagnostic))
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "segno",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn result(sources: &Sources, diagnostic: &Diagnostic) -> Value {
    let mut text = diagnostic.message.clone();
    for help in &diagnostic.help {
        text += "\n";
        text += help;
    }
    let mut result = json!({
        "ruleId": diagnostic.code,
        "level": severity(diagnostic),
        "message": { "text": text },
        "locations": [location(sources, diagnostic.range, &diagnostic.label)],
    });
    if !diagnostic.annotations.is_empty() {
        let related = diagnostic.annotations.iter();
        result["relatedLocations"] = related
            .map(|annotation| location(sources, annotation.range, &annotation.label))
            .collect();
    }
    if let Some(fix) = &diagnostic.fix {
        let changes: Vec<_> = fix
            .edits
            .iter()
            .map(|(range, replacement)| {
                json!({
                    "artifactLocation": { "uri": sources.file(range.file).path.as_ref() },
                    "replacements": [{
                        "deletedRegion": region(sources, *range),
                        "insertedContent": { "text": replacement },
                    }],
                })
            })
            .collect();
        result["fixes"] =
            json!([{ "description": { "text": fix.title }, "artifactChanges": changes }]);
    }
    result
}

fn location(sources: &Sources, range: Range, label: &str) -> Value {
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": sources.file(range.file).path.as_ref() },
            "region": region(sources, range),
        },
    });
    if !label.is_empty() {
        location["message"] = json!({ "text": label });
    }
    location
}

fn region(sources: &Sources, range: Range) -> Value {
    let (start, end) = span(sources, range);
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    })
}

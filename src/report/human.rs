//! Source lines with carets, as rustc shows them.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::Report;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{File, Range, Sources};

/// A longer line is shown only around its mistake.
const LINE_SHOWN_BYTES_MAX: usize = 400;

pub(super) fn render(report: &Report<'_>, colours: bool) -> String {
    let renderer = if colours {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for diagnostic in report.diagnostics() {
        let groups = [group(report.sources, diagnostic)];
        text += &renderer.render(&groups);
        text += "\n\n";
    }
    text + &report.summary() + "\n"
}

fn group<'a>(sources: &'a Sources, diagnostic: &'a Diagnostic) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code)
        .elements(snippets(sources, diagnostic));
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

struct Mark<'a> {
    range: Range,
    label: &'a str,
    kind: AnnotationKind,
}

/// One snippet a file, and a separate one for a mark whose line is too long to be shown whole.
fn snippets<'a>(
    sources: &'a Sources,
    diagnostic: &'a Diagnostic,
) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let primary = Mark {
        range: diagnostic.range,
        label: &diagnostic.label,
        kind: AnnotationKind::Primary,
    };
    let context = diagnostic.annotations.iter().map(|annotation| Mark {
        range: annotation.range,
        label: &annotation.label,
        kind: AnnotationKind::Context,
    });
    let mut by_window = Vec::<(&File, Window, Vec<Mark<'a>>)>::new();
    for mark in std::iter::once(primary).chain(context) {
        let file = sources.file(mark.range.file);
        let window = Window::around(file, mark.range);
        let same = by_window
            .iter_mut()
            .find(|(of, other, _)| std::ptr::eq(*of, file) && other.whole && window.whole);
        match same {
            Some((_, other, marks)) => {
                other.start = other.start.min(window.start);
                other.end = other.end.max(window.end);
                marks.push(mark);
            }
            None => by_window.push((file, window, vec![mark])),
        }
    }
    by_window
        .into_iter()
        .map(|(file, window, marks)| snippet(file, &window, &marks))
        .collect()
}

fn snippet<'a>(
    file: &'a File,
    window: &Window,
    marks: &[Mark<'a>],
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let text = file.text.get(window.start..window.end).unwrap_or("");
    let line = file.position(window.start as u32).line as usize;
    let mut snippet = Snippet::source(text).line_start(line).path(&*file.path);
    for mark in marks {
        let (start, end) = one_line(file, mark.range);
        let clamp = |at: usize| at.clamp(window.start, window.end) - window.start;
        let annotation = mark.kind.span(clamp(start)..clamp(end));
        snippet = snippet.annotation(if mark.label.is_empty() {
            annotation
        } else {
            annotation.label(mark.label)
        });
    }
    snippet
}

/// The part of a file that is shown.
struct Window {
    start: usize,
    end: usize,
    /// Whether it is shown as whole lines.
    whole: bool,
}

impl Window {
    fn around(file: &File, range: Range) -> Window {
        let text = &file.text;
        let at = floor(text, range.start as usize);
        let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
        let end = text[at..].find('\n').map_or(text.len(), |i| at + i);
        if end - start <= LINE_SHOWN_BYTES_MAX {
            return Window {
                start,
                end,
                whole: true,
            };
        }
        let half = LINE_SHOWN_BYTES_MAX / 2;
        Window {
            start: floor(text, at.saturating_sub(half).max(start)),
            end: floor(text, (at + half).min(end)),
            whole: false,
        }
    }
}

/// The part of a range that is marked: its first line only.
fn one_line(file: &File, range: Range) -> (usize, usize) {
    let start = floor(&file.text, range.start as usize);
    let end = floor(&file.text, range.end as usize).max(start);
    let line = &file.text[start..end];
    let line = line.split(['\n', '\r']).next().unwrap_or("");
    (start, start + line.trim_end().len())
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

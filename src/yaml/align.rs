//! Maps each character of a decoded scalar to its place in the file, by walking source and decoded text together.

use super::Style;
use crate::source::{FileId, TextMap};

/// `start..end` is the scalar in the source, with its quotes; for a block scalar, its content. The last part of the
/// result is the range of the scalar's own text.
pub(super) fn align(
    file: FileId,
    source: &str,
    start: usize,
    end: usize,
    style: Style,
    decoded: &str,
) -> TextMap {
    let (start, end) = match style {
        Style::SingleQuoted | Style::DoubleQuoted => (start + 1, end.saturating_sub(1)),
        _ => (start, end),
    };
    let mut walk = Walk {
        source,
        decoded,
        at: start,
        end: end.max(start),
        done: 0,
        segments: Vec::new(),
    };
    let block = matches!(style, Style::Literal | Style::Folded);
    if source.get(start..end) == Some(decoded) && !block {
        walk.mark(0, start);
    } else if block {
        walk.block();
    } else {
        walk.flow(style);
    }
    walk.mark(decoded.len(), walk.end);
    TextMap::new(file, walk.segments, end as u32)
}

struct Walk<'a> {
    source: &'a str,
    decoded: &'a str,
    /// Offset in the source.
    at: usize,
    end: usize,
    /// Offset in the decoded text.
    done: usize,
    segments: Vec<(u32, u32)>,
}

impl Walk<'_> {
    /// The decoded text at `text` corresponds to `file`; a new segment only if the two stop advancing alike.
    fn mark(&mut self, text: usize, file: usize) {
        let (text, file) = (text as u32, file as u32);
        let alike = self
            .segments
            .last()
            .is_some_and(|(t, f)| f.wrapping_sub(*t) == file.wrapping_sub(text));
        if !alike {
            self.segments.push((text, file));
        }
    }

    fn rest(&self) -> &str {
        self.source.get(self.at..self.end).unwrap_or("")
    }

    fn decoded_char(&self) -> Option<char> {
        self.decoded.get(self.done..)?.chars().next()
    }

    /// Takes `length` bytes of the source for the next decoded character.
    fn take(&mut self, length: usize) {
        self.mark(self.done, self.at);
        self.at = (self.at + length).min(self.end);
        self.done += self.decoded_char().map_or(0, char::len_utf8);
    }

    /// Plain and quoted scalars.
    fn flow(&mut self, style: Style) {
        while let Some(c) = self.rest().chars().next() {
            if self.done >= self.decoded.len() {
                return;
            }
            match c {
                ' ' | '\t' | '\n' | '\r' => self.space(),
                '\'' if style == Style::SingleQuoted => self.take(2),
                '\\' if style == Style::DoubleQuoted => self.escape(),
                c => self.take(c.len_utf8()),
            }
        }
    }

    /// White space: kept inside a line, folded around line ends.
    fn space(&mut self) {
        let rest = self.rest();
        let length = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        if !rest[..length].contains(['\n', '\r']) {
            for _ in 0..length {
                self.take(1);
            }
            return;
        }
        let after = self.at + length;
        // The fold begins where the white space does.
        let mut ends = line_ends(self.source, self.at, after);
        ends[0] = self.at;
        match ends.len() {
            1 => self.take(length),
            n => self.line_feeds(&ends[..n - 1]),
        }
        self.at = after;
    }

    /// As many decoded line feeds as possible, each at one of the source's line ends.
    fn line_feeds(&mut self, ends: &[usize]) {
        let mut ends = ends.iter();
        while self.decoded_char() == Some('\n') {
            let Some(end) = ends.next() else { return };
            self.at = *end;
            self.take(0);
        }
    }

    fn escape(&mut self) {
        let rest = self.rest();
        let mut chars = rest[1..].chars();
        let length = match chars.next() {
            Some('\n' | '\r') => return self.escaped_line_end(),
            Some('x') => 4,
            Some('U') => 10,
            Some('u') => {
                let unit = rest
                    .get(2..6)
                    .and_then(|hex| u32::from_str_radix(hex, 16).ok());
                let surrogate = unit.is_some_and(|unit| (0xD800..0xDC00).contains(&unit));
                if surrogate { 12 } else { 6 }
            }
            Some(c) => 1 + c.len_utf8(),
            None => 1,
        };
        self.take(length);
    }

    /// A backslash before a line end yields nothing; each empty line after it yields a line feed.
    fn escaped_line_end(&mut self) {
        let rest = &self.rest()[1..];
        let length = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        let after = self.at + 1 + length;
        let ends = line_ends(self.source, self.at + 1, after);
        self.line_feeds(&ends[1..]);
        self.at = after;
    }

    /// Literal and folded scalars, line by line.
    fn block(&mut self) {
        let feeds = self.decoded.len() - self.decoded.trim_start_matches('\n').len();
        let first_line = self.decoded[feeds..].split('\n').next().unwrap_or("");
        let mut line = self.source[..self.at].rfind('\n').map_or(0, |i| i + 1);
        // Empty lines before the first one with content.
        while line < self.end
            && line_text(self.source, line)
                .trim_end_matches(' ')
                .is_empty()
        {
            line = next_line(self.source, line);
        }
        let leading = last_line_ends(self.source, line, feeds);
        self.line_feeds(&leading);
        if first_line.is_empty() {
            return;
        }
        let indent = spaces(line_text(self.source, line)).saturating_sub(spaces(first_line));
        while line < self.end && self.done < self.decoded.len() {
            line = self.block_line(line, indent);
        }
    }

    /// One line with content and the line ends after it; the start of the next line with content.
    fn block_line(&mut self, line: usize, indent: usize) -> usize {
        let text = line_text(self.source, line);
        let skipped = indent.min(spaces(text));
        self.mark(self.done, line + skipped);
        self.done += text.len() - skipped;
        let after = line + text.len();
        let mut next = next_line(self.source, line);
        while next < self.end {
            let text = line_text(self.source, next);
            if text.len() > indent.min(spaces(text)) {
                break;
            }
            next = next_line(self.source, next);
        }
        if self.decoded_char() == Some('\n') {
            self.line_feeds(&line_ends(self.source, after, next));
        } else if self.done < self.decoded.len() {
            self.at = after;
            self.take(0);
        }
        next
    }
}

fn spaces(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Without its end.
fn line_text(source: &str, start: usize) -> &str {
    let rest = &source[start..];
    &rest[..rest.find(['\n', '\r']).unwrap_or(rest.len())]
}

fn next_line(source: &str, start: usize) -> usize {
    let end = start + line_text(source, start).len();
    let rest = &source[end..];
    let length = if rest.starts_with("\r\n") { 2 } else { 1 };
    (end + length).min(source.len())
}

/// The ends of the last `count` lines before an offset.
fn last_line_ends(source: &str, before: usize, count: usize) -> Vec<usize> {
    let bytes = source.as_bytes();
    let at_end = |i: &usize| match bytes[*i] {
        b'\n' => *i == 0 || bytes[*i - 1] != b'\r',
        byte => byte == b'\r',
    };
    let mut ends: Vec<_> = (0..before).rev().filter(at_end).take(count).collect();
    ends.reverse();
    ends
}

/// Where lines end between two offsets: at LF, CR LF or CR.
fn line_ends(source: &str, start: usize, end: usize) -> Vec<usize> {
    let bytes = source.as_bytes();
    let at_end = |i: &usize| match bytes[*i] {
        b'\n' => *i == start || bytes[*i - 1] != b'\r',
        byte => byte == b'\r',
    };
    (start..end.min(bytes.len())).filter(at_end).collect()
}

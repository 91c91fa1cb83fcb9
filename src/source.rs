//! Files and ranges: every diagnostic points into a text that is kept here.

pub(crate) mod folder;
pub(crate) mod regular;

use std::sync::Arc;

/// Which file of a [`Sources`] a range lies in.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct FileId(pub u32);

/// A stretch of one file, in bytes, the end excluded.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Range {
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

impl Range {
    pub fn new(file: FileId, start: u32, end: u32) -> Self {
        Range {
            file,
            start,
            end: end.max(start),
        }
    }

    /// Whether the two have a character in common, or one is an empty place inside the other.
    pub(crate) fn touches(self, other: Range) -> bool {
        self.file == other.file && self.start <= other.end && other.start <= self.end
    }

    /// From the start of this range to the end of the other.
    pub(crate) fn to(self, end: Range) -> Self {
        Range::new(self.file, self.start, end.end)
    }
}

/// A value with the range it was read from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) range: Range,
}

impl<T> Spanned<T> {
    pub(crate) fn new(value: T, range: Range) -> Self {
        Spanned { value, range }
    }
}

/// A line and a column, both counted from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

#[derive(Debug, Clone)]
pub struct File {
    /// As the user named it; relative to the bundle's folder if there is one.
    pub(crate) path: Arc<str>,
    pub text: Arc<str>,
    line_starts: Arc<[u32]>,
}

impl File {
    fn new(path: Arc<str>, text: Arc<str>) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        let line_starts = std::iter::once(0)
            .chain(newlines.map(|(i, _)| i as u32 + 1))
            .collect();
        File {
            path,
            text,
            line_starts,
        }
    }

    /// The memory of its text and of the offsets of its lines.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.text.len() + size_of_val(&*self.line_starts)
    }

    pub(crate) fn position(&self, offset: u32) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= offset) - 1;
        let start = self.line_starts[line] as usize;
        let mut end = (offset as usize).min(self.text.len()).max(start);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let column = self.text[start..end].chars().count() as u32 + 1;
        Position {
            line: line as u32 + 1,
            column,
        }
    }
}

/// The files that diagnostics of one operation may point into.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Shared: each program keeps the files that its ranges point into.
    files: Arc<Vec<File>>,
}

impl Sources {
    pub fn add(&mut self, path: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        Arc::make_mut(&mut self.files).push(File::new(path.into(), text.into()));
        FileId(self.files.len() as u32 - 1)
    }

    /// Lets `share` replace each file's text, and the offsets of its lines, by equal ones that are already in memory.
    pub(crate) fn share(&mut self, mut share: impl FnMut(&mut Arc<str>, &mut Arc<[u32]>)) {
        for file in Arc::make_mut(&mut self.files) {
            share(&mut file.text, &mut file.line_starts);
        }
    }

    /// Whether the two are clones of one.
    pub(crate) fn is_same(&self, other: &Sources) -> bool {
        Arc::ptr_eq(&self.files, &other.files)
    }

    pub fn file(&self, id: FileId) -> &File {
        &self.files[id.0 as usize]
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (FileId, &File)> {
        self.files
            .iter()
            .enumerate()
            .map(|(i, file)| (FileId(i as u32), file))
    }

    pub(crate) fn text(&self, range: Range) -> &str {
        self.file(range.file)
            .text
            .get(range.start as usize..range.end as usize)
            .unwrap_or("")
    }

    /// `path:line:column` of a range's start.
    pub fn location(&self, range: Range) -> String {
        let file = self.file(range.file);
        let at = file.position(range.start);
        format!("{}:{}:{}", file.path, at.line, at.column)
    }
}

/// Maps the characters of a decoded text (a YAML scalar with its escapes and folded lines) to their places in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextMap {
    file: FileId,
    /// (offset in the text, offset in the file), ascending; between two of them both advance alike.
    segments: Arc<[(u32, u32)]>,
    /// Where the text ends in the file.
    end: u32,
}

impl TextMap {
    /// A text that is in the file unchanged.
    pub fn verbatim(range: Range) -> Self {
        TextMap {
            file: range.file,
            segments: Arc::new([(0, range.start)]),
            end: range.end,
        }
    }

    pub(crate) fn new(file: FileId, segments: Vec<(u32, u32)>, end: u32) -> Self {
        TextMap {
            file,
            segments: segments.into(),
            end,
        }
    }

    fn offset(&self, at: usize) -> u32 {
        let at = at as u32;
        match self.segments.partition_point(|(text, _)| *text <= at) {
            0 => self.segments.first().map_or(self.end, |(_, file)| *file),
            n => {
                let (text, file) = self.segments[n - 1];
                let next = self.segments.get(n).map_or(self.end, |(_, file)| *file);
                (file + (at - text)).min(next)
            }
        }
    }

    /// The map of a stretch of the text, its offsets counted from the stretch's start.
    pub(crate) fn slice(&self, text: std::ops::Range<usize>) -> TextMap {
        let (start, end) = (text.start as u32, text.end as u32);
        let first = self.segments.partition_point(|(at, _)| *at <= start);
        let last = self.segments.partition_point(|(at, _)| *at < end);
        let inside = self.segments[first..last.max(first)].iter();
        let segments = std::iter::once((0, self.offset(text.start)))
            .chain(inside.map(|(at, file)| (at - start, *file)))
            .collect();
        TextMap::new(self.file, segments, self.offset(text.end))
    }

    /// The range in the file of a stretch of the text.
    pub fn range(&self, text: std::ops::Range<usize>) -> Range {
        Range::new(self.file, self.offset(text.start), self.offset(text.end))
    }
}

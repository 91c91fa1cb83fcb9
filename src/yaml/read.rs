//! The parser's events to a tree, within the budgets. It continues after mistakes if that is possible.

use std::borrow::Cow;
use std::ops::Range as Offsets;

use granit_parser::{
    ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag,
};
use rustc_hash::FxHashMap;

use super::{Data, Node, Scalar, Style, align, bytes, cut, mapping, message, scalar};
use crate::diagnostic::Diagnostic;
use crate::limits::{
    DEFINITION_SIZE_BYTES_MAX, DIAGNOSTICS_PER_FILE_MAX, YAML_ALIASES_SIZE_BYTES_MAX,
    YAML_DEPTH_MAX, YAML_NODES_MAX,
};
use crate::source::{FileId, Range, TextMap};
use crate::value::Value;

/// Each expression that YAML cuts short is repaired before reading continues; after this many, only those found so far
/// are reported.
const MENDED_MAX: usize = 10;

/// Scalars that look cut and are examined: each may continue for as long as an expression may be.
const CUTS_LOOKED_FOR_MAX: usize = 1_000;

/// All documents that could be read, and all mistakes.
pub fn read(file: FileId, text: &str) -> (Vec<Node>, Vec<Diagnostic>) {
    if text.len() > DEFINITION_SIZE_BYTES_MAX {
        let range = Range::new(file, 0, 0);
        let message = format!("the text is larger than {DEFINITION_SIZE_BYTES_MAX} bytes");
        let error = Diagnostic::error("file-too-large", range, message).help(
            "the bound is DEFINITION_SIZE_BYTES_MAX; split the file and join the parts with `use`",
        );
        return (Vec::new(), vec![error]);
    }
    if let Some(error) = bytes::forbidden_character(file, text) {
        return (Vec::new(), vec![error]);
    }
    let mut source = Cow::Borrowed(text);
    let mut mended = Vec::new();
    let mut cut_short = Vec::new();
    loop {
        let mut pass = Pass::new(file, text, &mended);
        pass.run(&source);
        let (documents, mut diagnostics, cuts) = (pass.documents, pass.diagnostics, pass.cuts);
        let last = cuts.is_empty() || mended.len() >= MENDED_MAX;
        for cut in cuts {
            mask(source.to_mut(), &cut.range);
            mended.push(cut.range);
            if cut_short.len() <= DIAGNOSTICS_PER_FILE_MAX {
                cut_short.push(cut.diagnostic);
            }
        }
        mended.sort_by_key(|range| (range.start, range.end));
        if last {
            diagnostics.extend(cut_short);
            diagnostics.sort_by_key(|d| (d.range.start, d.range.end));
            return (documents, diagnostics);
        }
    }
}

/// Replaces a plain scalar that YAML cuts short by one of the same length.
fn mask(source: &mut String, range: &Offsets<usize>) {
    source.replace_range(range.clone(), &"x".repeat(range.len()));
}

/// A collection whose end has not been reached.
struct Open {
    children: Children,
    range: Range,
    flow: bool,
    anchor: usize,
    /// The extent of what is in it so far.
    extent: Extent,
}

/// The size of a node.
#[derive(Clone, Copy)]
struct Extent {
    nodes: usize,
    /// The text of its scalars.
    size_bytes: usize,
    /// Levels below it.
    depth: usize,
}

impl Extent {
    const NULL: Extent = Extent {
        nodes: 1,
        size_bytes: 0,
        depth: 0,
    };
}

enum Children {
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>, Option<Node>),
}

/// A node that an alias may repeat.
struct Anchored {
    node: Node,
    extent: Extent,
}

struct Pass<'a> {
    file: FileId,
    /// As written in the file.
    text: &'a str,
    mended: &'a [Offsets<usize>],
    open: Vec<Open>,
    anchors: FxHashMap<usize, Anchored>,
    nodes: usize,
    /// The text that the aliases so far repeat.
    aliases_size_bytes: usize,
    documents: Vec<Node>,
    diagnostics: Vec<Diagnostic>,
    cuts: Vec<cut::Cut>,
    cuts_looked_for: usize,
}

/// The document cannot be read any further; the diagnostics explain why.
struct Abandon;

impl<'a> Pass<'a> {
    fn new(file: FileId, text: &'a str, mended: &'a [Offsets<usize>]) -> Self {
        Pass {
            file,
            text,
            mended,
            open: Vec::new(),
            anchors: FxHashMap::default(),
            nodes: 0,
            aliases_size_bytes: 0,
            documents: Vec::new(),
            diagnostics: Vec::new(),
            cuts: Vec::new(),
            cuts_looked_for: 0,
        }
    }

    fn run(&mut self, source: &str) {
        let mut options = Options::default();
        options.emit_unresolved_aliases = true;
        options.emit_comments = false;
        options.flow_nesting_limit = YAML_DEPTH_MAX;
        options.block_nesting_limit = YAML_DEPTH_MAX;
        let mut parser = Parser::new_from_str_with_options(source, options);
        while let Some(event) = parser.next_event() {
            let result = match event {
                Ok((event, span)) => self.event(event, span),
                Err(error) => {
                    self.scan_error(&error);
                    Err(Abandon)
                }
            };
            if result.is_err() && !self.next_document(&mut parser) {
                return;
            }
        }
    }

    fn scan_error(&mut self, error: &ScanError) {
        // A cut expression explains the parser's error, whatever it is.
        if !self.cuts.is_empty() {
            return;
        }
        let diagnostic = message::scan_error(self.file, self.text, error);
        let at = error.marker().byte_offset().unwrap_or(0);
        if let Some(tag) = message::tag_before(self.text, at) {
            let in_flow = self.open.iter().any(|open| open.flow);
            self.cuts.push(cut::tag(self.file, self.text, tag, in_flow));
            return;
        }
        let meant = match error.kind() {
            ErrorKind::MappingValueNotAllowed => message::value_around(self.text, at),
            _ => None,
        };
        match meant {
            Some(range) => self.cuts.push(cut::Cut { range, diagnostic }),
            None => self.diagnostics.push(diagnostic),
        }
    }

    fn next_document<'s>(&mut self, parser: &mut Parser<'s, StrInput<'s>>) -> bool {
        self.open.clear();
        self.anchors.clear();
        self.nodes < YAML_NODES_MAX
            && self.diagnostics.len() <= DIAGNOSTICS_PER_FILE_MAX
            && matches!(parser.proceed_next_document(), Ok(true))
    }

    fn range(&self, span: &Span) -> Range {
        let offsets = span.byte_range().unwrap_or(0..0);
        Range::new(self.file, offsets.start as u32, offsets.end as u32)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Abandon> {
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), &span);
                let size = text.len();
                self.close(
                    node,
                    anchor,
                    Extent {
                        nodes: 1,
                        size_bytes: size,
                        depth: 0,
                    },
                )
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.tag_of_collection(tag.as_deref(), "seq", &span);
                self.push(Children::Sequence(Vec::new()), style, anchor, &span)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.tag_of_collection(tag.as_deref(), "map", &span);
                self.push(Children::Mapping(Vec::new(), None), style, anchor, &span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.pop(&span),
            Event::Alias(anchor) => self.alias(anchor, &span),
            Event::UnresolvedAlias(name) => {
                let range = self.range(&span);
                let message = format!("nothing is anchored as `&{name}` before this");
                let error = Diagnostic::error("unknown-anchor", range, message)
                    .help("quote a text that begins with `*`");
                self.diagnostics.push(error);
                self.close(null(range), 0, Extent::NULL)
            }
            _ => Ok(()),
        }
    }

    fn push(
        &mut self,
        children: Children,
        style: StructureStyle,
        anchor: usize,
        span: &Span,
    ) -> Result<(), Abandon> {
        let range = self.range(span);
        if self.open.len() >= YAML_DEPTH_MAX {
            self.diagnostics.push(message::too_deep(range));
            return Err(Abandon);
        }
        self.count(1, range)?;
        self.open.push(Open {
            children,
            range,
            flow: style == StructureStyle::Flow,
            anchor,
            extent: Extent::NULL,
        });
        Ok(())
    }

    fn pop(&mut self, span: &Span) -> Result<(), Abandon> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let mut range = open.range;
        let data = match open.children {
            Children::Sequence(mut items) => {
                items.shrink_to_fit();
                range = items.last().map_or(range, |last| extend(range, last.range));
                Data::Sequence(items)
            }
            Children::Mapping(pairs, _) => {
                range = pairs.last().map_or(range, |(key, value)| {
                    extend(extend(range, key.range), value.range)
                });
                mapping::mapping(pairs, &mut self.diagnostics)
            }
        };
        if open.flow {
            range = open.range.to(self.range(span));
        }
        // The collection itself was counted as it was opened.
        self.nodes -= 1;
        self.close(
            Node { data, range },
            open.anchor,
            Extent {
                depth: open.extent.depth + 1,
                ..open.extent
            },
        )
    }

    /// Puts a complete node in its place.
    fn close(&mut self, node: Node, anchor: usize, extent: Extent) -> Result<(), Abandon> {
        self.count(1, node.range)?;
        if anchor != 0 {
            // The copy that aliases are made from counts too: anchors within anchors would multiply it.
            self.count(extent.nodes, node.range)?;
            let node = node.clone();
            self.anchors.insert(anchor, Anchored { node, extent });
        }
        let Some(parent) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        parent.extent.nodes += extent.nodes;
        parent.extent.size_bytes += extent.size_bytes;
        parent.extent.depth = parent.extent.depth.max(extent.depth);
        match &mut parent.children {
            Children::Sequence(items) => items.push(node),
            Children::Mapping(pairs, key) => match key.take() {
                None => *key = Some(node),
                Some(key) => pairs.push((key, node)),
            },
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, range: Range) -> Result<(), Abandon> {
        self.nodes += nodes;
        if self.nodes <= YAML_NODES_MAX {
            return Ok(());
        }
        let message = format!("the file has more than {YAML_NODES_MAX} values and keys");
        let error = Diagnostic::error("yaml-too-many-nodes", range, message)
            .help("the bound is YAML_NODES_MAX; each alias counts as the value that it repeats");
        self.diagnostics.push(error);
        Err(Abandon)
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<(), Abandon> {
        let range = self.range(span);
        let Some(anchored) = self.anchors.get(&anchor) else {
            let message = "this alias is inside the node that it repeats";
            let error = Diagnostic::error("recursive-alias", range, message);
            self.diagnostics.push(error);
            return self.close(null(range), 0, Extent::NULL);
        };
        let extent = anchored.extent;
        if self.open.len() + extent.depth > YAML_DEPTH_MAX {
            self.diagnostics.push(message::too_deep(range));
            return Err(Abandon);
        }
        self.count(extent.nodes - 1, range)?;
        self.aliases_size_bytes += extent.size_bytes;
        if self.aliases_size_bytes > YAML_ALIASES_SIZE_BYTES_MAX {
            let message = format!(
                "the aliases of the file repeat more than {YAML_ALIASES_SIZE_BYTES_MAX} bytes"
            );
            let error = Diagnostic::error("yaml-aliases-too-large", range, message)
                .help("the bound is YAML_ALIASES_SIZE_BYTES_MAX; each alias counts as the text that it repeats");
            self.diagnostics.push(error);
            return Err(Abandon);
        }
        let node = self.anchors[&anchor].node.clone();
        self.close(node, 0, extent)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> Node {
        let range = self.range(span);
        let (start, end) = (range.start as usize, range.end as usize);
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::SingleQuoted,
            ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
        };
        if style == Style::Plain {
            let in_flow = self.open.iter().any(|open| open.flow);
            if let Some(tag) = tag.filter(|tag| is_unknown(tag))
                && self.cuts.len() < MENDED_MAX
            {
                let at = span.tag_span().unwrap_or(*span);
                let at = self.range(&at).start as usize;
                // If the parser gives no place for the tag, the tag is reported with the value.
                if self.text[at..].starts_with(&*tag.original()) {
                    self.cuts.push(cut::tag(self.file, self.text, at, in_flow));
                    return null(range);
                }
            }
            // The parser's text for an absent value is `~`.
            if start == end {
                if let Some(behind) = self.behind_key() {
                    let cut = cut::by_comment(self.file, self.text, behind, behind);
                    self.diagnostics.extend(cut);
                }
                return null(range);
            }
            // They are in the order of the text, and none is inside another.
            let next = self.mended.partition_point(|m| m.end <= start);
            if self.mended.get(next).is_some_and(|m| m.start < end) {
                return self.mended_scalar(range);
            }
            let may_be_cut = cut::may_be(self.text, start, end);
            if may_be_cut && self.cuts_looked_for < CUTS_LOOKED_FOR_MAX {
                self.cuts_looked_for += 1;
                self.cuts
                    .extend(cut::find(self.file, self.text, start, end, in_flow));
            } else if !may_be_cut {
                let cut = cut::by_comment(self.file, self.text, start, end);
                self.diagnostics.extend(cut);
            }
        }
        let map = align::align(self.file, self.text, start, end, style, text);
        let text = text.into();
        let value = self.value(&text, style, tag, range, span);
        let data = Data::Scalar(Scalar {
            text,
            style,
            value,
            map,
        });
        Node { data, range }
    }

    /// Where the value of the key that was read last would begin.
    fn behind_key(&self) -> Option<usize> {
        let Children::Mapping(_, Some(key)) = &self.open.last()?.children else {
            return None;
        };
        let behind = &self.text[key.range.end as usize..];
        let value = behind.trim_start_matches([' ', '\t']).strip_prefix(':')?;
        Some(self.text.len() - value.len())
    }

    /// As the author meant it, so that mistakes inside the expression are found as well.
    fn mended_scalar(&self, range: Range) -> Node {
        let text: std::sync::Arc<str> = self.text[range.start as usize..range.end as usize].into();
        Node {
            data: Data::Scalar(Scalar {
                value: Value::String(text.clone()),
                text,
                style: Style::Plain,
                map: TextMap::verbatim(range),
            }),
            range,
        }
    }

    fn value(
        &mut self,
        text: &std::sync::Arc<str>,
        style: Style,
        tag: Option<&Tag>,
        range: Range,
        span: &Span,
    ) -> Value {
        let string = Value::String(text.clone());
        let resolved = match tag {
            None if style == Style::Plain => scalar::resolve(text),
            None => Ok(string.clone()),
            Some(tag) => match (tag.core_suffix(), tag.original().as_str()) {
                (Some("str"), _) | (_, "!") => Ok(string.clone()),
                (Some(kind), _) => match tagged(kind, text) {
                    Some(value) => value,
                    None => {
                        let message = format!("`{}` does not fit this text", tag.original());
                        let error = Diagnostic::error("bad-tag", range, message)
                            .help("remove the tag, or write a value of its kind");
                        self.diagnostics.push(error);
                        Ok(string.clone())
                    }
                },
                (None, name) => {
                    self.unknown_tag(name, span);
                    Ok(string.clone())
                }
            },
        };
        resolved.unwrap_or_else(|scalar::TooLarge| {
            let message = "the number does not fit in 64 bits";
            let error = Diagnostic::error("number-too-large", range, message)
                .help(format!("quote it to make it a text: \"{text}\""));
            self.diagnostics.push(error);
            string
        })
    }

    fn tag_of_collection(&mut self, tag: Option<&Tag>, kind: &str, span: &Span) {
        if let Some(tag) = tag
            && tag.core_suffix() != Some(kind)
            && tag.original() != "!"
        {
            self.unknown_tag(&tag.original(), span);
        }
    }

    fn unknown_tag(&mut self, name: &str, span: &Span) {
        let range = self.range(&span.tag_span().unwrap_or(*span));
        let error = Diagnostic::error(
            "unknown-tag",
            range,
            format!("unknown tag `{name}`"),
        )
        .help("remove it, or quote a text that begins with `!`; known are !!str, !!int, !!float, !!bool, !!null, !!seq and !!map");
        self.diagnostics.push(error);
    }
}

/// Whether a tag is neither part of the core schema nor `!`, which makes a text.
fn is_unknown(tag: &Tag) -> bool {
    tag.core_suffix().is_none() && tag.original() != "!"
}

/// The value of a scalar under one of the core schema's tags, if it fits.
fn tagged(kind: &str, text: &std::sync::Arc<str>) -> Option<Result<Value, scalar::TooLarge>> {
    match kind {
        "int" => scalar::int(text),
        "float" => scalar::int(text)
            .and_then(|_| text.parse().ok())
            .or_else(|| scalar::float(text))
            .map(|number| Ok(Value::Double(number))),
        _ => match (kind, scalar::resolve(text)) {
            ("bool", Ok(Value::Bool(b))) => Some(Ok(Value::Bool(b))),
            ("null", Ok(Value::Null)) => Some(Ok(Value::Null)),
            _ => None,
        },
    }
}

/// A block collection begins at its first child and ends after its last.
fn extend(range: Range, child: Range) -> Range {
    if child.start >= range.start && child.end > range.end {
        range.to(child)
    } else {
        range
    }
}

fn null(range: Range) -> Node {
    Node {
        data: Data::Scalar(Scalar {
            text: "".into(),
            style: Style::Plain,
            value: Value::Null,
            map: TextMap::verbatim(range),
        }),
        range,
    }
}

//! What changed in meaning between two versions of a definition and what it uses.

mod align;
mod list;
mod normal;
mod pair;
mod print;
mod read;
mod schema;
mod show;
mod similar;
mod tree;
mod words;

use std::sync::Arc;

use crate::definition::tables;
use crate::diagnostic::Diagnostic;
use crate::load::Loaded;
use crate::source::FileId;
use crate::yaml;
use read::{At, Reader};
use tree::{Contents, Form, Tree};

/// One of two versions: the place of its definition among loaded files.
#[derive(Debug, Clone, Copy)]
pub struct Version<'l> {
    pub loaded: &'l Loaded,
    pub file: FileId,
    /// Which YAML document of the file, counted from 0.
    pub document: u32,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Differences {
    /// In the order of the new definition, followed by its files.
    pub differences: Vec<Difference>,
    /// The number of differences beyond [`crate::limits::DIFFERENCES_MAX`].
    pub omitted: usize,
    /// Whether the files differ in any way, even only in layout or comments.
    pub text_changed: bool,
    /// Whether a file is not valid YAML, so that nothing in it could be compared.
    pub(crate) unreadable: bool,
    pub(crate) runs: Runs,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Difference {
    pub kind: Kind,
    pub(crate) subject: Subject,
    /// In words: "step `charge` (activity charge_card)".
    pub(crate) what: String,
    /// The place in the file, as a JSON Pointer; for what was removed, in the old file.
    pub(crate) path: String,
    /// Abbreviated; for what moved, its old position.
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
    pub(crate) old_place: Option<Place>,
    pub(crate) new_place: Option<Place>,
    /// Whether it concerns only text for people, and nothing that runs.
    pub(crate) description_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Added,
    Removed,
    Moved,
    Changed,
}

/// What kind of thing a difference is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subject {
    Definition,
    /// A file that is used.
    File,
    Library,
    Step,
    Steps,
    Option,
    Branch,
    Case,
    Catch,
    Signal,
    Query,
    Update,
    Block,
    Type,
    Activity,
    State,
    Schedule,
    /// A default for starting the workflow.
    Start,
    /// A default option by kind of step.
    Default,
    Schema,
    Property,
    Description,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// The runs that get a new version: one in flight keeps the version that it started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Runs {
    /// The old version never continues as new, or only with itself.
    New,
    /// The old version continues as new with the version that is then the newest.
    NewAndContinued,
}

/// Compares two versions. Files with mistakes are compared as far as they can be read.
pub fn difference(old: Version<'_>, new: Version<'_>) -> Differences {
    let (old_files, new_files) = (files(old), files(new));
    let mut contents = Contents::default();
    let old_tree = tree(old, &old_files, &mut contents);
    let new_tree = tree(new, &new_files, &mut contents);
    let pairs = pair::pair(&old_tree, &new_tree, &mut contents);
    let (differences, omitted) = list::list(
        list::Side {
            tree: &old_tree,
            sources: &old.loaded.sources,
        },
        list::Side {
            tree: &new_tree,
            sources: &new.loaded.sources,
        },
        &pairs,
    );
    Differences {
        differences,
        omitted,
        unreadable: old_files.iter().chain(&new_files).any(|f| f.is_broken),
        text_changed: texts(old, &old_files) != texts(new, &new_files),
        runs: runs(&old_tree),
    }
}

/// A file as YAML; the first contains the definition, which uses the others.
struct File {
    id: FileId,
    documents: Vec<yaml::Node>,
    /// Reading it stopped at a mistake.
    is_broken: bool,
}

fn files(version: Version<'_>) -> Vec<File> {
    let Version { loaded, file, .. } = version;
    let definition = loaded
        .definitions(file)
        .find(|(i, _)| *i == version.document);
    let uses = definition.map_or(&[][..], |(_, definition)| &definition.uses[..]);
    let mut ids = loaded.used(file, uses).files;
    ids.sort_by_key(|id| &loaded.file(*id).key);
    let all = std::iter::once(file).chain(ids);
    all.map(|id| {
        let (documents, diagnostics) = yaml::read(id, &loaded.sources.file(id).text);
        File {
            id,
            documents,
            is_broken: diagnostics.iter().any(Diagnostic::is_error),
        }
    })
    .collect()
}

fn texts<'l>(version: Version<'l>, files: &[File]) -> Vec<(&'l str, &'l str)> {
    let Version { loaded, .. } = version;
    let text = |file: &File| {
        (
            &*loaded.file(file.id).key,
            &*loaded.sources.file(file.id).text,
        )
    };
    let mut texts: Vec<_> = files.iter().map(text).collect();
    // The name of the definition's own file has no meaning.
    if let Some(first) = texts.first_mut() {
        first.0 = "";
    }
    texts
}

fn tree<'n>(version: Version<'_>, files: &'n [File], contents: &mut Contents) -> Tree<'n> {
    let mut reader = Reader {
        tree: Tree { nodes: Vec::new() },
        contents,
    };
    let at = |parent, segment: &str, subject, file| At {
        parent,
        segment: segment.into(),
        subject,
        range: tree::start_of(file),
    };
    let root = reader.add(at(None, "", Subject::Library, version.file), None);
    for (i, file) in files.iter().enumerate() {
        if i == 0 {
            if let Some(node) = file.documents.get(version.document as usize) {
                let at = at(Some(root), "", Subject::Definition, file.id);
                reader.mapping(at, &tables::DEFINITION, node);
            }
            continue;
        }
        let key = &version.loaded.file(file.id).key;
        let id = reader.add(at(Some(root), key, Subject::File, file.id), None);
        let libraries = file.documents.iter().filter(|node| !node.is_null());
        for (i, node) in libraries.enumerate() {
            let at = at(Some(id), &i.to_string(), Subject::Library, file.id);
            let library = reader.mapping(at, &tables::LIBRARY, node);
            reader.tree.nodes[library].is_group = true;
        }
        reader.finish(id, Form::Fields);
    }
    reader.finish(root, Form::Fields);
    reader.tree
}

/// How runs of the old version continue: a `continue_as_new` of the same workflow uses the newest version unless it has
/// `definition: pinned`. With `history: automatic`, a run keeps its version.
fn runs(old: &Tree<'_>) -> Runs {
    let is_of_itself = |workflow: &str| {
        let definition = old.child(0, "");
        let own = definition.and_then(|id| old.text(id, "workflow"));
        workflow.contains("${") || Some(workflow) == own
    };
    let takes_newest = (0..old.nodes.len()).any(|id| {
        let action = old.node(id).action;
        if action.is_none_or(|(action, _)| action.key.name != "continue_as_new") {
            return false;
        }
        let Some(options) = old.child(id, "continue_as_new") else {
            return false;
        };
        old.text(options, "definition") != Some("pinned")
            && old.text(options, "workflow").is_none_or(is_of_itself)
    });
    match takes_newest {
        true => Runs::NewAndContinued,
        false => Runs::New,
    }
}

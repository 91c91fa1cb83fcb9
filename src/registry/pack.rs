//! A definition and what it uses, packed into a bundle and compiled.

use std::path::Path;
use std::sync::Arc;

use super::{Entry, texts, used};
use crate::bundle::{Bundle, BundleError, BundleFile, Versions};
use crate::compile::compile;
use crate::definition::Definition;
use crate::diagnostic::Diagnostic;
use crate::difference::{Differences, Version, difference};
use crate::engine::Loaded;
use crate::engine::job::EncodedBundle;
use crate::load::{self, Unread};
use crate::program::Program;
use crate::source::FileId;

/// A definition's errors that are reported if only one line is available.
const ERRORS_SHOWN_MAX: usize = 3;

/// The program of a packed bundle, to which a run is bound, wherever the bundle was packed.
///
/// Packing it found no errors. If this worker's checker is stricter, the run continues anyway.
pub fn load(packed: &[u8]) -> Result<Arc<Loaded>, String> {
    let bundle = Bundle::decode(packed).map_err(|e| e.to_string())?;
    if let Some(why) = bundle.versions().unknown() {
        return Err(format!("the definition of {} {why}", bundle.workflow()));
    }
    let (loaded, entry) = files(&bundle);
    let wanted = bundle.document();
    let unreadable = |diagnostics: Vec<Diagnostic>| {
        // The help names the bound that was exceeded, if there was one.
        let text = |d: &Diagnostic| {
            let place = loaded.sources.location(d.range);
            let help = d.help.first().map(|help| format!(" ({help})"));
            format!("{place}: {}{}", d.message, help.unwrap_or_default())
        };
        let errors = diagnostics.iter().filter(|d| d.is_error());
        let errors = errors.take(ERRORS_SHOWN_MAX).map(text);
        format!(
            "the definition of {} cannot be read: {}",
            bundle.workflow(),
            errors.collect::<Vec<_>>().join("; ")
        )
    };
    let mut definitions = entry.into_iter().flat_map(|id| loaded.definitions(id));
    let (Some(id), Some((_, definition))) = (entry, definitions.find(|(i, _)| *i == wanted)) else {
        let of_entry = entry.map(|id| loaded.file(id).diagnostics.clone());
        let of_entry = of_entry.filter(|found| found.iter().any(Diagnostic::is_error));
        return Err(of_entry.map_or_else(
            || format!("the bundle of {} contains no definition", bundle.workflow()),
            unreadable,
        ));
    };
    let encoded = EncodedBundle {
        digest: bundle.digest().to_string(),
        version: bundle.version().to_owned(),
        bytes: packed.to_vec(),
    };
    let (program, mut found) = program(&loaded, id, definition).map_err(unreadable)?;
    found.retain(Diagnostic::is_bound);
    if !found.is_empty() {
        return Err(unreadable(found));
    }
    Ok(Arc::new(Loaded {
        program: program.callable(),
        bundle: encoded,
    }))
}

/// A bundle's files, and which of them contains the definition.
fn files(bundle: &Bundle) -> (load::Loaded, Option<FileId>) {
    let files = bundle.files().iter().map(|file| Unread {
        key: file.path.clone(),
        path: file.path.clone(),
        bytes: file.text.as_bytes().to_vec(),
    });
    let mut loaded = load::Loaded::default();
    loaded.add(files.collect());
    texts::share(&mut loaded.sources);
    let entry = loaded.by_key(&bundle.entry().path);
    (loaded, entry)
}

/// What changed in meaning from one packed bundle to another.
pub(crate) fn differences(old: &[u8], new: &[u8]) -> Result<Differences, BundleError> {
    let (old, new) = (Bundle::decode(old)?, Bundle::decode(new)?);
    let ((old_files, old_entry), (new_files, new_entry)) = (files(&old), files(&new));
    let (Some(old_entry), Some(new_entry)) = (old_entry, new_entry) else {
        return Err(BundleError::Empty);
    };
    let version = |loaded, file, bundle: &Bundle| Version {
        loaded,
        file,
        document: bundle.document(),
    };
    Ok(difference(
        version(&old_files, old_entry, &old),
        version(&new_files, new_entry, &new),
    ))
}

/// Which parts of a definition's program are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Those that runs can reach.
    Callable,
    /// Also the blocks that are never called, for reports on them.
    All,
}

/// Packs and compiles one definition of a file. `known` returns the entry of a digest, if it is already compiled.
pub(super) fn pack(
    folder: &Path,
    loaded: &load::Loaded,
    (file, document): (FileId, u32),
    definition: &Definition,
    keep: Keep,
    known: &dyn Fn(&str) -> Option<Entry>,
) -> Result<Entry, Vec<Diagnostic>> {
    let used = loaded.used(file, &definition.uses);
    let ids: Vec<FileId> = std::iter::once(file).chain(used.files).collect();
    let keys: Vec<&str> = ids.iter().map(|id| &*loaded.file(*id).key).collect();
    let unreadable = |error: std::io::Error| {
        let message = format!("the folder of the definitions cannot be read: {error}");
        vec![Diagnostic::error(
            "unreadable-folder",
            definition.name.range,
            message,
        )]
    };
    let paths = used::paths(folder, &keys).map_err(unreadable)?;
    let files = paths.into_iter().zip(&ids).map(|(path, id)| BundleFile {
        path: path.into(),
        text: loaded.sources.file(*id).text.clone(),
    });
    let mut files: Vec<BundleFile> = files.collect();
    let entry = files.remove(0);
    // A file of the folder that is used by a path through the outside is the same file.
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    let bundle = Bundle::from_files(
        &definition.name.value,
        Versions::NEWEST,
        entry,
        document,
        files,
    );
    let packed = bundle.and_then(|bundle| Ok((bundle.digest().to_string(), bundle.encode()?)));
    let (digest, bytes) = packed.map_err(|error| {
        vec![Diagnostic::error(
            "bundle-too-large",
            definition.name.range,
            error.to_string(),
        )]
    })?;
    if let Some(entry) = known(&digest) {
        return Ok(entry);
    }
    let bundle = EncodedBundle {
        digest,
        version: String::new(),
        bytes,
    };
    let (program, diagnostics) = program(loaded, file, definition)?;
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    let program = match keep {
        Keep::Callable => program.callable(),
        Keep::All => program,
    };
    Ok(Entry {
        loaded: Arc::new(Loaded {
            program,
            bundle: bundle.clone(),
        }),
        bundle: Arc::new(bundle),
    })
}

/// Compiles what could be read without errors, and returns all diagnostics.
fn program(
    loaded: &load::Loaded,
    file: FileId,
    definition: &Definition,
) -> Result<(Program, Vec<Diagnostic>), Vec<Diagnostic>> {
    let used = loaded.used(file, &definition.uses);
    let of_files = std::iter::once(&file).chain(&used.files);
    let mut diagnostics: Vec<_> = of_files
        .flat_map(|id| loaded.file(*id).diagnostics.clone())
        .collect();
    diagnostics.extend(used.diagnostics);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    let compiled = compile(definition, &used.libraries, &loaded.sources);
    diagnostics.extend(compiled.diagnostics);
    Ok((compiled.program, diagnostics))
}

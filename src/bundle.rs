//! A definition and what it uses, packed: a run is bound to a bundle, and a deployment stores bundles.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use prost::Message;
use sha2::{Digest as _, Sha256};

use crate::expression::COST_MODEL_VERSION;
use crate::limits::{
    BUNDLE_FILES_MAX, BUNDLE_PACKED_SIZE_BYTES_MAX, BUNDLE_SIZE_BYTES_MAX,
    BUNDLE_WINDOW_SIZE_LOG2_MAX, LANGUAGE_VERSION_MAX,
};
use crate::wire;

/// Files this big compress in well under a millisecond at this level.
const ZSTD_LEVEL: i32 = 3;

/// The number of the files' field in `proto/segno/v1/bundle.proto`.
const FILES_FIELD: u32 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// Relative to the definitions' folder, with `/` between its parts.
    pub path: Arc<str>,
    pub text: Arc<str>,
}

/// The identity of a bundle: a SHA-256 of its content, however it is packed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The versions by which a run must be read and computed for all of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The version of the language that the definition is written in.
    pub language: u32,
    /// The version of the expressions' cost model.
    pub cost_model: u32,
}

impl Versions {
    /// The versions of a definition that is packed now.
    pub const NEWEST: Versions = Versions {
        language: LANGUAGE_VERSION_MAX,
        cost_model: COST_MODEL_VERSION,
    };

    /// Why this worker cannot run such a definition, in words that follow its name.
    pub(crate) fn unknown(self) -> Option<String> {
        let newest = Versions::NEWEST;
        let (what, version, known) = if !(1..=newest.language).contains(&self.language) {
            ("the language", self.language, newest.language)
        } else if !(1..=newest.cost_model).contains(&self.cost_model) {
            (
                "the expressions' cost model",
                self.cost_model,
                newest.cost_model,
            )
        } else {
            return None;
        };
        Some(format!(
            "is bound to version {version} of {what}, but this worker supports versions up to {known}; use a newer worker"
        ))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    workflow: Arc<str>,
    versions: Versions,
    document: u32,
    files: Vec<BundleFile>,
    digest: Digest,
    /// Its name in the registry that it came from.
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    #[error("a bundle needs at least the file of its definition")]
    Empty,
    #[error("the bundle has {0} files; BUNDLE_FILES_MAX is {BUNDLE_FILES_MAX}")]
    Files(usize),
    #[error("the file {0} is twice in the bundle")]
    Twice(Arc<str>),
    #[error(
        "the bundle's files are bigger than BUNDLE_SIZE_BYTES_MAX ({BUNDLE_SIZE_BYTES_MAX} bytes)"
    )]
    Size,
    #[error(
        "the packed bundle has {0} bytes; BUNDLE_PACKED_SIZE_BYTES_MAX is {BUNDLE_PACKED_SIZE_BYTES_MAX}, so that it fits in a run's history"
    )]
    PackedSize(usize),
    #[error("these bytes are not a bundle: {0}")]
    Malformed(String),
}

impl Bundle {
    /// The entry is the file with the definition, which is its `document`th YAML document, counted from 0. The other
    /// files may be in any order.
    pub fn from_files(
        workflow: &str,
        versions: Versions,
        entry: BundleFile,
        document: u32,
        mut used: Vec<BundleFile>,
    ) -> Result<Bundle, BundleError> {
        used.sort_by(|a, b| a.path.cmp(&b.path));
        let files: Vec<_> = std::iter::once(entry).chain(used).collect();
        if files.len() > BUNDLE_FILES_MAX {
            return Err(BundleError::Files(files.len()));
        }
        if let Some(pair) = files[1..]
            .windows(2)
            .find(|pair| pair[0].path == pair[1].path)
        {
            return Err(BundleError::Twice(pair[0].path.clone()));
        }
        if files[1..].iter().any(|file| file.path == files[0].path) {
            return Err(BundleError::Twice(files[0].path.clone()));
        }
        let size: usize = files.iter().map(|f| f.path.len() + f.text.len()).sum();
        if size > BUNDLE_SIZE_BYTES_MAX {
            return Err(BundleError::Size);
        }
        let digest = digest(workflow, versions, document, &files);
        Ok(Bundle {
            workflow: workflow.into(),
            versions,
            document,
            files,
            digest,
            version: String::new(),
        })
    }

    /// The workflow type.
    pub(crate) fn workflow(&self) -> &Arc<str> {
        &self.workflow
    }

    pub(crate) fn versions(&self) -> Versions {
        self.versions
    }

    /// Which YAML document of the entry is the definition, counted from 0.
    pub(crate) fn document(&self) -> u32 {
        self.document
    }

    /// The entry first.
    pub fn files(&self) -> &[BundleFile] {
        &self.files
    }

    pub(crate) fn entry(&self) -> &BundleFile {
        &self.files[0]
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its name in its registry, such as `order@12`, or empty.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn named(self, version: String) -> Self {
        Bundle { version, ..self }
    }

    /// The stored form: protobuf, compressed.
    pub fn encode(&self) -> Result<Vec<u8>, BundleError> {
        let wire = wire::Bundle {
            workflow: self.workflow.to_string(),
            language_version: self.versions.language,
            cost_model_version: self.versions.cost_model,
            document: self.document,
            files: self
                .files
                .iter()
                .map(|file| wire::bundle::File {
                    path: file.path.to_string(),
                    text: file.text.to_string(),
                })
                .collect(),
            version: self.version.clone(),
        };
        let mut packed = zstd::bulk::compress(&wire.encode_to_vec(), ZSTD_LEVEL)
            .map_err(|e| BundleError::Malformed(e.to_string()))?;
        if packed.len() > BUNDLE_PACKED_SIZE_BYTES_MAX {
            return Err(BundleError::PackedSize(packed.len()));
        }
        // There was room for a text that cannot be compressed.
        packed.shrink_to_fit();
        Ok(packed)
    }

    pub fn decode(packed: &[u8]) -> Result<Bundle, BundleError> {
        if packed.len() > BUNDLE_PACKED_SIZE_BYTES_MAX {
            return Err(BundleError::PackedSize(packed.len()));
        }
        let malformed = |e: &dyn fmt::Display| BundleError::Malformed(e.to_string());
        // Paths, tags and lengths take a little more than the texts that the bound limits.
        let limit = (BUNDLE_SIZE_BYTES_MAX + 64 * BUNDLE_FILES_MAX) as u64;
        let mut bytes = Vec::new();
        let read = zstd::stream::read::Decoder::new(packed)
            .and_then(|mut decoder| {
                decoder.window_log_max(BUNDLE_WINDOW_SIZE_LOG2_MAX)?;
                decoder.take(limit + 1).read_to_end(&mut bytes)
            })
            .map_err(|e| malformed(&e))?;
        if read as u64 > limit {
            return Err(BundleError::Size);
        }
        let files = wire::count_fields(&bytes, FILES_FIELD);
        if let Some(files) = files.filter(|files| *files > BUNDLE_FILES_MAX) {
            return Err(BundleError::Files(files));
        }
        let wire = wire::Bundle::decode(bytes.as_slice()).map_err(|e| malformed(&e))?;
        let mut files = wire.files.into_iter().map(|file| BundleFile {
            path: file.path.into(),
            text: file.text.into(),
        });
        let entry = files.next().ok_or(BundleError::Empty)?;
        let versions = Versions {
            language: wire.language_version,
            cost_model: wire.cost_model_version,
        };
        let bundle = Bundle::from_files(
            &wire.workflow,
            versions,
            entry,
            wire.document,
            files.collect(),
        )?;
        Ok(bundle.named(wire.version))
    }
}

fn digest(workflow: &str, versions: Versions, document: u32, files: &[BundleFile]) -> Digest {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    add("segno.v1.Bundle");
    add(workflow);
    add(&versions.language.to_string());
    add(&versions.cost_model.to_string());
    add(&document.to_string());
    add(&files[0].path);
    let mut by_path: Vec<_> = files.iter().collect();
    by_path.sort_by(|a, b| a.path.cmp(&b.path));
    for file in by_path {
        add(&file.path);
        add(&file.text);
    }
    Digest(hash.finalize().into())
}

impl Digest {
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Digest> {
        Some(Digest(bytes.try_into().ok()?))
    }
}

/// `sha256:` and 64 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> BundleFile {
        BundleFile {
            path: path.into(),
            text: text.into(),
        }
    }

    fn bundle(used: Vec<BundleFile>) -> Bundle {
        Bundle::from_files(
            "greet",
            Versions::NEWEST,
            file("greet.yaml", "workflow: greet"),
            0,
            used,
        )
        .unwrap()
    }

    #[test]
    fn survives_packing() {
        let original = bundle(vec![file("b.yaml", "b"), file("a.yaml", "ä")]);
        let packed = original.encode().unwrap();
        assert_eq!(Bundle::decode(&packed).unwrap(), original);
    }

    #[test]
    fn what_it_is_bound_to_survives_and_is_refused_where_it_is_not_known() {
        let bound_to = |versions| {
            let bundle = Bundle::from_files("w", versions, file("w.yaml", ""), 0, vec![]).unwrap();
            Bundle::decode(&bundle.encode().unwrap()).unwrap()
        };
        let newest = bound_to(Versions::NEWEST);
        assert_eq!(newest.versions().unknown(), None);
        let later = bound_to(Versions {
            cost_model: COST_MODEL_VERSION + 1,
            ..Versions::NEWEST
        });
        assert_ne!(later.digest(), newest.digest());
        assert_eq!(
            later.versions().unknown().unwrap(),
            "is bound to version 2 of the expressions' cost model, but this worker supports versions up to 1; use a newer worker"
        );
    }

    #[test]
    fn its_digest_depends_on_the_content_only() {
        let one = bundle(vec![file("a.yaml", "a"), file("b.yaml", "b")]);
        let other = bundle(vec![file("b.yaml", "b"), file("a.yaml", "a")]);
        assert_eq!(one.digest(), other.digest());
        assert_ne!(one.digest(), bundle(vec![file("a.yaml", "ab")]).digest());
        assert_eq!(
            bundle(vec![]).digest().to_string(),
            "sha256:d2a49b8b14713328662efd94f55074b8cd17bbbcb1c3342b905d048093367c7b"
        );
    }

    #[test]
    fn refuses_what_is_too_much_or_no_bundle() {
        let twice =
            Bundle::from_files("w", Versions::NEWEST, file("a", ""), 0, vec![file("a", "")]);
        assert_eq!(twice.unwrap_err(), BundleError::Twice("a".into()));
        let many = (0..BUNDLE_FILES_MAX)
            .map(|i| file(&format!("u{i}"), ""))
            .collect();
        let many = Bundle::from_files("w", Versions::NEWEST, file("a", ""), 0, many);
        assert_eq!(many.unwrap_err(), BundleError::Files(BUNDLE_FILES_MAX + 1));
        let big = file("big", &"x".repeat(BUNDLE_SIZE_BYTES_MAX + 1));
        let big = Bundle::from_files("w", Versions::NEWEST, big, 0, vec![]);
        assert_eq!(big.unwrap_err(), BundleError::Size);
        assert!(matches!(
            Bundle::decode(b"no zstd"),
            Err(BundleError::Malformed(_))
        ));
        let bomb = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 19).unwrap();
        assert_eq!(Bundle::decode(&bomb).unwrap_err(), BundleError::Size);
        // Refusing four million empty files must not take hundreds of megabytes.
        let many = zstd::bulk::compress(&[0x1a, 0].repeat(4 << 20), 19).unwrap();
        assert_eq!(
            Bundle::decode(&many).unwrap_err(),
            BundleError::Files(4 << 20)
        );
        let empty = zstd::bulk::compress(&[], 1).unwrap();
        assert_eq!(Bundle::decode(&empty).unwrap_err(), BundleError::Empty);
    }
}

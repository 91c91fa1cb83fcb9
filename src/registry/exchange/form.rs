//! The exported form: from and to the stored form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ImportError;
use crate::bundle::{Bundle, BundleFile, Digest, Versions};
use crate::catalog::{Origin, Record, Route, TagChange, Version, VersionName};
use crate::value::Timestamp;

/// The form's name, with its version.
pub(crate) const FORM: &str = "segno-registry/1";

/// An exported registry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Export {
    pub(crate) form: String,
    pub(crate) revision: u64,
    pub(crate) definitions: Vec<ExportedDefinition>,
    /// The oldest change first.
    pub(crate) history: Vec<ExportedRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) due_schedules: Vec<ExportedDue>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExportedDefinition {
    pub(crate) workflow: String,
    pub(crate) project: String,
    pub(crate) retired: bool,
    pub(crate) current: u32,
    pub(crate) pinned: bool,
    pub(crate) ramp: Option<ExportedRamp>,
    pub(crate) tags: BTreeMap<String, u32>,
    /// The highest number ever used; that version may have been deleted.
    pub(crate) last_number: u32,
    pub(crate) versions: Vec<ExportedVersion>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportedRamp {
    pub(crate) version: u32,
    pub(crate) percent: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExportedVersion {
    pub(crate) number: u32,
    pub(crate) digest: String,
    pub(crate) revision: u64,
    pub(crate) language_version: u32,
    pub(crate) schedules: Vec<String>,
    /// `None` if it could not be read.
    pub(crate) bundle: Option<ExportedBundle>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExportedBundle {
    pub(crate) language_version: u32,
    pub(crate) cost_model_version: u32,
    /// Which YAML document of the first file is the definition, counted from 0.
    pub(crate) document: u32,
    pub(crate) files: Vec<ExportedFile>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportedFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExportedRecord {
    pub(crate) revision: u64,
    pub(crate) id: String,
    pub(crate) time: String,
    pub(crate) by: String,
    pub(crate) commit: String,
    pub(crate) message: String,
    pub(crate) project: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) put: Vec<ExportedName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) retired: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) routes: Vec<ExportedRoute>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<ExportedTag>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) deleted: Vec<ExportedName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) stored_again: Vec<ExportedName>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportedName {
    pub(crate) workflow: String,
    pub(crate) number: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportedRoute {
    pub(crate) workflow: String,
    pub(crate) current: u32,
    pub(crate) pinned: bool,
    pub(crate) ramp: Option<ExportedRamp>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportedTag {
    pub(crate) workflow: String,
    pub(crate) name: String,
    /// 0 removes the tag.
    pub(crate) number: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExportedDue {
    pub(crate) revision: u64,
    pub(crate) workflows: Vec<String>,
    pub(crate) namespace_id: String,
    pub(crate) task_queue: String,
}

impl ExportedDefinition {
    pub(super) fn route(&self) -> Route {
        Route {
            workflow: self.workflow.clone(),
            current: self.current,
            pinned: self.pinned,
            ramp: self.ramp.as_ref().map_or(0, |ramp| ramp.version),
            ramp_percent: self.ramp.as_ref().map_or(0, |ramp| ramp.percent),
        }
    }
}

impl ExportedRamp {
    pub(super) fn of(version: u32, percent: u32) -> Option<ExportedRamp> {
        (version != 0).then_some(ExportedRamp { version, percent })
    }
}

impl ExportedVersion {
    pub(super) fn of(version: &Version, bundle: Option<Bundle>) -> ExportedVersion {
        let digest = Digest::from_bytes(&version.digest).map(|d| d.to_string());
        ExportedVersion {
            number: version.number,
            digest: digest.unwrap_or_default(),
            revision: version.revision,
            language_version: version.language_version,
            schedules: version.schedules.clone(),
            bundle: bundle.map(|bundle| ExportedBundle {
                language_version: bundle.versions().language,
                cost_model_version: bundle.versions().cost_model,
                document: bundle.document(),
                files: bundle
                    .files()
                    .iter()
                    .map(|file| ExportedFile {
                        path: file.path.to_string(),
                        text: file.text.to_string(),
                    })
                    .collect(),
            }),
        }
    }

    pub(super) fn digest_bytes(&self, name: &str) -> Result<Vec<u8>, ImportError> {
        let hex = self.digest.strip_prefix("sha256:").unwrap_or_default();
        let digest: Option<Vec<u8>> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
            .collect();
        digest.filter(|digest| digest.len() == 32).ok_or_else(|| {
            let why = "the digest is not sha256: and 64 hexadecimal digits";
            ImportError::Form(format!("{name}: {why}"))
        })
    }
}

impl ExportedBundle {
    pub(super) fn packed(
        &self,
        workflow: &str,
        name: &str,
        digest: &str,
    ) -> Result<Vec<u8>, ImportError> {
        let mut files = self.files.iter().map(|file| BundleFile {
            path: file.path.as_str().into(),
            text: file.text.as_str().into(),
        });
        let wrong = |why: String| ImportError::Form(format!("{name}: {why}"));
        let entry = files
            .next()
            .ok_or_else(|| wrong("it has no files".to_owned()))?;
        let versions = Versions {
            language: self.language_version,
            cost_model: self.cost_model_version,
        };
        let files = files.collect();
        let bundle = Bundle::from_files(workflow, versions, entry, self.document, files);
        let bundle = bundle.map_err(|e| wrong(e.to_string()))?;
        if bundle.digest().to_string() != digest {
            return Err(ImportError::Digest(name.to_owned(), digest.to_owned()));
        }
        bundle.encode().map_err(|e| wrong(e.to_string()))
    }
}

impl ExportedRecord {
    pub(crate) fn of(record: &Record) -> ExportedRecord {
        let origin = record.origin.clone().unwrap_or_default();
        let names = |names: &[VersionName]| {
            let names = names.iter().map(|name| ExportedName {
                workflow: name.workflow.clone(),
                number: name.number,
            });
            names.collect::<Vec<_>>()
        };
        let time = Timestamp::from_nanos(i128::from(record.time) * 1_000_000);
        ExportedRecord {
            revision: record.revision,
            id: record.id.clone(),
            time: time.unwrap_or_default().to_string(),
            by: origin.who,
            commit: origin.commit,
            message: origin.message,
            project: record.project.clone(),
            put: names(&record.put),
            retired: record.retired.clone(),
            routes: record
                .routes
                .iter()
                .map(|route| ExportedRoute {
                    workflow: route.workflow.clone(),
                    current: route.current,
                    pinned: route.pinned,
                    ramp: ExportedRamp::of(route.ramp, route.ramp_percent),
                })
                .collect(),
            tags: record
                .tags
                .iter()
                .map(|tag| ExportedTag {
                    workflow: tag.workflow.clone(),
                    name: tag.name.clone(),
                    number: tag.number,
                })
                .collect(),
            deleted: names(&record.deleted),
            stored_again: names(&record.mended),
        }
    }

    pub(super) fn record(&self) -> Result<Record, ImportError> {
        let names = |names: &[ExportedName]| {
            let names = names.iter().map(|name| VersionName {
                workflow: name.workflow.clone(),
                number: name.number,
            });
            names.collect::<Vec<_>>()
        };
        let time = Timestamp::parse(&self.time).ok_or_else(|| {
            ImportError::Form(format!(
                "revision {}: not a timestamp: {:?}",
                self.revision, self.time
            ))
        })?;
        Ok(Record {
            revision: self.revision,
            id: self.id.clone(),
            origin: Some(Origin {
                who: self.by.clone(),
                commit: self.commit.clone(),
                message: self.message.clone(),
            }),
            time: (time.as_nanos() / 1_000_000) as i64,
            project: self.project.clone(),
            put: names(&self.put),
            retired: self.retired.clone(),
            routes: self
                .routes
                .iter()
                .map(|route| Route {
                    workflow: route.workflow.clone(),
                    current: route.current,
                    pinned: route.pinned,
                    ramp: route.ramp.as_ref().map_or(0, |ramp| ramp.version),
                    ramp_percent: route.ramp.as_ref().map_or(0, |ramp| ramp.percent),
                })
                .collect(),
            tags: self
                .tags
                .iter()
                .map(|tag| TagChange {
                    workflow: tag.workflow.clone(),
                    name: tag.name.clone(),
                    number: tag.number,
                })
                .collect(),
            deleted: names(&self.deleted),
            mended: names(&self.stored_again),
        })
    }
}

//! How people name a version: `order`, `order@12`, `order@stable`.

use std::str::FromStr;

use super::{Catalog, Definition, Version};
use crate::diagnostic::did_you_mean;

/// A workflow type, and which of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionQuery {
    pub(crate) workflow: String,
    /// A number or a tag; `None` means the version that new runs get.
    pub(crate) version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{0:?} is not a version; write TYPE, TYPE@NUMBER or TYPE@TAG, such as order@12")]
    Form(String),
    #[error("the registry has no definition of {0}{1}")]
    Workflow(String, String),
    #[error("{0} has no version {1:?}; it has {2}")]
    Version(String, String, String),
}

impl FromStr for VersionQuery {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (workflow, version) = match text.rsplit_once('@') {
            Some((workflow, version)) => (workflow, Some(version)),
            None => (text, None),
        };
        if workflow.is_empty() || version == Some("") {
            return Err(NameError::Form(text.to_owned()));
        }
        Ok(VersionQuery {
            workflow: workflow.to_owned(),
            version: version.map(str::to_owned),
        })
    }
}

impl Catalog {
    pub(crate) fn known(&self, workflow: &str) -> Result<&Definition, NameError> {
        self.definition(workflow).ok_or_else(|| {
            let names = self.state.definitions.iter().map(|d| d.workflow.as_str());
            let near = did_you_mean(workflow, names).map(|near| format!("; did you mean {near}?"));
            NameError::Workflow(workflow.to_owned(), near.unwrap_or_default())
        })
    }

    pub(crate) fn find(&self, query: &VersionQuery) -> Result<(&Definition, &Version), NameError> {
        let definition = self.known(&query.workflow)?;
        let number = match &query.version {
            None => Some(definition.current),
            Some(text) => text.parse().ok().or_else(|| {
                let tag = definition.tags.iter().find(|tag| tag.name == *text);
                tag.map(|tag| tag.number)
            }),
        };
        let version = number.and_then(|number| definition.version(number));
        let version = version.ok_or_else(|| {
            let numbers = definition.versions.iter().map(|v| v.number.to_string());
            let tags = definition.tags.iter().map(|tag| tag.name.clone());
            NameError::Version(
                query.workflow.clone(),
                query.version.clone().unwrap_or_default(),
                numbers.chain(tags).collect::<Vec<_>>().join(", "),
            )
        })?;
        Ok((definition, version))
    }
}

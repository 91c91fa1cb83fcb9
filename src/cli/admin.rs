//! Commands for operators: namespaces, search attributes and worker deployments.

pub(crate) mod namespace;
pub(crate) mod search_attribute;
pub(crate) mod worker_deployment;

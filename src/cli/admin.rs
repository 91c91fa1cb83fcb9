//! Commands for operators: namespaces, search attributes and worker deployments.

pub mod namespace;
pub mod search_attribute;
pub mod worker_deployment;

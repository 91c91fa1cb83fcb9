//! Namespaces and their search attributes: created, shown, changed and deleted.

use std::collections::BTreeMap;

use temporalio_client::grpc::{OperatorService, WorkflowService};
use temporalio_protos::temporal::api::enums::v1::{ArchivalState, IndexedValueType};
use temporalio_protos::temporal::api::namespace::v1::{NamespaceConfig, UpdateNamespaceInfo};
use temporalio_protos::temporal::api::operatorservice::v1::{
    AddSearchAttributesRequest, DeleteNamespaceRequest, ListSearchAttributesRequest,
    RemoveSearchAttributesRequest,
};
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, DescribeNamespaceResponse, ListNamespacesRequest,
    RegisterNamespaceRequest, UpdateNamespaceRequest,
};
use tonic::{Code, Status};

use super::{Client, ClientError, body, request};
use crate::payload::{duration_from_proto, duration_to_proto};
use crate::value::Duration;

/// The options of a namespace; what is `None` has the server's default, or stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NamespaceOptions {
    /// How long closed workflows are kept.
    pub(crate) retention: Option<Duration>,
    pub(crate) description: Option<String>,
    pub(crate) owner_email: Option<String>,
    /// Kept as texts; if a namespace is changed, its other keys stay.
    pub(crate) data: BTreeMap<String, String>,
    pub(crate) history_archival: Archival,
    pub(crate) visibility_archival: Archival,
}

/// Whether closed workflows are archived, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Archival {
    pub(crate) enabled: Option<bool>,
    /// Once it is set, the server does not change it.
    pub(crate) uri: Option<String>,
}

/// A namespace as described by the server.
#[derive(Debug, Clone)]
pub(crate) struct NamespaceDescription {
    pub(crate) name: String,
    pub(crate) id: String,
    /// Temporal's word: REGISTERED, DEPRECATED, DELETED.
    pub(crate) state: &'static str,
    pub(crate) description: String,
    pub(crate) owner_email: String,
    pub(crate) data: BTreeMap<String, String>,
    pub(crate) retention: Option<Duration>,
    pub(crate) history_archival: Archival,
    pub(crate) visibility_archival: Archival,
    pub(crate) is_global: bool,
    pub(crate) active_cluster: String,
    pub(crate) clusters: Vec<String>,
}

/// The type of a search attribute's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SearchAttributeType {
    Text,
    Keyword,
    Int,
    Double,
    Bool,
    Datetime,
    KeywordList,
}

/// The search attributes of a namespace by their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct SearchAttributes {
    pub(crate) custom: BTreeMap<String, Option<SearchAttributeType>>,
    pub(crate) system: BTreeMap<String, Option<SearchAttributeType>>,
}

impl Client {
    pub(crate) async fn register_namespace(
        &self,
        name: &str,
        options: NamespaceOptions,
    ) -> Result<(), ClientError> {
        let message = RegisterNamespaceRequest {
            namespace: name.to_owned(),
            description: options.description.unwrap_or_default(),
            owner_email: options.owner_email.unwrap_or_default(),
            workflow_execution_retention_period: options.retention.map(duration_to_proto),
            data: options.data.into_iter().collect(),
            history_archival_state: archival_state(&options.history_archival),
            history_archival_uri: options.history_archival.uri.unwrap_or_default(),
            visibility_archival_state: archival_state(&options.visibility_archival),
            visibility_archival_uri: options.visibility_archival.uri.unwrap_or_default(),
            ..Default::default()
        };
        let mut service = self.connection.clone();
        let answer = service.register_namespace(request(message)).await;
        answer.map_err(|status| match status.code() {
            Code::AlreadyExists => ClientError::NamespaceExists(name.to_owned()),
            _ => namespace_refused("register the namespace", name)(status),
        })?;
        Ok(())
    }

    pub(crate) async fn update_namespace(
        &self,
        name: &str,
        options: NamespaceOptions,
    ) -> Result<(), ClientError> {
        // The server resets descriptions and owners that an update leaves out.
        let there = self.describe_namespace(name).await?;
        let config = NamespaceConfig {
            workflow_execution_retention_ttl: options.retention.map(duration_to_proto),
            history_archival_state: archival_state(&options.history_archival),
            history_archival_uri: options.history_archival.uri.unwrap_or_default(),
            visibility_archival_state: archival_state(&options.visibility_archival),
            visibility_archival_uri: options.visibility_archival.uri.unwrap_or_default(),
            ..Default::default()
        };
        let message = UpdateNamespaceRequest {
            namespace: name.to_owned(),
            update_info: Some(UpdateNamespaceInfo {
                description: options.description.unwrap_or(there.description),
                owner_email: options.owner_email.unwrap_or(there.owner_email),
                data: options.data.into_iter().collect(),
                ..Default::default()
            }),
            config: Some(config),
            ..Default::default()
        };
        let mut service = self.connection.clone();
        let answer = service.update_namespace(request(message)).await;
        answer.map_err(namespace_refused("update the namespace", name))?;
        Ok(())
    }

    pub(crate) async fn describe_namespace(
        &self,
        name: &str,
    ) -> Result<NamespaceDescription, ClientError> {
        let message = DescribeNamespaceRequest {
            namespace: name.to_owned(),
            ..Default::default()
        };
        let mut service = self.connection.clone();
        let answer = service.describe_namespace(request(message)).await;
        let answer = answer.map_err(namespace_refused("describe the namespace", name))?;
        Ok(description(body(answer)))
    }

    /// One page of the namespaces, and the token of the next page if there is one.
    pub(crate) async fn namespaces_page(
        &self,
        page_size: i32,
        token: Vec<u8>,
    ) -> Result<(Vec<NamespaceDescription>, Option<Vec<u8>>), ClientError> {
        let message = ListNamespacesRequest {
            page_size,
            next_page_token: token,
            ..Default::default()
        };
        let mut service = self.connection.clone();
        let answer = service.list_namespaces(request(message)).await;
        let answer = body(answer.map_err(self.refused("list namespaces", None))?);
        let next = answer.next_page_token;
        let namespaces = answer.namespaces.into_iter().map(description).collect();
        Ok((namespaces, (!next.is_empty()).then_some(next)))
    }

    /// Deletes the namespace with everything in it.
    pub(crate) async fn delete_namespace(&self, name: &str) -> Result<(), ClientError> {
        let message = DeleteNamespaceRequest {
            namespace: name.to_owned(),
            ..Default::default()
        };
        let mut service = self.connection.clone();
        let answer = service.delete_namespace(request(message)).await;
        answer.map_err(namespace_refused("delete the namespace", name))?;
        Ok(())
    }

    pub(crate) async fn create_search_attributes(
        &self,
        attributes: &BTreeMap<String, SearchAttributeType>,
    ) -> Result<(), ClientError> {
        let attribute =
            |(name, kind): (&String, &SearchAttributeType)| (name.clone(), kind.to_proto().into());
        let message = AddSearchAttributesRequest {
            search_attributes: attributes.iter().map(attribute).collect(),
            namespace: self.namespace.clone(),
        };
        let mut service = self.connection.clone();
        let answer = service.add_search_attributes(request(message)).await;
        answer.map_err(namespace_refused(
            "create the search attributes",
            &self.namespace,
        ))?;
        Ok(())
    }

    pub(crate) async fn remove_search_attributes(
        &self,
        names: &[String],
    ) -> Result<(), ClientError> {
        let message = RemoveSearchAttributesRequest {
            search_attributes: names.to_vec(),
            namespace: self.namespace.clone(),
        };
        let mut service = self.connection.clone();
        let answer = service.remove_search_attributes(request(message)).await;
        answer.map_err(self.refused("remove the search attributes", None))?;
        Ok(())
    }

    pub(crate) async fn search_attributes(&self) -> Result<SearchAttributes, ClientError> {
        let message = ListSearchAttributesRequest {
            namespace: self.namespace.clone(),
        };
        let mut service = self.connection.clone();
        let answer = service.list_search_attributes(request(message)).await;
        let refused = namespace_refused("list the search attributes", &self.namespace);
        let answer = body(answer.map_err(refused)?);
        let read = |(name, kind): (String, i32)| {
            let kind = IndexedValueType::try_from(kind).unwrap_or_default();
            let known = SearchAttributeType::ALL;
            (name, known.into_iter().find(|k| k.to_proto() == kind))
        };
        Ok(SearchAttributes {
            custom: answer.custom_attributes.into_iter().map(read).collect(),
            system: answer.system_attributes.into_iter().map(read).collect(),
        })
    }
}

impl SearchAttributeType {
    pub(crate) const ALL: [SearchAttributeType; 7] = [
        SearchAttributeType::Text,
        SearchAttributeType::Keyword,
        SearchAttributeType::Int,
        SearchAttributeType::Double,
        SearchAttributeType::Bool,
        SearchAttributeType::Datetime,
        SearchAttributeType::KeywordList,
    ];

    /// Temporal's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SearchAttributeType::Text => "Text",
            SearchAttributeType::Keyword => "Keyword",
            SearchAttributeType::Int => "Int",
            SearchAttributeType::Double => "Double",
            SearchAttributeType::Bool => "Bool",
            SearchAttributeType::Datetime => "Datetime",
            SearchAttributeType::KeywordList => "KeywordList",
        }
    }

    fn to_proto(self) -> IndexedValueType {
        match self {
            SearchAttributeType::Text => IndexedValueType::Text,
            SearchAttributeType::Keyword => IndexedValueType::Keyword,
            SearchAttributeType::Int => IndexedValueType::Int,
            SearchAttributeType::Double => IndexedValueType::Double,
            SearchAttributeType::Bool => IndexedValueType::Bool,
            SearchAttributeType::Datetime => IndexedValueType::Datetime,
            SearchAttributeType::KeywordList => IndexedValueType::KeywordList,
        }
    }
}

fn description(answer: DescribeNamespaceResponse) -> NamespaceDescription {
    let info = answer.namespace_info.unwrap_or_default();
    let config = answer.config.unwrap_or_default();
    let replication = answer.replication_config.unwrap_or_default();
    let archival = |state: ArchivalState, uri: String| Archival {
        enabled: Some(state == ArchivalState::Enabled),
        uri: (!uri.is_empty()).then_some(uri),
    };
    NamespaceDescription {
        state: info
            .state()
            .as_str_name()
            .trim_start_matches("NAMESPACE_STATE_"),
        history_archival: archival(
            config.history_archival_state(),
            config.history_archival_uri.clone(),
        ),
        visibility_archival: archival(
            config.visibility_archival_state(),
            config.visibility_archival_uri.clone(),
        ),
        name: info.name,
        id: info.id,
        description: info.description,
        owner_email: info.owner_email,
        data: info.data.into_iter().collect(),
        retention: config
            .workflow_execution_retention_ttl
            .map(duration_from_proto),
        is_global: answer.is_global_namespace,
        active_cluster: replication.active_cluster_name,
        clusters: replication
            .clusters
            .into_iter()
            .map(|cluster| cluster.cluster_name)
            .collect(),
    }
}

fn archival_state(archival: &Archival) -> i32 {
    let state = match archival.enabled {
        None => ArchivalState::Unspecified,
        Some(false) => ArchivalState::Disabled,
        Some(true) => ArchivalState::Enabled,
    };
    state.into()
}

fn namespace_refused(
    operation: &'static str,
    name: &str,
) -> impl FnOnce(Status) -> ClientError + use<> {
    let name = name.to_owned();
    move |status| match status.code() {
        Code::NotFound => ClientError::NoSuchNamespace(name),
        _ => ClientError::Refused {
            operation,
            status: Box::new(status),
        },
    }
}

//! The spans of calls to a workflow, and the context sent with them.

use temporalio_protos::temporal::api::common::v1::Header;

use super::Client;
use crate::payload::payload_to_proto;
use crate::telemetry::{Kind, Span, TRACE_HEADER, TraceContext};

impl Client {
    /// In the trace of the program that runs this one.
    pub(super) fn span(&self, what: &str, name: &str, workflow_id: &str) -> Span {
        let parent = TraceContext::from_environment();
        let attributes = [("temporalWorkflowID", workflow_id)];
        let name = format!("{what}:{name}");
        self.tracer.span(name, Kind::Client, &parent, &attributes)
    }
}

/// It stays unencoded, as in the SDKs, since it is added after the codecs.
pub(crate) fn put_context(header: &mut Option<Header>, span: &Span) {
    if let Some(payload) = span.context().to_header() {
        let fields = &mut header.get_or_insert_default().fields;
        fields.insert(TRACE_HEADER.to_owned(), payload_to_proto(payload));
    }
}

//! Traces for OpenTelemetry: spans, and the context in Temporal's headers, as in the official SDKs.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Event, Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceId,
    Tracer as _, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider, Span as SdkSpan,
};
use sha2::{Digest, Sha256};

use super::TelemetryError;
use super::otlp;
use crate::value::Payload;

/// The header in which the official SDKs' interceptors for OpenTelemetry send a context.
pub(crate) const TRACE_HEADER: &str = "_tracer-data";

const BAGGAGE: &str = "baggage";
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The role of a span towards the spans around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It sends a request.
    Client,
    /// It answers a request.
    Server,
    Internal,
}

/// Creates spans, or none if nothing is exported.
#[derive(Clone, Default)]
pub(crate) struct Tracer(Option<Arc<Exporting>>);

struct Exporting {
    tracer: SdkTracer,
    /// Samples like `tracer`, and exports nothing.
    silent: SdkTracer,
    provider: SdkTracerProvider,
    /// The runtime of the exporter's connection, since a command's own runtime may wait for the last spans.
    runtime: Option<tokio::runtime::Runtime>,
}

/// A position in a trace; possibly in none.
#[derive(Debug, Clone)]
pub(crate) struct TraceContext {
    span: SpanContext,
    baggage: Option<String>,
}

/// A span that ends when it is dropped.
pub(crate) struct Span {
    span: Option<SdkSpan>,
    context: TraceContext,
}

/// A span of a workflow. It has no length, and the ids of its trace and itself are derived from the run, so that every
/// worker that serves the run knows them.
#[derive(Debug, Clone)]
pub(crate) struct Moment<'a> {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) run_id: &'a str,
    /// Distinguishes the span from others of its run.
    pub(crate) key: String,
    pub(crate) at: Option<SystemTime>,
    pub(crate) attributes: Vec<(&'static str, String)>,
    /// A span elsewhere that caused this one.
    pub(crate) link: Option<&'a TraceContext>,
    pub(crate) error: Option<String>,
}

impl Default for TraceContext {
    fn default() -> Self {
        TraceContext {
            span: SpanContext::empty_context(),
            baggage: None,
        }
    }
}

impl TraceContext {
    pub(crate) fn is_somewhere(&self) -> bool {
        self.span.is_valid()
    }

    /// The context that `TRACEPARENT`, `TRACESTATE` and `BAGGAGE` pass to a command that another program runs.
    pub(crate) fn from_environment() -> Self {
        let names = [TRACEPARENT, TRACESTATE, BAGGAGE];
        let said = names.map(|name| (name.to_owned(), std::env::var(name.to_uppercase()).ok()));
        TraceContext::from_carrier(
            said.into_iter()
                .filter_map(|(n, v)| Some((n, v?)))
                .collect(),
        )
    }

    /// An unreadable header is ignored: a trace never disturbs a run.
    pub(crate) fn from_header(payload: Option<&Payload>) -> Self {
        let carrier = payload.and_then(|payload| serde_json::from_slice(&payload.data).ok());
        TraceContext::from_carrier(carrier.unwrap_or_default())
    }

    fn from_carrier(carrier: HashMap<String, String>) -> Self {
        let nowhere = Context::new();
        let extracted = TraceContextPropagator::new().extract_with_context(&nowhere, &carrier);
        TraceContext {
            span: extracted.span().span_context().clone(),
            baggage: carrier.get(BAGGAGE).cloned(),
        }
    }

    pub(crate) fn to_carrier(&self) -> HashMap<String, String> {
        let mut carrier = HashMap::new();
        let context = self.to_context();
        TraceContextPropagator::new().inject_context(&context, &mut carrier);
        // An empty state has no meaning.
        carrier.retain(|_, value| !value.is_empty());
        if let Some(baggage) = &self.baggage {
            carrier.insert(BAGGAGE.to_owned(), baggage.clone());
        }
        carrier
    }

    /// `None` if there is no context.
    pub(crate) fn to_header(&self) -> Option<Payload> {
        if !self.is_somewhere() && self.baggage.is_none() {
            return None;
        }
        let carrier = self.to_carrier();
        let data = serde_json::to_vec(&carrier).ok()?;
        let encoding = ("encoding".to_owned(), b"json/plain".to_vec());
        Some(Payload {
            metadata: [encoding].into(),
            data,
        })
    }

    fn to_context(&self) -> Context {
        match self.is_somewhere() {
            true => Context::new().with_remote_span_context(self.span.clone()),
            false => Context::new(),
        }
    }
}

impl Tracer {
    /// Configured by the standard environment variables: without an endpoint there are no spans.
    pub(crate) fn from_environment() -> Result<Tracer, TelemetryError> {
        let Some((exporter, runtime)) = otlp::span_exporter()? else {
            return Ok(Tracer::default());
        };
        let builder = || {
            SdkTracerProvider::builder()
                .with_id_generator(Ids::default())
                .with_resource(otlp::resource())
        };
        let provider = builder().with_batch_exporter(exporter).build();
        let scope = env!("CARGO_PKG_NAME");
        Ok(Tracer(Some(Arc::new(Exporting {
            tracer: provider.tracer(scope),
            silent: builder().build().tracer(scope),
            provider,
            runtime,
        }))))
    }

    /// Begins a span.
    pub(crate) fn span(
        &self,
        name: String,
        kind: Kind,
        parent: &TraceContext,
        attributes: &[(&'static str, &str)],
    ) -> Span {
        let Some(exporting) = &self.0 else {
            return Span {
                span: None,
                context: parent.clone(),
            };
        };
        let attributes = attributes
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| KeyValue::new(*name, (*value).to_owned()));
        let span = exporting
            .tracer
            .span_builder(name)
            .with_kind(kind.into())
            .with_attributes(attributes)
            .start_with_context(&exporting.tracer, &parent.to_context());
        let context = TraceContext {
            span: span.span_context().clone(),
            baggage: parent.baggage.clone(),
        };
        Span {
            span: Some(span),
            context,
        }
    }

    /// The context of a moment of a workflow; in a replay nothing is exported.
    pub(crate) fn moment(
        &self,
        moment: Moment<'_>,
        parent: &TraceContext,
        is_replaying: bool,
    ) -> TraceContext {
        let Some(exporting) = &self.0 else {
            return parent.clone();
        };
        let tracer = match is_replaying {
            true => &exporting.silent,
            false => &exporting.tracer,
        };
        let at = moment.at.unwrap_or_else(SystemTime::now);
        let attributes = moment.attributes.into_iter();
        let attributes = attributes.map(|(name, value)| KeyValue::new(name, value));
        let links = moment.link.filter(|link| link.is_somewhere());
        let links = links.map(|link| Link::new(link.span.clone(), Vec::new(), 0));
        let error = moment.error.clone();
        let events = error.map(|error| {
            let message = KeyValue::new("exception.message", error);
            Event::new("exception", at, vec![message], 0)
        });
        let builder = tracer
            .span_builder(moment.name)
            .with_kind(moment.kind.into())
            .with_start_time(at)
            .with_attributes(attributes)
            .with_links(links.into_iter().collect())
            .with_events(events.into_iter().collect());
        NEXT.set(Some((
            TraceId::from_bytes(digest(&["trace", moment.run_id])),
            SpanId::from_bytes(digest(&["span", moment.run_id, &moment.key])),
        )));
        let mut span = builder.start_with_context(tracer, &parent.to_context());
        NEXT.set(None);
        if let Some(error) = moment.error {
            span.set_status(Status::error(error));
        }
        span.end_with_timestamp(at);
        TraceContext {
            span: span.span_context().clone(),
            baggage: parent.baggage.clone(),
        }
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!("the last spans could not be exported: {error}");
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Span {
    pub(crate) fn context(&self) -> &TraceContext {
        &self.context
    }

    pub(crate) fn fail(&mut self, message: impl std::fmt::Display) {
        if let Some(span) = &mut self.span {
            span.set_status(Status::error(message.to_string()));
        }
    }
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Client => SpanKind::Client,
            Kind::Server => SpanKind::Server,
            Kind::Internal => SpanKind::Internal,
        }
    }
}

thread_local! {
    /// The ids of the next span of this thread, if they are given.
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Random ids, if none are given.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get()
            .map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get()
            .map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}

fn digest<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut bytes = [0; N];
    bytes.copy_from_slice(&hash.finalize()[..N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_header_goes_through_as_it_came() {
        let sent = format!(r#"{{"baggage":"user=ada","traceparent":"{PARENT}"}}"#);
        let payload = Payload {
            metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
            data: sent.into_bytes(),
        };
        let context = TraceContext::from_header(Some(&payload));
        let carrier = context.to_carrier();
        assert_eq!(carrier.len(), 2);
        assert_eq!(carrier[TRACEPARENT], PARENT);
        assert_eq!(carrier[BAGGAGE], "user=ada");
        let again = TraceContext::from_header(context.to_header().as_ref());
        assert_eq!(again.to_carrier(), carrier);
    }

    #[test]
    fn what_is_no_context_is_nowhere() {
        for data in [
            &b"null"[..],
            b"{}",
            b"[1]",
            br#"{"traceparent":"?"}"#,
            b"\xff",
        ] {
            let payload = Payload {
                metadata: Default::default(),
                data: data.to_vec(),
            };
            let context = TraceContext::from_header(Some(&payload));
            assert!(!context.is_somewhere());
            assert!(context.to_header().is_none());
        }
        assert!(TraceContext::default().to_header().is_none());
    }
}

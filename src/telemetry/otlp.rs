//! The exporters of spans and metrics, configured by OpenTelemetry's standard environment variables.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{SpanExporter, WithTonicConfig};
use opentelemetry_sdk::Resource;
use temporalio_common::telemetry::metrics::CoreMeter;
use temporalio_common::telemetry::{
    MetricTemporality, OtelCollectorOptions, OtlpProtocol, build_otlp_metric_exporter,
};

use super::TelemetryError;

const SERVICE_NAME_DEFAULT: &str = "segno";

/// The standard's default, which its exporters have too.
const METRIC_EXPORT_INTERVAL_DEFAULT: Duration = Duration::from_secs(60);

/// A signal: `TRACES` or `METRICS`, as in the names of variables.
#[derive(Debug, Clone, Copy)]
struct Signal(&'static str);

const TRACES: Signal = Signal("TRACES");
const METRICS: Signal = Signal("METRICS");

/// The exporter of spans, and the runtime of its connection; `None` if spans are not requested.
pub(crate) fn span_exporter()
-> Result<Option<(SpanExporter, Option<tokio::runtime::Runtime>)>, TelemetryError> {
    let Some(endpoint) = TRACES.endpoint()? else {
        return Ok(None);
    };
    let wrong = |error: &dyn std::fmt::Display| TelemetryError::Otlp(error.to_string());
    if !TRACES.is_grpc()? {
        install_tls();
        let exporter = SpanExporter::builder().with_http().build();
        return Ok(Some((exporter.map_err(|e| wrong(&e))?, None)));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| wrong(&e))?;
    let guard = runtime.enter();
    let mut builder = SpanExporter::builder().with_tonic();
    if endpoint.starts_with("https:") {
        builder = builder.with_tls_config(ClientTlsConfig::new().with_native_roots());
    }
    let exporter = builder.build().map_err(|e| wrong(&e))?;
    drop(guard);
    Ok(Some((exporter, Some(runtime))))
}

/// The exporter of metrics; `None` if metrics are not requested.
pub(crate) fn metric_exporter() -> Result<Option<Arc<dyn CoreMeter>>, TelemetryError> {
    let Some(endpoint) = METRICS.endpoint()? else {
        return Ok(None);
    };
    let wrong = |error: &dyn std::fmt::Display| TelemetryError::Otlp(error.to_string());
    let interval = match said("OTEL_METRIC_EXPORT_INTERVAL") {
        None => METRIC_EXPORT_INTERVAL_DEFAULT,
        Some(text) => match text.parse() {
            Ok(millis) if millis > 0 => Duration::from_millis(millis),
            _ => {
                return Err(wrong(&format!(
                    "OTEL_METRIC_EXPORT_INTERVAL is {text:?}, not a number of milliseconds"
                )));
            }
        },
    };
    let temporality = match METRICS.said("TEMPORALITY_PREFERENCE").as_deref() {
        Some("delta") => MetricTemporality::Delta,
        _ => MetricTemporality::Cumulative,
    };
    let is_grpc = METRICS.is_grpc()?;
    let options = OtelCollectorOptions::builder()
        .url(endpoint.parse().map_err(|e| {
            wrong(&format!(
                "the endpoint for metrics, {endpoint:?}, is not a URL: {e}"
            ))
        })?)
        .metric_periodicity(interval)
        .metric_temporality(temporality)
        .protocol(match is_grpc {
            true => OtlpProtocol::Grpc,
            false => OtlpProtocol::Http,
        })
        .global_tags(tags())
        .build();
    install_tls();
    let meter = build_otlp_metric_exporter(options).map_err(|e| wrong(&e))?;
    tracing::info!(%endpoint, "sending metrics by OTLP");
    Ok(Some(Arc::new(meter)))
}

impl Signal {
    /// The variable for this signal, else the one for all signals.
    fn said(self, name: &str) -> Option<String> {
        said(&format!("OTEL_EXPORTER_OTLP_{}_{name}", self.0))
            .or_else(|| said(&format!("OTEL_EXPORTER_OTLP_{name}")))
    }

    /// The endpoint, if there is one.
    fn endpoint(self) -> Result<Option<String>, TelemetryError> {
        if said("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let exporter = format!("OTEL_{}_EXPORTER", self.0);
        match said(&exporter).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some("prometheus") if self.0 == METRICS.0 => return Ok(None),
            Some(other) => {
                return Err(TelemetryError::Otlp(format!(
                    "{exporter} must be `otlp` or `none`; found {other:?}"
                )));
            }
        }
        if let Some(endpoint) = said(&format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", self.0)) {
            return Ok(Some(endpoint));
        }
        let Some(base) = said("OTEL_EXPORTER_OTLP_ENDPOINT") else {
            return Ok(None);
        };
        Ok(Some(match self.is_grpc()? {
            true => base,
            false => format!(
                "{}/v1/{}",
                base.trim_end_matches('/'),
                self.0.to_lowercase()
            ),
        }))
    }

    fn is_grpc(self) -> Result<bool, TelemetryError> {
        match self.said("PROTOCOL").as_deref() {
            Some("grpc") => Ok(true),
            None | Some("http/protobuf") => Ok(false),
            Some(other) => Err(TelemetryError::Otlp(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL must be `grpc` or `http/protobuf`; found {other:?}"
            ))),
        }
    }
}

/// The source of the telemetry: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, else `segno`.
pub(crate) fn resource() -> Resource {
    let builder = Resource::builder();
    match names_a_service() {
        true => builder.build(),
        false => builder.with_service_name(SERVICE_NAME_DEFAULT).build(),
    }
}

/// The attributes that core's exporter of metrics does not read from the environment.
fn tags() -> HashMap<String, String> {
    let attributes = resource();
    let attributes = attributes
        .iter()
        .filter(|(name, _)| !name.as_str().starts_with("telemetry.sdk"));
    attributes
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn names_a_service() -> bool {
    said("OTEL_SERVICE_NAME").is_some()
        || said("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|text| {
            text.split(',')
                .any(|pair| pair.trim_start().starts_with("service.name="))
        })
}

/// The standard treats an empty variable as unset.
fn said(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The exporters' HTTP clients use the process's provider. Another one is as good.
fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

//! Logs as one JSON object a line: the fields of an event beside those of its run or activity.

use std::fmt;

use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// An event's field that contains JSON: the `fields` of a `log` step.
pub(crate) const FIELDS: &str = "fields";

pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), time.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        event.record(&mut Fields(&mut line));
        // The nearest span first: fields that already exist stay.
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let formatted = extensions.get::<FormattedFields<JsonFields>>();
            let fields = formatted.and_then(|fields| serde_json::from_str(&fields.fields).ok());
            if let Some(Json::Object(fields)) = fields {
                for (name, value) in fields {
                    line.entry(name).or_insert(value);
                }
            }
        }
        let target = event.metadata().target();
        line.entry("target").or_insert(target.into());
        writeln!(writer, "{}", Json::Object(line))
    }
}

struct Fields<'a>(&'a mut Map<String, Json>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Json>) {
        // Fields that the crate `log` adds to its events.
        if !field.name().starts_with("log.") {
            self.0.insert(field.name().to_owned(), value.into());
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match (field.name(), serde_json::from_str(&text)) {
            (FIELDS, Ok(Json::Object(fields))) => self.put(field, fields),
            _ => self.put(field, text),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_the_fields_of_its_run_and_cannot_be_forged() {
        let written = Written::default();
        let writer = written.clone();
        let logs = tracing_subscriber::fmt()
            .json()
            .event_format(JsonLines)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(logs, || {
            let run = tracing::error_span!("run", run_id = "r", definition = tracing::field::Empty);
            run.record("definition", "order@3");
            let fields = r#"{"days":3,"level":"none","run_id":"another"}"#;
            run.in_scope(
                || tracing::warn!(step = "pay", fields = %fields, count = 2, "late\n{{}}"),
            );
        });
        let written = written.0.lock().unwrap();
        let mut line: Json = serde_json::from_slice(&written).unwrap();
        assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 1);
        let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'));
        assert_eq!(
            line,
            serde_json::json!({
                "level": "WARN", "message": "late\n{}", "step": "pay", "count": 2, "run_id": "r", "definition": "order@3",
                "fields": { "days": 3, "level": "none", "run_id": "another" },
                "target": "segno::telemetry::json::tests",
            })
        );
    }
}

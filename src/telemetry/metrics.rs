//! The metrics that Segno adds to those of Temporal's core.

use temporalio_common::telemetry::metrics::{
    Counter, MetricKeyValue, MetricParameters, NewAttributes, TemporalMeter,
};
use temporalio_sdk_core::CoreRuntime;

/// Counts nothing if metrics are not exported.
#[derive(Default)]
pub(crate) struct Metrics(Option<Counting>);

struct Counting {
    meter: TemporalMeter,
    runs_bound: Counter,
}

impl Metrics {
    pub(crate) fn new(runtime: &CoreRuntime, namespace: &str, task_queue: &str) -> Self {
        Metrics(runtime.telemetry().get_metric_meter().map(|mut meter| {
            meter.merge_attributes(labels(&[
                ("namespace", namespace),
                ("task_queue", task_queue),
            ]));
            let runs_bound = MetricParameters::builder()
                .name("segno_runs_bound")
                .description("Runs that were bound to a definition when they started")
                .build();
            Counting {
                runs_bound: meter.counter(runs_bound),
                meter,
            }
        }))
    }

    /// Counts a run that was bound to its definition.
    pub(crate) fn run_bound(&self, workflow_type: &str, definition: &str) {
        let Some(counting) = &self.0 else {
            return;
        };
        let own = labels(&[("workflow_type", workflow_type), ("definition", definition)]);
        let common = counting.meter.get_default_attributes().clone();
        let attributes = counting.meter.extend_attributes(common, own);
        counting.runs_bound.add(1, &attributes);
    }
}

fn labels(labels: &[(&'static str, &str)]) -> NewAttributes {
    let labels = labels
        .iter()
        .map(|(name, value)| MetricKeyValue::new(*name, (*value).to_owned()));
    labels.collect::<Vec<_>>().into()
}

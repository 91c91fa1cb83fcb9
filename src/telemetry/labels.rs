//! Labels of metrics only have declared names: each value that a label ever had is kept in memory, and clients choose
//! the types of what they start.

use std::fmt;
use std::sync::Arc;

use temporalio_common::telemetry::metrics::{
    CoreMeter, Counter, Gauge, GaugeF64, Histogram, HistogramDuration, HistogramF64,
    MetricAttributes, MetricParameters, MetricValue, NewAttributes, UpDownCounter,
};

/// The label of all others.
const OTHER: &str = "other";

/// The types that a worker knows, among those that clients name.
pub(crate) trait Declared: Send + Sync {
    fn has_workflow(&self, workflow_type: &str) -> bool;
    fn has_activity(&self, activity_type: &str) -> bool;
}

/// A meter whose labels are declared names, or [`OTHER`].
pub(crate) struct DeclaredLabels {
    pub(crate) meter: Arc<dyn CoreMeter>,
    pub(crate) declared: Arc<dyn Declared>,
}

impl DeclaredLabels {
    fn bounded(&self, mut attributes: NewAttributes) -> NewAttributes {
        for label in &mut attributes.attributes {
            let MetricValue::String(value) = &mut label.value else {
                continue;
            };
            let is_declared = match label.key.as_str() {
                "workflow_type" => self.declared.has_workflow(value),
                "activity_type" => self.declared.has_activity(value),
                _ => true,
            };
            if !is_declared {
                OTHER.clone_into(value);
            }
        }
        attributes
    }
}

impl fmt::Debug for DeclaredLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.meter.fmt(f)
    }
}

impl CoreMeter for DeclaredLabels {
    fn new_attributes(&self, attributes: NewAttributes) -> MetricAttributes {
        self.meter.new_attributes(self.bounded(attributes))
    }

    fn extend_attributes(
        &self,
        existing: MetricAttributes,
        attributes: NewAttributes,
    ) -> MetricAttributes {
        let attributes = self.bounded(attributes);
        self.meter.extend_attributes(existing, attributes)
    }

    fn counter(&self, parameters: MetricParameters) -> Counter {
        self.meter.counter(parameters)
    }

    fn histogram(&self, parameters: MetricParameters) -> Histogram {
        self.meter.histogram(parameters)
    }

    fn histogram_f64(&self, parameters: MetricParameters) -> HistogramF64 {
        self.meter.histogram_f64(parameters)
    }

    fn histogram_duration(&self, parameters: MetricParameters) -> HistogramDuration {
        self.meter.histogram_duration(parameters)
    }

    fn gauge(&self, parameters: MetricParameters) -> Gauge {
        self.meter.gauge(parameters)
    }

    fn gauge_f64(&self, parameters: MetricParameters) -> GaugeF64 {
        self.meter.gauge_f64(parameters)
    }

    fn up_down_counter(&self, parameters: MetricParameters) -> UpDownCounter {
        self.meter.up_down_counter(parameters)
    }
}

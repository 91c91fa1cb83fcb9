//! Protobuf's timestamps and durations to Segno's own, and back.

use crate::value::{Duration, Timestamp};

pub fn timestamp_from_proto(timestamp: prost_wkt_types::Timestamp) -> Timestamp {
    Timestamp {
        seconds: timestamp.seconds,
        nanos: timestamp.nanos.clamp(0, 999_999_999) as u32,
    }
}

pub(crate) fn timestamp_to_proto(timestamp: Timestamp) -> prost_wkt_types::Timestamp {
    prost_wkt_types::Timestamp {
        seconds: timestamp.seconds,
        nanos: timestamp.nanos as i32,
    }
}

pub fn duration_from_proto(duration: prost_wkt_types::Duration) -> Duration {
    Duration {
        seconds: duration.seconds,
        nanos: duration.nanos,
    }
}

pub(crate) fn duration_to_proto(duration: Duration) -> prost_wkt_types::Duration {
    prost_wkt_types::Duration {
        seconds: duration.seconds,
        nanos: duration.nanos,
    }
}

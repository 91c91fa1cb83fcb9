//! Histories in proto3's JSON, as Temporal's own tools write and read them.

use temporalio_protos::temporal::api::history::v1::History;

use crate::payload::{ProtoJsonError, message_from_json, message_to_json};

const HISTORY: &str = "temporal.api.history.v1.History";

pub fn history_to_json(history: &History) -> Result<serde_json::Value, ProtoJsonError> {
    message_to_json(HISTORY, history)
}

pub fn history_from_json(text: &str) -> Result<History, ProtoJsonError> {
    // Fields that a newer server adds are not used by today's replays.
    message_from_json(HISTORY, text.as_bytes(), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use temporalio_protos::temporal::api::enums::v1::EventType;
    use temporalio_protos::temporal::api::history::v1::HistoryEvent;

    #[test]
    fn a_history_survives_json() {
        let history = History {
            events: vec![HistoryEvent {
                event_id: 1,
                event_time: Some(prost_wkt_types::Timestamp {
                    seconds: 1_700_000_000,
                    nanos: 5,
                }),
                event_type: EventType::TimerStarted.into(),
                ..Default::default()
            }],
        };
        let json = history_to_json(&history).unwrap();
        assert_eq!(
            json.to_string(),
            r#"{"events":[{"eventId":"1","eventTime":"2023-11-14T22:13:20.000000005Z","eventType":"EVENT_TYPE_TIMER_STARTED"}]}"#
        );
        assert_eq!(history_from_json(&json.to_string()).unwrap(), history);
        assert!(history_from_json("[]").is_err());
    }
}

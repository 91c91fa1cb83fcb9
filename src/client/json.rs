//! Histories in proto3's JSON, as Temporal's own tools write and read them.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use temporalio_protos::temporal::api::history::v1::History;

const DESCRIPTORS: &[u8] = include_bytes!(env!("TEMPORAL_DESCRIPTORS"));
const HISTORY: &str = "temporal.api.history.v1.History";

#[derive(Debug, thiserror::Error)]
#[error("this is not a history in JSON: {0}")]
pub struct HistoryJsonError(String);

pub fn history_to_json(history: &History) -> Result<serde_json::Value, HistoryJsonError> {
    let dynamic = DynamicMessage::decode(descriptor()?, history.encode_to_vec().as_slice())
        .map_err(|e| HistoryJsonError(e.to_string()))?;
    let options = SerializeOptions::new().stringify_64_bit_integers(true);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|e| HistoryJsonError(e.to_string()))
}

pub fn history_from_json(text: &str) -> Result<History, HistoryJsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let dynamic = DynamicMessage::deserialize(descriptor()?, &mut reader)
        .map_err(|e| HistoryJsonError(e.to_string()))?;
    reader.end().map_err(|e| HistoryJsonError(e.to_string()))?;
    History::decode(dynamic.encode_to_vec().as_slice()).map_err(|e| HistoryJsonError(e.to_string()))
}

fn descriptor() -> Result<prost_reflect::MessageDescriptor, HistoryJsonError> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(DESCRIPTORS).ok())
        .as_ref()
        .and_then(|pool| pool.get_message_by_name(HISTORY))
        .ok_or_else(|| HistoryJsonError(format!("{HISTORY} has no descriptor")))
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

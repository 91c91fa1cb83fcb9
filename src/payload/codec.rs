//! Where payload codecs (compression, encryption) come in: over whole messages, as they leave and as they arrive.

use std::fmt;
use std::sync::Arc;

use temporalio_common::data_converters::{
    PayloadCodec, PayloadConversionError, SerializationContextData, WorkflowSerializationContext,
};
use temporalio_common::payload_visitor::{PayloadVisitable, decode_payloads, encode_payloads};

/// The codec of a worker or client, if it has one.
#[derive(Clone, Default)]
pub struct Codec(Option<Arc<dyn PayloadCodec + Send + Sync>>);

#[derive(Debug, thiserror::Error)]
#[error("the payload codec failed: {0}")]
pub struct CodecError(#[from] PayloadConversionError);

impl Codec {
    pub fn new(codec: Arc<dyn PayloadCodec + Send + Sync>) -> Self {
        Codec(Some(codec))
    }

    pub async fn encode<M: PayloadVisitable>(&self, message: &mut M) -> Result<(), CodecError> {
        match &self.0 {
            Some(codec) => Ok(encode_payloads(message, codec.as_ref(), &context()).await?),
            None => Ok(()),
        }
    }

    pub async fn decode<M: PayloadVisitable>(&self, message: &mut M) -> Result<(), CodecError> {
        match &self.0 {
            Some(codec) => Ok(decode_payloads(message, codec.as_ref(), &context()).await?),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Codec"
        } else {
            "no codec"
        })
    }
}

fn context() -> SerializationContextData {
    SerializationContextData::Workflow(WorkflowSerializationContext::new())
}

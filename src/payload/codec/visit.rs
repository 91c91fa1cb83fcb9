//! All payloads of a message together, so that a codec server gets one request for each message.

use std::mem::take as taken;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use temporalio_common::data_converters::PayloadConversionError;
use temporalio_common::payload_visitor::{
    AsyncPayloadVisitor, PayloadField, PayloadFieldData, PayloadVisitable,
};
use temporalio_protos::temporal::api::common::v1::Payload;

/// The server reads these, so they are never encoded.
const SEARCH_ATTRIBUTES: &str = "SearchAttributes.indexed_fields";

/// Takes the payloads out, in the order that [`put`] expects.
pub(crate) async fn take<M: PayloadVisitable>(message: &mut M) -> Vec<Payload> {
    let mut payloads = Vec::new();
    each(message, |payload| payloads.push(taken(payload))).await;
    payloads
}

/// Puts as many payloads back as were taken out.
pub(crate) async fn put<M: PayloadVisitable>(message: &mut M, payloads: Vec<Payload>) {
    let mut payloads = payloads.into_iter();
    each(message, |payload| {
        *payload = payloads.next().unwrap_or_default();
    })
    .await;
}

pub(crate) async fn each<M: PayloadVisitable>(
    message: &mut M,
    does: impl FnMut(&mut Payload) + Send,
) {
    let mut visitor = Each(does);
    // The visitor itself never fails.
    let _ = message.visit_payloads_mut(&mut visitor).await;
}

struct Each<F>(F);

impl<F: FnMut(&mut Payload) + Send> AsyncPayloadVisitor for Each<F> {
    fn visit<'a>(
        &'a mut self,
        field: PayloadField<'a>,
    ) -> BoxFuture<'a, Result<(), PayloadConversionError>> {
        if !field.path.contains(SEARCH_ATTRIBUTES) {
            match field.data {
                PayloadFieldData::Single(payload) => (self.0)(payload),
                PayloadFieldData::Repeated(payloads) => payloads.iter_mut().for_each(&mut self.0),
                PayloadFieldData::Payloads(payloads) => {
                    payloads.payloads.iter_mut().for_each(&mut self.0);
                }
            }
        }
        std::future::ready(Ok(())).boxed()
    }
}

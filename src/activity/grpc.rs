//! The `grpc` activity: one unary call, its messages as JSON, their types from the server's reflection. Reference:
//! docs/steps/grpc.md.

mod channel;
mod reflection;
mod request;
mod weight;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor, SerializeOptions};
use tokio::sync::Semaphore;
use tonic::{Code, Status};

use self::request::Request;
use self::weight::{Budget, TooLarge};
use super::attempt::{Progress, guarded, lasting, limit};
use super::policy::Policy;
use super::secret::{Redactor, Secrets};
use super::{Activity, ActivityContext, input};
use crate::engine::failure::{Failure, FailureInfo};
use crate::limits::{
    GRPC_DECODED_SIZE_BYTES_MAX, GRPC_STATUS_SIZE_BYTES_MAX, PAYLOAD_SIZE_BYTES_MAX,
};
use crate::value::{Map, Value, from_json, to_json};

/// The types of its failures.
pub(crate) mod failure_type {
    /// The input is not a call that the server knows. Not retried.
    pub(crate) const REQUEST: &str = "GrpcRequest";
    /// The worker lacks a secret that the call names.
    pub(crate) const SECRET: &str = "GrpcSecret";
    /// The worker's policy refuses the host. Not retried.
    pub(crate) const POLICY: &str = "GrpcPolicy";
    /// The server was not reached.
    pub(crate) const TRANSPORT: &str = "GrpcTransport";
    /// No answer arrived in time.
    pub(crate) const TIMEOUT: &str = "GrpcTimeout";
    /// The call ended with another status than OK; `details` are its code and message.
    pub(crate) const STATUS: &str = "GrpcStatus";
    /// The answer cannot be read. Not retried, since the call had its effect.
    pub(crate) const ANSWER: &str = "GrpcAnswer";
}

/// A larger answer waits for its turn to be decoded, since it is many times as large once decoded.
const LARGE_ANSWER_SIZE_BYTES: usize = 256 * 1024;
static LARGE_ANSWERS: Semaphore = Semaphore::const_new(2);

pub struct Grpc {
    policy: Arc<Policy>,
    secrets: Secrets,
}

impl Grpc {
    pub fn new(policy: Arc<Policy>, secrets: Secrets) -> Grpc {
        Grpc { policy, secrets }
    }
}

#[async_trait]
impl Activity for Grpc {
    fn name(&self) -> &str {
        "grpc"
    }

    async fn run(&self, context: ActivityContext, arguments: Vec<Value>) -> Result<Value, Failure> {
        let request = input::request(&arguments, Request::read, failure_type::REQUEST)?;
        let mut redactor = Redactor::default();
        let metadata = request.metadata(&self.secrets, &mut redactor)?;
        let what = request.what();
        let late = |limit| {
            let message = format!("{what} was not answered within {limit:?}");
            Failure::application(failure_type::TIMEOUT, message)
        };
        let limit = limit(&context, request.timeout);
        let begun = Instant::now();
        let call = async {
            let channel = channel::connect(&self.policy, &request.url, &what).await?;
            let method = reflection::method(&channel, &request, &metadata).await;
            let held = method.map_err(|e| e.into_failure(&what, &redactor))?;
            let method = &held.descriptor;
            let sent = message(method, &request.message, &what)?;
            let path = format!("/{}/{}", request.service, request.method);
            let left = limit.map(|limit| limit.saturating_sub(begun.elapsed()));
            let answer = channel::unary(&channel, path, sent, metadata, left).await;
            let answer = answer.map_err(|status| not_ok(&status, &what, &redactor))?;
            let _turn = match answer.len() > LARGE_ANSWER_SIZE_BYTES {
                true => LARGE_ANSWERS.acquire().await.ok(),
                false => None,
            };
            received(method, &answer, &what)
        };
        let progress = Progress::new(&context, true);
        let answer = guarded(&context, request.timeout, &progress, &what, late, call).await;
        redactor.end(answer)
    }
}

fn message(method: &MethodDescriptor, message: &Value, what: &str) -> Result<Vec<u8>, Failure> {
    let wrong = |e: String| {
        let name = method.input();
        let name = name.full_name();
        lasting(
            failure_type::REQUEST,
            format!("the `message` of {what} is no {name}: {e}"),
        )
    };
    let json = to_json(message).map_err(|e| wrong(e.to_string()))?;
    let sent = DynamicMessage::deserialize(method.input(), json);
    Ok(sent.map_err(|e| wrong(e.to_string()))?.encode_to_vec())
}

/// The answer in proto3's JSON form, which leaves out fields with their default value.
fn received(method: &MethodDescriptor, answer: &[u8], what: &str) -> Result<Value, Failure> {
    let wrong = |e: String| {
        lasting(
            failure_type::ANSWER,
            format!("the answer of {what} cannot be read: {e}"),
        )
    };
    let fits = Budget::new(GRPC_DECODED_SIZE_BYTES_MAX).message(&method.output(), answer);
    fits.map_err(|TooLarge| {
        wrong(format!(
            "its fields, of {} bytes, would take more than GRPC_DECODED_SIZE_BYTES_MAX ({GRPC_DECODED_SIZE_BYTES_MAX} bytes) of memory",
            answer.len()
        ))
    })?;
    let message =
        DynamicMessage::decode(method.output(), answer).map_err(|e| wrong(e.to_string()))?;
    let options = SerializeOptions::new().skip_default_fields(true);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    let json = json.map_err(|e| wrong(e.to_string()))?;
    let value = from_json(&json).map_err(|e| wrong(e.to_string()))?;
    let size = json.to_string().len();
    if size > PAYLOAD_SIZE_BYTES_MAX {
        return Err(wrong(format!(
            "as JSON it takes {size} bytes, more than PAYLOAD_SIZE_BYTES_MAX ({PAYLOAD_SIZE_BYTES_MAX})"
        )));
    }
    Ok(value)
}

/// Whether a retry may succeed, by the meaning that gRPC gives to its codes.
fn is_retryable(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::Cancelled
    )
}

fn not_ok(status: &Status, what: &str, redactor: &Redactor) -> Failure {
    let code = code_name(status.code());
    // Redacted before it is cut: a secret that is cut in two would not be found.
    let said = bounded(&redactor.text(status.message()));
    let details = Map::from_iter([
        ("code", Value::from(code)),
        ("message", Value::from(said.clone())),
    ]);
    Failure::new(
        format!("{what} was answered {code}: {said}"),
        FailureInfo::Application {
            error_type: failure_type::STATUS.into(),
            non_retryable: !is_retryable(status.code()),
            details: vec![Value::map(details)],
            next_retry_delay: None,
        },
    )
}

/// A server's message, as far as a failure quotes it.
fn bounded(text: &str) -> String {
    let end = (0..=GRPC_STATUS_SIZE_BYTES_MAX.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    let end = end.unwrap_or_default();
    let mark = if end < text.len() { " …" } else { "" };
    format!("{}{mark}", &text[..end])
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

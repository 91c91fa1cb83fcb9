//! A method's types, from the server itself, by gRPC's reflection protocol (`grpc.reflection.v1`, else `v1alpha`).
//!
//! They are requested at each attempt, so that a server's new version takes effect immediately.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::prost::{self, Message};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::request::Request;
use super::weight::{self, Budget, TooLarge};
use super::{bounded, channel, failure_type, not_ok};
use crate::activity::attempt::lasting;
use crate::activity::secret::Redactor;
use crate::engine::failure::Failure;
use crate::limits::{
    GRPC_DECODED_SIZE_BYTES_MAX, GRPC_DESCRIPTOR_FILES_MAX, GRPC_DESCRIPTORS_HELD_SIZE_BYTES_MAX,
    GRPC_DESCRIPTORS_SIZE_BYTES_MAX,
};

const FILE_TYPE: &str = "google.protobuf.FileDescriptorProto";
const SERVICES: [&str; 2] = [
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

pub(crate) enum ReflectionError {
    Status(Status),
    /// The request does not match the server's types; a retry cannot help.
    Unfit(String),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Asked {
    #[prost(string, optional, tag = "3")]
    file_by_filename: Option<String>,
    #[prost(string, optional, tag = "4")]
    file_containing_symbol: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    /// As bytes, since they are counted before they are parsed.
    #[prost(bytes = "vec", optional, tag = "4")]
    files: Option<Vec<u8>>,
    #[prost(message, optional, tag = "7")]
    error: Option<Refusal>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Refusal {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// A `FileDescriptorResponse`, and a `FileDescriptorSet` too.
#[derive(Clone, PartialEq, prost::Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

/// The fields of a `FileDescriptorProto` that are needed to request its imports.
#[derive(Clone, PartialEq, prost::Message)]
struct FileHead {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    dependencies: Vec<String>,
}

/// The call's own metadata is sent too, for servers that authenticate every caller.
pub(crate) async fn method(
    channel: &Channel,
    request: &Request,
    metadata: &MetadataMap,
) -> Result<Method, ReflectionError> {
    let (service, method) = (request.service.as_str(), request.method.as_str());
    let ask_by = |reflection| Server {
        channel,
        reflection,
        metadata,
    };
    let files = match ask_by(SERVICES[0]).files(service).await {
        Err(ReflectionError::Status(status)) if status.code() == Code::Unimplemented => {
            ask_by(SERVICES[1]).files(service).await?
        }
        files => files?,
    };
    let held = hold(files.decoded_size_bytes).await;
    let set = Files { files: files.files }.encode_to_vec();
    let pool = DescriptorPool::decode(set.as_slice());
    let pool = pool.map_err(|e| ReflectionError::Unfit(format!("its descriptors: {e}")))?;
    let service = pool
        .get_service_by_name(service)
        .ok_or_else(|| ReflectionError::Unfit(format!("it has no service {service}")))?;
    let mut methods = service.methods();
    let Some(found) = methods.find(|m| m.name() == method) else {
        let names: Vec<_> = service.methods().map(|m| m.name().to_owned()).collect();
        let names = names.join(", ");
        let service = service.full_name();
        return Err(ReflectionError::Unfit(format!(
            "{service} has no method `{method}`; it has: {names}"
        )));
    };
    match found.is_client_streaming() || found.is_server_streaming() {
        true => Err(ReflectionError::Unfit(
            "it is a method of streams, and `grpc` makes unary calls".into(),
        )),
        false => Ok(Method {
            descriptor: found,
            _held: held,
        }),
    }
}

/// A method, and the memory that its types take, which is released with it.
pub(crate) struct Method {
    pub(crate) descriptor: MethodDescriptor,
    _held: Option<SemaphorePermit<'static>>,
}

/// A permit represents this many bytes.
const PERMIT_BYTES: usize = 1024;
static MEMORY: Semaphore =
    Semaphore::const_new(GRPC_DESCRIPTORS_HELD_SIZE_BYTES_MAX / PERMIT_BYTES);

/// Waits until there is room for descriptors of that size, beside those of other calls.
async fn hold(size_bytes: usize) -> Option<SemaphorePermit<'static>> {
    let permits = u32::try_from(size_bytes.div_ceil(PERMIT_BYTES));
    // It is never closed, and one call's bound is less than the total.
    MEMORY.acquire_many(permits.unwrap_or(u32::MAX)).await.ok()
}

/// A service's descriptors as received.
struct Descriptors {
    files: Vec<Vec<u8>>,
    decoded_size_bytes: usize,
}

/// The server, and the version of the protocol.
struct Server<'a> {
    channel: &'a Channel,
    reflection: &'static str,
    metadata: &'a MetadataMap,
}

impl Server<'_> {
    /// The files of a service's descriptors with everything that they import.
    async fn files(&self, service: &str) -> Result<Descriptors, ReflectionError> {
        let by_name = |name| Asked {
            file_by_filename: Some(name),
            file_containing_symbol: None,
        };
        let mut known: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut size_bytes = 0;
        let mut budget = Budget::new(GRPC_DECODED_SIZE_BYTES_MAX);
        let file_type = DescriptorPool::global().get_message_by_name(FILE_TYPE);
        let file_type =
            file_type.ok_or_else(|| too_large(&"the type of descriptors is missing"))?;
        // A file is not requested again, whatever names the answers have.
        let mut asked = BTreeSet::new();
        let mut wanted = vec![Asked {
            file_by_filename: None,
            file_containing_symbol: Some(service.to_owned()),
        }];
        while let Some(next) = wanted.pop() {
            for file in self.ask(&next).await? {
                let fits = budget.message(&file_type, &file);
                fits.map_err(|TooLarge| {
                    too_large(&format!("GRPC_DECODED_SIZE_BYTES_MAX ({GRPC_DECODED_SIZE_BYTES_MAX} bytes) of memory once they are decoded"))
                })?;
                let head = FileHead::decode(file.as_slice());
                let head = head.map_err(|e| ReflectionError::Unfit(e.to_string()))?;
                if known.contains_key(&head.name) {
                    continue;
                }
                size_bytes += file.len();
                known.insert(head.name.clone(), file);
                asked.insert(head.name);
                let new = head.dependencies.into_iter();
                wanted.extend(new.filter(|name| asked.insert(name.clone())).map(by_name));
            }
            if size_bytes > GRPC_DESCRIPTORS_SIZE_BYTES_MAX
                || asked.len() > GRPC_DESCRIPTOR_FILES_MAX
            {
                return Err(too_large(&format!(
                    "GRPC_DESCRIPTORS_SIZE_BYTES_MAX ({GRPC_DESCRIPTORS_SIZE_BYTES_MAX} bytes) or GRPC_DESCRIPTOR_FILES_MAX ({GRPC_DESCRIPTOR_FILES_MAX} files)"
                )));
            }
        }
        Ok(Descriptors {
            files: known.into_values().collect(),
            decoded_size_bytes: GRPC_DECODED_SIZE_BYTES_MAX - budget.left(),
        })
    }

    async fn ask(&self, asked: &Asked) -> Result<Vec<Vec<u8>>, ReflectionError> {
        let answer = self.exchange(asked.encode_to_vec()).await;
        let answer = answer.map_err(ReflectionError::Status)?;
        let answer = Answer::decode(answer.as_slice());
        let answer = answer.map_err(|e| ReflectionError::Unfit(e.to_string()))?;
        match (answer.files, answer.error) {
            (Some(files), _) if weight::fields(&files) > GRPC_DESCRIPTOR_FILES_MAX => {
                Err(too_large(&format!(
                    "GRPC_DESCRIPTOR_FILES_MAX ({GRPC_DESCRIPTOR_FILES_MAX} files)"
                )))
            }
            (Some(files), _) => {
                let files = Files::decode(files.as_slice());
                let files = files.map_err(|e| ReflectionError::Unfit(e.to_string()))?;
                Ok(files.files)
            }
            (None, Some(error)) if error.code == Code::NotFound as i32 => {
                Err(ReflectionError::Unfit(format!(
                    "its reflection does not know it: {}",
                    error.message
                )))
            }
            (None, Some(error)) => Err(ReflectionError::Status(Status::new(
                Code::from_i32(error.code),
                error.message,
            ))),
            (None, None) => Err(ReflectionError::Unfit(
                "its reflection gives no descriptors".into(),
            )),
        }
    }

    async fn exchange(&self, asked: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut client = channel::client(self.channel).await?;
        let path = channel::path_of(format!("/{}/ServerReflectionInfo", self.reflection))?;
        let asked = futures_util::stream::iter([asked]);
        let metadata = self.metadata.clone();
        let asked = tonic::Request::from_parts(metadata, tonic::Extensions::default(), asked);
        let answers = client.streaming(asked, path, channel::Bytes).await?;
        let answer = answers.into_inner().message().await?;
        answer.ok_or_else(|| Status::unavailable("reflection ended without an answer"))
    }
}

fn too_large(bound: &dyn std::fmt::Display) -> ReflectionError {
    ReflectionError::Unfit(format!("its descriptors are more than {bound}"))
}

impl ReflectionError {
    pub(crate) fn into_failure(self, what: &str, redactor: &Redactor) -> Failure {
        match self {
            ReflectionError::Status(status) if status.code() == Code::Unimplemented => lasting(
                failure_type::REQUEST,
                format!("{what} cannot be made: the server does not offer reflection"),
            ),
            ReflectionError::Status(status) => not_ok(&status, what, redactor),
            ReflectionError::Unfit(why) => lasting(
                failure_type::REQUEST,
                format!("{what} cannot be made: {}", bounded(&redactor.text(&why))),
            ),
        }
    }
}

//! A gRPC server that answers as a test says, by reflection too.

use std::sync::Arc;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost_reflect::prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto,
    ServiceDescriptorProto,
};

/// What a server says to a request, whose path and headers it is given.
pub enum Said {
    /// A message, and the status OK.
    Message(Vec<u8>),
    /// A status and its message, as it is on the wire.
    Status(u32, String),
}

pub type Says = Arc<dyn Fn(&str, &HeaderMap) -> Said + Send + Sync>;

/// Its address. It lasts as long as the runtime.
pub async fn serve(says: Says) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let says = says.clone();
            let service = service_fn(move |request| answer(request, says.clone()));
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn answer(
    request: Request<Incoming>,
    says: Says,
) -> Result<Response<BoxBody<Bytes, std::convert::Infallible>>, hyper::http::Error> {
    let said = says(request.uri().path(), request.headers());
    let response = Response::builder().header("content-type", "application/grpc");
    match said {
        Said::Message(message) => {
            let length = u32::try_from(message.len()).unwrap();
            let framed = [&[0][..], &length.to_be_bytes(), &message].concat();
            let mut end = HeaderMap::new();
            end.insert("grpc-status", HeaderValue::from_static("0"));
            let body = Full::new(Bytes::from(framed)).with_trailers(async { Some(Ok(end)) });
            response.body(body.boxed())
        }
        Said::Status(code, message) => response
            .header("grpc-status", code)
            .header("grpc-message", message)
            .body(Full::default().boxed()),
    }
}

pub fn is_reflection(path: &str) -> bool {
    path.ends_with("/ServerReflectionInfo")
}

/// An answer of reflection with these descriptors.
pub fn files(files: &[Vec<u8>]) -> Said {
    let mut inner = Vec::new();
    for file in files {
        delimited(&mut inner, 1, file);
    }
    let mut message = Vec::new();
    delimited(&mut message, 4, &inner);
    Said::Message(message)
}

pub fn delimited(into: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    into.push(field << 3 | 2);
    prost_reflect::prost::encoding::encode_varint(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

/// The service `a.B` with the method `C`, whose messages have a list of themselves, of numbers and a text.
pub fn descriptors() -> Vec<u8> {
    let field = |name: &str, number, label: Label, kind: Type| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label as i32),
        r#type: Some(kind as i32),
        type_name: (kind == Type::Message).then(|| ".a.Message".to_owned()),
        ..FieldDescriptorProto::default()
    };
    let message = DescriptorProto {
        name: Some("Message".to_owned()),
        field: vec![
            field("inner", 1, Label::Repeated, Type::Message),
            field("numbers", 2, Label::Repeated, Type::Int32),
            field("text", 3, Label::Optional, Type::String),
        ],
        ..DescriptorProto::default()
    };
    let method = MethodDescriptorProto {
        name: Some("C".to_owned()),
        input_type: Some(".a.Message".to_owned()),
        output_type: Some(".a.Message".to_owned()),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("B".to_owned()),
        method: vec![method],
        ..ServiceDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("a.proto".to_owned()),
        package: Some("a".to_owned()),
        message_type: vec![message],
        service: vec![service],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    file.encode_to_vec()
}

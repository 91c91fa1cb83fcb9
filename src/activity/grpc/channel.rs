//! The connection of a call, to an address that the worker's policy allows, and bytes over it.

use std::error::Error;
use std::time::Duration;

use prost_reflect::prost::bytes::{Buf, BufMut};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use url::Url;

use super::failure_type;
use crate::activity::attempt::lasting;
use crate::activity::policy::Policy;
use crate::activity::resolve::{ResolveError, resolve};
use crate::engine::failure::Failure;
use crate::limits::GRPC_MESSAGE_SIZE_BYTES_MAX;

/// The request and the certificate have the name; the connection is to the address that was checked.
pub(crate) async fn connect(policy: &Policy, url: &Url, what: &str) -> Result<Channel, Failure> {
    let refused =
        |reason: String| lasting(failure_type::POLICY, format!("{what} is refused: {reason}"));
    let unreached = |e: &dyn Error| {
        let mut reasons = vec![e.to_string()];
        let mut source = e.source();
        while let Some(e) = source {
            reasons.push(e.to_string());
            source = e.source();
        }
        reasons.dedup();
        let reasons = reasons.join(": ");
        Failure::application(
            failure_type::TRANSPORT,
            format!("{what} did not reach the server: {reasons}"),
        )
    };
    policy.check_url(url).map_err(refused)?;
    let host = url
        .host()
        .ok_or_else(|| refused("its URL has no host".into()))?;
    let port = url.port_or_known_default().unwrap_or_default();
    let addresses = match host {
        url::Host::Domain(name) => resolve(policy, name).await.map_err(|e| match e {
            ResolveError::Refused(reason) => refused(reason),
            ResolveError::Unknown(e) => unreached(&e),
        })?,
        url::Host::Ipv4(address) => vec![address.into()],
        url::Host::Ipv6(address) => vec![address.into()],
    };
    let mut last = None;
    for address in addresses {
        let address = std::net::SocketAddr::new(address, port);
        match endpoint(url, address)
            .map_err(|e| unreached(&e))?
            .connect()
            .await
        {
            Ok(channel) => return Ok(channel),
            Err(error) => last = Some(unreached(&error)),
        }
    }
    Err(last.unwrap_or_else(|| unreached(&std::io::Error::other("its name has no address"))))
}

fn endpoint(url: &Url, address: std::net::SocketAddr) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("{}://{address}", url.scheme()))?;
    let origin = url.origin().ascii_serialization();
    let endpoint = match origin.parse() {
        Ok(origin) => endpoint.origin(origin),
        Err(_) => endpoint,
    };
    match (url.scheme(), url.host_str()) {
        ("https", Some(host)) => {
            // Brackets belong to the URL's form of an address, not to the name in a certificate.
            let name = host.trim_matches(['[', ']']);
            endpoint.tls_config(ClientTlsConfig::new().with_native_roots().domain_name(name))
        }
        _ => Ok(endpoint),
    }
}

pub(crate) async fn unary(
    channel: &Channel,
    path: String,
    message: Vec<u8>,
    metadata: MetadataMap,
    limit: Option<Duration>,
) -> Result<Vec<u8>, Status> {
    let mut client = client(channel).await?;
    let mut request = Request::from_parts(metadata, tonic::Extensions::default(), message);
    if let Some(limit) = limit {
        request.set_timeout(limit);
    }
    let answer = client.unary(request, path_of(path)?, Bytes).await?;
    Ok(answer.into_inner())
}

pub(crate) async fn client(channel: &Channel) -> Result<tonic::client::Grpc<Channel>, Status> {
    let client = tonic::client::Grpc::new(channel.clone());
    let mut client = client.max_decoding_message_size(GRPC_MESSAGE_SIZE_BYTES_MAX);
    let ready = client.ready().await;
    ready.map_err(|e| Status::unavailable(e.to_string()))?;
    Ok(client)
}

pub(crate) fn path_of(path: String) -> Result<PathAndQuery, Status> {
    let path = PathAndQuery::try_from(path);
    path.map_err(|e| Status::invalid_argument(e.to_string()))
}

/// Messages as bytes: their types are known at run time only.
#[derive(Clone, Copy)]
pub(crate) struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Bytes;
    type Decoder = Bytes;

    fn encoder(&mut self) -> Bytes {
        Bytes
    }

    fn decoder(&mut self) -> Bytes {
        Bytes
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; from.remaining()];
        from.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_can_stand_in_a_certificate() {
        for url in [
            "https://example.com",
            "https://127.0.0.1:1",
            "https://[::1]:1",
        ] {
            let made = endpoint(&url.parse().unwrap(), ([127, 0, 0, 1], 1).into());
            assert!(made.is_ok(), "{url}: {made:?}");
        }
    }
}

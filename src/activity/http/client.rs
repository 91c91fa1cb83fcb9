//! The HTTP client, which connects only where the policy allows: names are checked by the addresses that they resolve
//! to, at the moment of connecting, and there is no proxy in between.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;

use crate::activity::policy::Policy;
use crate::activity::resolve::{ResolveError, resolve};

/// A policy's refusal, on its way through the client's errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// The caller follows redirects, so that each is checked.
pub(crate) fn client(policy: Arc<Policy>) -> Result<reqwest::Client, String> {
    // Another part of the process may have installed the same one before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("segno/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .dns_resolver(JudgedResolver {
                policy: policy.clone(),
            })
    };
    builder()
        .build()
        .or_else(|error| {
            tracing::warn!("no root certificates were found, so https is out of reach: {error}");
            builder().tls_certs_only([]).build()
        })
        .map_err(|e| format!("the HTTP client cannot be built: {e}"))
}

struct JudgedResolver {
    policy: Arc<Policy>,
}

impl Resolve for JudgedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy.clone();
        Box::pin(async move {
            match resolve(&policy, name.as_str()).await {
                Ok(found) => {
                    let found: Vec<_> =
                        found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
                    Ok(Box::new(found.into_iter()) as Addrs)
                }
                Err(ResolveError::Refused(reason)) => Err(Refused(reason).into()),
                Err(ResolveError::Unknown(error)) => Err(error.into()),
            }
        })
    }
}

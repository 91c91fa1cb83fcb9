//! The HTTP client that only goes where the policy lets it: names are judged by what they resolve to, at the moment of
//! connecting, and no proxy stands between.

use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;

use crate::activity::policy::Policy;

/// A policy's refusal, on its way through the client's errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Redirects are followed by whoever asks, so that each is judged.
pub fn client(policy: Arc<Policy>) -> Result<reqwest::Client, String> {
    // Someone else in the process may have installed the same one before.
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
            let host = name.as_str();
            let verdict = policy.check_name(host).map_err(Refused)?;
            let found = tokio::net::lookup_host((host, 0)).await?;
            let mut allowed = Vec::new();
            let mut refusal = None;
            for address in found {
                match policy.check_address(address.ip(), verdict) {
                    Ok(()) => allowed.push(address),
                    Err(reason) => refusal = Some(reason),
                }
            }
            match refusal {
                Some(reason) if allowed.is_empty() => {
                    Err(Refused(format!("{host} leads nowhere that is allowed: {reason}")).into())
                }
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

//! The addresses of a host's name, only those that the worker's policy allows.

use std::io;
use std::net::IpAddr;

use super::policy::Policy;

pub(crate) enum ResolveError {
    Refused(String),
    Unknown(io::Error),
}

pub(crate) async fn resolve(policy: &Policy, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let verdict = policy.check_name(host).map_err(ResolveError::Refused)?;
    let found = tokio::net::lookup_host((host, 0)).await;
    let mut allowed = Vec::new();
    let mut refusal = None;
    for address in found.map_err(ResolveError::Unknown)? {
        match policy.check_address(address.ip(), verdict) {
            Ok(()) => allowed.push(address.ip()),
            Err(reason) => refusal = Some(reason),
        }
    }
    match refusal {
        Some(reason) if allowed.is_empty() => Err(ResolveError::Refused(format!(
            "{host} leads nowhere that is allowed: {reason}"
        ))),
        _ => Ok(allowed),
    }
}

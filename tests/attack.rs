//! What a client may not do: attacks on a worker, on a real server, beside a run that has to go on.

#![cfg(all(feature = "cluster", target_os = "linux"))]

#[path = "attack/forms.rs"]
mod forms;
#[path = "attack/headers.rs"]
mod headers;
mod support;
#[path = "attack/victim.rs"]
mod victim;

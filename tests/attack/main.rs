//! What a client may not do: attacks on a worker, on a real server, beside a run that has to go on.

#![cfg(all(feature = "cluster", target_os = "linux"))]

mod answers;
mod codecs;
mod compile;
mod folders;
mod forms;
#[path = "../support/grpc_server.rs"]
mod grpc_server;
mod headers;
mod leaks;
mod programs;
mod registry;
#[path = "../cluster/registry_project.rs"]
#[allow(dead_code, reason = "tests of damages use the rest of it")]
mod registry_project;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod values;
mod victim;

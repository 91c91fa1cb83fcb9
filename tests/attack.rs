//! What a client may not do: attacks on a worker, on a real server, beside a run that has to go on.

#![cfg(all(feature = "cluster", target_os = "linux"))]

#[path = "attack/answers.rs"]
mod answers;
#[path = "attack/codecs.rs"]
mod codecs;
#[path = "attack/compile.rs"]
mod compile;
#[path = "attack/folders.rs"]
mod folders;
#[path = "attack/forms.rs"]
mod forms;
#[path = "support/grpc_server.rs"]
mod grpc_server;
#[path = "attack/headers.rs"]
mod headers;
#[path = "attack/leaks.rs"]
mod leaks;
#[path = "attack/programs.rs"]
mod programs;
#[path = "attack/registry.rs"]
mod registry;
#[path = "cluster/registry_project.rs"]
#[allow(dead_code, reason = "tests of damages use the rest of it")]
mod registry_project;
#[path = "attack/secrets.rs"]
mod secrets;
mod support;
#[path = "attack/tls.rs"]
mod tls;
#[path = "attack/values.rs"]
mod values;
#[path = "attack/victim.rs"]
mod victim;

//! What runs on one machine without a Temporal server: `segno run`, `segno test`, replays, and the worker's own activities.

#[path = "../support/attempt.rs"]
mod attempt;
mod callback;
#[cfg(feature = "cluster")]
mod codec;
#[cfg(feature = "cluster")]
mod command_line;
#[cfg(feature = "cluster")]
mod editor;
mod exec;
#[cfg(feature = "cluster")]
mod golden;
#[cfg(feature = "cluster")]
mod grpc;
#[cfg(feature = "cluster")]
#[path = "../support/grpc_server.rs"]
mod grpc_server;
mod http;
#[cfg(feature = "cluster")]
mod random;
#[cfg(feature = "cluster")]
mod replay;
#[cfg(feature = "cluster")]
mod run;
#[cfg(feature = "cluster")]
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "cluster")]
mod testing;
#[path = "../support/told.rs"]
mod told;

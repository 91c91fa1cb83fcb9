//! Commands that serve until they are stopped: the worker, the development server and the codec server.

pub mod codec;
mod definitions;
pub mod dev;
mod serving;
mod stop;
mod tuning;
pub mod worker;

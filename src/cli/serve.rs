//! Commands that serve until they are stopped: the worker, the development server and the codec server.

pub(crate) mod codec;
mod definitions;
pub(crate) mod dev;
mod serving;
mod stop;
mod tuning;
pub(crate) mod worker;

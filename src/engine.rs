//! The deterministic state machine behind every run: it is told jobs and the time, and answers with commands. It never
//! learns the time, randomness or the outside by itself.

pub mod command;
pub mod failure;
pub mod job;

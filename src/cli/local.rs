//! Commands that execute definitions in this process: `run`, `test` and `replay`.

pub mod replay;
pub mod run;
pub mod test;

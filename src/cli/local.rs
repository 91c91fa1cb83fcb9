//! Commands that execute definitions in this process: `run`, `test` and `replay`.

pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod test;

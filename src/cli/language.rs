//! Commands about the language itself: `eval`, `lint` and `schema`. None of them needs a cluster.

pub mod eval;
pub mod lint;
pub mod schema;

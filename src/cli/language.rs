//! Commands about the language itself: `eval`, `lint`, `explain` and `schema`. None of them needs a cluster.

pub mod eval;
pub mod explain;
pub mod lint;
pub mod schema;

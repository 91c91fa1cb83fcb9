//! Commands about the language itself: `eval`, `lint`, `explain` and `schema`. None of them needs a cluster.

pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod lint;
pub(crate) mod schema;

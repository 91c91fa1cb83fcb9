//! The package of the benchmarks of expressions: benches/expression.rs.

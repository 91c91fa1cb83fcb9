//! The stored form of bundles and registries, as `proto/` has it.

include!(concat!(env!("OUT_DIR"), "/segno.v1.rs"));

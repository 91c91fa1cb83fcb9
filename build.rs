//! Compiles `proto/` to Rust, and tells the crate where Temporal's own descriptors are.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        ["segno/v1/bundle.proto", "segno/v1/registry.proto"],
        ["proto"],
    )?;
    prost_build::Config::new().compile_fds(descriptors)?;

    // Histories are printed in proto3's JSON by reflection over the descriptors that the generated types came from.
    println!("cargo:rerun-if-env-changed=DEP_TEMPORALIO_PROTOS_DESCRIPTOR_PATH");
    if let Ok(path) = std::env::var("DEP_TEMPORALIO_PROTOS_DESCRIPTOR_PATH") {
        println!("cargo:rustc-env=TEMPORAL_DESCRIPTORS={path}");
    }
    Ok(())
}

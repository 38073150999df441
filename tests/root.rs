//! Where the sources lie: as the environment says, so that a test program that was carried to another machine finds its data
//! (`make dist CUDA=1`, docs/gpu.md); else where it was built.

use std::path::PathBuf;

/// The folder of the crate `core`.
pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).into()
}

//! Vessels and measurements against scikit-image, scipy, skan and PVBM (`tests/tools/make_measure_fixtures.py`), and against the maps and masks
//! that OCTA-500 and SAM-OCTA2 ship, where they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod jobs;
mod octa500;
mod peers;

use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

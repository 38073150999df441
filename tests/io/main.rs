//! Formats in, formats out: fixtures of `tests/data/io` against what nibabel, pydicom, SimpleITK and Pillow read from them
//! (`tests/tools/make_io_fixtures.py`), round trips through every writer, damaged files, crops, overlays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad;
mod coco;
mod crop;
mod dicom;
mod field;
mod formats;
mod fuzz;
mod itk;
mod labels;
mod lazy;
mod nifti;
mod npy;
mod oct;
mod overlay;
mod pages;
mod peers;
mod place;
mod resolution;
mod seg;
mod seg_peers;
mod stack;
mod write;

use sam_octa2_volumes::io::{self, OpenOptions};
use sam_octa2_volumes::volume::{Volume, Voxels};
use sam_octa2_volumes::with_voxels;
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

fn open(name: &str) -> Volume {
    io::open(data("io").join(name), &OpenOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn as_f64(voxels: &Voxels) -> Vec<f64> {
    with_voxels!(voxels, values => values.iter().map(|&v| v as f64).collect())
}

/// Largest difference between two affines.
fn distance(a: &[[f64; 4]; 4], b: &[[f64; 4]; 4]) -> f64 {
    a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

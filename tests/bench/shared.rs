//! What the measurements of sessions share: options of the command line, slices to work on.

use sam_octa2_core::volume::{Geometry, Volume, Voxels};
use std::sync::Arc;

/// The value after `--NAME`.
pub fn option(name: &str, default: &str) -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let at = arguments.iter().position(|argument| argument == &format!("--{name}"));
    at.map_or(default.to_owned(), |at| arguments.get(at + 1).expect("a value").clone())
}

/// The same as a number.
pub fn number(name: &str, default: &str) -> usize {
    option(name, default).parse().expect("a number")
}

/// Slices of 512 x 512 pixels of speckle.
pub fn volume(slices: usize) -> Arc<Volume> {
    let mut state = 1u32;
    let voxels = (0..slices * 512 * 512).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let voxels = Voxels::U8(voxels.collect());
    Arc::new(Volume::new([slices, 512, 512, 1], voxels, Geometry::unknown(), "speckle").expect("a volume"))
}

//! Phantoms: OCTA volumes whose truth is known exactly, for training, tests and demonstrations (docs/phantoms.md).
//!
//! `PhantomOptions -> retina (surfaces, avascular zone) + tree (vessels) + mesh (capillaries) -> anatomy (maps, truth) -> scan (slices)`
//!
//! The rules follow published ones, named in each file. Equal options give equal bytes on the same machine.

mod anatomy;
mod mesh;
mod motion;
mod options;
mod places;
mod plane;
mod random;
mod raster;
mod retina;
mod scan;
#[cfg(test)]
mod tests;
mod tree;

pub use anatomy::FAZ;
pub use options::{Layers, PhantomOptions, Scanner};

use crate::Result;
use crate::volume::{Geometry, Labels, Volume, Voxels};
use anatomy::Anatomy;
use scan::Scan;

/// A volume and what is true of it. All numbers in labels: 0 nothing, [`FAZ`] the avascular zone, 2 and more a vessel tree each, the same
/// in all slices and en face.
#[derive(Debug, Clone)]
pub struct Phantom {
    /// `[slices, size, size, 1]`, 8 bits, with its spacing in millimetres
    pub volume: Volume,
    /// slice by slice: vessels where the slice holds the plexus of large vessels, the avascular zone where it lies in the inner retina
    pub labels: Labels,
    /// 1 where a slice holds the plexus of large vessels, whether or not there is one (OCTA-500's large-vessel region)
    pub region: Labels,
    /// one slice, 8 bits: the projection of the inner retina
    pub en_face: Volume,
    /// the truth of the projection
    pub en_face_labels: Labels,
    /// the vessels: number and whether it is an artery
    pub vessels: Vec<(u16, bool)>,
}

impl Phantom {
    /// Makes a phantom. Errors: an option out of range, cancelled.
    pub fn new(options: &PhantomOptions) -> Result<Self> {
        options.check()?;
        let anatomy = Anatomy::new(options);
        let scan = Scan::new(&anatomy, options)?;
        let PhantomOptions { size, slices, field, .. } = *options;
        let pixel = field / size as f64;
        let geometry = |depth: f64| Geometry::from_spacing([pixel, pixel, depth], true);
        let volume = |slices: usize, voxels: Vec<u8>, depth: f64| {
            Volume::new([slices, size, size, 1], Voxels::U8(voxels), geometry(depth), "phantom")
        };
        let depth = f64::from(scan.step) / 1000.0;
        let stack = volume(slices, scan.slices()?, depth)?;
        let mut labels = Labels::empty_like(&stack);
        let mut region = Labels::empty_like(&stack);
        for slice in 0..slices {
            let (truth, present) = scan.truth(slice);
            labels.frame_mut(slice).copy_from_slice(&truth);
            region.frame_mut(slice).copy_from_slice(&present);
        }
        let en_face = volume(1, scan.en_face(), depth * slices as f64)?;
        let en_face_labels = Labels { data: scan.en_face_truth(), ..Labels::empty_like(&en_face) };
        Ok(Self { volume: stack, labels, region, en_face, en_face_labels, vessels: anatomy.vessels.clone() })
    }
}

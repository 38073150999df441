//! Phantoms as data: made when they are read, different from case to case, with the whole truth.

use super::{Case, Subset, WholeSlices};
use crate::io;
use crate::phantom::{FAZ, Layers, Phantom, PhantomOptions};
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How many phantoms of what kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phantoms {
    /// phantoms to learn from
    pub train: usize,
    /// phantoms to measure with
    pub validation: usize,
    /// rows and columns
    pub size: usize,
    /// slices of a phantom
    pub slices: usize,
    /// the first phantom's seed
    pub seed: u64,
    /// phantoms are kept in this folder and read from there the next time (a minute's work for a hundred); none: made every time
    pub folder: Option<PathBuf>,
}

impl Default for Phantoms {
    fn default() -> Self {
        Self { train: 200, validation: 8, size: 512, slices: 6, seed: 1, folder: None }
    }
}

impl Phantoms {
    pub(super) fn cases(&self) -> Result<Vec<Box<dyn Case>>> {
        let Self { train, validation, size, slices, seed, ref folder } = *self;
        if !(64..=1024).contains(&size) || !(1..=256).contains(&slices) {
            return Err(Error::invalid(format!(
                "data.phantoms: size {size} and slices {slices}; 64 to 1024 and 1 to 256 are possible"
            )));
        }
        let case = |at: usize| -> Box<dyn Case> {
            let subset = if at < train { Subset::Train } else { Subset::Validation };
            let options = PhantomOptions { seed: seed + at as u64, size, slices, ..kind(at) };
            let files = folder.as_ref().map(|folder| {
                let name = format!("{size}x{size}x{slices}-{}-{}", options.seed, at % 12);
                [folder.join(format!("{name}.nii")), folder.join(format!("{name}-labels.nii"))]
            });
            let name = format!("phantom {}", options.seed);
            Box::new(PhantomCase { name, subset, options, en_face: at % 4 == 3, files })
        };
        Ok((0..train + validation).map(case).collect())
    }
}

/// Kinds take turns: sequences of vessels, of the avascular zone, through everything; and every fourth the projection.
fn kind(at: usize) -> PhantomOptions {
    let layers = [Layers::Vessels, Layers::Faz, Layers::Whole, Layers::Vessels][at % 4];
    let field = if at / 4 % 3 == 2 { 6.0 } else { 3.0 };
    let strength = |step: usize| [1.0, 0.6, 1.4, 0.3][(at / 4 + step) % 4];
    PhantomOptions {
        layers,
        field,
        noise: strength(0),
        vignetting: strength(1),
        projection: strength(2),
        ..PhantomOptions::default()
    }
}

struct PhantomCase {
    name: String,
    subset: Subset,
    options: PhantomOptions,
    en_face: bool,
    /// where volume and labels are kept
    files: Option<[PathBuf; 2]>,
}

impl Case for PhantomCase {
    fn name(&self) -> &str {
        &self.name
    }

    fn subset(&self) -> Subset {
        self.subset
    }

    fn whole(&self) -> Option<WholeSlices> {
        Some(WholeSlices { faz: Some(FAZ) })
    }

    fn read(&self) -> Result<(Volume, Labels)> {
        let Some([image, truth]) = &self.files else { return self.make() };
        if !image.exists() || !truth.exists() {
            let (volume, labels) = self.make()?;
            io::write_labels(&labels, truth)?;
            io::write_volume(&volume, image, &mut ())?;
        }
        Ok((io::open(image, &io::OpenOptions::default())?, io::read_labels(truth)?))
    }
}

impl PhantomCase {
    fn make(&self) -> Result<(Volume, Labels)> {
        let Phantom { volume, labels, en_face, en_face_labels, .. } = Phantom::new(&self.options)?;
        Ok(if self.en_face { (en_face, en_face_labels) } else { (volume, labels) })
    }
}

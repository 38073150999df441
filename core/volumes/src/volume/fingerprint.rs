//! Which volume is this, and which labels? A name made from what is in them.

use super::{Labels, Volume};
use crate::Result;
use crate::with_voxels;
use sha2::{Digest, Sha256};

impl Volume {
    /// sha256 (hexadecimal) over shape, type, affine, and the voxels of `frames`: a lazy volume need not be read whole to be recognised.
    /// Errors: a slice that does not exist or cannot be read.
    pub fn fingerprint(&self, frames: impl IntoIterator<Item = usize>) -> Result<String> {
        let mut hash = Sha256::new();
        self.shape().iter().for_each(|&size| hash.update((size as u64).to_le_bytes()));
        hash.update(self.dtype());
        self.geometry.affine.iter().flatten().for_each(|value| hash.update(value.to_bits().to_le_bytes()));
        for frame in frames {
            hash.update((frame as u64).to_le_bytes());
            with_voxels!(&self.frame(frame)?, values => hash.update(bytemuck::cast_slice::<_, u8>(values)));
        }
        Ok(format!("{:x}", hash.finalize()))
    }
}

impl Labels {
    /// sha256 (hexadecimal) over shape and values; where they lie does not count.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        [self.frames, self.rows, self.columns].iter().for_each(|&size| hash.update((size as u64).to_le_bytes()));
        hash.update(bytemuck::cast_slice::<_, u8>(&self.data));
        format!("{:x}", hash.finalize())
    }
}

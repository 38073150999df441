//! What a session says: masks, logits and labels at the volume's own resolution.

use super::object::Output;
use super::{ObjectMask, Session};
use crate::device::transfer::download;
use crate::guard::{guard, torch};
use crate::model::NO_OBJ_SCORE;
use crate::model::layers::resize_bilinear;
use crate::progress::checkpoint;
use crate::{Error, Result};
use tch::{Device, Kind, Tensor};

impl Session {
    /// An object's mask on a slice.
    pub fn mask(&self, frame: usize, object: u32) -> Result<ObjectMask> {
        self.check_frame(frame)?;
        let at = self.position(object)?;
        let output = self.objects[at].latest(frame);
        let output = output.ok_or_else(|| {
            let what = format!("object {object} has no mask on slice {frame}: prompt or propagate first");
            Error::NotFound(what).about(frame, object)
        })?;
        guard(|| self.object_mask(object, output))
    }

    /// The probability that a pixel belongs to an object, 0 to 1: `[rows, columns]` row by row, at the volume's own resolution. Above one
    /// half is the mask. Errors: as for [`Session::mask`].
    pub fn probability(&self, frame: usize, object: u32) -> Result<Vec<f32>> {
        let mask = self.mask(frame, object)?;
        guard(|| torch(|| Vec::<f32>::try_from(mask.logits.sigmoid().flatten(0, -1))))
    }

    /// The presence logit of an object on a slice, if it has a mask there.
    pub fn object_score(&self, frame: usize, object: u32) -> Result<Option<f32>> {
        self.check_frame(frame)?;
        let at = self.position(object)?;
        Ok(self.objects[at].latest(frame).map(|output| output.numbers.score))
    }

    /// Logits of all objects on a slice, `[objects, rows, columns]` float32 on the host; -1024 where an object has no mask yet.
    pub fn slice_logits(&self, frame: usize) -> Result<Tensor> {
        self.check_frame(frame)?;
        let volume = self.volume();
        let missing =
            || Tensor::full([volume.rows as i64, volume.columns as i64], NO_OBJ_SCORE, (Kind::Float, Device::Cpu));
        guard(|| {
            let logits = self.objects.iter().map(|object| match object.latest(frame) {
                Some(output) => self.full_size(output),
                None => Ok(missing()),
            });
            let mut logits = logits.collect::<Result<Vec<_>>>()?;
            if self.model.config().non_overlap_masks {
                logits = without_overlap(&logits);
            }
            if logits.is_empty() {
                Ok(Tensor::zeros([0, volume.rows as i64, volume.columns as i64], (Kind::Float, Device::Cpu)))
            } else {
                Ok(Tensor::stack(&logits, 0))
            }
        })
    }

    /// Logits `[rows, columns]` on the host, at the volume's resolution.
    pub(super) fn full_size(&self, output: &Output) -> Result<Tensor> {
        Ok(self.scaled(output.low_res.get()?))
    }

    /// The model's logits `[1, 1, h, w]` as `[rows, columns]` on the host.
    pub(super) fn scaled(&self, low_res: Tensor) -> Tensor {
        checkpoint();
        let size = [self.volume().rows as i64, self.volume().columns as i64];
        let logits = if low_res.size()[2..] == size { low_res } else { resize_bilinear(&low_res, size) };
        download(&logits).squeeze_dim(0).squeeze_dim(0)
    }

    pub(super) fn object_mask(&self, object: u32, output: &Output) -> Result<ObjectMask> {
        Ok(ObjectMask {
            object,
            logits: self.full_size(output)?,
            iou: output.numbers.iou,
            object_score: output.numbers.score,
        })
    }
}

/// Where masks overlap, only the object with the largest logit keeps its own; the others get at most -10
/// (`_apply_non_overlapping_constraints`).
pub(super) fn without_overlap(logits: &[Tensor]) -> Vec<Tensor> {
    if logits.len() < 2 {
        return logits.iter().map(Tensor::shallow_clone).collect();
    }
    let winner = Tensor::stack(logits, 0).argmax(0, false);
    let one = |(i, logits): (usize, &Tensor)| logits.where_self(&winner.eq(i as i64), &logits.clamp_max(-10.0));
    logits.iter().enumerate().map(one).collect()
}

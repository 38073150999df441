//! The quality of masks against the truth, slice by slice.

use super::SliceRecord;
use crate::Result;
use crate::guard::torch;
use crate::measure::{Grid, compare};
use crate::model::layers::resize_bilinear;
use crate::train::clip::Clip;
use crate::train::data::Subset;
use crate::train::data::sample::LoadedCase;
use crate::train::losses::soft_cldice;
use crate::train::step::SliceLoss;
use tch::{Device, Kind, Tensor, no_grad};

/// The quality of a clip's masks, at the model's resolution; distances in the case's millimetres.
pub fn measure(
    epoch: usize,
    subset: Subset,
    case: &LoadedCase,
    clip: &Clip,
    losses: &[SliceLoss],
) -> Result<Vec<SliceRecord>> {
    let mut records = Vec::new();
    for SliceLoss { object, frame, loss, low_res, score } in losses {
        let Some(truth) = clip.objects.iter().find(|candidate| candidate.id == *object) else { continue };
        let (prompted, truth) = (truth.prompts.contains_key(frame), &truth.truth[*frame]);
        let side = truth.size()[3];
        let mask = no_grad(|| resize_bilinear(low_res, [side, side]).gt(0.0));
        let [x, y, _] = case.volume.geometry.spacing;
        let spacing = [1.0, y * case.volume.rows as f64 / side as f64, x * case.volume.columns as f64 / side as f64];
        let grid = |mask: &Tensor| -> Result<Grid> {
            let inside = torch(|| Vec::<bool>::try_from(mask.to_device(Device::Cpu).flatten(0, -1)))?;
            Ok(Grid { shape: [1, side as usize, side as usize], spacing, inside })
        };
        let comparison = compare(&grid(&mask)?, &grid(&truth.gt(0.5))?)?;
        let float = |x: &Tensor| x.to_kind(Kind::Float).to_device(Device::Cpu);
        let cldice = match (comparison.voxels, comparison.truth_voxels) {
            (0, 0) => 1.0,
            (0, _) | (_, 0) => 0.0, // smoothing would say that nothing and something overlap a little
            _ => no_grad(|| 1.0 - soft_cldice(&float(&mask), &float(truth)).double_value(&[])),
        };
        records.push(SliceRecord {
            epoch,
            subset,
            case: case.name.clone(),
            object: *object,
            frame: *frame,
            prompted,
            loss: *loss,
            object_score: *score,
            cldice,
            comparison,
        });
    }
    Ok(records)
}

//! A clip as people look at it: one column for every slice; input with prompts, truth, answer.

use crate::Result;
use crate::guard::torch;
use crate::model::layers::resize_bilinear;
use crate::picture::{Canvas, Mark, MarkKind, write_grid};
use crate::train::clip::{Clip, ClipObject, Prompt};
use crate::train::step::SliceLoss;
use std::path::Path;
use tch::{Device, Kind, Tensor, no_grad};

/// longest side of a slice on a sheet
const SIDE: f32 = 256.0;

/// Draws the objects of a clip and what the model made of them.
pub fn sheet(path: &Path, clip: &Clip, losses: &[SliceLoss]) -> Result<()> {
    let mut rows = vec![Vec::new(), Vec::new(), Vec::new()];
    for (frame, image) in clip.images.iter().enumerate() {
        let side = image.size()[3] as usize;
        let slice = Canvas::grey(&grey(image)?, side, side, (SIDE / side as f32).min(1.0))?;
        let (mut truth, mut answer) = (vec![0; side * side], vec![0; side * side]);
        let mut input = slice.clone();
        for object in &clip.objects {
            paint(&mut truth, &object.truth[frame].gt(0.5), object.id)?;
            if let Some(found) = losses.iter().find(|loss| loss.object == object.id && loss.frame == frame) {
                let mask = no_grad(|| resize_bilinear(&found.low_res, [side as i64, side as i64]).gt(0.0));
                paint(&mut answer, &mask, object.id)?;
            }
            object.prompts.get(&frame).into_iter().try_for_each(|prompt| draw(&mut input, prompt, object, side))?;
        }
        let labelled = |labels: &[u16]| {
            let mut canvas = slice.clone();
            canvas.objects(labels, side, side);
            canvas
        };
        let tiles = [input, labelled(&truth), labelled(&answer)];
        rows.iter_mut().zip(tiles).for_each(|(row, tile)| row.push(tile));
    }
    write_grid(path, &rows)
}

/// The first channel of a normalised image, stretched from its smallest to its largest value.
fn grey(image: &Tensor) -> Result<Vec<u8>> {
    torch(|| {
        let channel = image.f_select(1, 0)?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
        let (low, high) = (channel.f_min()?, channel.f_max()?);
        let grey = (&channel - &low) / (high - low).f_clamp_min(1e-6)? * 255.0;
        Vec::try_from(grey.f_to_kind(Kind::Uint8)?.f_flatten(0, -1)?)
    })
}

fn paint(labels: &mut [u16], mask: &Tensor, object: u16) -> Result<()> {
    let inside = torch(|| Vec::<bool>::try_from(mask.f_to_device(Device::Cpu)?.f_flatten(0, -1)?))?;
    labels.iter_mut().zip(inside).filter(|(_, inside)| *inside).for_each(|(label, _)| *label = object);
    Ok(())
}

fn draw(canvas: &mut Canvas, prompt: &Prompt, object: &ClipObject, side: usize) -> Result<()> {
    if let Some(mask) = &prompt.mask {
        let mut labels = vec![0; side * side];
        paint(&mut labels, &mask.gt(0.5), object.id)?;
        canvas.objects(&labels, side, side);
    }
    let points = prompt.points.iter().map(|p| MarkKind::Point { x: p.x, y: p.y, positive: p.positive });
    for kind in prompt.bounds.map(MarkKind::Box).into_iter().chain(points) {
        canvas.mark(&Mark { frame: 0, object: object.id, kind });
    }
    Ok(())
}

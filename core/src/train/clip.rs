//! What one training step sees: a few slices of a volume as the model wants them, and on them some objects with their truth and prompts.

use crate::model::{ImageFeatures, Model, Points, prompt_encoder::label};
use crate::session::Point;
use crate::{Error, Result};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// A prompt on one slice, in pixels of the model's input image; any mixture.
#[derive(Debug, Default)]
pub struct Prompt {
    /// clicks
    pub points: Vec<Point>,
    /// `[x0, y0, x1, y1]`
    pub bounds: Option<[f32; 4]>,
    /// a drawn mask of 0 and 1, `[1, 1, S, S]`
    pub mask: Option<Tensor>,
    /// clicks that follow, each where the answer before was wrong
    pub corrections: usize,
}

impl Prompt {
    /// Box corners, then clicks; `None` where there are neither.
    pub(super) fn points(&self, more: &[Point], model: &Model) -> Option<Points> {
        let mut coords = Vec::new();
        let mut labels = Vec::new();
        if let Some(bounds) = self.bounds {
            coords.extend(bounds);
            labels.extend([label::BOX_TOP_LEFT, label::BOX_BOTTOM_RIGHT]);
        }
        for point in self.points.iter().chain(more) {
            coords.extend([point.x, point.y]);
            labels.push(if point.positive { label::POSITIVE } else { label::NEGATIVE });
        }
        let device = model.device();
        (!labels.is_empty()).then(|| Points {
            coords: Tensor::from_slice(&coords).view([1, -1, 2]).to_device(device),
            labels: Tensor::from_slice(&labels).view([1, -1]).to_device(device),
        })
    }

    /// Clicks and box corners.
    pub(super) fn tokens(&self) -> i64 {
        (self.points.len() + 2 * usize::from(self.bounds.is_some())) as i64
    }
}

/// One object of a clip.
pub struct ClipObject {
    /// its number
    pub id: u16,
    /// the truth of every slice, 0 and 1, `[1, 1, S, S]`
    pub truth: Vec<Tensor>,
    /// the prompts, by slice of the clip; at least one
    pub prompts: BTreeMap<usize, Prompt>,
}

/// Slices and objects of one training step. `S` is the side of the model's input.
pub struct Clip {
    /// where it comes from, for messages
    pub name: String,
    /// normalised images `[1, 3, S, S]`
    pub images: Vec<Tensor>,
    /// the objects
    pub objects: Vec<ClipObject>,
    /// what is true of every slice as a whole, `[1, 2, S, S]` of 0 and 1 (`dense_head::CLASSES`); empty where the data do not tell
    pub dense: Vec<Tensor>,
}

impl Clip {
    /// An error where the parts do not fit together.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::invalid(what)); // the step adds the name
        let frames = self.images.len();
        for object in &self.objects {
            if object.truth.len() != frames {
                return wrong(format!("object {} has {} masks for {frames} slices", object.id, object.truth.len()));
            }
            if object.prompts.is_empty() || object.prompts.keys().any(|&frame| frame >= frames) {
                return wrong(format!(
                    "object {} needs prompts on slices 0 to {}",
                    object.id,
                    frames.saturating_sub(1)
                ));
            }
        }
        if frames == 0 || self.objects.is_empty() { wrong("no slices or no objects".into()) } else { Ok(()) }
    }
}

/// Features of a slice as leaves of the graph: where the gradients of everything behind the encoder come together.
pub(super) fn as_leaves(features: &ImageFeatures) -> ImageFeatures {
    let leaf = |tensor: &Tensor| tensor.detach().set_requires_grad(true);
    let high_res = features.high_res.as_ref().map(|levels| levels.each_ref().map(leaf));
    ImageFeatures::new(leaf(&features.vision), high_res)
}

/// The tensors of features.
pub(super) fn tensors(features: &ImageFeatures) -> Vec<&Tensor> {
    std::iter::once(&features.vision).chain(features.high_res.iter().flatten()).collect()
}

/// The sum of `outputs` times `gradients`: going back from it is going back with these gradients. Undefined gradients are left out.
pub(crate) fn surrogate(pairs: &[(&Tensor, &Tensor)]) -> Option<Tensor> {
    let terms = pairs.iter().filter(|(_, gradient)| gradient.defined());
    terms.map(|(output, gradient)| (*output * *gradient).to_kind(Kind::Float).sum(Kind::Float)).reduce(|a, b| a + b)
}

//! What a prompt would give, for a pointer that hovers over a slice, and the masks that the model chooses among. Nothing is kept.

use super::{Marks, ObjectMask, Session};
use crate::Result;
use crate::device::transfer::{numbers, packed};
use crate::progress::stoppable;

/// The answer that a prompt would get.
#[derive(Debug)]
pub struct Preview {
    /// what [`Session::prompt`] would give
    pub mask: ObjectMask,
    /// the masks to choose from, in the order of [`Marks::choice`]; none where the model has one mask for a prompt, or where a drawn mask
    /// is the answer
    pub alternatives: Vec<ObjectMask>,
}

impl Session {
    /// Answers marks as [`Session::prompt`] does, at the cost of one pass of the decoder on an encoded slice, and changes nothing: neither
    /// objects nor what can be undone. Errors: as for a prompt.
    pub fn preview(&mut self, frame: usize, object: u32, marks: &Marks) -> Result<Preview> {
        let before = self.objects.clone();
        let previewed = stoppable(|| self.previewed(frame, object, marks));
        self.objects = before;
        previewed.map_err(|error| error.about(frame, object))
    }

    fn previewed(&mut self, frame: usize, object: u32, marks: &Marks) -> Result<Preview> {
        self.check_prompt(frame, object, marks)?;
        let at = self.position_or_new(object);
        self.compute(|session| {
            let output = session.answered(at, frame, marks, true)?.output;
            let [object_score, iou] = packed(&[&output.object_score_logits, &output.iou])?;
            let mask = |low_res, iou| ObjectMask { object, logits: session.scaled(low_res), iou, object_score };
            let mut alternatives = Vec::new();
            if let Some((masks, ious)) = &output.alternatives {
                let of = |(at, iou): (usize, f32)| mask(masks.narrow(1, at as i64, 1), iou);
                alternatives.extend(numbers(ious)?.into_iter().enumerate().map(of));
            }
            Ok(Preview { mask: mask(output.low_res, iou), alternatives })
        })
    }
}

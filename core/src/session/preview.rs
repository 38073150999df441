//! What a prompt would give, for a pointer that hovers over a slice, and the masks that the model chooses among. Nothing is kept.

use super::{Marks, ObjectMask, Session};
use crate::Result;
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
            let object_score = output.object_score_logits.double_value(&[0, 0]) as f32;
            let mask = |low_res, iou| ObjectMask { object, logits: session.scaled(low_res), iou, object_score };
            let several = output.alternatives.iter().flat_map(|(masks, ious)| {
                (0..masks.size()[1]).map(move |at| (masks.narrow(1, at, 1), ious.double_value(&[0, at]) as f32))
            });
            let alternatives = several.map(|(low_res, iou)| mask(low_res, iou)).collect();
            Ok(Preview { mask: mask(output.low_res, output.iou.double_value(&[0, 0]) as f32), alternatives })
        })
    }
}

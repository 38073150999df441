//! `Mask` in scripts: the mask of an object on a slice, to look at, or to give as a prompt of another slice.

use super::errors::Failure;
use super::library::Library;
use super::session::SessionValue;
use super::values::{Checked, Fallible, float, int, native, object, whole};
use rhai::{Dynamic, INT, NativeCallContext};
use sam_octa2_core::session::{Mask, ObjectMask};
use std::sync::Arc;

/// The mask of an object on a slice.
#[derive(Clone)]
pub struct MaskValue {
    /// its pixels
    pub mask: Arc<Mask>,
    frame: usize,
    object: u32,
    iou: f32,
    score: f32,
    area: usize,
}

/// Makes masks known to scripts, in the section that is open.
pub fn register(library: &mut Library<'_>) {
    library.engine().register_type_with_name::<MaskValue>("Mask");
    library
        .function(
            "mask_of(session: Session, frame: int, object: int) -> Mask",
            "The mask of an object on a slice as it is now: what `mask` and `prompt` take, for another slice too.",
            "session.mask(4, 1, session.mask_of(3, 1))",
            |call: NativeCallContext, session: &mut SessionValue, frame: Dynamic, id: Dynamic| -> Fallible<MaskValue> {
                native(&call, || {
                    MaskValue::of(session, whole("mask_of: frame", &frame)?, object("mask_of: object", &id)?)
                })
            },
        )
        .property("frame(mask: Mask) -> int", "Its slice.", "session.mask_of(3, 1).frame", |mask: &mut MaskValue| {
            int(mask.frame)
        })
        .property("object(mask: Mask) -> int", "Its object.", "session.mask_of(3, 1).object", |mask: &mut MaskValue| {
            INT::from(mask.object)
        })
        .property(
            "iou(mask: Mask) -> float",
            "Predicted IoU, 0 to 1.",
            "session.mask_of(3, 1).iou",
            |m: &mut MaskValue| float(m.iou),
        )
        .property(
            "score(mask: Mask) -> float",
            "Presence score; positive: the object is there.",
            "session.mask_of(3, 1).score",
            |mask: &mut MaskValue| float(mask.score),
        )
        .property("area(mask: Mask) -> int", "Its pixels.", "session.mask_of(3, 1).area", |mask: &mut MaskValue| {
            int(mask.area)
        });
    library
        .engine()
        .register_fn("to_string", |mask: &mut MaskValue| mask.describe())
        .register_fn("to_debug", |mask: &mut MaskValue| mask.describe());
}

impl MaskValue {
    fn of(session: &SessionValue, frame: usize, object: u32) -> Checked<Self> {
        let found = session.lock()?.mask(frame, object)?;
        Self::of_answer(session, frame, &found)
    }

    /// An answer on a slice.
    pub fn of_answer(session: &SessionValue, frame: usize, found: &ObjectMask) -> Checked<Self> {
        let object = found.object;
        let pixels: Vec<bool> = found.values()?.iter().map(|&logit| logit > 0.0).collect();
        let area = pixels.iter().filter(|&&inside| inside).count();
        let (rows, columns) = (session.volume.volume.rows, session.volume.volume.columns);
        let mask = Arc::new(Mask { rows, columns, pixels });
        Ok(Self { mask, frame, object, iou: found.iou, score: found.object_score, area })
    }

    /// Its pixels, to be a prompt.
    pub fn drawn(&self) -> Checked<Mask> {
        let Self { frame, object, .. } = self;
        match self.area {
            0 => Err(Failure::invalid(format!("the mask of object {object} on slice {frame} is empty"))),
            _ => Ok((*self.mask).clone()),
        }
    }

    fn describe(&self) -> String {
        format!("Mask(slice {}, object {}, {} pixels)", self.frame, self.object, self.area)
    }
}

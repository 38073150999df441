//! Results as hosts get them: values that never change, shared by all who look at them, in the form that each wants.

use crate::convert;
use crate::script::LabelsValue;
use sam_octa2_abi::PluginError;
use sam_octa2_abi::raw::form;
use sam_octa2_core::io::Rle;
use sam_octa2_core::progress::check;
use sam_octa2_core::session::ObjectMask;
use sam_octa2_core::volume::{Geometry, Labels};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// A result.
pub enum MaskValue {
    /// one object on one slice
    Slice(SliceMask),
    /// object numbers of the whole stack
    Stack(LabelsValue),
}

/// One object on one slice.
pub struct SliceMask {
    frame: usize,
    /// rows, columns
    size: [usize; 2],
    object: u32,
    iou: f32,
    score: f32,
    logits: Arc<Vec<f32>>,
    dense: OnceLock<Arc<Vec<u8>>>,
    probability: OnceLock<Arc<Vec<f32>>>,
}

/// Shared values with their type and shape, `[rows, columns]` or `[frames, rows, columns]`.
pub struct Shared {
    /// the values
    pub values: Values,
    /// extents
    pub shape: Vec<usize>,
    /// voxel index to millimetres, RAS+, where it is known
    pub affine: Option<[f64; 16]>,
}

/// Shared values.
#[derive(Clone)]
#[allow(missing_docs)]
pub enum Values {
    U8(Arc<Vec<u8>>),
    U16(Arc<Vec<u16>>),
    Labels(Arc<Labels>),
    F32(Arc<Vec<f32>>),
    Voxels(Arc<sam_octa2_core::volume::Voxels>),
}

impl SliceMask {
    /// Takes the numbers out of the model's answer.
    pub fn new(frame: usize, size: [usize; 2], mask: &ObjectMask) -> sam_octa2_core::Result<Self> {
        Ok(Self {
            frame,
            size,
            object: mask.object,
            iou: mask.iou,
            score: mask.object_score,
            logits: Arc::new(mask.values()?),
            dense: OnceLock::new(),
            probability: OnceLock::new(),
        })
    }

    fn inside(&self) -> &Arc<Vec<u8>> {
        self.dense.get_or_init(|| Arc::new(self.logits.iter().map(|&logit| u8::from(logit > 0.0)).collect()))
    }

    fn probability(&self) -> &Arc<Vec<f32>> {
        let sigmoid = |&logit: &f32| 1.0 / (1.0 + (-logit).exp());
        self.probability.get_or_init(|| Arc::new(self.logits.iter().map(sigmoid).collect()))
    }

    fn rle(&self) -> Rle {
        let [rows, columns] = self.size;
        Rle::encode(rows, columns, |index| self.logits[index] > 0.0, false)
    }
}

impl MaskValue {
    /// In numbers.
    pub fn info(&self) -> Value {
        match self {
            Self::Slice(mask) => json!({
                "frame": mask.frame,
                "object": mask.object,
                "iou": mask.iou,
                "score": mask.score,
                "area": mask.inside().iter().filter(|&&inside| inside == 1).count(),
                "shape": mask.size,
            }),
            Self::Stack(stack) => {
                let Labels { frames, rows, columns, .. } = *stack.labels;
                let objects = stack.labels.objects();
                json!({"shape": [frames, rows, columns], "objects": objects, "decided": stack.known.decided})
            }
        }
    }

    /// The values in a form of [`form`].
    pub fn shared(&self, wanted: u32) -> Result<Shared, PluginError> {
        let values = match (self, wanted) {
            (Self::Slice(mask), form::DENSE) => Values::U8(mask.inside().clone()),
            (Self::Slice(mask), form::LABELS) => {
                let object = mask.object as u16;
                Values::U16(Arc::new(mask.inside().iter().map(|&inside| u16::from(inside) * object).collect()))
            }
            (Self::Slice(mask), form::PROBABILITY) => Values::F32(mask.probability().clone()),
            (Self::Slice(mask), form::LOGITS) => Values::F32(mask.logits.clone()),
            (Self::Stack(stack), form::LABELS) => Values::Labels(stack.labels.clone()),
            (Self::Stack(stack), form::DENSE) => {
                Values::U8(Arc::new(stack.labels.data.iter().map(|&object| u8::from(object != 0)).collect()))
            }
            (Self::Stack(_), form::PROBABILITY | form::LOGITS) => {
                return Err(PluginError::new(
                    "unsupported",
                    "a stack of labels has no probabilities; ask the session for the mask of a slice",
                ));
            }
            _ => return Err(convert::invalid(format!("{wanted} is no form of a mask; there are 0 to 3"))),
        };
        let shape = match self {
            Self::Slice(mask) => mask.size.to_vec(),
            Self::Stack(stack) => vec![stack.labels.frames, stack.labels.rows, stack.labels.columns],
        };
        let affine = match self {
            Self::Slice(_) => None,
            Self::Stack(stack) => affine(&stack.labels.geometry),
        };
        Ok(Shared { values, shape, affine })
    }

    /// COCO run lengths.
    pub fn rle(&self) -> Result<Value, PluginError> {
        let stack = match self {
            Self::Slice(mask) => return Ok(json!(mask.rle())),
            Self::Stack(stack) => &stack.labels,
        };
        let (objects, mut slices) = (stack.objects(), Vec::new());
        for frame in 0..stack.frames {
            check().map_err(convert::error)?;
            let slice = stack.frame(frame);
            for &object in objects.iter().filter(|object| slice.contains(object)) {
                let rle = Rle::encode(stack.rows, stack.columns, |index| slice[index] == object, false);
                slices.push(json!({"frame": frame, "object": object, "size": rle.size, "counts": rle.counts}));
            }
        }
        Ok(Value::Array(slices))
    }
}

/// Row-major, where the source says it.
pub fn affine(geometry: &Geometry) -> Option<[f64; 16]> {
    geometry.known.then(|| std::array::from_fn(|at| geometry.affine[at / 4][at % 4]))
}

impl Values {
    /// Where the values lie, how many bytes each has, and numpy's name of their type.
    pub fn memory(&self) -> (*const u8, &'static str) {
        match self {
            Self::U8(values) => (values.as_ptr(), "uint8"),
            Self::U16(values) => (values.as_ptr().cast(), "uint16"),
            Self::Labels(labels) => (labels.data.as_ptr().cast(), "uint16"),
            Self::F32(values) => (values.as_ptr().cast(), "float32"),
            Self::Voxels(voxels) => {
                let data = sam_octa2_core::with_voxels!(&**voxels, values => values.as_ptr().cast());
                (data, voxels.dtype())
            }
        }
    }
}

//! What goes into the model and comes out of it: features of a slice, memories and pointers to look at, the heads' answer.
//!
//! Source: the dictionaries that `modeling/sam2_base.py` hands around.

use super::NO_OBJ_SCORE;
use super::layers::in_training;
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Kind, Tensor};

/// A slice as the decoder and the memory see it.
#[derive(Debug)]
pub struct ImageFeatures {
    /// `[1, C, side, side]`: the coarsest level kept, without memory
    pub vision: Tensor,
    /// `[1, C / 8, 4 side, 4 side]` and `[1, C / 4, 2 side, 2 side]`, projected for the decoder
    pub high_res: Option<[Tensor; 2]>,
    /// [`MemoryAttention::begin`](super::memory_attention::MemoryAttention::begin) of `vision`, once an object has asked for it; the next objects on the slice find it
    started: Arc<Mutex<Option<Tensor>>>,
}

impl ImageFeatures {
    /// Features as an encoder makes them.
    pub fn new(vision: Tensor, high_res: Option<[Tensor; 2]>) -> Self {
        Self { vision, high_res, started: Arc::default() }
    }

    /// The same features once more (the tensors are shared).
    pub fn shallow_clone(&self) -> Self {
        let high_res = self.high_res.as_ref().map(|levels| levels.each_ref().map(Tensor::shallow_clone));
        Self { vision: self.vision.shallow_clone(), high_res, started: self.started.clone() }
    }

    /// What `make` makes, kept for whoever asks next.
    pub(super) fn started(&self, make: impl FnOnce() -> Tensor) -> Tensor {
        if in_training(&[&self.vision]) {
            return make();
        }
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.get_or_insert_with(make).shallow_clone()
    }

    /// Bytes that the features take.
    pub fn bytes(&self) -> usize {
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let tensors = self.high_res.iter().flatten().chain([&self.vision]).chain(&*started);
        tensors.map(|tensor| tensor.numel() * tensor.kind().elt_size_in_bytes()).sum()
    }
}

/// The heads' answer for a batch of objects.
#[derive(Debug)]
pub struct SamOutput {
    /// all masks that were asked for, logits `[B, M, 4 side, 4 side]` float32
    pub multimasks: Tensor,
    /// the same where absent objects are not hidden: what a loss looks at
    pub unhidden: Tensor,
    /// their predicted IoU `[B, M]` float32
    pub ious: Tensor,
    /// the chosen mask, logits `[B, 1, 4 side, 4 side]` float32
    pub low_res: Tensor,
    /// the chosen mask's predicted IoU `[B, 1]` float32
    pub iou: Tensor,
    /// object pointer `[B, C]`
    pub obj_ptr: Tensor,
    /// presence logit `[B, 1]` float32
    pub object_score_logits: Tensor,
    /// the three masks `[B, 3, 4 side, 4 side]` and their predicted IoUs `[B, 3]`, where they were asked for beside the answer
    pub alternatives: Option<(Tensor, Tensor)>,
}

/// How the heads are to answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// three masks to choose from, and not one
    pub multimask: bool,
    /// presence logit above which the object is there; default: the model's own rule
    pub presence: Option<f64>,
    /// which of the three masks, 0 to 2; default: the one with the largest predicted IoU
    pub choice: Option<i64>,
    /// also the masks to choose from, where they were not asked for
    pub alternatives: bool,
}

impl SamOutput {
    /// Without a mask where the presence logit is not above `least`.
    pub(super) fn with_presence_above(self, least: Option<f64>) -> Self {
        let Some(least) = least else { return self };
        let present = self.object_score_logits.gt(least).unsqueeze(-1).unsqueeze(-1);
        let hidden = Tensor::full([1], NO_OBJ_SCORE, (Kind::Float, self.low_res.device()));
        let low_res = self.low_res.where_self(&present, &hidden);
        Self { multimasks: low_res.shallow_clone(), low_res, ..self }
    }
}

/// One memory that the current slice may look at.
#[derive(Debug)]
pub struct MemoryEntry<'a> {
    /// `[1, mem_dim, side, side]`
    pub features: &'a Tensor,
    /// 0: a prompted slice; 1 to `num_maskmem` - 1: a tracked one, the nearest has the largest number
    pub t_pos: i64,
}

/// One object pointer that the current slice may look at.
#[derive(Debug)]
pub struct PointerEntry<'a> {
    /// `[1, C]`
    pub obj_ptr: &'a Tensor,
    /// slices between it and the current one; negative: it lies ahead
    pub distance: i64,
}

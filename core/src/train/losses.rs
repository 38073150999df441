//! What training makes small: one object's masks on one slice against the truth.
//!
//! Dice: V-Net (arXiv 1606.04797). clDice with the soft skeleton: arXiv 2003.07311, in the form that SAM-OCTA2 uses (skeleton of ten
//! steps with square windows). Focal: arXiv 1708.02002. All sums run over the whole batch, as in the reference.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// steps of the soft skeleton: vessels up to twice as many pixels wide have one
const SKELETON_STEPS: usize = 10;

/// 1 - Dice of probabilities and truth (any shape): `1 - (2 sum(p t) + smooth) / (sum p + sum t + smooth)`.
pub fn dice(probability: &Tensor, truth: &Tensor, smooth: f64) -> Tensor {
    let both = (probability * truth).sum(Kind::Float);
    let all = probability.sum(Kind::Float) + truth.sum(Kind::Float);
    1.0 - (both * 2.0 + smooth) / (all + smooth)
}

/// The soft skeleton of `[B, 1, H, W]` probabilities: what opening with a 3 x 3 window takes away is peeled off, ten times.
pub fn soft_skeleton(x: &Tensor) -> Tensor {
    let pool = |x: &Tensor| x.max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false);
    (0..SKELETON_STEPS).fold(x.shallow_clone(), |x, _| {
        let eroded = -pool(&-&x);
        let contour = (pool(&eroded) - &eroded).relu();
        (x - contour).relu()
    })
}

/// 1 - clDice of `[B, 1, H, W]` probabilities and truth: how much of each skeleton lies within the other mask.
pub fn soft_cldice(probability: &Tensor, truth: &Tensor) -> Tensor {
    let within = |skeleton: &Tensor, mask: &Tensor| {
        let sum = |x: &Tensor| x.flatten(1, -1).sum_dim_intlist([1].as_slice(), false, Kind::Float);
        (sum(&(skeleton * mask)) + 1.0) / (sum(skeleton) + 1.0)
    };
    let precision = within(&soft_skeleton(probability), truth);
    let recall = within(&soft_skeleton(truth), probability);
    1.0 - (&precision * &recall).sum(Kind::Float) * 2.0 / (precision + recall).sum(Kind::Float)
}

/// Focal loss of logits against a truth of 0 and 1 (any shape), mean over the pixels: `(1 - p_t)^gamma` weighs down what is easy; `alpha`
/// (0..1) is the share of the object's pixels.
pub fn focal(logits: &Tensor, truth: &Tensor, gamma: f64, alpha: Option<f64>) -> Tensor {
    let entropy = bce_each(logits, truth);
    let probability = logits.sigmoid();
    let right: Tensor = &probability * truth + (1.0 - &probability) * (1.0 - truth);
    let loss = (-right + 1.0).pow_tensor_scalar(gamma) * entropy;
    match alpha {
        Some(alpha) => (loss * (truth * (2.0 * alpha - 1.0) + (1.0 - alpha))).mean(Kind::Float),
        None => loss.mean(Kind::Float),
    }
}

/// Binary cross-entropy of logits against a truth of 0 and 1, mean over the pixels.
pub fn bce(logits: &Tensor, truth: &Tensor) -> Tensor {
    bce_each(logits, truth).mean(Kind::Float)
}

fn bce_each(logits: &Tensor, truth: &Tensor) -> Tensor {
    logits.binary_cross_entropy_with_logits(truth, None::<&Tensor>, None::<&Tensor>, tch::Reduction::None)
}

/// Intersection over union of logits above 0 and a truth of 0 and 1 for each `[B, M, H, W]` mask: `[B, M]`; two empty masks agree.
pub fn iou(logits: &Tensor, truth: &Tensor) -> Tensor {
    let mask = logits.gt(0.0).to_kind(Kind::Float);
    let sum = |x: &Tensor| x.sum_dim_intlist([-2, -1].as_slice(), false, Kind::Float);
    let both = sum(&(&mask * truth));
    let any = sum(&mask) + sum(truth) - &both;
    (&both / any.clamp_min(1.0)).where_self(&any.gt(0.0), &both.ones_like())
}

/// The loss of the head that needs no prompt: logits `[1, C, h, w]`, truth `[1, C, S, S]` of 0 and 1, or of -1 for a class that is not known;
/// mean over the known classes.
pub fn dense(logits: &Tensor, truth: &Tensor) -> Tensor {
    let classes: Vec<_> = (0..truth.size()[1]).filter(|&class| is_known(truth, class)).collect();
    let truth = truth.adaptive_avg_pool2d([logits.size()[2], logits.size()[3]]);
    let each = classes.iter().map(|&class| {
        let (logits, truth) = (logits.narrow(1, class, 1), truth.narrow(1, class, 1));
        dice(&logits.sigmoid(), &truth, 1.0) + bce(&logits, &truth)
    });
    let sum = each.fold(Tensor::zeros([], (Kind::Float, logits.device())), |sum, loss| sum + loss);
    sum / classes.len().max(1) as f64
}

/// Is this class of a dense truth known (not -1)?
pub fn is_known(truth: &Tensor, class: i64) -> bool {
    truth.narrow(1, class, 1).min().double_value(&[]) >= 0.0
}

/// Which of several masks the mask losses look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// the one that the model takes by its own predicted IoU (SAM-OCTA2)
    #[default]
    Predicted,
    /// the one with the smallest loss (SAM 2's own training)
    Best,
}

/// A weighted mixture of losses, summed over slices and objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objective {
    /// weight of Dice
    pub dice: f64,
    /// added above and below in Dice, in pixels
    pub dice_smooth: f64,
    /// weight of clDice
    pub cldice: f64,
    /// weight of the focal loss
    pub focal: f64,
    /// its exponent
    pub focal_gamma: f64,
    /// share of the object's pixels in it, 0..1; none: all pixels alike
    pub focal_alpha: Option<f64>,
    /// weight of binary cross-entropy
    pub bce: f64,
    /// weight of the squared error of the predicted IoU
    pub iou: f64,
    /// weight of the cross-entropy of the presence score
    pub object_score: f64,
    /// weight of the head that needs no prompt (Dice and cross-entropy of vessels and avascular zone), where model and data have both
    pub dense: f64,
    /// which of several masks counts
    pub choice: Choice,
    /// hide the masks of objects that the model takes for absent, as at inference: no gradient comes from them (SAM-OCTA2)
    pub hide_absent: bool,
}

impl Default for Objective {
    /// Dice, and a little of the two heads that decide which mask is shown and whether one is shown.
    fn default() -> Self {
        Self { iou: 0.05, object_score: 0.05, hide_absent: false, ..Self::reference() }
    }
}

impl Objective {
    /// SAM-OCTA2's: Dice of the shown mask alone.
    pub fn reference() -> Self {
        Self {
            dice: 1.0,
            dice_smooth: 1.0,
            cldice: 0.0,
            focal: 0.0,
            focal_gamma: 2.0,
            focal_alpha: None,
            bce: 0.0,
            iou: 0.0,
            object_score: 0.0,
            dense: 0.0,
            choice: Choice::Predicted,
            hide_absent: true,
        }
    }

    /// Whether prompts are answered at all.
    pub fn has_masks(&self) -> bool {
        let Self { dice, cldice, focal, bce, iou, object_score, .. } = *self;
        [dice, cldice, focal, bce, iou, object_score].iter().any(|weight| *weight != 0.0)
    }

    /// The losses of one mask: logits and truth `[1, 1, H, W]`.
    pub fn mask(&self, logits: &Tensor, truth: &Tensor) -> Tensor {
        let probability = logits.sigmoid();
        let mut loss = Tensor::zeros([], (Kind::Float, logits.device()));
        let mut add = |weight: f64, term: &dyn Fn() -> Tensor| {
            if weight != 0.0 {
                loss = &loss + term() * weight;
            }
        };
        add(self.dice, &|| dice(&probability, truth, self.dice_smooth));
        add(self.cldice, &|| soft_cldice(&probability, truth));
        add(self.focal, &|| focal(logits, truth, self.focal_gamma, self.focal_alpha));
        add(self.bce, &|| bce(logits, truth));
        loss
    }
}

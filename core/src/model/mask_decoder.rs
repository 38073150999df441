//! Prompt tokens and image embedding to masks, their predicted quality, and the object's presence.
//! Source: `modeling/sam/mask_decoder.py`.

use super::config::{Activation, ModelConfig};
use super::layers::{Conv, Conv2d, LayerNorm2d, Linear, Mlp, Upscale2x, to_image, to_tokens};
use super::params::Params;
use super::transformer::{TwoWayConfig, TwoWayTransformer};
use tch::{Kind, Tensor};

/// one single-mask token and three for ambiguous prompts
const MASK_TOKENS: i64 = 4;

/// What the decoder says about a batch of objects; `M` is 3 with `multimask`, else 1.
#[derive(Debug)]
pub struct Decoded {
    /// logits `[B, M, 4 side, 4 side]`
    pub masks: Tensor,
    /// predicted IoU `[B, M]`
    pub ious: Tensor,
    /// output tokens of the masks `[B, M, C]` (or `[B, 1, C]`: always the single-mask token, where configured)
    pub tokens: Tensor,
    /// presence logit `[B, 1]`
    pub object_score_logits: Tensor,
    /// all masks to choose from and their IoUs, whatever was asked for
    pub alternatives: (Tensor, Tensor),
}

/// When a single mask is unstable, take the best of the three others (`dynamic_multimask_via_stability`).
#[derive(Debug, Clone, Copy)]
struct StabilityFallback {
    delta: f64,
    threshold: f64,
}

enum ObjectScoreHead {
    Linear(Linear),
    Mlp(Mlp),
}

/// The mask decoder.
pub struct MaskDecoder {
    transformer: TwoWayTransformer,
    iou_token: Tensor,
    mask_tokens: Tensor,
    obj_score: Option<(Tensor, ObjectScoreHead)>,
    output_upscaling: OutputUpscaling,
    conv_s: Option<[Conv2d; 2]>,
    output_hypernetworks_mlps: Vec<Mlp>,
    iou_prediction_head: Mlp,
    use_multimask_token_for_obj_ptr: bool,
    stability: Option<StabilityFallback>,
}

impl MaskDecoder {
    /// Reads the decoder below `p`. Depth, heads and MLP widths are fixed in the reference (`_build_sam_heads`).
    pub fn new(p: Params, config: &ModelConfig) -> Self {
        let width = config.hidden_dim();
        let transformer = TwoWayConfig { depth: 2, width, heads: 8, mlp_width: 2048 };
        let hyper = |i| {
            Mlp::new(p.sub("output_hypernetworks_mlps").sub(i), &[width, width, width, width / 8], Activation::Relu)
        };
        let iou_head = Mlp::new(p.sub("iou_prediction_head"), &[width, 256, 256, MASK_TOKENS], Activation::Relu);
        let lateral = |name: &str, channels| Conv2d::new(p.sub(name), width, channels, Conv::default());
        let extra = &config.sam_mask_decoder_extra_args;
        Self {
            transformer: TwoWayTransformer::new(p.sub("transformer"), transformer),
            iou_token: p.sub("iou_token").get("weight", &[1, width]),
            mask_tokens: p.sub("mask_tokens").get("weight", &[MASK_TOKENS, width]),
            obj_score: config.pred_obj_scores.then(|| object_score(&p, width, config.pred_obj_scores_mlp)),
            output_upscaling: OutputUpscaling::new(p.sub("output_upscaling"), width),
            conv_s: config
                .use_high_res_features_in_sam
                .then(|| [lateral("conv_s0", width / 8), lateral("conv_s1", width / 4)]),
            output_hypernetworks_mlps: (0..MASK_TOKENS).map(hyper).collect(),
            iou_prediction_head: iou_head.with_sigmoid(config.iou_prediction_use_sigmoid),
            use_multimask_token_for_obj_ptr: config.use_multimask_token_for_obj_ptr,
            stability: extra.dynamic_multimask_via_stability.then_some(StabilityFallback {
                delta: extra.dynamic_multimask_stability_delta,
                threshold: extra.dynamic_multimask_stability_thresh,
            }),
        }
    }

    /// What the decoder looks at the two fine pyramid levels through, once per image: to `C / 8` and `C / 4` channels.
    pub fn conv_s(&self) -> Option<&[Conv2d; 2]> {
        self.conv_s.as_ref()
    }

    /// `image` `[B, C, side, side]` (prompt's dense map already added), its position `[1, C, side, side]`, prompt tokens `[B, N, C]`.
    pub fn forward(
        &self,
        image: &Tensor,
        position: &Tensor,
        prompts: &Tensor,
        high_res: Option<&[Tensor; 2]>,
        multimask: bool,
    ) -> Decoded {
        let (masks, ious, tokens, object_score_logits) = self.predict(image, position, prompts, high_res);
        let several = |x: &Tensor| x.narrow(1, 1, MASK_TOKENS - 1);
        let single = |x: &Tensor| x.narrow(1, 0, 1);
        let pointer_tokens =
            if multimask && self.use_multimask_token_for_obj_ptr { several(&tokens) } else { single(&tokens) };
        let alternatives = (several(&masks), several(&ious));
        let (masks, ious) = match self.stability {
            _ if multimask => (several(&masks), several(&ious)),
            Some(fallback) => fallback.select(&masks, &ious),
            None => (single(&masks), single(&ious)),
        };
        Decoded { masks, ious, tokens: pointer_tokens, object_score_logits, alternatives }
    }

    /// All four masks, their IoUs, their tokens, and the presence.
    fn predict(
        &self,
        image: &Tensor,
        position: &Tensor,
        prompts: &Tensor,
        high_res: Option<&[Tensor; 2]>,
    ) -> (Tensor, Tensor, Tensor, Tensor) {
        let (batch, side) = (prompts.size()[0], image.size()[3]);
        let own: Vec<&Tensor> =
            self.obj_score.iter().map(|(token, _)| token).chain([&self.iou_token, &self.mask_tokens]).collect();
        let own = Tensor::cat(&own, 0).unsqueeze(0).expand([batch, -1, -1], false);
        let tokens = Tensor::cat(&[own, prompts.shallow_clone()], 1);
        let (out, image) = self.transformer.forward(&to_tokens(image), &to_tokens(position), &tokens);

        let first = self.obj_score.iter().count() as i64;
        let mask_tokens = out.narrow(1, first + 1, MASK_TOKENS);
        let upscaled = self.output_upscaling.forward(&to_image(&image, side), high_res);
        let weights = self
            .output_hypernetworks_mlps
            .iter()
            .enumerate()
            .map(|(i, mlp)| mlp.forward(&mask_tokens.select(1, i as i64)));
        let weights = Tensor::stack(&weights.collect::<Vec<_>>(), 1);
        let masks = weights.matmul(&upscaled.flatten(2, 3)).reshape([
            batch,
            MASK_TOKENS,
            upscaled.size()[2],
            upscaled.size()[3],
        ]);

        let ious = self.iou_prediction_head.forward(&out.select(1, first));
        let object_score_logits = match &self.obj_score {
            Some((_, ObjectScoreHead::Linear(head))) => head.forward(&out.select(1, 0)),
            Some((_, ObjectScoreHead::Mlp(head))) => head.forward(&out.select(1, 0)),
            None => Tensor::full([batch, 1], 10.0, (ious.kind(), ious.device())), // always there
        };
        (masks, ious, mask_tokens, object_score_logits)
    }
}

fn object_score(p: &Params, width: i64, mlp: bool) -> (Tensor, ObjectScoreHead) {
    let head = p.sub("pred_obj_score_head");
    let head = if mlp {
        ObjectScoreHead::Mlp(Mlp::new(head, &[width, width, width, 1], Activation::Relu))
    } else {
        ObjectScoreHead::Linear(Linear::new(head, width, 1))
    };
    (p.sub("obj_score_token").get("weight", &[1, width]), head)
}

impl StabilityFallback {
    /// The single mask where it hardly changes between thresholds -delta and +delta, else the best of the others by IoU.
    fn select(self, masks: &Tensor, ious: &Tensor) -> (Tensor, Tensor) {
        let single = masks.narrow(1, 0, 1);
        let area = |threshold: f64| single.gt(threshold).sum_dim_intlist([-2, -1].as_slice(), false, Kind::Float);
        let (inner, outer) = (area(self.delta), area(-self.delta));
        let stability = (&inner / &outer).where_self(&outer.gt(0.0), &inner.ones_like()); // an empty mask is stable
        let stable = stability.ge(self.threshold); // [B, 1]
        let best = ious.narrow(1, 1, MASK_TOKENS - 1).argmax(1, true) + 1; // [B, 1]
        let size = masks.size();
        let index = best.view([-1, 1, 1, 1]).expand([-1, 1, size[2], size[3]], false);
        let other = masks.gather(1, &index, false);
        let mask = single.where_self(&stable.unsqueeze(-1).unsqueeze(-1), &other);
        (mask, ious.narrow(1, 0, 1).where_self(&stable, &ious.gather(1, &best, false)))
    }
}

/// Two doublings of the image embedding; keys `0`, `1`, `3` of a PyTorch `Sequential`.
struct OutputUpscaling {
    dc1: Upscale2x,
    ln1: LayerNorm2d,
    dc2: Upscale2x,
}

impl OutputUpscaling {
    fn new(p: Params, width: i64) -> Self {
        Self {
            dc1: Upscale2x::new(p.sub(0), width, width / 4),
            ln1: LayerNorm2d::new(p.sub(1), width / 4),
            dc2: Upscale2x::new(p.sub(3), width / 4, width / 8),
        }
    }

    /// `[B, C, side, side]` -> `[B, C / 8, 4 side, 4 side]`; s1 joins before the norm, s0 before the last activation.
    fn forward(&self, x: &Tensor, high_res: Option<&[Tensor; 2]>) -> Tensor {
        let mut x = self.dc1.forward(x);
        if let Some([_, s1]) = high_res {
            x += s1;
        }
        let mut x = self.dc2.forward(&Activation::Gelu.forward(&self.ln1.forward(&x)));
        if let Some([s0, _]) = high_res {
            x += s0;
        }
        Activation::Gelu.forward(&x)
    }
}

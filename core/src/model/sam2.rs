//! SAM 2 and SAM 2.1 (arXiv 2408.00714) on libtorch, and their relatives with other trunks and memories: EfficientTAM (arXiv 2411.18933)
//! and EdgeTAM (arXiv 2501.07256). One file per upstream file, fields named as in the checkpoints, so that both can be
//! read side by side. Source: `modeling/sam2_base.py`.

use super::ImageFeatures;
use super::config::{Activation, ImageEncoderConfig, MemoryAttentionConfig, MemoryEncoderConfig, ModelConfig};
use super::dense_head::DenseHead;
use super::hiera::HalfWay;
use super::image_encoder::ImageEncoder;
use super::layers::{Conv, Conv2d, Linear, Mlp, resize_bilinear, resize_bilinear_antialias, to_image, to_tokens};
use super::mask_decoder::{self, MaskDecoder};
use super::memory_attention::{Memory, MemoryAttention};
use super::memory_encoder::MemoryEncoder;
use super::params::Params;
use super::perceiver::PerceiverResampler;
use super::position;
use super::prompt_encoder::{self, Points, PromptEncoder};
use super::transformer::Keys;
use super::{MemoryEntry, PointerEntry, SamOutput, Wish};
use crate::Result;
use tch::{Device, Kind, Tensor};

/// Logit of every pixel where the object is absent.
pub const NO_OBJ_SCORE: f64 = -1024.0;

enum PointerProjection {
    Linear(Linear),
    Mlp(Mlp),
    Identity,
}

/// The model.
pub struct Sam2 {
    /// the hyper-parameters it was built from
    pub config: ModelConfig,
    image_encoder: ImageEncoder,
    mask_downsample: Option<Conv2d>,
    memory_attention: MemoryAttention,
    memory_encoder: MemoryEncoder,
    /// EdgeTAM only
    spatial_perceiver: Option<PerceiverResampler>,
    /// `[num_maskmem, 1, 1, mem_dim]`
    maskmem_tpos_enc: Tensor,
    /// `[1, 1, C]`
    no_mem_embed: Tensor,
    /// `[1, 1, C]`
    no_mem_pos_enc: Tensor,
    no_obj_ptr: Option<Tensor>,
    no_obj_embed_spatial: Option<Tensor>,
    sam_prompt_encoder: PromptEncoder,
    sam_mask_decoder: MaskDecoder,
    obj_ptr_proj: PointerProjection,
    obj_ptr_tpos_proj: Option<Linear>,
    dense_head: Option<DenseHead>,
    pub(super) device: Device,
    pub(super) kind: Kind,
    constants: Constants,
    pub(super) fingerprint: String,
}

/// Position encodings that never change.
struct Constants {
    /// `[1, side², C]`
    vision_tokens: Tensor,
    /// of a memory as it is stored, `[1, side², mem_dim]`, or `[1, latents, mem_dim]`
    memory_tokens: Tensor,
    /// of a memory as the memory encoder makes it, `[1, side², mem_dim]`
    map_tokens: Tensor,
    /// `[1, C, side, side]`
    dense: Tensor,
}

impl Sam2 {
    /// Builds the model; every parameter must be there, with its shape, and none may be left over.
    pub fn new(p: Params, config: ModelConfig) -> Result<Self> {
        config.validate()?;
        let (width, mem_dim, side) = (config.hidden_dim(), config.mem_dim(), config.feature_size());
        let pointers = config.use_obj_ptrs_in_encoder;
        let quarter = Conv { kernel: 4, stride: 4, ..Conv::default() };
        let (encoder, attention, memory) = parts(&config)?;
        let image_encoder = ImageEncoder::new(p.sub("image_encoder"), encoder);
        let memory_encoder = MemoryEncoder::new(p.sub("memory_encoder"), memory);
        let sam_prompt_encoder = PromptEncoder::new(p.sub("sam_prompt_encoder"), width, side, config.image_size);
        let perceiver = config.spatial_perceiver.as_ref();
        let spatial_perceiver = perceiver.map(|config| PerceiverResampler::new(p.sub("spatial_perceiver"), config));
        let map_tokens = to_tokens(&memory_encoder.position(side, p.device())).to_kind(p.kind());
        let latents = spatial_perceiver.as_ref().map(|perceiver| perceiver.position(p.device()).to_kind(p.kind()));
        let constants = Constants {
            vision_tokens: to_tokens(&image_encoder.position(side, p.device())).to_kind(p.kind()),
            memory_tokens: latents.unwrap_or_else(|| map_tokens.shallow_clone()),
            map_tokens,
            dense: sam_prompt_encoder.dense_position(),
        };
        let model = Self {
            image_encoder,
            mask_downsample: pointers.then(|| Conv2d::new(p.sub("mask_downsample"), 1, 1, quarter)),
            memory_attention: MemoryAttention::new(p.sub("memory_attention"), attention, side),
            memory_encoder,
            spatial_perceiver,
            maskmem_tpos_enc: p.get("maskmem_tpos_enc", &[config.num_maskmem, 1, 1, mem_dim]),
            no_mem_embed: p.get("no_mem_embed", &[1, 1, width]),
            no_mem_pos_enc: p.get("no_mem_pos_enc", &[1, 1, width]),
            no_obj_ptr: (config.pred_obj_scores && pointers).then(|| p.get("no_obj_ptr", &[1, width])),
            no_obj_embed_spatial: config.no_obj_embed_spatial.then(|| p.get("no_obj_embed_spatial", &[1, mem_dim])),
            sam_prompt_encoder,
            sam_mask_decoder: MaskDecoder::new(p.sub("sam_mask_decoder"), &config),
            obj_ptr_proj: pointer_projection(&p, &config),
            obj_ptr_tpos_proj: config
                .proj_tpos_enc_in_obj_ptrs
                .then(|| Linear::new(p.sub("obj_ptr_tpos_proj"), width, mem_dim)),
            dense_head: config.dense_head.as_ref().map(|head| DenseHead::new(p.sub("dense_head"), width, head)),
            device: p.device(),
            kind: p.kind(),
            constants,
            fingerprint: p.fingerprint(&config), // behind every parameter
            config,
        };
        p.finish()?;
        Ok(model)
    }

    /// Side of the image embedding in cells.
    pub fn side(&self) -> i64 {
        self.config.feature_size()
    }

    /// Side of the low-resolution masks in pixels.
    pub fn mask_side(&self) -> i64 {
        self.sam_prompt_encoder.mask_side()
    }

    /// The image encoder by itself.
    pub fn image_encoder(&self) -> &ImageEncoder {
        &self.image_encoder
    }

    /// The mask decoder by itself.
    pub fn mask_decoder(&self) -> &MaskDecoder {
        &self.sam_mask_decoder
    }

    /// The prompt encoder by itself.
    pub fn prompt_encoder(&self) -> &PromptEncoder {
        &self.sam_prompt_encoder
    }

    /// The memory attention by itself.
    pub fn memory_attention(&self) -> &MemoryAttention {
        &self.memory_attention
    }

    /// EdgeTAM's perceiver by itself.
    pub fn spatial_perceiver(&self) -> Option<&PerceiverResampler> {
        self.spatial_perceiver.as_ref()
    }

    /// The memory encoder by itself.
    pub fn memory_encoder(&self) -> &MemoryEncoder {
        &self.memory_encoder
    }

    /// A normalised image `[1, 3, S, S]` to features (`forward_image`).
    pub fn encode_image(&self, image: &Tensor) -> ImageFeatures {
        self.second_half(self.first_half(image))
    }

    /// The first half of [`Self::encode_image`]: to the middle of the trunk.
    pub fn first_half(&self, image: &Tensor) -> HalfWay {
        self.image_encoder.first_half(&image.to_device(self.device).to_kind(self.kind))
    }

    /// The second half of [`Self::encode_image`].
    pub fn second_half(&self, half_way: HalfWay) -> ImageFeatures {
        let (vision, high_res) = self.image_encoder.for_decoder(half_way, self.sam_mask_decoder.conv_s());
        ImageFeatures::new(vision, high_res)
    }

    /// Logits `[1, 2, S / 4, S / 4]` of `dense_head::CLASSES` for a whole slice, without a prompt; none from a model without that head.
    pub fn dense(&self, features: &ImageFeatures) -> Option<Tensor> {
        self.dense_head.as_ref()?.forward(features)
    }

    /// Features of a slice that has no memory, `[1, C, side, side]`.
    pub fn without_memory(&self, features: &ImageFeatures) -> Tensor {
        let (width, vision) = (self.config.hidden_dim(), &features.vision);
        if self.config.directly_add_no_mem_embed {
            return vision + self.no_mem_embed.view([1, width, 1, 1]);
        }
        let memory = Memory {
            tokens: self.no_mem_embed.shallow_clone(),
            position: self.no_mem_pos_enc.shallow_clone(),
            keys: Keys::OWN,
        };
        self.attend(features, &memory)
    }

    /// Features of a slice that looks at memories and object pointers of one object (`_prepare_memory_conditioned_features`).
    /// `frames` is the length of the stack, to which SAM 2.1 relates the distances of pointers.
    pub fn with_memory(
        &self,
        features: &ImageFeatures,
        memories: &[MemoryEntry],
        pointers: &[PointerEntry],
        frames: usize,
    ) -> Tensor {
        let mut tokens = Vec::new();
        let mut position = Vec::new();
        for entry in memories {
            tokens.push(to_tokens(entry.features).to_device(self.device).to_kind(self.kind));
            let time = self.maskmem_tpos_enc.select(0, self.config.num_maskmem - entry.t_pos - 1);
            position.push(&self.constants.memory_tokens + time);
        }
        let mut keys = Keys { memories: memories.len() as i64, pointers: 0 };
        if self.config.use_obj_ptrs_in_encoder && !pointers.is_empty() {
            let (pointer, at) = self.pointer_tokens(pointers, frames);
            keys.pointers = pointer.size()[1];
            tokens.push(pointer);
            position.push(at);
        }
        let memory = Memory { tokens: Tensor::cat(&tokens, 1), position: Tensor::cat(&position, 1), keys };
        self.attend(features, &memory)
    }

    fn attend(&self, features: &ImageFeatures, memory: &Memory) -> Tensor {
        let position = &self.constants.vision_tokens;
        let started = features.started(|| self.memory_attention.begin(&to_tokens(&features.vision), position));
        to_image(&self.memory_attention.finish(&started, position, memory), self.side())
    }

    /// Every pointer becomes `C / mem_dim` tokens of the memory's width, with the time that it comes from.
    fn pointer_tokens(&self, pointers: &[PointerEntry], frames: usize) -> (Tensor, Tensor) {
        let (width, mem_dim) = (self.config.hidden_dim(), self.config.mem_dim());
        let all: Vec<_> = pointers.iter().map(|entry| entry.obj_ptr).collect();
        let tokens = Tensor::cat(&all, 0).to_kind(self.kind).reshape([1, -1, mem_dim]);
        let (count, parts) = (pointers.len() as i64, width / mem_dim);
        let position = if self.config.add_tpos_enc_to_obj_ptrs {
            let longest = (frames as i64).min(self.config.max_obj_ptrs_in_encoder) - 1;
            let distance = |entry: &PointerEntry| entry.distance as f32 / longest as f32;
            let one = |entry| Tensor::full([1], f64::from(distance(entry)), (Kind::Float, self.device)); // no copy
            let distances = Tensor::cat(&pointers.iter().map(one).collect::<Vec<_>>(), 0);
            let time = match &self.obj_ptr_tpos_proj {
                Some(project) => project.forward(&position::sine_1d(&distances, width).to_kind(self.kind)),
                None => position::sine_1d(&distances, mem_dim).to_kind(self.kind),
            };
            time.unsqueeze(1).expand([count, parts, mem_dim], false).reshape([1, count * parts, mem_dim])
        } else {
            tokens.zeros_like()
        };
        (tokens, position)
    }

    /// Does this prompt get three masks to choose from? `points` counts clicks and box corners.
    pub fn use_multimask(&self, is_first: bool, points: i64) -> bool {
        self.config.multimask_output_in_sam
            && (is_first || self.config.multimask_output_for_tracking)
            && (self.config.multimask_min_pt_num..=self.config.multimask_max_pt_num).contains(&points)
    }

    /// Prompts to masks (`_forward_sam_heads`): conditioned features `[B, C, side, side]`, the slice's own, points, mask logits `[B, 1, 4 side, 4 side]`.
    pub fn forward_sam_heads(
        &self,
        conditioned: &Tensor,
        features: &ImageFeatures,
        points: Option<&Points>,
        mask: Option<&Tensor>,
        multimask: bool,
    ) -> SamOutput {
        self.answer(conditioned, features, points, mask, Wish { multimask, ..Wish::default() })
    }

    /// The same, answered as `wish` says.
    pub fn answer(
        &self,
        conditioned: &Tensor,
        features: &ImageFeatures,
        points: Option<&Points>,
        mask: Option<&Tensor>,
        wish: Wish,
    ) -> SamOutput {
        let batch = conditioned.size()[0];
        let no_points = || Points {
            coords: Tensor::zeros([batch, 1, 2], (Kind::Float, self.device)),
            labels: Tensor::full([batch, 1], prompt_encoder::label::PADDING, (Kind::Int64, self.device)),
        };
        let sparse = match points {
            Some(points) => self.sam_prompt_encoder.embed_points(points),
            None => self.sam_prompt_encoder.embed_points(&no_points()),
        };
        let dense = match mask {
            Some(mask) => self.sam_prompt_encoder.embed_mask(mask),
            None => self.sam_prompt_encoder.no_mask(batch),
        };
        let decoded = self.sam_mask_decoder.forward(
            &(conditioned + dense),
            &self.constants.dense,
            &sparse,
            features.high_res.as_ref(),
            wish.multimask,
        );
        self.choose(decoded, wish)
    }

    /// Hides absent objects, picks the best mask by predicted IoU, makes the object pointer.
    fn choose(&self, decoded: mask_decoder::Decoded, wish: Wish) -> SamOutput {
        let score = decoded.object_score_logits.to_kind(Kind::Float);
        let ious = decoded.ious.to_kind(Kind::Float);
        let unhidden = decoded.masks.to_kind(Kind::Float);
        let least = wish.presence.unwrap_or(0.0);
        let hide = |masks: &Tensor| match self.config.pred_obj_scores || wish.presence.is_some() {
            true => {
                let present = score.gt(least).unsqueeze(-1).unsqueeze(-1);
                masks.where_self(&present, &Tensor::full([1], NO_OBJ_SCORE, (Kind::Float, self.device)))
            }
            false => masks.shallow_clone(),
        };
        let multimasks = hide(&unhidden);
        let best = match wish.choice.filter(|choice| wish.multimask && (0..ious.size()[1]).contains(choice)) {
            Some(choice) => Tensor::full([ious.size()[0], 1], choice, (Kind::Int64, self.device)),
            None => ious.argmax(1, true), // [B, 1]
        };
        let pick = |x: &Tensor| {
            let mut size = x.size();
            size[1] = 1;
            let mut index_size = vec![1; size.len()];
            index_size[0] = size[0];
            x.gather(1, &best.view(index_size.as_slice()).expand(size.as_slice(), false), false)
        };
        let (low_res, iou) = (pick(&multimasks), pick(&ious));
        let token = if decoded.tokens.size()[1] > 1 { pick(&decoded.tokens) } else { decoded.tokens.shallow_clone() };
        let above = wish.presence.map(|least| &score - least); // positive: it is there
        let obj_ptr = self.object_pointer(&token.squeeze_dim(1), above.as_ref().unwrap_or(&score));
        let alternatives = wish.alternatives.then(|| {
            let (masks, ious) = &decoded.alternatives;
            (hide(&masks.to_kind(Kind::Float)), ious.to_kind(Kind::Float))
        });
        SamOutput { multimasks, unhidden, ious, low_res, iou, obj_ptr, object_score_logits: score, alternatives }
    }

    /// Output token `[B, C]` to pointer; absent objects get (or gain) `no_obj_ptr`.
    fn object_pointer(&self, token: &Tensor, score: &Tensor) -> Tensor {
        let pointer = match &self.obj_ptr_proj {
            PointerProjection::Linear(project) => project.forward(token),
            PointerProjection::Mlp(project) => project.forward(token),
            PointerProjection::Identity => token.shallow_clone(),
        };
        let present = if self.config.soft_no_obj_ptr { score.sigmoid() } else { score.gt(0.0) };
        self.mix_no_obj_ptr(pointer, &present.to_kind(self.kind))
    }

    fn mix_no_obj_ptr(&self, pointer: Tensor, present: &Tensor) -> Tensor {
        let Some(no_obj_ptr) = &self.no_obj_ptr else { return pointer };
        let pointer = if self.config.fixed_no_obj_ptr { pointer * present } else { pointer };
        pointer + (1.0 - present) * no_obj_ptr
    }

    /// A mask that the user gives is the output (`_use_mask_as_output`); the decoder only makes the pointer.
    /// `mask` holds 0 and 1, `[B, 1, S, S]` float32.
    pub fn use_mask_as_output(&self, features: &ImageFeatures, mask: &Tensor) -> SamOutput {
        let low_res = self.mask_to_logits(mask);
        let (batch, options) = (mask.size()[0], (Kind::Float, self.device));
        let pointer = match &self.mask_downsample {
            Some(downsample) => {
                let mask = downsample.forward(&mask.to_kind(self.kind));
                let side = self.mask_side();
                let mask = if mask.size()[3] == side { mask } else { resize_bilinear_antialias(&mask, [side, side]) };
                // without no_mem_embed, as trained
                self.forward_sam_heads(&features.vision, features, None, Some(&mask), false).obj_ptr
            }
            None => Tensor::zeros([batch, self.config.hidden_dim()], (self.kind, self.device)),
        };
        let present = mask.flatten(1, -1).gt(0.0).any_dim(1, true);
        let obj_ptr = self.mix_no_obj_ptr(pointer, &present.to_kind(self.kind));
        let object_score_logits = present.to_kind(Kind::Float) * 20.0 - 10.0;
        let ious = Tensor::ones([batch, 1], options);
        SamOutput {
            multimasks: low_res.shallow_clone(),
            unhidden: low_res.shallow_clone(),
            iou: ious.shallow_clone(),
            ious,
            low_res,
            obj_ptr,
            object_score_logits,
            alternatives: None,
        }
    }

    /// A mask of 0 and 1 `[B, 1, S, S]` as logits of -10 and 10 at the decoder's size `[B, 1, 4 side, 4 side]`.
    pub fn mask_to_logits(&self, mask: &Tensor) -> Tensor {
        let side = self.config.image_size / 4;
        resize_bilinear_antialias(&(mask * 20.0 - 10.0), [side, side])
    }

    /// A memory `[B, mem_dim, side, side]` of a slice and its mask logits `[B, 1, 4 side, 4 side]` (`_encode_new_memory`); where there is a
    /// perceiver, its latents `[B, mem_dim, latents, 1]`.
    /// `prompted`: the mask comes from the user's prompts.
    pub fn encode_memory(&self, features: &ImageFeatures, low_res: &Tensor, score: &Tensor, prompted: bool) -> Tensor {
        let size = self.config.image_size;
        let logits = resize_bilinear(low_res, [size, size]);
        let binarize = prompted && self.config.binarize_mask_from_pts_for_mem_enc;
        let mask = if binarize { logits.gt(0.0).to_kind(Kind::Float) } else { logits.sigmoid() };
        let mask = mask * self.config.sigmoid_scale_for_mem_enc + self.config.sigmoid_bias_for_mem_enc;
        let mut memory = self.memory_encoder.forward(&features.vision, &mask.to_kind(self.kind));
        if let Some(embed) = &self.no_obj_embed_spatial {
            let absent = score.le(0.0).to_kind(self.kind).unsqueeze(-1).unsqueeze(-1);
            memory += absent * embed.unsqueeze(-1).unsqueeze(-1);
        }
        match &self.spatial_perceiver {
            Some(perceiver) => perceiver.forward(&memory, &self.constants.map_tokens).transpose(1, 2).unsqueeze(-1),
            None => memory,
        }
    }
}

/// The configurations of SAM 2's three parts.
fn parts(config: &ModelConfig) -> Result<(&ImageEncoderConfig, &MemoryAttentionConfig, &MemoryEncoderConfig)> {
    match (&config.image_encoder, &config.memory_attention, &config.memory_encoder) {
        (Some(encoder), Some(attention), Some(memory)) => Ok((encoder, attention, memory)),
        _ => Err(crate::Error::invalid("a SAM 2 needs image_encoder, memory_attention and memory_encoder")),
    }
}

fn pointer_projection(p: &Params, config: &ModelConfig) -> PointerProjection {
    let (p, width) = (p.sub("obj_ptr_proj"), config.hidden_dim());
    match (config.use_obj_ptrs_in_encoder, config.use_mlp_for_obj_ptr_proj) {
        (false, _) => PointerProjection::Identity,
        (true, false) => PointerProjection::Linear(Linear::new(p, width, width)),
        (true, true) => PointerProjection::Mlp(Mlp::new(p, &[width; 4], Activation::Relu)),
    }
}

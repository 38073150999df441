//! What a configuration must satisfy before a model is built of it: upstream's assertions, and those its tensors would make.

use super::*;

/// Larger numbers are mistakes, and smaller ones cannot overflow.
pub(super) const MOST: i64 = 1 << 16;

impl ModelConfig {
    /// Do the parts fit together? [`from_text`](Self::from_text) and its kin ask this already.
    pub fn validate(&self) -> Result<()> {
        match (&self.prompted_unet, &self.image_encoder, &self.memory_attention, &self.memory_encoder) {
            (Some(shape), None, None, None) => self.validate_unet(shape)?,
            (Some(_), ..) => {
                return Err(Error::invalid(
                    "prompted_unet goes without SAM 2's parts: leave image_encoder, memory_attention and memory_encoder out",
                ));
            }
            (None, Some(encoder), Some(attention), Some(memory)) => {
                self.validate_sizes(encoder, attention, memory)?;
                match &encoder.trunk {
                    TrunkConfig::Hiera(trunk) => trunk.validate()?,
                    TrunkConfig::ViT(trunk) => trunk.validate(self.backbone_stride)?,
                    TrunkConfig::TimmBackbone(trunk) => trunk.validate()?,
                }
                self.validate_image_encoder(encoder)?;
                self.validate_memory_attention(attention)?;
                self.validate_memory_encoder(memory)?;
                self.validate_perceiver(attention)?;
            }
            (None, encoder, attention, _) => {
                let missing = match (encoder, attention) {
                    (None, _) => "image_encoder",
                    (_, None) => "memory_attention",
                    _ => "memory_encoder",
                };
                return Err(Error::invalid(format!("the key \"{missing}\" is missing")));
            }
        }
        self.validate_flags()
    }

    /// Widths of both U-Nets, a picture that divides into their levels, and settings that a network without SAM 2's parts can have.
    fn validate_unet(&self, shape: &PromptedUnetConfig) -> Result<()> {
        let PromptedUnetConfig { image_widths, prompt_widths, mask_width, neighbours, passes, thresholds } = shape;
        let widths = image_widths.iter().chain(prompt_widths).chain([mask_width]);
        check(widths.clone().all(|width| (1..=4096).contains(width)), || {
            "prompted_unet: widths must lie between 1 and 4096".into()
        })?;
        check((2..=8).contains(&image_widths.len()) && (1..=8).contains(&prompt_widths.len()), || {
            "prompted_unet: image_widths needs 2 to 8 numbers, prompt_widths 1 to 8".into()
        })?;
        let step = 1i64 << image_widths.len().max(prompt_widths.len() + 1);
        check((step..=MOST).contains(&self.image_size) && self.image_size % step == 0, || {
            format!("image_size: {} is not a multiple of {step}, as the levels of prompted_unet need", self.image_size)
        })?;
        check(*neighbours <= 64, || format!("prompted_unet.neighbours: {neighbours} is more than 64"))?;
        check((1..=16).contains(passes), || format!("prompted_unet.passes: {passes} is not between 1 and 16"))?;
        check(thresholds.iter().all(|threshold| *threshold > 0.0 && *threshold < 1.0), || {
            "prompted_unet.thresholds: two numbers between 0 and 1".into()
        })?;
        check((1..=MOST).contains(&self.num_maskmem) && self.memory_temporal_stride_for_eval == 1, || {
            "num_maskmem must be 1 at least, memory_temporal_stride_for_eval 1".into()
        })?;
        check(self.dense_head.is_none() && !self.use_obj_ptrs_in_encoder, || {
            "prompted_unet has dense maps of its own and no object pointers: leave dense_head and use_obj_ptrs_in_encoder out".into()
        })
    }

    /// Every size lies in its range, so that the arithmetic below is safe.
    fn validate_sizes(
        &self,
        image_encoder: &ImageEncoderConfig,
        memory_attention: &MemoryAttentionConfig,
        memory_encoder: &MemoryEncoderConfig,
    ) -> Result<()> {
        let scalp = &image_encoder.scalp;
        let (layer, down, fuser) = (&memory_attention.layer, &memory_encoder.mask_downsampler, &memory_encoder.fuser);
        let mut sizes = vec![
            ("image_size", self.image_size),
            ("backbone_stride", self.backbone_stride),
            ("num_maskmem", self.num_maskmem),
            ("max_obj_ptrs_in_encoder", self.max_obj_ptrs_in_encoder),
            ("memory_temporal_stride_for_eval", self.memory_temporal_stride_for_eval),
            ("neck.d_model", image_encoder.neck.d_model()),
            ("memory_attention.num_layers", memory_attention.num_layers),
            ("memory_attention.layer.dim_feedforward", layer.dim_feedforward),
            ("memory_encoder.out_dim", memory_encoder.out_dim),
            ("mask_downsampler.kernel_size", down.kernel_size),
            ("mask_downsampler.stride", down.stride),
            ("mask_downsampler.total_stride", down.total_stride),
            ("fuser.num_layers", fuser.num_layers),
            ("fuser.layer.kernel_size", fuser.layer.kernel_size),
        ];
        sizes.extend(image_encoder.trunk.sizes());
        if let NeckConfig::FpnNeck(neck) = &image_encoder.neck {
            sizes.extend([("neck.kernel_size", neck.kernel_size), ("neck.stride", neck.stride)]);
        }
        for (part, attention) in
            [("self_attention", &layer.self_attention), ("cross_attention", &layer.cross_attention)]
        {
            sizes.extend([
                (part, attention.embedding_dim),
                (part, attention.num_heads),
                (part, attention.downsample_rate),
                (part, attention.kv_in_dim()),
            ]);
        }
        sizes.extend(self.dense_head.iter().map(|head| ("dense_head.width", head.width)));
        for (name, size) in sizes {
            check((1..=MOST).contains(&size), || format!("{name}: {size} is not between 1 and {MOST}"))?;
        }
        let neck = match &image_encoder.neck {
            NeckConfig::FpnNeck(neck) => neck.padding,
            NeckConfig::ViTDetNeck(_) => 0,
        };
        let paddings = [neck, down.padding, fuser.layer.padding, *scalp, self.fill_hole_area];
        check(paddings.iter().all(|n| (0..=MOST).contains(n)), || {
            "padding, scalp and fill_hole_area must not be negative".into()
        })?;
        let mut thresholds = self.dense_head.iter().flat_map(|head| head.thresholds);
        check(thresholds.all(|threshold| threshold > 0.0 && threshold < 1.0), || {
            "dense_head.thresholds: two numbers between 0 and 1".into()
        })
    }

    fn validate_image_encoder(&self, image_encoder: &ImageEncoderConfig) -> Result<()> {
        let ImageEncoderConfig { trunk, neck, scalp } = image_encoder;
        let (size, channels) = (self.image_size, trunk.channel_list());
        let (listed, needed) = (neck.backbone_channel_list(), self.num_feature_levels());
        check(size % 32 == 0 && size % self.backbone_stride == 0, || {
            format!("image_size: {size} is not divisible by 32 and by backbone_stride ({})", self.backbone_stride)
        })?;
        check(listed == channels, || {
            format!("neck.backbone_channel_list: {listed:?}, but the trunk gives {channels:?}")
        })?;
        let levels = channels.len() as i64;
        check(levels == 1 || matches!(neck, NeckConfig::FpnNeck(_)), || {
            format!("neck: ViTDetNeck takes one level, and the trunk gives {levels}")
        })?;
        check(levels - scalp >= needed, || {
            format!("image_encoder.scalp: {scalp} of {levels} levels leave fewer than {needed}")
        })?;
        if let NeckConfig::FpnNeck(neck) = neck {
            let top_down = neck.fpn_top_down_levels.as_deref().unwrap_or_default();
            check(top_down.iter().all(|level| (0..levels).contains(level)), || {
                format!("neck.fpn_top_down_levels: {top_down:?} are not levels between 0 and {}", levels - 1)
            })?;
        }
        check_positions("neck", neck.position_encoding(), neck.d_model())?;
        let hidden = self.hidden_dim();
        check(hidden % 16 == 0, || {
            format!("neck.d_model: {hidden} is not divisible by 16, as the decoder's 8 heads need")
        })
    }

    fn validate_memory_attention(&self, memory_attention: &MemoryAttentionConfig) -> Result<()> {
        let (hidden, memory) = (self.hidden_dim(), self.mem_dim());
        let layer = &memory_attention.layer;
        let (own, cross) = (&layer.self_attention, &layer.cross_attention);
        for (name, dim, expected) in [
            ("d_model", memory_attention.d_model, hidden),
            ("layer.d_model", layer.d_model, hidden),
            ("layer.self_attention.embedding_dim", own.embedding_dim, hidden),
            ("layer.self_attention.kv_in_dim", own.kv_in_dim(), hidden),
            ("layer.cross_attention.embedding_dim", cross.embedding_dim, hidden),
            ("layer.cross_attention.kv_in_dim", cross.kv_in_dim(), memory),
        ] {
            check(dim == expected, || format!("memory_attention.{name}: {dim}, but {expected} channels arrive there"))?;
        }
        for (name, attention) in [("self_attention", own), ("cross_attention", cross)] {
            let RopeAttentionConfig { embedding_dim, num_heads, downsample_rate, .. } = *attention;
            check(embedding_dim % downsample_rate == 0 && attention.internal_dim() % (num_heads * 4) == 0, || {
                format!(
                    "memory_attention.layer.{name}: {embedding_dim} channels / {downsample_rate} do not divide into \
                     {num_heads} heads of a multiple of 4"
                )
            })?;
        }
        Ok(())
    }

    /// A perceiver, the attention that knows where its latents lie, and a memory that divides into its windows go together.
    fn validate_perceiver(&self, attention: &MemoryAttentionConfig) -> Result<()> {
        let cross = &attention.layer.cross_attention;
        let is_v2 = cross.class == RopeClass::RoPEAttentionv2;
        check(is_v2 == self.spatial_perceiver.is_some() && is_v2 == cross.k_sizes.is_some(), || {
            "spatial_perceiver, cross_attention RoPEAttentionv2 and its k_sizes go together".into()
        })?;
        check(
            !attention.layer.self_attention.class.pools() && attention.layer.self_attention.k_sizes.is_none(),
            || "memory_attention.layer.self_attention: RoPEAttention is what can stand here".into(),
        )?;
        let side = self.feature_size();
        check(!cross.class.pools() || side % 2 == 0, || {
            format!("memory_attention.layer.cross_attention: {side} x {side} cells do not divide into 2 x 2")
        })?;
        let (Some(perceiver), Some([columns, rows])) = (&self.spatial_perceiver, cross.k_sizes) else { return Ok(()) };
        perceiver.validate(self.mem_dim(), side)?;
        let placed = perceiver.num_latents_2d.max(0);
        check((1..=256).contains(&columns) && (1..=256).contains(&rows) && columns * rows == placed, || {
            format!(
                "cross_attention.k_sizes: {columns} x {rows} places for {placed} latents with a place (num_latents_2d)"
            )
        })
    }

    fn validate_memory_encoder(&self, memory_encoder: &MemoryEncoderConfig) -> Result<()> {
        let (hidden, memory) = (self.hidden_dim(), self.mem_dim());
        let MemoryEncoderConfig { mask_downsampler: down, fuser, in_dim, .. } = memory_encoder;
        let fuser_dim = fuser.dim.unwrap_or(hidden);
        for (name, dim) in [
            ("in_dim", *in_dim),
            ("mask_downsampler.embed_dim", down.embed_dim),
            ("fuser.layer.dim", fuser.layer.dim),
            ("fuser.dim", fuser_dim),
        ] {
            check(dim == hidden, || format!("memory_encoder.{name}: {dim}, but {hidden} channels arrive there"))?;
        }
        check(hidden % memory == 0, || {
            format!("memory_encoder.out_dim: {memory} does not divide the {hidden} channels of an object pointer")
        })?;
        check(down.stride > 1 && down.stride.checked_pow(down.num_layers() as u32) == Some(down.total_stride), || {
            format!("mask_downsampler: total_stride {} is no power of stride {}", down.total_stride, down.stride)
        })?;
        check(down.total_stride == self.backbone_stride, || {
            format!(
                "mask_downsampler.total_stride: {} is not backbone_stride {}",
                down.total_stride, self.backbone_stride
            )
        })?;
        check_positions("memory_encoder", &memory_encoder.position_encoding, memory)
    }

    fn validate_flags(&self) -> Result<()> {
        for (name, set, needs, given) in [
            (
                "proj_tpos_enc_in_obj_ptrs",
                self.proj_tpos_enc_in_obj_ptrs,
                "add_tpos_enc_to_obj_ptrs",
                self.add_tpos_enc_to_obj_ptrs,
            ),
            ("fixed_no_obj_ptr", self.fixed_no_obj_ptr, "pred_obj_scores", self.pred_obj_scores),
            ("fixed_no_obj_ptr", self.fixed_no_obj_ptr, "use_obj_ptrs_in_encoder", self.use_obj_ptrs_in_encoder),
        ] {
            check(!set || given, || format!("{name} needs {needs}"))?;
        }
        let (most, lo, hi) = (self.max_cond_frames_in_attn, self.multimask_min_pt_num, self.multimask_max_pt_num);
        check(most == -1 || most >= 2 || (most == 1 && self.prompted_unet.is_some()), || {
            format!("max_cond_frames_in_attn: {most} is neither -1 nor at least 2")
        })?;
        check(lo <= hi, || format!("multimask_min_pt_num {lo} is larger than multimask_max_pt_num {hi}"))
    }
}

pub(super) fn check_positions(part: &str, encoding: &PositionEncodingConfig, channels: i64) -> Result<()> {
    let feats = encoding.num_pos_feats;
    check(feats == channels && feats % 4 == 0, || {
        format!("{part}.position_encoding.num_pos_feats: {feats} is not {channels}, a multiple of 4")
    })?;
    check(encoding.normalize || encoding.scale.is_none(), || format!("{part}.position_encoding: scale needs normalize"))
}

pub(super) fn check(fits: bool, what: impl FnOnce() -> String) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::Invalid(what())) }
}

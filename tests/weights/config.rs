//! `ModelConfig` against the official YAML files, dumped to JSON by `tests/tools/make_configs.py`, and against mistakes.

use crate::data;
use sam_octa2_core::model::config::{HieraBlock, ModelConfig, Official};
use serde_json::{Value, json};

fn official() -> Value {
    serde_json::from_str(&std::fs::read_to_string(data("official.json")).unwrap()).unwrap()
}

fn error_of(change: impl FnOnce(&mut Value)) -> String {
    let mut model = official()["2.1-tiny"]["model"].clone();
    change(&mut model);
    ModelConfig::from_value(model).unwrap_err().to_string()
}

#[test]
fn presets_equal_the_official_files() {
    let official = official();
    assert_eq!(official.as_object().unwrap().len(), 8);
    for (name, entry) in official.as_object().unwrap() {
        let config = ModelConfig::from_value(json!({"model": entry["model"]})).unwrap();
        assert_eq!(config, ModelConfig::preset(name).unwrap(), "{name}");
        assert_eq!(config, ModelConfig::from_text(&serde_json::to_string(&config).unwrap()).unwrap(), "{name}");
        assert_eq!(config, ModelConfig::from_text(&serde_yaml_ng::to_string(&config).unwrap()).unwrap(), "{name}");
    }
}

/// Of the files themselves, where the Python package is at hand: `SAM2_CONFIGS=.../site-packages/sam2/configs`.
#[test]
fn official_yaml_files_are_read() {
    let Some(folder) = std::env::var_os("SAM2_CONFIGS") else {
        return eprintln!("skipped: SAM2_CONFIGS is not set");
    };
    for official in Official::all() {
        let stem = official.stem();
        let (version, _) = stem.split_once('_').unwrap();
        let letter = stem.rsplit("hiera_").next().unwrap().replace("base_plus", "b+");
        let letter = if letter == "b+" { "b+" } else { &letter[..1] };
        let path = std::path::Path::new(&folder).join(format!("{version}/{version}_hiera_{letter}.yaml"));
        assert_eq!(ModelConfig::load(path.to_str().unwrap()).unwrap(), official.config(), "{}", path.display());
    }
}

#[test]
fn blocks_equal_the_built_models() {
    for name in ["tiny", "small", "base_plus", "large"] {
        let expected = &official()[name]["blocks"];
        let blocks = ModelConfig::preset(name).unwrap().image_encoder.unwrap().trunk.hiera().unwrap().blocks();
        let plain = |b: HieraBlock| json!([b.dim, b.dim_out, b.num_heads, b.q_stride, b.window_size]);
        assert_eq!(&Value::Array(blocks.into_iter().map(plain).collect()), expected, "{name}");
    }
}

#[test]
fn yaml_with_targets_is_read() {
    let mini = ModelConfig::from_file(data("mini.yaml")).unwrap();
    let mini21 = ModelConfig::from_file(data("mini21.yaml")).unwrap();
    assert_eq!((mini.hidden_dim(), mini.mem_dim(), mini.feature_size(), mini.low_res_size()), (64, 16, 16, 64));
    let trunk = mini.image_encoder.as_ref().unwrap().trunk.hiera().unwrap();
    assert_eq!(trunk.channel_list(), [128, 64, 32, 16]);
    assert_eq!(trunk.stage_ends(), [0, 2, 5, 7]);
    assert_eq!(mini.memory_encoder.as_ref().unwrap().mask_downsampler.num_layers(), 4);
    assert_eq!((mini.no_obj_embed_spatial, mini21.no_obj_embed_spatial), (false, true));
    let text = std::fs::read_to_string(data("mini.yaml")).unwrap();
    let commented = ModelConfig::from_text(&format!("# @package _global_\n{text}")).unwrap();
    assert_eq!(commented, mini);
    let bare = text.lines().skip(1).map(|line| format!("{}\n", &line[2..])).collect::<String>();
    assert_eq!(ModelConfig::from_text(&bare).unwrap(), mini);
}

#[test]
fn upstream_defaults_hold_for_missing_keys() {
    let (image_encoder, attention, encoder) = {
        let model = &official()["base_plus"]["model"];
        (model["image_encoder"].clone(), model["memory_attention"].clone(), model["memory_encoder"].clone())
    };
    let model = json!({"image_encoder": image_encoder, "memory_attention": attention, "memory_encoder": encoder,
        "sam_mask_decoder_extra_args": null});
    let config = ModelConfig::from_value(model).unwrap();
    assert_eq!((config.image_size, config.num_maskmem, config.sigmoid_scale_for_mem_enc), (512, 7, 1.));
    assert!(config.add_tpos_enc_to_obj_ptrs && !config.pred_obj_scores);
    assert_eq!(config.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh, 0.98);
}

#[test]
fn unknown_keys_name_the_nearest() {
    assert_eq!(
        error_of(|model| model["image_encoder"]["trunk"]["embeddim"] = json!(96)),
        "unknown key \"image_encoder.trunk.embeddim\"; did you mean `embed_dim`?"
    );
    assert!(error_of(|model| model["imagesize"] = json!(512)).contains("`image_size`"));
    let beside = ModelConfig::from_value(json!({"model": {}, "image_size": 512})).unwrap_err().to_string();
    assert_eq!(beside, "unknown key \"image_size\" beside \"model\"");
}

/// The network of our own: the file that the repository ships, and what its configuration must not be.
#[test]
fn mistakes_in_a_prompted_unet_are_named() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../sam2_weights/nano.yaml");
    let nano = ModelConfig::from_file(&path).unwrap();
    assert_eq!((nano.hidden_dim(), nano.mem_dim(), nano.low_res_size(), nano.memory_shape()), (48, 1, 256, [256, 256]));
    assert_eq!((nano.input().size, nano.neighbours()), (512, 5));
    let good = serde_json::to_value(&nano).unwrap();
    let unet = |key: &'static str, value: Value| {
        let mut changed = good.clone();
        changed["prompted_unet"][key] = value;
        changed
    };
    let mut both = good.clone();
    both["image_encoder"] =
        serde_json::to_value(ModelConfig::preset("tiny").unwrap()).unwrap()["image_encoder"].clone();
    let mut odd = good.clone();
    odd["image_size"] = json!(500);
    let mut neither = good.clone();
    neither.as_object_mut().unwrap().remove("prompted_unet");
    let cases = [
        (unet("image_widths", json!([24])), "image_widths needs 2 to 8 numbers"),
        (unet("prompt_widths", json!([0])), "widths must lie between 1 and 4096"),
        (unet("neighbours", json!(65)), "neighbours: 65 is more than 64"),
        (unet("passes", json!(0)), "passes: 0 is not between 1 and 16"),
        (unet("thresholds", json!([0.5, 1.0])), "thresholds: two numbers between 0 and 1"),
        (unet("neighbors", json!(1)), "did you mean `neighbours`?"),
        (odd, "image_size: 500 is not a multiple of 32"),
        (both, "prompted_unet goes without SAM 2's parts"),
        (neither, "the key \"image_encoder\" is missing"),
    ];
    for (changed, expected) in cases {
        let error = ModelConfig::from_value(changed).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn mistakes_are_named() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 15] = [
        (|m| m["image_size"] = json!(1000), "image_size: 1000 is not divisible by 32"),
        (|m| m["image_size"] = json!(-1024), "image_size: -1024 is not between"),
        (|m| m["image_size"] = json!("${scratch.resolution}"), "interpolations are not understood"),
        (|m| m["image_size"] = json!("big"), "image_size: invalid type: string \"big\""),
        (|m| m["image_encoder"]["trunk"]["stages"] = json!([1, 2, 7]), "stages and window_spec need 4 numbers"),
        (|m| m["image_encoder"]["trunk"]["stages"] = json!([1, 2, 7, 70000]), "trunk.stages: 70000"),
        (|m| m["image_encoder"]["trunk"]["embed_dim"] = json!(100), "backbone_channel_list"),
        (|m| m["image_encoder"]["trunk"]["num_heads"] = json!(5), "do not divide into 5 heads"),
        (|m| m["image_encoder"]["trunk"]["global_att_blocks"] = json!([12]), "no block 12 of 12"),
        (|m| m["image_encoder"]["neck"]["fuse_type"] = json!("max"), "image_encoder.neck.fuse_type: unknown variant"),
        (|m| m["memory_attention"]["layer"]["cross_attention"]["num_heads"] = json!(0), "cross_attention: 0"),
        (|m| m["dense_head"] = json!({"width": 0}), "dense_head.width: 0"),
        (|m| m["dense_head"] = json!({"width": 8, "thresholds": [0.5, 1.0]}), "dense_head.thresholds: two numbers"),
        (|m| m["memory_encoder"]["mask_downsampler"]["stride"] = json!(3), "no power of stride 3"),
        (
            |m| _ = m["memory_attention"]["layer"].as_object_mut().unwrap().remove("d_model"),
            "memory_attention.layer: the key \"d_model\" is missing",
        ),
    ];
    for (change, expected) in cases {
        let error = error_of(change);
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    for text in ["", "[]", "{", "model: [", "a: b: c", "just words"] {
        assert!(ModelConfig::from_text(text).is_err(), "{text}");
    }
}

#[test]
fn names_imply_sizes() {
    for official in Official::all() {
        let implied = ModelConfig::default_for_file(format!("/a/b.c/{}.safetensors", official.stem())).unwrap();
        assert_eq!(implied, Some(official.config()));
        assert_eq!(official.to_string().parse::<Official>().unwrap(), official);
    }
    assert_eq!(
        ModelConfig::default_for_file("x/sam2.1_hiera_large.pt").unwrap(),
        ModelConfig::preset("2.1-large").ok()
    );
    assert_eq!(ModelConfig::default_for_file("x/my.pth").unwrap(), None);
    let error = ModelConfig::load("2.1_tiny").unwrap_err().to_string();
    assert!(error.contains("2.1-tiny") && error.contains("neither"), "{error}");
}

/// EfficientTAM's and EdgeTAM's parts are told apart by `_target_`.
#[test]
fn mistakes_in_relatives_are_named() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 14] = [
        (
            "efficienttam_ti",
            |m| m["image_encoder"]["trunk"]["embeddim"] = json!(192),
            "unknown key \"image_encoder.trunk.embeddim\"; did you mean `embed_dim`?",
        ),
        ("efficienttam_ti", |m| m["image_encoder"]["trunk"]["stages"] = json!([1]), "image_encoder.trunk.stages"),
        (
            "efficienttam_ti",
            |m| m["image_encoder"]["trunk"]["depth"] = json!("x"),
            "image_encoder.trunk.depth: invalid",
        ),
        ("efficienttam_ti", |m| m["image_encoder"]["trunk"]["patch_size"] = json!(8), "is not backbone_stride 16"),
        ("efficienttam_ti", |m| m["image_encoder"]["trunk"]["num_heads"] = json!(5), "do not divide into 5 heads"),
        (
            "efficienttam_ti",
            |m| m["image_encoder"]["trunk"]["window_block_indexes"] = json!([11]),
            "the last block, 11, must look at the whole picture",
        ),
        ("efficienttam_ti", |m| m["image_encoder"]["trunk"]["embed_dim"] = json!(96), "backbone_channel_list: [192]"),
        (
            "efficienttam_ti",
            |m| m["image_encoder"]["neck"]["_target_"] = json!("a.FpnNeck"),
            "image_encoder.neck.neck_norm",
        ),
        ("efficienttam_ti", |m| m["use_high_res_features_in_sam"] = json!(true), "of 1 levels leave fewer than 3"),
        ("efficienttam_ti_1", |m| m["image_size"] = json!(32 * 31), ""),
        ("edgetam", |m| m["image_encoder"]["trunk"]["name"] = json!("repvit_m9"), "repvit_m9 is not known"),
        ("edgetam", |m| m["image_encoder"]["trunk"]["features"] = json!(["layer3"]), "needs layer0 to layer3"),
        ("edgetam", |m| m["spatial_perceiver"]["num_latents_2d"] = json!(200), "200 is no square"),
        ("edgetam", |m| drop(m.as_object_mut().unwrap().remove("spatial_perceiver")), "go together"),
    ];
    for (name, change, expected) in cases {
        let mut model = serde_json::to_value(ModelConfig::preset(name).unwrap()).unwrap();
        change(&mut model);
        match ModelConfig::from_value(model) {
            Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{error}"),
            Ok(_) => assert!(expected.is_empty(), "{name}: {expected}"),
        }
    }
}

//! Image encoder (`image_encoder`) and image predictor (`image_predictor`): every kind of prompt on one image, without memory.

use crate::fixture::*;
use sam_octa2_core::model::layers::{resize_bilinear, resize_bilinear_antialias};
use sam_octa2_core::model::{ImageFeatures, Points, Sam2};
use std::path::PathBuf;
use tch::{Kind, Tensor, no_grad};

const CASES: [&str; 7] = ["point", "points3", "box", "box_points", "mask_point", "mask_only", "nothing"];

/// 8-bit pixels `[B, 3, H, W]` as the model wants them.
fn normalise(pixels: &Tensor) -> Tensor {
    let colour = |values: [f32; 3]| Tensor::from_slice(&values).view([1, 3, 1, 1]).to_device(pixels.device());
    (pixels.to_kind(Kind::Float) / 255.0 - colour([0.485, 0.456, 0.406])) / colour([0.229, 0.224, 0.225])
}

#[test]
fn encoder() {
    check_encoder(data());
    full().into_iter().for_each(check_encoder);
}

fn check_encoder(root: PathBuf) {
    let fixture = Fixture::read(root.join("mini/image_encoder"));
    no_grad(|| {
        let model = mini("mini", false);
        let encoder = model.image_encoder();
        let input = match fixture.tensors.get("input") {
            Some(input) => input.to_device(device()),
            None => normalise(&fixture.on("input_u8", device())),
        };
        let expected = |name: String| fixture.tensors.contains_key(&name).then(|| fixture.get(&name));
        for (i, stage) in encoder.stages(&input).iter().enumerate() {
            expected(format!("trunk.{i}")).iter().for_each(|wanted| close(&format!("stage {i}"), stage, wanted, 2e-4));
        }
        for (i, level) in encoder.forward(&input).iter().enumerate() {
            expected(format!("backbone_fpn.{i}"))
                .iter()
                .for_each(|wanted| close(&format!("level {i}"), level, wanted, 2e-4));
            let position = encoder.position(level.size()[3], device());
            expected(format!("vision_pos_enc.{i}"))
                .iter()
                .for_each(|wanted| close("position", &position, wanted, 2e-5));
        }
    });
}

/// The image predictor's answer: prompts in pixels of the image, all masks (or the single one), IoUs, logits at the model's size.
fn predict(model: &Sam2, fixture: &Fixture, features: &ImageFeatures, case: &str, multimask: bool) -> (Tensor, Tensor) {
    let input = |name: &str| fixture.tensors.get(&format!("{case}.in.{name}")).map(|x| x.to_device(device()));
    let image = fixture.get("image_u8").size();
    let scale = Tensor::from_slice(&[image[1] as f32, image[0] as f32]).to_device(device());
    let to_model = |xy: Tensor| xy.view([1, -1, 2]) / &scale * model.config.image_size;
    let mut coords: Vec<Tensor> = Vec::new();
    let mut labels: Vec<Tensor> = Vec::new();
    if let Some(bounds) = input("box") {
        coords.push(to_model(bounds));
        labels.push(Tensor::from_slice(&[2i64, 3]).view([1, 2]).to_device(device()));
    }
    if let Some(points) = input("point_coords") {
        coords.push(to_model(points));
        labels.push(input("point_labels").expect("labels").to_kind(Kind::Int64).view([1, -1]));
    }
    let encoder = model.prompt_encoder();
    let sparse = match coords.is_empty() {
        true => Tensor::zeros([1, 0, model.config.hidden_dim()], (Kind::Float, device())),
        false => encoder.embed_points(&Points { coords: Tensor::cat(&coords, 1), labels: Tensor::cat(&labels, 1) }),
    };
    let dense = match input("mask_input") {
        Some(mask) => encoder.embed_mask(&mask.unsqueeze(0)),
        None => encoder.no_mask(1),
    };
    let image = model.without_memory(features) + dense;
    let out =
        model.mask_decoder().forward(&image, &encoder.dense_position(), &sparse, features.high_res.as_ref(), multimask);
    (out.masks.squeeze_dim(0), out.ious.squeeze_dim(0))
}

#[test]
fn predictor() {
    check_predictor(data());
    full().into_iter().for_each(check_predictor);
}

fn check_predictor(root: PathBuf) {
    let fixture = Fixture::read(root.join("mini/image_predictor"));
    no_grad(|| {
        for (prefix, postprocessing) in [("", false), ("post.", true)] {
            let model = mini("mini", postprocessing);
            // the image predictor resizes with antialiased bilinear interpolation
            let pixels = fixture.on("image_u8", device()).permute([2, 0, 1]).unsqueeze(0).to_kind(Kind::Float);
            let image = normalise(&resize_bilinear_antialias(&pixels, [256, 256]));
            if let Some(expected) = fixture.tensors.get("input_image") {
                close("input image", &image, expected, 1e-5);
            }
            let features = model.encode_image(&image);
            if fixture.tensors.contains_key("image_embed") {
                close("embedding", &model.without_memory(&features), &fixture.get("image_embed"), 2e-4);
            }
            for case in CASES {
                for (kind, multimask) in [("multi", true), ("single", false)] {
                    let key = format!("{prefix}{case}.{kind}");
                    if !fixture.tensors.contains_key(&format!("{key}.ious")) {
                        continue;
                    }
                    let (masks, ious) = predict(&model, &fixture, &features, case, multimask);
                    close(&format!("{key} ious"), &ious, &fixture.get(&format!("{key}.ious")), 1e-4);
                    close(
                        &format!("{key} low_res"),
                        &masks.clamp(-32.0, 32.0),
                        &fixture.get(&format!("{key}.low_res")),
                        2e-3,
                    );
                    if let Some(expected) = fixture.tensors.get(&format!("{key}.masks")) {
                        let size = [expected.size()[1], expected.size()[2]];
                        let full = resize_bilinear(&masks.unsqueeze(0), size).squeeze_dim(0);
                        close(&format!("{key} masks"), &full, expected, 2e-3);
                    }
                }
            }
        }
    });
}

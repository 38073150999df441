//! Single modules, to find a wrong layer quickly (`units_mini21`).

use crate::fixture::*;
use sam_octa2_core::model::Points;
use sam_octa2_core::model::hiera::{window_partition, window_unpartition};
use sam_octa2_core::model::layers::to_tokens;
use sam_octa2_core::model::memory_attention::Memory;
use sam_octa2_core::model::position::{AxialRotation, sine_1d, sine_2d};
use sam_octa2_core::model::transformer::Keys;
use tch::{Kind, Tensor, no_grad};

fn units() -> Option<Fixture> {
    Some(Fixture::read(full()?.join("mini21/units_mini21")))
}

#[test]
fn encodings() {
    let Some(fixture) = units() else { return };
    let config = mini_config("mini21", false);
    let encoding = config.image_encoder.as_ref().unwrap().neck.position_encoding();
    close("sine2d", &sine_2d(encoding, 5, 7, device()), &fixture.get("sine2d.out"), 2e-5);
    let encoding = &config.memory_encoder.as_ref().unwrap().position_encoding;
    close("sine2d_16", &sine_2d(encoding, 16, 16, device()), &fixture.get("sine2d_16.out"), 2e-5);
    let positions = fixture.on("sine1d.pos", device()) / 15.0;
    close("sine1d", &sine_1d(&positions, 64), &fixture.get("sine1d.out"), 1e-5);
    let rotation = AxialRotation::new(64, 16, 16, 10000.0, device());
    close("rope q", &rotation.rotate(&fixture.on("rope.q", device())), &fixture.get("rope.q_out"), 1e-4);
    close("rope k", &rotation.rotate(&fixture.on("rope.k", device())), &fixture.get("rope.k_out"), 1e-4);
}

#[test]
fn windows() {
    let Some(fixture) = units() else { return };
    let x = fixture.get("window.x");
    let windows = window_partition(&x, [4, 4]);
    close("windows", &windows, &fixture.get("window.windows"), 0.0);
    close("back", &window_unpartition(&windows, [4, 4], 10, 13), &x, 0.0);
}

#[test]
fn prompts() {
    let Some(fixture) = units() else { return };
    no_grad(|| {
        let model = mini("mini21", false);
        let encoder = model.prompt_encoder();
        close("dense position", &encoder.dense_position(), &fixture.get("dense_pe.out"), 1e-4);
        let labels = fixture.on("prompt_encoder.labels", device()).to_kind(Kind::Int64);
        let points = Points { coords: fixture.on("prompt_encoder.points", device()), labels };
        close("sparse", &encoder.embed_points(&points), &fixture.get("prompt_encoder.sparse"), 1e-4);
        let mask = fixture.on("prompt_encoder.mask", device());
        close("dense", &encoder.embed_mask(&mask), &fixture.get("prompt_encoder.dense"), 1e-4);
        close("no mask", &encoder.no_mask(1), &fixture.get("prompt_encoder_none.dense"), 1e-6);
    });
}

#[test]
fn decoder() {
    let Some(fixture) = units() else { return };
    no_grad(|| {
        let model = mini("mini21", false);
        let get = |name: &str| fixture.on(&format!("mask_decoder.{name}"), device());
        let image = get("image_embeddings") + get("dense");
        let high_res = [get("high_res_0"), get("high_res_1")];
        for (name, multimask) in [("multi", true), ("single", false)] {
            let position = model.prompt_encoder().dense_position();
            let out = model.mask_decoder().forward(&image, &position, &get("sparse"), Some(&high_res), multimask);
            close("masks", &out.masks, &get(&format!("{name}.masks")), 2e-3);
            close("iou", &out.ious, &get(&format!("{name}.iou")), 1e-4);
            close("tokens", &out.tokens, &get(&format!("{name}.tokens")), 1e-4);
            close("score", &out.object_score_logits, &get(&format!("{name}.object_score_logits")), 1e-4);
        }
    });
}

#[test]
fn memory() {
    let Some(fixture) = units() else { return };
    no_grad(|| {
        let model = mini("mini21", false);
        let get = |name: &str| fixture.on(name, device());
        let features = model.memory_encoder().forward(&get("memory_encoder.pix"), &get("memory_encoder.mask"));
        close("memory features", &features, &get("memory_encoder.features"), 1e-4);
        let position = model.memory_encoder().position(16, device());
        close("memory position", &position, &get("memory_encoder.pos"), 1e-5);

        let batch_first = |name: &str| get(&format!("memory_attention.{name}")).transpose(0, 1);
        let tokens = batch_first("memory").size()[1];
        let keys = Keys { memories: (tokens - 8) / 256, pointers: 8 };
        let memory = Memory { tokens: batch_first("memory"), position: batch_first("memory_pos"), keys };
        let out = model.memory_attention().forward(&batch_first("curr"), &batch_first("curr_pos"), &memory);
        close("memory attention", &out, &batch_first("out"), 2e-3);
    });
}

#[test]
fn mask_as_logits() {
    let Some(fixture) = units() else { return };
    let model = mini("mini21", false);
    let mask = fixture.on("mask_as_output.mask", device()).to_kind(Kind::Float);
    close("mask as logits", &model.mask_to_logits(&mask), &fixture.get("mask_as_output.low_res"), 1e-4);
}

#[test]
fn tokens_of_an_image_run_along_rows() {
    let x = Tensor::arange(12, (Kind::Float, tch::Device::Cpu)).view([1, 2, 2, 3]);
    assert_eq!(
        Vec::<f32>::try_from(to_tokens(&x).flatten(0, -1)).unwrap(),
        [0., 6., 1., 7., 2., 8., 3., 9., 4., 10., 5., 11.]
    );
}

//! The network of our own against PyTorch's answers (`tests/tools/make_unet_fixture.py`).

use crate::fixture::{close, data, device};
use safetensors::SafeTensors;
use sam_octa2_core::model::params::Params;
use sam_octa2_core::model::{MemoryEntry, Model, ModelConfig, Points};
use std::collections::BTreeMap;
use tch::{Kind, Tensor, no_grad};

#[test]
fn the_prompted_unet_answers_as_in_pytorch() {
    let path = data().join("prompted_unet.safetensors");
    let all: BTreeMap<String, Tensor> = Tensor::read_safetensors(&path).expect("fixture").into_iter().collect();
    let bytes = std::fs::read(&path).expect("fixture");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("header");
    let config = header.metadata().as_ref().and_then(|entries| entries.get("config")).expect("a configuration");
    let config = ModelConfig::from_text(config).expect("configuration");
    let weights =
        all.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("weights.")?.to_owned(), tensor.copy())));
    let model = Model::new(Params::from_tensors(weights.collect(), device(), Kind::Float), config).expect("model");
    let get = |name: &str| all[name].to_device(device());
    no_grad(|| {
        let features = model.encode_image(&get("image"));
        for ((name, shape), tensor) in
            model.feature_shapes().iter().zip([&features.vision].into_iter().chain(features.high_res.iter().flatten()))
        {
            assert_eq!(&tensor.size(), shape, "{name}");
        }
        let dense = model.dense(&features).expect("dense maps");
        close("dense", &dense, &get("dense").narrow(1, 0, 2), 1e-4);
        let (previous, anchor) = (get("previous"), get("anchor"));
        let memories = [MemoryEntry { features: &anchor, t_pos: 0 }, MemoryEntry { features: &previous, t_pos: 1 }];
        let memory = model.with_memory(&features, &memories, &[], 3);
        let points = Points { coords: get("points"), labels: get("labels") };
        let output = model.forward_sam_heads(&memory, &features, Some(&points), None, false);
        // clicks hold: what lies at them is not what the network said
        let free = get("logits").abs().lt(1e9).logical_and(&near(&points, 32).logical_not());
        let (found, expected) = (&output.low_res * &free, get("logits") * &free);
        close("logits", &found, &expected, 2e-4);
        let at = |[x, y]: [i64; 2]| output.low_res.double_value(&[0, 0, y, x]);
        assert!(at([20, 10]) > 0.0 && at([6, 25]) > 0.0 && at([28, 4]) < 0.0, "clicks hold");
        assert!((0.0..=1.0).contains(&output.iou.double_value(&[0, 0])));
    });
}

/// The 3 x 3 pixels around every point, on maps of `side` pixels.
fn near(points: &Points, side: i64) -> Tensor {
    let mask = Tensor::zeros([1, 1, side, side], (Kind::Bool, device()));
    for at in 0..points.labels.size()[1] {
        let [x, y] = [0, 1].map(|axis| (points.coords.double_value(&[0, at, axis]) / 2.0) as i64);
        let _ = mask.narrow(2, y - 1, 3).narrow(3, x - 1, 3).fill_(1.0);
    }
    mask
}

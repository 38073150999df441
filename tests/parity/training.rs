//! Training against SAM-OCTA2's own code (`lora_training`, `losses_metrics` of the full set), and the step that saves memory against the
//! plain backward pass.

use crate::fixture::{self, Fixture, close, data, full, mini_config};
use sam_octa2_core::model::prompt_encoder::label;
use sam_octa2_core::session::Point;
use sam_octa2_core::train::clip::{Clip, ClipObject, Prompt};
use sam_octa2_core::train::frame_step::Memory;
use sam_octa2_core::train::losses::{self, Objective};
use sam_octa2_core::train::optimizer::{Adam, OptimizerConfig};
use sam_octa2_core::train::step::{Keep, SliceLoss, StepConfig, Stepper};
use sam_octa2_core::train::trainee::{Adapt, Trainee};
use sam_octa2_core::weights::{self, Adapter};
use serde_json::Value;
use std::collections::BTreeMap;
use tch::{Kind, Tensor, no_grad};

/// PEFT's names in the fixture.
const WRAPPED: &str = "image_encoder.base_model.model.";

fn peft_name(name: &str) -> String {
    let name = name.replace("image_encoder.", WRAPPED);
    let name =
        name.replace(".lora_A.weight", ".lora_A.default.weight").replace(".lora_B.weight", ".lora_B.default.weight");
    name.replace(".qkv.bias", ".qkv.base_layer.bias")
}

/// `mini` with the fixture's adapters, without dropout; the object is there on every slice with `bias` 6.
fn trainee(fixture: &Fixture, bias: f64) -> Trainee {
    let mut tensors = weights::read(data().join("mini21.pt")).unwrap().tensors;
    tensors.retain(|key, _| !key.starts_with("no_obj_embed_spatial") && !key.starts_with("obj_ptr_tpos_proj"));
    let head = tensors.get_mut("sam_mask_decoder.pred_obj_score_head.layers.2.bias").unwrap();
    *head = &*head + bias;
    let init = |layer: &str, half: &str| fixture.get(&format!("init.{}", peft_name(&format!("{layer}.{half}.weight"))));
    let layers = (0..8).map(|i| format!("image_encoder.trunk.blocks.{i}.attn.qkv"));
    let adapters = layers.map(|layer| {
        let adapter = Adapter { a: init(&layer, "lora_A"), b: init(&layer, "lora_B") };
        (layer, adapter)
    });
    let adapt = Adapt { dropout: 0.0, ..Adapt::default() };
    Trainee::new(tensors, adapters.collect(), mini_config("mini", false), adapt, fixture::device(), Kind::Float, 1)
        .unwrap()
}

/// The fixture's four slices with the prompts of a case.
fn clip(fixture: &Fixture, case: &Value) -> Clip {
    let mean = Tensor::from_slice(&[0.485f32, 0.456, 0.406]).view([1, 3, 1, 1]);
    let std = Tensor::from_slice(&[0.229f32, 0.224, 0.225]).view([1, 3, 1, 1]);
    let images = (fixture.get("images_0_255").to_kind(Kind::Float) / 255.0 - mean) / std;
    let truth = fixture.get("gt_masks").unsqueeze(1);
    let frames = |x: &Tensor| (0..4).map(|i| x.narrow(0, i, 1)).collect::<Vec<_>>();
    let prompts = case["prompts"].as_object().unwrap().iter().map(|(frame, prompt)| {
        let points: Vec<[f32; 2]> = serde_json::from_value(prompt["points"].clone()).unwrap();
        let labels: Vec<i64> = serde_json::from_value(prompt["labels"].clone()).unwrap();
        let points = points.iter().zip(labels).map(|(&[x, y], l)| Point { x, y, positive: l == label::POSITIVE });
        (frame.parse().unwrap(), Prompt { points: points.collect(), ..Prompt::default() })
    });
    let object = ClipObject { id: 1, truth: frames(&truth), prompts: prompts.collect() };
    Clip { name: "fixture".into(), images: frames(&images), objects: vec![object], dense: Vec::new() }
}

fn config(bfloat16: bool, training: bool, keep: Keep) -> StepConfig {
    let kind = if bfloat16 { Kind::BFloat16 } else { Kind::Float };
    StepConfig { objective: Objective::reference(), memory: Memory { kind, pointers_ahead: training }, keep }
}

/// Relative difference of two tensors in L2.
fn relative(found: &Tensor, expected: &Tensor) -> f64 {
    let norm = |x: &Tensor| x.to_kind(Kind::Double).norm().double_value(&[]);
    norm(&(found - expected)) / norm(expected).max(1e-30)
}

#[test]
fn loss_and_gradients_are_the_references() {
    let Some(root) = full() else { return };
    let fixture = Fixture::read(root.join("mini/lora_training"));
    for (name, bfloat16, allowed) in [
        ("frame0_f32mem", false, 1e-2),
        ("frame0", true, 6e-2),
        ("partly_absent", true, 6e-2),
        ("frames023", true, 6e-2),
    ] {
        let case = &fixture.json[name];
        let bias = case["obj_bias_extra"].as_f64().unwrap();
        for (mode, training) in [("eval", false), ("train", true)] {
            let trainee = trainee(&fixture, bias);
            let stepper =
                Stepper { trainee: &trainee, config: config(bfloat16, training, Keep::default()), cache: None };
            let clip = clip(&fixture, case);
            let losses = stepper.gradients(&clip, 7, 1.0).unwrap();
            let loss: f64 = losses.slices.iter().map(|slice| slice.loss).sum();
            let expected = case[mode]["loss"].as_f64().unwrap();
            println!("{name} {mode}: loss {loss:.6}, reference {expected:.6}");
            assert!((loss - expected).abs() < 1e-4);
            for (parameter, tensor) in &trainee.parameters {
                let gradient = tensor.grad().to_device(tch::Device::Cpu); // where the fixture's are
                let norm = case[mode]["grad_norms"][peft_name(parameter)].as_f64().unwrap();
                let found = gradient.norm().double_value(&[]);
                assert!((found - norm).abs() <= allowed * norm, "{name} {mode} {parameter}: {found} {norm}");
                let key = format!("{name}.{mode}.grad.{}", peft_name(parameter));
                if fixture.tensors.contains_key(&key) {
                    let difference = relative(&gradient, &fixture.get(&key));
                    assert!(difference < allowed, "{name} {mode} {parameter}: {difference}");
                }
            }
        }
    }
}

#[test]
fn adam_goes_the_references_way() {
    let Some(root) = full() else { return };
    let fixture = Fixture::read(root.join("mini/lora_training"));
    let case = &fixture.json["frame0_f32mem"];
    let trainee = trainee(&fixture, 6.0);
    let stepper = Stepper { trainee: &trainee, config: config(false, true, Keep::default()), cache: None };
    let clip = clip(&fixture, case);
    let settings = OptimizerConfig { learning_rate: 1e-3, clip: 0.0, ..OptimizerConfig::default() };
    let parameters = trainee.parameters.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
    let mut adam = Adam::new(parameters.collect(), settings);
    let expected: Vec<f64> = serde_json::from_value(case["adam_losses"].clone()).unwrap();
    for (step, expected) in expected.iter().enumerate().take(3) {
        adam.zero_grad();
        let loss: f64 = stepper.gradients(&clip, 7, 1.0).unwrap().slices.iter().map(|slice| slice.loss).sum();
        println!("step {step}: loss {loss:.6}, reference {expected:.6}");
        assert!((loss - expected).abs() < 1e-3);
        adam.step(1e-3).unwrap();
    }
}

/// Everything that is computed twice, with dropout and with clicks that follow, gives what the plain backward pass gives.
#[test]
fn computing_twice_gives_the_same_gradients() {
    let trainee = random_trainee(0.1);
    let clip = synthetic_clip(&trainee);
    let gradients = |keep: Keep| {
        let stepper = Stepper {
            trainee: &trainee,
            config: StepConfig { objective: Objective::default(), ..config(true, false, keep) },
            cache: None,
        };
        trainee.parameters.iter().for_each(|(_, tensor)| tensor.shallow_clone().zero_grad());
        let losses = stepper.gradients(&clip, 3, 1.0).unwrap();
        let gradients: Vec<_> = trainee.parameters.iter().map(|(_, tensor)| tensor.grad().copy()).collect();
        (losses.slices.iter().map(|slice| slice.loss).sum::<f64>(), gradients)
    };
    let (loss, plain) = gradients(Keep::ALL);
    for keep in [Keep::default(), Keep { images: 2, frame_steps: 1 }] {
        let (again, twice) = gradients(keep);
        assert!((loss - again).abs() < 1e-6, "{loss} {again}");
        for ((name, _), (a, b)) in trainee.parameters.iter().zip(plain.iter().zip(&twice)) {
            let difference = relative(b, a);
            assert!(a.norm().double_value(&[]) > 0.0, "{name} has no gradient");
            assert!(difference < 1e-4, "{keep:?} {name}: {difference}");
        }
    }
}

/// The gradients are those of the loss: a small step against them makes it smaller by as much as they say.
#[test]
fn gradients_point_where_the_loss_grows() {
    let trainee = random_trainee(0.0);
    let mut clip = synthetic_clip(&trainee);
    for prompt in clip.objects[0].prompts.values_mut() {
        prompt.corrections = 0; // another answer draws another click, and the loss jumps
    }
    let config = StepConfig { objective: Objective::default(), ..config(false, false, Keep::default()) };
    let stepper = Stepper { trainee: &trainee, config, cache: None };
    let sum = |slices: Vec<SliceLoss>| slices.iter().map(|slice| slice.loss).sum::<f64>();
    let before = sum(stepper.gradients(&clip, 3, 1.0).unwrap().slices);
    let square: f64 =
        trainee.parameters.iter().map(|(_, t)| t.grad().square().sum(Kind::Double).double_value(&[])).sum();
    let step = 1e-3 / square.sqrt();
    no_grad(|| {
        for (_, tensor) in &trainee.parameters {
            let _ = tensor.shallow_clone().g_sub_(&(tensor.grad() * step));
        }
    });
    let after = sum(stepper.evaluate(&clip, 3).unwrap());
    let expected = step * square;
    println!("loss {before:.6} -> {after:.6}; expected to fall by {expected:.6}");
    assert!(((before - after) / expected - 1.0).abs() < 0.1);
}

/// `mini21` with fresh adapters whose B is not zero, the decoder's upscaling trained whole.
fn random_trainee(dropout: f64) -> Trainee {
    let tensors = weights::read(data().join("mini21.pt")).unwrap().tensors;
    let adapt = Adapt {
        rank: 4,
        dropout,
        targets: r"image_encoder\..*\.qkv|memory_attention\..*\.(q|v)_proj".into(),
        train: r"sam_mask_decoder\.output_upscaling\..*|sam_prompt_encoder\.point_embeddings\.[123]\..*".into(),
        ..Adapt::default()
    };
    let trainee =
        Trainee::new(tensors, BTreeMap::new(), mini_config("mini21", false), adapt, fixture::device(), Kind::Float, 1)
            .unwrap();
    no_grad(|| {
        for (name, tensor) in &trainee.parameters {
            if name.contains("lora_B") {
                let _ = tensor.shallow_clone().normal_(0.0, 0.05);
            }
        }
    });
    trainee
}

/// Five slices with a disc that moves; clicks with corrections on the second, a box on the last.
fn synthetic_clip(trainee: &Trainee) -> Clip {
    let side = trainee.model.config().image_size;
    let axis = Tensor::arange(side, (Kind::Float, tch::Device::Cpu));
    let disc = |at: f64| {
        let x = (&axis - (90.0 + 10.0 * at)).square().view([1, 1, 1, side]);
        let y = (&axis - 120.0).square().view([1, 1, side, 1]);
        (x + y).lt(900.0).to_kind(Kind::Float)
    };
    let truth: Vec<_> = (0..5).map(|i| disc(f64::from(i))).collect();
    tch::manual_seed(2);
    let images = truth.iter().map(|mask| mask.expand([1, 3, side, side], false) * 2.0 + mask.randn_like() * 0.3);
    let click = Point { x: 100.0, y: 120.0, positive: true };
    let clicks = Prompt { points: vec![click], corrections: 2, ..Prompt::default() };
    let boxed = Prompt { bounds: Some([95.0, 85.0, 165.0, 155.0]), ..Prompt::default() };
    let images = images.collect();
    let object = ClipObject { id: 1, truth, prompts: [(1, clicks), (4, boxed)].into() };
    Clip { name: "disc".into(), images, objects: vec![object], dense: Vec::new() }
}

#[test]
fn losses_are_the_references() {
    let Some(root) = full() else { return };
    let fixture = Fixture::read(root.join("misc/losses_metrics"));
    let (pred, truth) = (fixture.get("pred"), fixture.get("target"));
    let check = |name: &str, loss: &dyn Fn(&Tensor) -> Tensor, input: &Tensor| {
        let input = input.detach().copy().set_requires_grad(true);
        let loss = loss(&input);
        let expected = fixture.json["losses"][name].as_f64().unwrap();
        assert!((loss.double_value(&[]) - expected).abs() < 1e-6 * expected.abs().max(1.0), "{name}");
        loss.backward();
        close(name, &input.grad(), &fixture.get(&format!("grad.{name}")), 1e-6);
    };
    check("dice_smooth1", &|p| losses::dice(p, &truth, 1.0), &pred);
    check("dice_smooth1e-6", &|p| losses::dice(p, &truth, 1e-6), &pred);
    check("soft_cldice_only", &|p| losses::soft_cldice(p, &truth), &pred);
    let mixture = |p: &Tensor| losses::dice(p, &truth, 1.0) * 0.8 + losses::soft_cldice(p, &truth) * 0.2;
    check("cldice_0.8dice_0.2cl", &mixture, &pred);
    close("skeleton", &losses::soft_skeleton(&pred), &fixture.get("skeleton_pred"), 1e-6);
    let focal =
        |logits: &Tensor, classes: &str, alpha: f64| losses::focal_classes(logits, &fixture.get(classes), 2.0, alpha);
    check("focal_mean", &|x| focal(x, "classes", 1.0).mean(Kind::Float), &fixture.get("logits"));
    check("focal_sum", &|x| focal(x, "classes", 1.0).sum(Kind::Float), &fixture.get("logits"));
    check("focal_img_mean", &|x| focal(x, "classes_img", 0.25).mean(Kind::Float), &fixture.get("logits_img"));
    check("focal_img_sum", &|x| focal(x, "classes_img", 0.25).sum(Kind::Float), &fixture.get("logits_img"));
}

/// The binary form is the two-class form with logits (0, x).
#[test]
fn focal_of_one_logit_is_focal_of_two_classes() {
    tch::manual_seed(4);
    let x = Tensor::randn([50], (Kind::Float, tch::Device::Cpu));
    let truth = x.randn_like().gt(0.0);
    let two = Tensor::stack(&[x.zeros_like(), x.shallow_clone()], 1);
    let expected = losses::focal_classes(&two, &truth.to_kind(Kind::Int64), 2.0, 1.0).mean(Kind::Float);
    let found = losses::focal(&x, &truth.to_kind(Kind::Float), 2.0, None);
    assert!((found - expected).double_value(&[]).abs() < 1e-6);
}

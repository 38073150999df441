//! Names as official checkpoints have them, whatever wrapped the model when it was saved; LoRA set apart.
//!
//! SAM-OCTA2 saves its model with PEFT around the image encoder: `image_encoder.base_model.model.trunk.blocks.0.attn.qkv` has
//! `base_layer.weight`, `lora_A.default.weight` `[r, in]` and `lora_B.default.weight` `[out, r]`.

use super::{Raw, Tensors};
use crate::Error;
use crate::guard::torch;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

type Result<T, E = Error> = std::result::Result<T, E>;

/// LoRA of one linear layer: its weight gains `b @ a * scaling`.
#[derive(Debug)]
pub struct Adapter {
    /// `[r, in]`
    pub a: Tensor,
    /// `[out, r]`
    pub b: Tensor,
}

impl Adapter {
    /// `weight + b @ a * scaling`, computed in float32, in the type of `weight`.
    pub fn merge(&self, weight: &Tensor, scaling: f64) -> Result<Tensor> {
        let fits = match (&self.a.size()[..], &self.b.size()[..], &weight.size()[..]) {
            ([r, columns], [rows, rank], shape) => r == rank && shape == [*rows, *columns],
            _ => false,
        };
        if !fits {
            let [a, b, weight] = [self.a.size(), self.b.size(), weight.size()];
            return Err(Error::invalid(format!("lora_A {a:?} and lora_B {b:?} do not fit the weight {weight:?}")));
        }
        let _guard = tch::no_grad_guard();
        torch(|| {
            let (a, b) = (self.a.f_to_kind(Kind::Float)?, self.b.f_to_kind(Kind::Float)?);
            let delta = b.f_matmul(&a)?.f_mul_scalar(scaling)?;
            weight.f_to_kind(Kind::Float)?.f_add(&delta)?.f_to_kind(weight.kind())
        })
    }
}

/// The halves of an adapter, until both are there.
type Halves = (Option<Tensor>, Option<Tensor>);

/// Official names, and the adapters by the name of their layer.
pub fn normalise(raw: Raw) -> Result<(Tensors, BTreeMap<String, Adapter>), String> {
    let prefix = wrapper(&raw);
    let (mut tensors, mut halves) = (Tensors::new(), BTreeMap::<String, Halves>::new());
    for (key, tensor) in raw {
        let name = key[prefix.len()..].replace("base_model.model.", "").replace(".base_layer.", ".");
        let taken = if let Some((layer, rest)) = name.split_once(".lora_") {
            let (a, b) = halves.entry(layer.to_owned()).or_default();
            match rest {
                "A.default.weight" | "A.weight" => a.replace(tensor),
                "B.default.weight" | "B.weight" => b.replace(tensor),
                _ => return Err(format!("{key}: an adapter of a kind that is not understood")),
            }
        } else {
            tensors.insert(name, tensor)
        };
        if taken.is_some() {
            return Err(format!("{key}: two tensors have this name"));
        }
    }
    if tensors.is_empty() && halves.is_empty() {
        return Err("there are no tensors in it".into());
    }
    let adapters = halves.into_iter().map(|(layer, halves)| match halves {
        (Some(a), Some(b)) => Ok((layer, Adapter { a, b })),
        _ => Err(format!("{layer}: lora_A without lora_B, or the other way round")),
    });
    Ok((tensors, adapters.collect::<Result<_, _>>()?))
}

/// What `DataParallel` or `torch.compile` put before every name.
fn wrapper(raw: &[(String, Tensor)]) -> &'static str {
    let all = |prefix: &&str| raw.iter().all(|(key, _)| key.starts_with(prefix));
    ["module.", "_orig_mod."].into_iter().find(all).unwrap_or_default()
}

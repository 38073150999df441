//! Gradients of the network with the activations of one part of it in memory at a time: the values between the parts are kept, and each
//! part is computed once more on the way back (arXiv 1604.06174). Attention matrices and the wide activations of the convolutions thus
//! exist for one part only.

use super::unetr::SwinUnetr;
use crate::guard::guard_with_graph;
use crate::train::clip::surrogate;
use crate::{Error, Result};
use tch::{Tensor, no_grad};

/// The loss of one image; the gradients are added to those of the parameters. `recompute`: keep the values between
/// parts only; otherwise the whole graph.
pub fn gradients(
    network: &SwinUnetr,
    image: &Tensor,
    loss: impl Fn(&Tensor) -> Tensor,
    recompute: bool,
) -> Result<f64> {
    SwinUnetr::check_size(image)?;
    guard_with_graph(|| if recompute { in_parts(network, image, loss) } else { whole(network, image, loss) })
}

fn whole(network: &SwinUnetr, image: &Tensor, loss: impl Fn(&Tensor) -> Tensor) -> Result<f64> {
    let logits = network.forward(image)?;
    let loss = loss(&logits);
    let value = finite(&loss)?;
    loss.backward();
    Ok(value)
}

fn in_parts(network: &SwinUnetr, image: &Tensor, loss: impl Fn(&Tensor) -> Tensor) -> Result<f64> {
    let parts = network.parts();
    let mut values = vec![image.shallow_clone()];
    for part in &parts {
        let inputs: Vec<_> = part.inputs.iter().map(|&value| &values[value]).collect();
        let value = no_grad(|| (part.forward)(&inputs));
        values.push(value);
    }
    let logits = values[parts.len()].detach().set_requires_grad(true);
    let loss = loss(&logits);
    let found = finite(&loss)?;
    loss.backward();
    let mut gradients: Vec<Option<Tensor>> = values.iter().map(|_| None).collect();
    gradients[parts.len()] = Some(logits.grad());
    for (at, part) in parts.iter().enumerate().rev() {
        values.truncate(at + 1); // what this part made is not needed any more
        let Some(gradient) = gradients[at + 1].take() else { continue };
        let leaf = |&value: &usize| values[value].detach().set_requires_grad(value != 0);
        let leaves: Vec<_> = part.inputs.iter().map(leaf).collect();
        let output = (part.forward)(&leaves.iter().collect::<Vec<_>>());
        if let Some(sum) = surrogate(&[(&output, &gradient)]).filter(Tensor::requires_grad) {
            sum.backward();
        }
        for (&value, leaf) in part.inputs.iter().zip(&leaves).filter(|(value, _)| **value != 0) {
            let back = leaf.grad();
            if back.defined() {
                gradients[value] = Some(match gradients[value].take() {
                    Some(sum) => sum + back,
                    None => back,
                });
            }
        }
    }
    Ok(found)
}

fn finite(loss: &Tensor) -> Result<f64> {
    let value = loss.double_value(&[]);
    if value.is_finite() { Ok(value) } else { Err(Error::invalid(format!("the loss is {value}"))) }
}

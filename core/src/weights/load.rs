//! Tensors into the variables of a model, all of them or none.

use super::Tensors;
use crate::{Error, Result};
use tch::{Kind, nn};

/// Names listed per kind of mistake.
const LISTED: usize = 10;

/// What [`load_into`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadReport {
    /// tensors copied
    pub tensors: usize,
    /// numbers in them
    pub parameters: usize,
}

/// Copies `tensors` into the variables of `vs`, which keep their own type and device. Names must match exactly; otherwise nothing is
/// copied, and the error lists what is missing, unexpected, of a wrong shape or of a wrong type.
pub fn load_into(vs: &mut nn::VarStore, tensors: &Tensors) -> Result<LoadReport> {
    let variables = vs.variables();
    let mut missing: Vec<_> = variables.keys().filter(|name| !tensors.contains_key(*name)).cloned().collect();
    missing.sort();
    let unexpected = tensors.keys().filter(|name| !variables.contains_key(*name)).cloned().collect();
    let (mut shapes, mut kinds) = (Vec::new(), Vec::new());
    for (name, tensor) in tensors {
        let Some(variable) = variables.get(name) else { continue };
        let (got, expected) = (tensor.size(), variable.size());
        if got != expected {
            shapes.push(format!("{name} {got:?} instead of {expected:?}"));
        }
        if !matches!(tensor.kind(), Kind::Float | Kind::Half | Kind::BFloat16 | Kind::Double) {
            kinds.push(format!("{name} ({:?})", tensor.kind()));
        }
    }
    let lists =
        [("missing", missing), ("unexpected", unexpected), ("of wrong shape", shapes), ("not of a float type", kinds)];
    let mistakes: Vec<_> = lists.iter().filter_map(|(what, names)| list(what, names)).collect();
    if !mistakes.is_empty() {
        return Err(Error::invalid(format!("the weights do not fit the model: {}", mistakes.join("; "))));
    }
    let _guard = tch::no_grad_guard();
    let mut parameters = 0;
    for (name, mut variable) in variables {
        variable.f_copy_(&tensors[&name])?;
        parameters += variable.numel();
    }
    Ok(LoadReport { tensors: tensors.len(), parameters })
}

fn list(what: &str, names: &[String]) -> Option<String> {
    let shown = names.get(..LISTED).unwrap_or(names).join(", ");
    let more = if names.len() > LISTED { ", ..." } else { "" };
    (!names.is_empty()).then(|| format!("{} {what}: {shown}{more}", names.len()))
}

//! libtorch's failures become errors: tch's plain operations panic, and a model written with them reads like its paper. Every door that
//! a viewer can reach runs its tensor work inside [`guard`].

use crate::progress::is_stop;
use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs tensor work; a panic inside becomes [`Error::Torch`] (or the error that the panic carries in its text), a checkpoint that stopped it
/// [`Error::Cancelled`].
///
/// The caller must not have changed its own state half-way: compute first, store afterwards.
pub fn guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    known(tch::no_grad(|| catch_unwind(AssertUnwindSafe(work))))
}

/// The same for work that keeps a graph for gradients.
pub fn guard_with_graph<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    known(tch::with_grad(|| catch_unwind(AssertUnwindSafe(work))))
}

/// What a panic stands for. (It is caught within `no_grad`, which then sets libtorch back to what it was.)
fn known<T>(caught: std::thread::Result<Result<T>>) -> Result<T> {
    caught.unwrap_or_else(|panic| match is_stop(panic.as_ref()) {
        true => Err(Error::Cancelled),
        false => Err(Error::Torch(text(panic.as_ref()))),
    })
}

/// Operations that return libtorch's errors. Their texts carry a C++ stack of many lines; people get the first.
pub fn torch<T>(operations: impl FnOnce() -> std::result::Result<T, tch::TchError>) -> Result<T> {
    operations().map_err(|error| Error::Torch(error.to_string().lines().next().unwrap_or_default().to_owned()))
}

/// The first telling line of a panic's text.
fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("an operation failed");
    // tch: called `Result::unwrap()` on an `Err` value: Torch("message\nException raised from ...")
    let text = text.split("Torch(\"").nth(1).unwrap_or(text);
    let line = text.split("\\n").next().unwrap_or(text).lines().next().unwrap_or(text);
    if line.contains("can't allocate memory") || line.contains("out of memory") {
        return format!("out of memory ({line}); use a smaller model, fewer objects or a smaller cache");
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn a_shape_error_is_one_line() {
        let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        let error = guard(|| Ok(a.matmul(&a))).unwrap_err().to_string();
        assert!(error.starts_with("libtorch: ") && error.contains("mat1 and mat2"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}

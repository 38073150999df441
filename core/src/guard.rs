//! libtorch's failures become errors: tch's plain operations panic, and a model written with them reads like its paper. Every entry point that
//! a viewer can reach runs its tensor work inside [`guard`].

use crate::device::cuda;
use crate::error::OUT_OF_MEMORY;
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
    operations().map_err(|error| Error::Torch(advised(error.to_string().lines().next().unwrap_or_default())))
}

/// The first telling line of a panic's text.
fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("an operation failed");
    // tch: called `Result::unwrap()` on an `Err` value: Torch("message\nException raised from ...")
    let text = text.split("Torch(\"").nth(1).unwrap_or(text);
    advised(text.split("\\n").next().unwrap_or(text).lines().next().unwrap_or(text))
}

/// A line of libtorch's, with what to do where that is known.
fn advised(line: &str) -> String {
    if line.contains("can't allocate memory") || line.contains("out of memory") {
        return format!("{OUT_OF_MEMORY} ({line}); use a smaller model, fewer objects or a smaller cache");
    }
    if is_fatal(line) {
        return format!("the GPU failed and answers nothing more in this process ({line}); start the program again");
    }
    line.to_owned()
}

/// Errors of CUDA after which every later call fails, too.
fn is_fatal(line: &str) -> bool {
    ["illegal memory access", "device-side assert", "unspecified launch failure", "uncorrectable ECC error"]
        .iter()
        .any(|fatal| line.contains(fatal))
}

/// Tensor work that changes nothing when it fails: where memory is full, `free` gives back what can be made again, and it is tried once more.
pub fn guard_twice<T, S>(on: &mut S, free: impl FnOnce(&mut S), work: impl Fn(&mut S) -> Result<T>) -> Result<T> {
    match guard(|| work(on)) {
        Err(error) if error.is_out_of_memory() => {
            free(on);
            cuda::empty_cache();
            guard(|| work(on))
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB";

    /// Panics as tch does, as often as it is told.
    fn full(times: &std::cell::Cell<usize>) -> Result<&'static str> {
        match times.get() {
            0 => Ok("done"),
            left => {
                times.set(left - 1);
                panic!("called `Result::unwrap()` on an `Err` value: Torch(\"{FULL}\\nException raised from malloc\")")
            }
        }
    }

    #[test]
    fn where_memory_is_full_it_is_freed_and_tried_once_more() {
        for (times, expected) in [(0, Some("done")), (1, Some("done")), (2, None)] {
            let (left, mut freed) = (std::cell::Cell::new(times), 0);
            let result = guard_twice(&mut freed, |freed| *freed += 1, |_| full(&left));
            assert_eq!(freed, usize::from(times > 0));
            match expected {
                Some(expected) => assert_eq!(result.unwrap(), expected),
                None => {
                    let error = result.unwrap_err();
                    assert!(error.is_out_of_memory() && error.to_string().contains("79.10 GiB"), "{error}");
                    assert!(error.to_string().contains("use a smaller model"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_gpu_that_failed_needs_a_new_process() {
        let error =
            guard::<()>(|| panic!("Torch(\"CUDA error: an illegal memory access was encountered\\nCUDA kernel\")"));
        assert!(error.unwrap_err().to_string().contains("start the program again"));
    }
    use tch::{Device, Kind, Tensor};

    #[test]
    fn a_shape_error_is_one_line() {
        let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        let error = guard(|| Ok(a.matmul(&a))).unwrap_err().to_string();
        assert!(error.starts_with("libtorch: ") && error.contains("mat1 and mat2"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}

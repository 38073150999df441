//! Copies between the host's memory and the device. Every copy that a session makes for a slice goes through here, so that a test can
//! count them: on a GPU each one that goes to the host waits until the card has done all that was asked of it.

use crate::guard::torch;
use crate::{Error, Result};
use std::cell::Cell;
use tch::{Device, Kind, Tensor};

/// Copies of this thread so far. On a CPU they cost nothing, and are counted all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copies {
    /// from the host to the device
    pub up: u64,
    /// from the device to the host
    pub down: u64,
}

thread_local! {
    static COPIES: Cell<Copies> = const { Cell::new(Copies { up: 0, down: 0 }) };
}

/// How many copies this thread has made.
pub fn copies() -> Copies {
    COPIES.get()
}

/// A tensor of the host on the device. To a GPU it goes from pinned memory, and nothing waits for it.
pub fn upload(host: &Tensor, device: Device) -> Tensor {
    COPIES.set(Copies { up: COPIES.get().up + 1, ..COPIES.get() });
    if device.is_cuda() {
        host.pin_memory(device).to_device_(device, host.kind(), true, false)
    } else {
        host.to_device(device)
    }
}

/// A tensor on the host.
pub fn download(tensor: &Tensor) -> Tensor {
    COPIES.set(Copies { down: COPIES.get().down + 1, ..COPIES.get() });
    tensor.to_device(Device::Cpu)
}

/// The numbers of a tensor on the host, in the order of its shape.
pub fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = download(&tensor.to_kind(Kind::Float).contiguous().flatten(0, -1));
    torch(|| Vec::<f32>::try_from(&flat))
}

/// The numbers of small tensors, one after another, in one copy. Errors: there are not `N` of them.
pub fn packed<const N: usize>(tensors: &[&Tensor]) -> Result<[f32; N]> {
    let flat: Vec<_> = tensors.iter().map(|tensor| tensor.to_kind(Kind::Float).flatten(0, -1)).collect();
    let read = numbers(&Tensor::cat(&flat, 0))?;
    read.try_into().map_err(|read: Vec<f32>| Error::invalid(format!("{} numbers where {N} were expected", read.len())))
}

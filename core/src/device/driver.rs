//! NVIDIA's driver (`libcuda.so.1`), asked without libtorch: which GPUs there are, and whether this libtorch has code for them. Opening it costs a
//! few milliseconds, the CUDA part of libtorch half a second.
//!
//! Source: the CUDA driver API (`cuInit`, `cuDriverGetVersion`, `cuDeviceGetCount`, `cuDeviceGetAttribute`). `CUDA_VISIBLE_DEVICES` is the driver's business.

use std::ffi::{c_char, c_int};
use std::path::Path;

/// The CUDA version that the libtorch of this program was built for, as the driver counts: 1000 times the first number, ten times the second.
const CUDA_OF_LIBTORCH: c_int = 13_000;
/// The oldest GPUs that this libtorch has code for (Turing).
const OLDEST: (c_int, c_int) = (7, 5);
/// From here on GPUs multiply bfloat16 (Ampere).
const BF16: (c_int, c_int) = (8, 0);

/// What the driver says. `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`.
const CAPABILITY: [c_int; 2] = [75, 76];

/// A GPU as the driver tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// its name
    pub name: String,
    /// compute capability
    pub capability: (c_int, c_int),
}

impl Gpu {
    /// Does this libtorch have code for it?
    pub fn check(&self) -> Result<(), String> {
        let (major, minor) = self.capability;
        match self.capability >= OLDEST {
            true => Ok(()),
            false => Err(format!(
                "{} has compute capability {major}.{minor}, and this libtorch has code from {}.{} on",
                self.name, OLDEST.0, OLDEST.1
            )),
        }
    }

    /// Is bfloat16 faster than float32 here?
    pub fn likes_bf16(&self) -> bool {
        self.capability >= BF16
    }
}

/// The GPUs of the driver in `library`, or why there are none to work with: no driver, one too old for this libtorch, no device. GPUs
/// that are too old themselves are among them ([`Gpu::check`]).
pub fn gpus(library: &Path) -> Result<Vec<Gpu>, String> {
    // Safety: the driver's own library; its initialisers are made for being opened by any program.
    let driver = unsafe { libloading::Library::new(library) };
    let driver = driver.map_err(|_| format!("this machine has no NVIDIA driver ({})", library.display()))?;
    // Safety: the functions have these signatures in every version of the driver API.
    let gpus = unsafe { ask(&driver) };
    std::mem::forget(driver); // drivers are never closed
    gpus
}

/// # Safety
/// `driver` is NVIDIA's driver, or answers like it.
unsafe fn ask(driver: &libloading::Library) -> Result<Vec<Gpu>, String> {
    type Get = unsafe extern "C" fn(*mut c_int) -> c_int;
    // Safety: the caller's promise.
    unsafe {
        let init = function::<unsafe extern "C" fn(u32) -> c_int>(driver, "cuInit")?;
        let version = function::<Get>(driver, "cuDriverGetVersion")?;
        let count = function::<Get>(driver, "cuDeviceGetCount")?;
        let handle = function::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(driver, "cuDeviceGet")?;
        let name = function::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int>(driver, "cuDeviceGetName")?;
        let attribute =
            function::<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int>(driver, "cuDeviceGetAttribute")?;
        let mut number = 0;
        succeeded("cuDriverGetVersion", version(&raw mut number))?;
        if number < CUDA_OF_LIBTORCH {
            return Err(format!(
                "NVIDIA's driver is for CUDA {}.{}, and this libtorch needs one for CUDA {}.{} or newer; update the driver",
                number / 1000,
                number % 1000 / 10,
                CUDA_OF_LIBTORCH / 1000,
                CUDA_OF_LIBTORCH % 1000 / 10
            ));
        }
        succeeded("cuInit", init(0))?;
        succeeded("cuDeviceGetCount", count(&raw mut number))?;
        (0..number)
            .map(|index| {
                let mut device = 0;
                succeeded("cuDeviceGet", handle(&raw mut device, index))?;
                let mut text = [0; 128];
                succeeded("cuDeviceGetName", name(text.as_mut_ptr(), text.len() as c_int, device))?;
                let letters = text.iter().take_while(|letter| **letter != 0).map(|letter| *letter as u8);
                let mut capability = [0; 2];
                for (place, what) in capability.iter_mut().zip(CAPABILITY) {
                    succeeded("cuDeviceGetAttribute", attribute(place, what, device))?;
                }
                let name = String::from_utf8_lossy(&letters.collect::<Vec<u8>>()).into_owned();
                Ok(Gpu { name, capability: capability.into() })
            })
            .collect()
    }
}

/// # Safety
/// Under this name is a function of this type.
unsafe fn function<T: Copy>(driver: &libloading::Library, name: &str) -> Result<T, String> {
    // Safety: the caller's promise.
    let found = unsafe { driver.get::<T>(name.as_bytes()) };
    found.map(|symbol| *symbol).map_err(|_| format!("NVIDIA's driver has no function {name}; is it whole?"))
}

fn succeeded(function: &str, status: c_int) -> Result<(), String> {
    match status {
        0 => Ok(()),
        100 => Err("NVIDIA's driver finds no device (or CUDA_VISIBLE_DEVICES hides it)".to_owned()),
        803 => Err("NVIDIA's driver and its kernel module are of different versions; restart the machine".to_owned()),
        other => Err(format!("NVIDIA's driver answers {function} with error {other}")),
    }
}

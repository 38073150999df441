//! The CUDA part of libtorch: opened before anything is computed, set to true float32, its memory.
//!
//! libtorch asks once whether its CUDA part is there and remembers the answer: after the first convolution on the CPU, `manual_seed` or any call about CUDA
//! it comes too late for the process. So [`prepare`] runs when the engine is opened, and before a device is chosen.

use super::driver::{self, Gpu};
use crate::system;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// NVIDIA's driver.
const DRIVER: &str = "libcuda.so.1";
/// Names another one, for tests.
const DRIVER_VARIABLE: &str = "SAM_OCTA2_CUDA_DRIVER";

unsafe extern "C" {
    safe fn sam_octa2_exact_float32() -> i32;
    safe fn sam_octa2_has_cuda() -> i32;
    safe fn sam_octa2_empty_cuda_cache() -> i32;
    fn sam_octa2_cuda_memory(device: i32, free: *mut u64, total: *mut u64) -> i32;
}

/// Opens the CUDA part where there is a GPU that it has code for. Elsewhere it does nothing, and costs nothing.
pub fn prepare() {
    let _ = gpus();
}

/// The GPUs that libtorch works with, in its order, at least one; or why there are none. The reason of a failure is kept.
pub fn gpus() -> Result<&'static [Gpu], String> {
    static FOUND: OnceLock<Result<Vec<Gpu>, String>> = OnceLock::new();
    FOUND.get_or_init(find).as_deref().map_err(String::clone)
}

fn find() -> Result<Vec<Gpu>, String> {
    let library = std::env::var_os(DRIVER_VARIABLE).unwrap_or_else(|| DRIVER.into());
    let gpus = driver::gpus(Path::new(&library))?;
    let reasons: Vec<String> = gpus.iter().filter_map(|gpu| gpu.check().err()).collect();
    if reasons.len() == gpus.len() {
        return Err(reasons.into_iter().next().unwrap_or_else(|| "NVIDIA's driver finds no device".to_owned()));
    }
    open(&libtorch_folder()?)?;
    if sam_octa2_has_cuda() != 1 {
        return Err(
            "libtorch was at work in this process before its CUDA part could be opened; start the program again"
                .to_owned(),
        );
    }
    match usize::try_from(tch::Cuda::device_count()) {
        Ok(count) if count == gpus.len() => {}
        Ok(0) | Err(_) => return Err("the CUDA part of libtorch is open, but finds no device".to_owned()),
        Ok(count) => return Err(format!("NVIDIA's driver has {} devices, but libtorch finds {count}", gpus.len())),
    }
    match sam_octa2_exact_float32() {
        0 => Ok(gpus),
        _ => Err("cuDNN cannot be kept from TF32, so that float32 would not be float32".to_owned()),
    }
}

/// Gives back memory that libtorch keeps for later. Was there any to give?
pub fn empty_cache() -> bool {
    gpus().is_ok() && sam_octa2_empty_cuda_cache() == 0
}

/// Free and all bytes of a GPU.
pub fn memory(index: usize) -> Option<(u64, u64)> {
    let (mut free, mut total) = (0, 0);
    gpus().ok()?;
    // Safety: two places for numbers.
    let status = unsafe { sam_octa2_cuda_memory(index as i32, &raw mut free, &raw mut total) };
    (status == 0).then_some((free, total))
}

/// Where the libtorch lies that this process uses.
fn libtorch_folder() -> Result<PathBuf, String> {
    // any call, so that the linker keeps libtorch and the system has mapped it
    let _ = tch::get_num_threads();
    let library = system::loaded("libtorch_cpu.so");
    let folder = library
        .as_deref()
        .and_then(Path::parent)
        .ok_or("libtorch_cpu.so is not among the libraries of this process")?;
    Ok(folder.to_path_buf())
}

#[cfg(unix)]
fn open(folder: &Path) -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    let path = folder.join("libtorch_cuda.so");
    if !path.is_file() {
        return Err(format!(
            "this libtorch has no CUDA part ({} is not there; `make setup CUDA=1` fetches it)",
            path.display()
        ));
    }
    // Safety: the library belongs to the libtorch that is linked already; its initialisers register kernels and are made for this.
    // RTLD_LOCAL: its names are not for the host.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
    // registered kernels must never go away
    library.map(std::mem::forget).map_err(|error| {
        let reason = std::error::Error::source(&error).map(ToString::to_string);
        let reason = reason.unwrap_or_else(|| error.to_string());
        format!("{} (NVIDIA's libraries are fetched by `make setup CUDA=1`)", reason.lines().next().unwrap_or_default())
    })
}

#[cfg(not(unix))]
fn open(_folder: &Path) -> Result<(), String> {
    Err("CUDA is loaded at run time on Unix only".into())
}

//! Device and precision, and what concerns libtorch itself.
//!
//! `"auto", "cuda:0", "bf16" -> tch::Device, tch::Kind`. The library is linked to the CPU part of libtorch only; the CUDA part is
//! opened when somebody wants it ([`load_cuda`]), so that one binary serves machines with and without a GPU.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use tch::Kind;

type Result<T, E = Error> = std::result::Result<T, E>;

/// Where to compute: `auto`, `cpu`, `cuda`, `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// the first GPU if there is one that works, else the CPU
    #[default]
    Auto,
    /// the CPU; the CUDA part of libtorch is not even opened
    Cpu,
    /// a GPU, or an error
    Cuda(usize),
}

impl Device {
    /// The device that this means on this machine.
    pub fn resolve(self) -> Result<tch::Device> {
        match self {
            Self::Cpu => Ok(tch::Device::Cpu),
            Self::Auto => Ok(cuda_devices().map_or(tch::Device::Cpu, |_| tch::Device::Cuda(0))),
            Self::Cuda(index) => {
                match cuda_devices().map_err(|why| Error::Device(format!("{self} cannot be used: {why}")))? {
                    count if index < count => Ok(tch::Device::Cuda(index)),
                    count => Err(Error::Device(format!(
                        "{self} cannot be used: there are {count} CUDA devices, from cuda:0 on"
                    ))),
                }
            }
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(|index| index.parse().ok()).map(Self::Cuda),
        }
        .ok_or_else(|| Error::invalid(format!("device \"{text}\" is none of auto, cpu, cuda, cuda:N")))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Does this CPU have instructions for products of bfloat16? Those with AMX have AVX512-BF16, too.
pub fn cpu_likes_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// How exactly to compute: `auto`, `f32`, `bf16`, `f16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Precision {
    /// `bf16` on a GPU, and on a CPU that multiplies it faster (AVX512-BF16, AMX); else, and for training on any CPU, `f32`
    #[default]
    Auto,
    /// 32 bits: equal to the Python reference
    F32,
    /// bfloat16
    Bf16,
    /// half; made for GPUs, slow on most CPUs
    F16,
}

impl Precision {
    /// The type of number that this means on `device` for segmentation with SAM 2.
    pub fn resolve(self, device: tch::Device) -> Kind {
        match (self, device) {
            (Self::Auto, tch::Device::Cpu) if cpu_likes_bf16() => Kind::BFloat16,
            _ => self.for_training(device),
        }
    }

    /// The type of number that this means on `device` for training, and for the small networks that are trained from a few slices.
    pub fn for_training(self, device: tch::Device) -> Kind {
        match (self, device) {
            (Self::F32, _) | (Self::Auto, tch::Device::Cpu) => Kind::Float,
            (Self::Bf16, _) | (Self::Auto, _) => Kind::BFloat16,
            (Self::F16, _) => Kind::Half,
        }
    }

    /// The type of number, if one was chosen.
    pub fn kind(self) -> Option<Kind> {
        (self != Self::Auto).then(|| self.resolve(tch::Device::Cpu))
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            _ => Err(Error::invalid(format!("precision \"{text}\" is none of auto, f32, bf16, f16"))),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// serde by way of the text.
macro_rules! as_text {
    ($($name:ty),+) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )+};
}
as_text!(Device, Precision);

/// The devices of this machine by name, the CPU first. Looking for GPUs opens the CUDA part of libtorch where there is a driver.
pub fn available() -> Vec<String> {
    let gpus = (0..cuda_devices().unwrap_or(0)).map(|index| Device::Cuda(index).to_string());
    std::iter::once(Device::Cpu.to_string()).chain(gpus).collect()
}

/// How many threads one computation uses.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

/// Sets how many threads one computation uses, in the whole process; 0: one for each core.
pub fn set_threads(count: usize) -> Result<()> {
    const MOST: usize = 1024;
    if count > MOST {
        return Err(Error::invalid(format!("{count} threads are too many; at most {MOST}")));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tch::set_num_threads(if count == 0 { cores } else { count } as i32);
    Ok(())
}

/// How many CUDA devices work, at least one, or why there is none.
fn cuda_devices() -> Result<usize, String> {
    find_driver()?;
    load_cuda().map_err(str::to_owned)?;
    match usize::try_from(tch::Cuda::device_count()) {
        Ok(0) | Err(_) => Err(
            "the CUDA part of libtorch is loaded, but finds no device, or this process had seeded or asked for CUDA before \
             (then start it again with the device named first)"
                .into(),
        ),
        Ok(count) => Ok(count),
    }
}

/// Looks for NVIDIA's driver first: that costs nothing, the CUDA part of libtorch half a second.
#[cfg(unix)]
fn find_driver() -> Result<(), String> {
    // SAFETY: the driver's own library; its initialisers are made for being opened by any program.
    let driver = unsafe { libloading::Library::new("libcuda.so.1") };
    driver.map(std::mem::forget).map_err(|_| "this machine has no NVIDIA driver (libcuda.so.1)".to_owned())
}

#[cfg(not(unix))]
fn find_driver() -> Result<(), String> {
    Ok(())
}

/// Opens the CUDA part of libtorch, once per process; the reason of a failure is kept.
///
/// libtorch asks once whether it is there and remembers the answer: after `tch::manual_seed` or any `tch::Cuda` call it comes too
/// late for this process (measured; tensors made on the CPU before do no harm). So choose the device first, then seed.
pub fn load_cuda() -> std::result::Result<(), &'static str> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(|| open_cuda(&libtorch_folder()?)).as_ref().copied().map_err(String::as_str)
}

/// Where the libtorch lies that this process uses.
fn libtorch_folder() -> Result<PathBuf, String> {
    // any call, so that the linker keeps libtorch and the system has mapped it
    let _ = tch::get_num_threads();
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| format!("/proc/self/maps: {error}"))?;
    let mut paths = maps.lines().filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])));
    let library = paths.find(|path| path.file_name().is_some_and(|name| name == "libtorch_cpu.so"));
    let folder = library.and_then(Path::parent).ok_or("libtorch_cpu.so is not among the libraries of this process")?;
    Ok(folder.to_path_buf())
}

#[cfg(unix)]
fn open_cuda(folder: &Path) -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    let path = folder.join("libtorch_cuda.so");
    if !path.is_file() {
        return Err(format!("this libtorch has no CUDA part ({} is not there)", path.display()));
    }
    // SAFETY: the library belongs to the libtorch that is linked already; its initialisers register kernels and are made for this.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
    // registered kernels must never go away
    library.map(std::mem::forget).map_err(|error| {
        let reason = std::error::Error::source(&error).map(ToString::to_string);
        let reason = reason.unwrap_or_else(|| error.to_string());
        format!("{} (NVIDIA's libraries are fetched by `make setup CUDA=1`)", reason.lines().next().unwrap_or_default())
    })
}

#[cfg(not(unix))]
fn open_cuda(_folder: &Path) -> Result<(), String> {
    Err("CUDA is loaded at run time on Unix only".into())
}

//! Device and precision, and what concerns libtorch itself.
//!
//! `"auto", "cuda:0", "bf16" -> tch::Device, tch::Kind`. The library is linked to the CPU part of libtorch only; the CUDA part is
//! opened where there is a GPU that it has code for ([`cuda`]), so that one binary serves machines with and without a GPU.

pub mod cuda;
pub mod driver;
pub mod transfer;

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use tch::Kind;

type Result<T, E = Error> = std::result::Result<T, E>;

/// Where to compute: `auto`, `cpu`, `cuda`, `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// the first GPU if there is one that works, else the CPU
    #[default]
    Auto,
    /// the CPU
    Cpu,
    /// a GPU, or an error
    Cuda(usize),
}

impl Device {
    /// The device that this means on this machine; `auto` is the first GPU that this libtorch has code for.
    pub fn resolve(self) -> Result<tch::Device> {
        let gpus = cuda::gpus(); // also for the CPU: after its first convolution the CUDA part comes too late
        let refused = |why: String| Error::Device(format!("{self} cannot be used: {why}"));
        match self {
            Self::Cpu => Ok(tch::Device::Cpu),
            Self::Auto => {
                let first = gpus.ok().and_then(|gpus| gpus.iter().position(|gpu| gpu.check().is_ok()));
                Ok(first.map_or(tch::Device::Cpu, tch::Device::Cuda))
            }
            Self::Cuda(index) => {
                let gpus = gpus.map_err(refused)?;
                let count = gpus.len();
                let gpu = gpus.get(index).ok_or_else(|| {
                    refused(match count {
                        1 => "there is one CUDA device, cuda:0".to_owned(),
                        count => format!("there are {count} CUDA devices, cuda:0 to cuda:{}", count - 1),
                    })
                })?;
                gpu.check().map_err(refused)?;
                Ok(tch::Device::Cuda(index))
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
    /// `bf16` on a GPU or CPU that multiplies it faster (compute capability 8.0; AVX512-BF16, AMX); else, and for training, `f32`
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
    /// The type of number that this means on `device` for segmentation.
    pub fn resolve(self, device: tch::Device) -> Kind {
        let likes_bf16 = match device {
            tch::Device::Cuda(index) => {
                cuda::gpus().is_ok_and(|gpus| gpus.get(index).is_some_and(|gpu| gpu.likes_bf16()))
            }
            _ => cpu_likes_bf16(),
        };
        match self {
            Self::Auto if likes_bf16 => Kind::BFloat16,
            Self::Auto | Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }

    /// The type of number for training, and for the small networks that are trained from a few slices: `auto` is float32 everywhere, and the gradients of
    /// half precision would need scaled losses.
    pub fn for_training(self) -> Result<Kind> {
        match self {
            Self::Auto | Self::F32 => Ok(Kind::Float),
            Self::Bf16 => Ok(Kind::BFloat16),
            Self::F16 => Err(Error::Unsupported(
                "training in f16 is not offered: small gradients vanish in it; take bf16, or f32".to_owned(),
            )),
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
    let gpus = (0..cuda::gpus().map_or(0, <[_]>::len)).map(|index| Device::Cuda(index).to_string());
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

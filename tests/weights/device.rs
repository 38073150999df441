//! Device and precision by name; what happens without a GPU.

use sam_octa2_core::device::{Device, Precision, cpu_likes_bf16, cuda, driver};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn names_go_there_and_back() {
    for text in ["auto", "cpu", "cuda:0", "cuda:3"] {
        let device: Device = text.parse().unwrap();
        assert_eq!(device.to_string(), text);
        assert_eq!(serde_json::from_str::<Device>(&serde_json::to_string(&device).unwrap()).unwrap(), device);
    }
    assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda(0));
    for text in ["", "gpu", "cuda:", "cuda:-1", "CPU"] {
        assert!(text.parse::<Device>().unwrap_err().to_string().contains("auto, cpu, cuda, cuda:N"), "{text}");
    }
    for text in ["auto", "f32", "bf16", "f16"] {
        assert_eq!(text.parse::<Precision>().unwrap().to_string(), text);
    }
    assert!("fp32".parse::<Precision>().is_err());
}

#[test]
fn precision_depends_on_the_device() {
    let (cpu, gpu) = (tch::Device::Cpu, tch::Device::Cuda(0));
    let fast = if cpu_likes_bf16() { tch::Kind::BFloat16 } else { tch::Kind::Float };
    assert_eq!(Precision::Auto.resolve(cpu), fast);
    assert_eq!(Precision::Auto.for_training().unwrap(), tch::Kind::Float);
    assert_eq!(Precision::Bf16.for_training().unwrap(), tch::Kind::BFloat16);
    assert!(Precision::F16.for_training().unwrap_err().to_string().contains("bf16"));
    assert_eq!(Precision::F16.resolve(gpu), tch::Kind::Half);
    assert_eq!(Precision::F16.resolve(cpu), tch::Kind::Half);
}

/// Without a GPU nothing of CUDA is opened, and the reason is said; with one it is open before anything is computed.
#[test]
fn cuda_is_opened_where_there_is_a_gpu() {
    let opened = || std::fs::read_to_string("/proc/self/maps").unwrap_or_default().contains("libtorch_cuda.so");
    assert_eq!(Device::Cpu.resolve().unwrap(), tch::Device::Cpu);
    let (auto, gpus) = (Device::Auto.resolve().unwrap(), cuda::gpus());
    match Device::Cuda(0).resolve() {
        Ok(device) => assert_eq!((device, auto), (tch::Device::Cuda(0), tch::Device::Cuda(0))),
        Err(error) => {
            assert_eq!(auto, tch::Device::Cpu);
            let (error, reason) = (error.to_string(), gpus.clone().unwrap_err());
            assert!(error == format!("cuda:0 cannot be used: {reason}") && !error.contains('\n'), "{error}");
        }
    }
    assert_eq!(gpus.is_ok(), opened());
}

/// A driver that answers as `answers` say.
fn driver(answers: &str) -> Result<Vec<driver::Gpu>, String> {
    let folder = tempfile::tempdir().unwrap();
    driver::gpus(&driver_in(folder.path(), answers))
}

/// NVIDIA's functions in C, as a library.
fn driver_in(folder: &Path, answers: &str) -> PathBuf {
    let (source, library) = (folder.join("driver.c"), folder.join("libcuda.so.1"));
    std::fs::write(&source, format!("{answers}\n{DRIVER}")).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let built = Command::new(compiler).args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().unwrap();
    assert!(built.success());
    library
}

const DRIVER: &str = r#"
#include <string.h>
#ifndef CUDA
#define CUDA 13000
#endif
#ifndef INIT
#define INIT 0
#endif
static const int capabilities[][2] = {GPUS};
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *version) { *version = CUDA; return 0; }
int cuDeviceGetCount(int *count) { *count = sizeof capabilities / sizeof *capabilities; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "NVIDIA Test", length); return 0; }
int cuDeviceGetAttribute(int *value, int what, int device) { *value = capabilities[device][what - 75]; return 0; }
"#;

#[test]
fn the_driver_is_asked_which_gpus_there_are() {
    let gpus = driver("#define GPUS {9, 0}, {7, 5}, {6, 1}").unwrap();
    let capabilities: Vec<_> = gpus.iter().map(|gpu| gpu.capability).collect();
    assert_eq!(capabilities, [(9, 0), (7, 5), (6, 1)]);
    assert_eq!(gpus.iter().map(driver::Gpu::likes_bf16).collect::<Vec<_>>(), [true, false, false]);
    assert!(gpus[0].check().is_ok() && gpus[1].check().is_ok());
    let old = gpus[2].check().unwrap_err();
    assert!(old.contains("NVIDIA Test has compute capability 6.1") && old.contains("from 7.5 on"), "{old}");
}

#[test]
fn what_is_wrong_with_a_driver_is_said() {
    for (answers, expected) in [
        (
            "#define GPUS {9, 0}\n#define CUDA 12040",
            "is for CUDA 12.4, and this libtorch needs one for CUDA 13.0 or newer",
        ),
        ("#define GPUS {9, 0}\n#define INIT 100", "finds no device (or CUDA_VISIBLE_DEVICES hides it)"),
        ("#define GPUS {9, 0}\n#define INIT 803", "restart the machine"),
        ("#define GPUS {9, 0}\n#define INIT 999", "answers cuInit with error 999"),
    ] {
        let reason = driver(answers).unwrap_err();
        assert!(reason.contains(expected), "{answers}: {reason}");
    }
    let none = driver::gpus(Path::new("/nowhere/libcuda.so.1")).unwrap_err();
    assert_eq!(none, "this machine has no NVIDIA driver (/nowhere/libcuda.so.1)");
}

/// In a process of its own, with a driver that has a card: why CUDA cannot be used after all. `after`: a convolution on the CPU comes first.
fn reason_in_a_process(after: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let library = driver_in(folder.path(), "#define GPUS {9, 0}");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "device::a_process_with_a_driver", "--ignored", "--nocapture"])
        .env("SAM_OCTA2_CUDA_DRIVER", library)
        .env(CHILD, if after { "after" } else { "before" })
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    let reason =
        text.lines().find_map(|line| line.split_once(&format!("{CHILD}="))).map(|(_, reason)| reason.to_owned());
    reason.unwrap_or_else(|| format!("{text}{}", String::from_utf8_lossy(&child.stderr))) // what went wrong
}

const CHILD: &str = "SAM_OCTA2_TEST_CHILD";

/// What `reason_in_a_process` starts.
#[test]
#[ignore = "a child of libtorch_asks_once_for_its_cuda_part"]
fn a_process_with_a_driver() {
    if std::env::var(CHILD).is_ok_and(|order| order == "after") {
        let image = tch::Tensor::zeros([1, 1, 4, 4], (tch::Kind::Float, tch::Device::Cpu));
        let _ = image.conv2d(&image, None::<tch::Tensor>, 1, 0, 1, 1);
    }
    println!("{CHILD}={}", cuda::gpus().unwrap_err());
}

/// libtorch's hooks stay those of the CPU if a convolution ran before the CUDA part was opened. Without a card the CUDA part opens all the same, where
/// this libtorch has one with NVIDIA's libraries (`make setup CUDA=1`).
#[test]
fn libtorch_asks_once_for_its_cuda_part() {
    let reason = reason_in_a_process(false);
    if reason.contains("make setup CUDA=1") {
        eprintln!("skipped: {reason}");
        return;
    }
    assert_eq!(reason, "the CUDA part of libtorch is open, but finds no device");
    let after = reason_in_a_process(true);
    assert!(after.starts_with("libtorch was at work in this process before its CUDA part could be opened"), "{after}");
}

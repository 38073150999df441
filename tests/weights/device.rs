//! Device and precision by name; what happens without a GPU.

use sam_octa2_core::device::{Device, Precision, cpu_likes_bf16, load_cuda};

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
    assert_eq!(Precision::Auto.for_training(cpu), tch::Kind::Float);
    assert_eq!(Precision::Auto.resolve(gpu), tch::Kind::BFloat16);
    assert_eq!(Precision::F16.resolve(gpu), tch::Kind::Half);
    assert_eq!(Precision::F16.resolve(cpu), tch::Kind::Half);
}

/// In this order: the CPU alone opens nothing.
#[test]
fn cuda_is_opened_on_demand() {
    let opened = || std::fs::read_to_string("/proc/self/maps").unwrap_or_default().contains("libtorch_cuda.so");
    assert_eq!(Device::Cpu.resolve().unwrap(), tch::Device::Cpu);
    assert!(!opened());
    let auto = Device::Auto.resolve().unwrap();
    match Device::Cuda(0).resolve() {
        Ok(device) => assert_eq!((device, auto), (tch::Device::Cuda(0), tch::Device::Cuda(0))),
        Err(error) => {
            assert_eq!(auto, tch::Device::Cpu);
            let error = error.to_string();
            assert!(error.starts_with("cuda:0 cannot be used: ") && !error.contains('\n'), "{error}");
            assert!(
                error.contains("no NVIDIA driver") || error.contains("make setup CUDA=1"),
                "the reason is missing: {error}"
            );
        }
    }
    assert_eq!(load_cuda().is_ok(), opened());
}

//! Results in all their forms.

use super::interfaces::both;
use super::{clicked, json};
use sam_octa2_abi::raw::opaque::DlTensor;
use sam_octa2_abi::{Flow, Form};
use std::ffi::c_void;

#[test]
fn the_forms_of_a_slice_agree() {
    for (interface, api) in both() {
        let (session, _) = clicked(api);
        let mask = session.mask(2, 1).unwrap();
        let [dense, labels, probability, logits] =
            [Form::Dense, Form::Labels, Form::Probability, Form::Logits].map(|form| mask.view(form).unwrap());
        let info = json(&mask.info().unwrap());
        drop((session, mask)); // views live on
        let logits = logits.values::<f32>().unwrap();
        let dense = dense.values::<u8>().unwrap();
        assert!(logits.iter().zip(dense).all(|(&logit, &inside)| (logit > 0.0) == (inside == 1)), "{interface}");
        assert!(labels.values::<u16>().unwrap().iter().zip(dense).all(|(&a, &b)| a == u16::from(b)), "{interface}");
        let sigmoid = |&logit: &f32| 1.0 / (1.0 + (-logit).exp());
        let close = |(p, logit): (&f32, &f32)| (p - sigmoid(logit)).abs() < 1e-6;
        assert!(probability.values::<f32>().unwrap().iter().zip(logits).all(close), "{interface}");
        assert_eq!(info["area"].as_u64().unwrap() as usize, dense.iter().filter(|&&v| v == 1).count(), "{interface}");
    }
}

#[test]
fn run_lengths_are_cocos() {
    for (interface, api) in both() {
        let (session, _) = clicked(api);
        let mask = session.mask(2, 1).unwrap();
        let rle = json(&mask.rle(&mut ()).unwrap());
        let view = mask.view(Form::Dense).unwrap();
        let (rows, columns) = (view.shape()[0], view.shape()[1]);
        assert_eq!(rle["size"], serde_json::json!([rows, columns]), "{interface}");
        // down the columns, background first
        let mut drawn = Vec::new();
        for (at, run) in rle["counts"].as_array().unwrap().iter().enumerate() {
            drawn.resize(drawn.len() + run.as_u64().unwrap() as usize, (at % 2) as u8);
        }
        let dense = view.values::<u8>().unwrap();
        let by_column: Vec<u8> = (0..rows * columns).map(|at| dense[at % rows * columns + at / rows]).collect();
        assert_eq!(drawn, by_column, "{interface}");
        session.propagate(Some(r#"{"max_frames": 2}"#), &mut |_| Flow::CONTINUE, &mut ()).unwrap();
        let all = json(&session.labels(&mut ()).unwrap().rle(&mut ()).unwrap());
        assert!(all.as_array().unwrap().iter().all(|one| one["object"] == 1 && one["frame"].is_u64()), "{interface}");
    }
}

#[test]
fn labels_are_written_in_every_format() {
    for (interface, api) in both() {
        let (session, _) = clicked(api);
        let labels = session.labels(&mut ()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in ["l.nii.gz", "l.npy", "l.json", "l.tif", "slices"] {
            let path = folder.path().join(name);
            labels.write(path.to_str().unwrap(), None, &mut ()).unwrap();
            assert!(path.exists(), "{interface}: {name}");
        }
        let no_dicom = labels.write(folder.path().join("l.dcm").to_str().unwrap(), None, &mut ()).unwrap_err();
        assert!(no_dicom.message.contains("DICOM"), "{interface}: {no_dicom}");
        let unknown = labels.write(folder.path().join("l.npy").to_str().unwrap(), Some(r#"{"colour": 1}"#), &mut ());
        assert!(unknown.unwrap_err().message.contains("colour"), "{interface}");
        let slice = session.mask(2, 1).unwrap().write(folder.path().join("m.npy").to_str().unwrap(), None, &mut ());
        assert_eq!(slice.unwrap_err().code, "unsupported", "{interface}");
    }
}

/// As much of `DLManagedTensorVersioned` as is looked at here (dlpack.h, 1.1).
#[repr(C)]
struct Managed {
    version: [u32; 2],
    manager_ctx: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut DlTensor)>,
    flags: u64,
    data: *const f32,
    device: [i32; 2],
    ndim: i32,
    dtype: [u8; 4],
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
}

#[test]
fn a_dlpack_tensor_shows_the_same_memory() {
    for (interface, api) in both() {
        let (session, _) = clicked(api);
        let mask = session.mask(2, 1).unwrap();
        let view = mask.view(Form::Logits).unwrap();
        let tensor = mask.dlpack(Form::Logits).unwrap();
        drop((session, mask));
        unsafe {
            let managed = &*tensor.cast::<Managed>();
            assert_eq!((managed.version, managed.flags & 1, managed.device), ([1, 1], 1, [1, 0]), "{interface}");
            assert_eq!((managed.ndim, managed.dtype), (2, [2, 32, 1, 0]), "{interface}");
            let shape = std::slice::from_raw_parts(managed.shape, 2);
            let strides = std::slice::from_raw_parts(managed.strides, 2);
            assert_eq!((strides, managed.byte_offset), (&[shape[1], 1][..], 0), "{interface}");
            assert_eq!(managed.data, view.values::<f32>().unwrap().as_ptr(), "{interface}: no copy");
            (managed.deleter.unwrap())(tensor);
        }
        assert!(view.values::<f32>().unwrap().iter().all(|logit| logit.is_finite()), "{interface}");
    }
}

//! Volumes: opened, and lent without a copy.

use super::interfaces::both;
use super::{data, demo_volume, json};
use sam_octa2_abi::raw::ViewStruct;
use sam_octa2_abi::{Api, PluginError, Volume};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn an_opened_volume_tells_what_it_is() {
    for (interface, api) in both() {
        let volume = demo_volume(api);
        let info = json(&volume.info().unwrap());
        let shape: Vec<u64> = info["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!((info["format"].as_str(), shape.len()), (Some("nifti"), 3), "{interface}: {info}");
        let slice = volume.frame(1).unwrap();
        assert_eq!(slice.shape(), [shape[1] as usize, shape[2] as usize], "{interface}");
        assert_eq!(slice.dtype(), info["dtype"], "{interface}");
        let crop = api.open_volume(&data("demo/volume.nii.gz"), Some(r#"{"crop": "4,6,20,10"}"#), &mut ()).unwrap();
        assert_eq!(crop.frame(0).unwrap().shape(), [10, 20], "{interface}");
        let unknown =
            api.open_volume(&data("demo/volume.nii.gz"), Some(r#"{"corp": "4,6,20,10"}"#), &mut ()).unwrap_err();
        assert!(unknown.message.contains("`corp`"), "{interface}: {unknown}");
    }
}

#[test]
fn patient_and_index_are_inverse() {
    for (interface, api) in both() {
        let volume = demo_volume(api);
        let there = volume.to_patient([3.0, 4.5, 2.0]).unwrap();
        let back = volume.to_index(there).unwrap();
        assert!(back.iter().zip([3.0, 4.5, 2.0]).all(|(a, b)| (a - b).abs() < 1e-9), "{interface}: {back:?}");
        assert_eq!(volume.to_index([f64::NAN, 0.0, 0.0]).unwrap_err().code, "invalid_argument", "{interface}");
    }
}

#[test]
fn a_written_volume_reads_back() {
    for (interface, api) in both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.nii.gz");
        demo_volume(api).write(path.to_str().unwrap(), &mut ()).unwrap();
        let copy = api.open_volume(path.to_str().unwrap(), None, &mut ()).unwrap();
        let (one, other) = (demo_volume(api).frame(2).unwrap(), copy.frame(2).unwrap());
        assert_eq!(one.values::<u8>().unwrap(), other.values::<u8>().unwrap(), "{interface}");
        let refused = demo_volume(api).write(&data("demo/volume.nii.gz"), &mut ()).unwrap_err();
        assert!(refused.message.contains("overwrite the input"), "{interface}: {refused}");
    }
}

/// Counts how often it was released.
struct Lender {
    values: Vec<u16>,
    released: Arc<AtomicUsize>,
}

unsafe extern "C" fn release(owner: *mut c_void) {
    let released = unsafe { Arc::from_raw(owner.cast::<AtomicUsize>()) };
    released.fetch_add(1, Ordering::SeqCst);
}

impl Lender {
    /// 3 slices of 4 rows and 5 columns that count up
    fn new() -> Self {
        Self { values: (0..60).collect(), released: Arc::default() }
    }

    fn view(&self, start: usize, strides: [i64; 3]) -> ViewStruct {
        ViewStruct {
            data: self.values[start..].as_ptr().cast(),
            dtype: 0x0110,
            dimensions: 3,
            shape: [3, 4, 5, 0],
            strides: [strides[0], strides[1], strides[2], 0],
            owner: Arc::into_raw(self.released.clone()).cast_mut().cast(),
            release: Some(release),
            ..ViewStruct::empty()
        }
    }

    fn lend(&self, api: Api, view: &ViewStruct) -> Result<Volume, PluginError> {
        unsafe { api.lend_view(view) }
    }

    fn releases(&self) -> usize {
        self.released.load(Ordering::SeqCst)
    }
}

#[test]
fn lent_memory_is_read_in_any_layout_and_released_once() {
    for (interface, api) in both() {
        let lender = Lender::new();
        let plain = lender.lend(api, &lender.view(0, [40, 10, 2])).unwrap();
        let flipped = lender.lend(api, &lender.view(59, [-40, -10, -2])).unwrap();
        let second: Vec<u16> = (20..40).collect();
        let backwards: Vec<u16> = (20..40).rev().collect();
        assert_eq!(plain.frame(1).unwrap().values::<u16>().unwrap(), second, "{interface}");
        assert_eq!(flipped.frame(1).unwrap().values::<u16>().unwrap(), backwards, "{interface}");
        // the same numbers in Fortran order
        let mut fortran = Lender::new();
        for (at, value) in fortran.values.iter_mut().enumerate() {
            let (frame, row, column) = (at % 3, at / 3 % 4, at / 12);
            *value = (frame * 20 + row * 5 + column) as u16;
        }
        let same = fortran.lend(api, &fortran.view(0, [2, 6, 24])).unwrap();
        assert_eq!(same.frame(1).unwrap().values::<u16>().unwrap(), second, "{interface}");
        assert_eq!(lender.releases(), 0, "{interface}");
        drop((plain, flipped, same));
        assert_eq!((lender.releases(), fortran.releases()), (2, 1), "{interface}");
        assert_eq!(lender.values, (0..60).collect::<Vec<u16>>(), "{interface}: the plugin only reads");
    }
}

#[test]
fn a_refused_view_is_released_too() {
    for (interface, api) in both() {
        let lender = Lender::new();
        let good = || lender.view(0, [40, 10, 2]);
        let bad = [
            ("null", ViewStruct { data: std::ptr::null(), ..good() }),
            ("type", ViewStruct { dtype: 0x0777, ..good() }),
            ("dimensions", ViewStruct { dimensions: 7, ..good() }),
            ("zero", ViewStruct { shape: [3, 0, 5, 0], ..good() }),
            ("negative", ViewStruct { shape: [3, -4, 5, 0], ..good() }),
            ("overflow", ViewStruct { shape: [i64::MAX, i64::MAX, 5, 0], ..good() }),
            ("strides", ViewStruct { strides: [i64::MAX, 10, 2, 0], ..good() }),
            ("affine", ViewStruct { has_affine: 1, affine: [f64::NAN; 16], ..good() }),
            ("singular", ViewStruct { has_affine: 1, affine: [0.0; 16], ..good() }),
        ];
        // too short to say who owns the memory: then nobody can be told
        let short = ViewStruct { size: 8, ..good() };
        assert_eq!(lender.lend(api, &short).unwrap_err().code, "invalid_argument", "{interface}");
        assert_eq!(lender.releases(), 0, "{interface}");
        for (at, (what, view)) in bad.iter().enumerate() {
            let error = lender.lend(api, view).unwrap_err();
            assert_eq!(error.code, "invalid_argument", "{interface}, {what}: {error}");
            assert_eq!(lender.releases(), at + 1, "{interface}, {what}");
        }
    }
}

#[test]
fn a_session_keeps_lent_memory_alive() {
    for (interface, api) in both() {
        let values = Arc::new(vec![7u8; 3 * 32 * 32]);
        let volume = api.lend_volume(values.clone(), &[3, 32, 32], None).unwrap();
        let session = api.session(&volume, &super::mini(api), None, &mut ()).unwrap();
        drop(volume);
        assert_eq!(Arc::strong_count(&values), 2, "{interface}");
        session.prompt(&sam_octa2_abi::Prompt::click(1, 1, [16.0, 16.0]), &mut ()).unwrap();
        drop(session);
        assert_eq!(Arc::strong_count(&values), 1, "{interface}");
    }
}

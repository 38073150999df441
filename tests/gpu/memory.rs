//! Memory of the card: budgets change no bit, a full card is an error that passes, a long stack needs no more than a short one.

use crate::{device, followed, mini, session};
use sam_octa2_core::device::{Device, Precision, cuda};
use sam_octa2_core::guard::guard;
use sam_octa2_core::progress::Flow;
use sam_octa2_core::session::{Point, Range, Session, Settings};
use sam_octa2_core::volume::{Geometry, Volume, Voxels};
use std::sync::Arc;
use tch::{Kind, Tensor};

/// What lies in memory, in the temporary file or in the folder of features is the same.
#[test]
fn budgets_and_features_on_disk_change_no_bit() {
    let Some(device) = device() else { return };
    let (model, folder) = (mini(device, Precision::F32), tempfile::tempdir().unwrap());
    let on_disk = || Settings { features: Some(folder.path().to_path_buf()), ..Settings::default() };
    let (_, expected) = followed(&model, Settings::default());
    let tight = Settings { state_bytes: 1 << 10, feature_cache_bytes: 0, ..Settings::default() };
    for (name, settings) in [("tight", tight), ("cold", on_disk()), ("warm", on_disk())] {
        let (session, labels) = followed(&model, settings);
        assert!(labels == expected, "{name}");
        assert!(name != "warm" || session.encoded_slices() == 0);
    }
}

/// All of the card's free memory is taken: the click is an error that says so. Given back, the same click answers.
#[test]
fn a_full_card_is_an_error_that_passes() {
    let Some(Device::Cuda(index)) = device() else { return };
    let model = mini(Device::Cuda(index), Precision::F32);
    let mut session = session(&model, Settings::default());
    let click = [Point { x: 90.0, y: 90.0, positive: true }];
    let mut hoard = Vec::new();
    for megabytes in [1024, 64, 4, 1] {
        let take = || guard(|| Ok(Tensor::empty([megabytes << 20], (Kind::Uint8, tch::Device::Cuda(index)))));
        hoard.extend(std::iter::from_fn(|| take().ok()));
    }
    let error = session.add_points(5, 1, &click).unwrap_err().to_string();
    assert!(error.contains("memory"), "{error}");
    hoard.clear();
    cuda::empty_cache();
    assert_eq!(session.add_points(5, 1, &click).unwrap().object, 1);
}

/// Bytes of the card in use after `frames` slices.
fn in_use(device: Device, frames: usize) -> u64 {
    let voxels = (0..frames * 64 * 64).map(|at| (at * 7 % 251) as u8).collect();
    let volume = Volume::new([frames, 64, 64, 1], Voxels::U8(voxels), Geometry::unknown(), "long").unwrap();
    let settings = Settings { state_bytes: 8 << 20, feature_cache_bytes: 8 << 20, ..Settings::default() };
    let mut session = Session::new(mini(device, Precision::F32), Arc::new(volume), settings).unwrap();
    session.add_points(0, 1, &[Point { x: 30.0, y: 30.0, positive: true }]).unwrap();
    session.propagate(Range::default(), |_| Ok(Flow::Continue)).unwrap();
    cuda::empty_cache();
    let Device::Cuda(index) = device else { return session.bytes().0 as u64 };
    let (free, total) = cuda::memory(index).unwrap();
    total - free
}

/// 640 slices need no more of the card than 50.
#[test]
fn a_long_stack_needs_no_more_than_a_short_one() {
    let Some(device) = device() else { return };
    let (short, long) = (in_use(device, 50), in_use(device, 640));
    println!("{} MB after 50 slices, {} MB after 640", short >> 20, long >> 20);
    assert!(long < short + (64 << 20), "{short} {long}");
}

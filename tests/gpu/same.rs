//! The same numbers: in another process, after saving, from the CPU to the GPU.

use crate::{device, dice, followed, mini, stack};
use sam_octa2_core::device::{Device, Precision};
use sam_octa2_core::progress::Flow;
use sam_octa2_core::session::{Range, Session, Settings};
use std::process::Command;

/// Names the file into which a process of [`two_processes_agree`] writes its labels.
const OUTPUT: &str = "SAM_OCTA2_TEST_OUTPUT";

/// Two processes give the same labels, to the last bit. This test starts itself twice.
#[test]
fn two_processes_agree() {
    let Some(device) = device() else { return };
    if let Some(output) = std::env::var_os(OUTPUT) {
        let (_, labels) = followed(&mini(device, Precision::F32), Settings::default());
        return std::fs::write(output, labels.iter().flat_map(|label| label.to_le_bytes()).collect::<Vec<_>>())
            .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let labels = ["a", "b"].map(|name| {
        let output = folder.path().join(name);
        let mut again = Command::new(std::env::current_exe().unwrap());
        let ran = again.args(["--exact", "same::two_processes_agree"]).env(OUTPUT, &output).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
        std::fs::read(output).unwrap()
    });
    assert!(labels[0] == labels[1] && labels[0].iter().any(|&byte| byte != 0));
}

/// A session that was saved goes on as if it had not been.
#[test]
fn a_restored_session_goes_on_bit_by_bit() {
    let Some(device) = device() else { return };
    let model = mini(device, Precision::F32);
    let (mut session, _) = followed(&model, Settings::default());
    let bytes = session.save().unwrap();
    let mut restored = Session::restore(model, stack(), &bytes, Settings::default()).unwrap();
    for session in [&mut session, &mut restored] {
        session.propagate(Range::default(), |_| Ok(Flow::Continue)).unwrap();
    }
    for frame in session.frames_of(1) {
        assert!(
            session.mask(frame, 1).unwrap().logits.equal(&restored.mask(frame, 1).unwrap().logits),
            "slice {frame}"
        );
    }
}

/// A session of the CPU, in float32, is restored on the GPU in the precision that is used there.
#[test]
fn a_session_moves_from_the_cpu_to_the_gpu() {
    let Some(device) = device() else { return };
    let (session, labels) = followed(&mini(Device::Cpu, Precision::F32), Settings::default());
    let bytes = session.save().unwrap();
    let restored = Session::restore(mini(device, Precision::Auto), stack(), &bytes, Settings::default()).unwrap();
    assert!(dice(&labels, &restored.labels().unwrap().data) > 0.999);
}

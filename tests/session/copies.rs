//! Copies between the host and the device: one image up and one read of each mask a slice, whatever the device. Tests on a CPU count them,
//! since every copy goes through `device::transfer`; the sources are searched for any other.

use crate::root::root;
use crate::{MODEL, click, follow, nano, volume};
use sam_octa2_core::device::transfer::{Copies, copies};
use sam_octa2_core::model::Model;
use sam_octa2_core::session::{Range, Session, Settings};
use std::path::Path;
use std::sync::Arc;

/// Copies of a propagation from slice 0 with `objects` objects, and how many slices it went through.
fn copies_of(model: &Arc<Model>, objects: u32) -> (Copies, u64) {
    let mut session = Session::new(model.clone(), volume(), Settings::default()).expect("session");
    for object in 1..=objects {
        session.add_points(0, object, &click(20.0 + 10.0 * object as f32, 29.0, true)).expect("click");
    }
    let before = copies();
    let slices = follow(&mut session, Range::default()).len() as u64 / u64::from(objects);
    let after = copies();
    (Copies { up: after.up - before.up, down: after.down - before.down }, slices)
}

/// The prompted slice is encoded already; of every later one the image goes up. Down come the mask and, together, its three numbers.
#[test]
fn sam2_copies_one_image_up_and_two_reads_an_object() {
    for objects in [1, 3] {
        let (copies, slices) = copies_of(&MODEL, objects);
        let objects = u64::from(objects);
        assert_eq!(copies, Copies { up: slices - 1, down: objects * slices + objects * (slices - 1) });
    }
}

/// Its maps of connected pixels are made on the host: one more copy each way for an object.
#[test]
fn nano_copies_its_connection_maps_too() {
    for objects in [1, 3] {
        let (copies, slices) = copies_of(&nano::NANO, objects);
        let (objects, followed) = (u64::from(objects), slices - 1);
        assert_eq!(
            copies,
            Copies { up: followed + objects * followed, down: objects * slices + 2 * objects * followed }
        );
    }
}

/// Lines of the model and the session that make a tensor from the host's memory or read one, but for those that go through
/// `device::transfer`.
#[test]
fn no_copy_goes_another_way() {
    let sources = root().join("src");
    let mut found = Vec::new();
    for file in ["model", "session"].iter().flat_map(|folder| files(&sources.join(folder))) {
        let text = std::fs::read_to_string(&file).expect("source");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (at, line) in code.lines().enumerate() {
            let name = file.strip_prefix(&sources).expect("inside").display().to_string();
            if COPIES.iter().any(|copy| line.contains(copy)) && !allowed(&name, line) {
                found.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "use `device::transfer`, or name the line in `allowed`:\n{}", found.join("\n"));
}

/// What waits for the device, or takes a tensor to another.
const COPIES: [&str; 6] = ["double_value(", "int64_value(", "copy_data(", "to_device(", "Device::Cpu", "from_slice("];

/// Lines where the tensor is on the host already, that compute nothing slice by slice, or are uploaded by the next line.
fn allowed(file: &str, line: &str) -> bool {
    let once = ["model/params.rs", "session/state.rs", "session/state/tensors.rs", "session/store.rs"]; // loading, saving, the file
    let by_hand = [
        ("session/image.rs", "from_slice("),  // the image itself, which `normalised` uploads
        ("session/object.rs", "from_slice("), // a drawn mask
        ("session/answer.rs", "from_slice("), // clicks
        ("session/masks.rs", "Device::Cpu"),  // slices without a mask
        ("session/mod.rs", "int64_value("),   // masks that were read
        ("session/notices.rs", "double_value("), // the same
        ("model/prompted_unet.rs", "from_slice("), // maps that are uploaded
        ("model/prompted_unet.rs", "copy_data("), // after the one download
        ("model/sam2.rs", "image.to_device("), // it is there
        ("model/prompted_unet.rs", "image.to_device("),
        (".rs", "features.to_device("), // memories are where they were made, or come back from the file
        (".rs", "to_tokens(entry.features).to_device("),
    ];
    line.trim().starts_with("//")
        || line.contains("device() != Device::Cpu") // which way to compute
        || line.contains("device() == Device::Cpu")
        || line.contains("normalised(&image, Device::Cpu)") || line.contains("normalised(&pixels.image(), Device::Cpu)")
        || line.trim().starts_with("use ")
        || line.contains("copy_from_slice")
        || line.contains("upload(")
        || once.contains(&file)
        || by_hand.iter().any(|(name, text)| file.ends_with(name) && line.contains(text))
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

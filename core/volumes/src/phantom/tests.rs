//! Phantoms are repeatable, and their truth is where the vessels are.

use super::*;

fn small(seed: u64) -> PhantomOptions {
    PhantomOptions { seed, size: 256, slices: 8, ..PhantomOptions::default() }
}

#[test]
#[ignore = "writes pictures to look at"]
fn dump() {
    let n: u64 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for seed in 0..n {
        for (name, layers) in [("vessels", Layers::Vessels), ("faz", Layers::Faz), ("whole", Layers::Whole)] {
            for field in [3.0, 6.0] {
                let options = PhantomOptions { seed, field, layers, size: 512, slices: 10, ..Default::default() };
                let start = std::time::Instant::now();
                let phantom = Phantom::new(&options).unwrap();
                println!("{seed} {name} {field}: {:?}", start.elapsed());
                let base = format!("/tmp/ph/out/{name}_{field}_{seed}");
                crate::io::write_volume(&phantom.volume, format!("{base}.npy"), &mut ()).unwrap();
                crate::io::write_volume(&phantom.en_face, format!("{base}_e.npy"), &mut ()).unwrap();
                for (end, labels) in [("l", &phantom.labels), ("r", &phantom.region), ("el", &phantom.en_face_labels)] {
                    let voxels = Voxels::U16(labels.data.clone());
                    let shape = [labels.frames, labels.rows, labels.columns, 1];
                    let volume = Volume::new(shape, voxels, labels.geometry.clone(), "x").unwrap();
                    crate::io::write_volume(&volume, format!("{base}_{end}.npy"), &mut ()).unwrap();
                }
            }
        }
    }
}

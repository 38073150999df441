//! Real samples of OCTA-500 with SAM-OCTA2's masks, where they are.

use sam_octa2_volumes::io::{self, OpenOptions, read_labels, read_mask};
use sam_octa2_volumes::vessels::{
    COLOURS, LEAST, TreeOptions, coloured, fitted, keep_numbers, of_colours, on_layers, trees,
};
use sam_octa2_volumes::volume::{Geometry, Labels, Volume, Voxels};
use std::path::{Path, PathBuf};

fn root() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/octa500");
    if !root.join("RV_LayerSequence/10301").is_dir() {
        eprintln!("skipped: there is no OCTA-500 in {}", root.display());
        return None;
    }
    Some(root)
}

fn open(path: PathBuf) -> Volume {
    io::open(path, &OpenOptions::default()).unwrap()
}

/// Green minus blue in the third square of each strip, and what SAM-OCTA2 ships beside it.
fn layers(root: &Path) -> (Labels, Labels) {
    let folder = root.join("RV_LayerSequence/10301");
    let [mut masks, mut shipped] = [(); 2].map(|()| Labels {
        frames: 0,
        rows: 512,
        columns: 512,
        data: Vec::new(),
        geometry: Geometry::unknown(),
    });
    for layer in 237..=246 {
        let strip = open(folder.join(format!("{layer}.png")));
        let Voxels::U8(pixels) = strip.frame(0).unwrap() else { panic!("not 8 bits") };
        let at = |row: usize, column: usize| &pixels[(row * 2048 + 1024 + column) * 3..][..3];
        masks.data.extend((0..512 * 512).map(|i| u16::from(at(i / 512, i % 512)[1] != at(i / 512, i % 512)[2])));
        let mut truth = vec![0; 512 * 512];
        for file in std::fs::read_dir(folder.join(layer.to_string())).unwrap().map(|file| file.unwrap().path()) {
            let Some(number) = file.file_stem().and_then(|stem| stem.to_str()?.parse::<u16>().ok()) else { continue };
            let (_, _, mask) = read_mask(&file).unwrap();
            truth.iter_mut().zip(mask).filter(|(_, inside)| *inside).for_each(|(to, _)| *to = number + 1);
        }
        shipped.data.extend(truth);
        masks.frames += 1;
        shipped.frames += 1;
    }
    (masks, shipped)
}

#[test]
fn layers_of_a_coloured_map_are_the_shipped_ones() {
    let Some(root) = root() else { return };
    let map = of_colours(&open(root.join("Colored_RV/10301.png")), &COLOURS).unwrap();
    assert_eq!(map.objects(), (1..=11).collect::<Vec<u16>>());
    let (masks, shipped) = layers(&root);
    let ours = on_layers(&map, &masks, LEAST).unwrap();
    assert!(
        ours.data == shipped.data,
        "{} voxels differ",
        ours.data.iter().zip(&shipped.data).filter(|(a, b)| a != b).count()
    );
    assert!(shipped.count(7) == 100, "vessel 06 of layer 246 has exactly the least size");
}

#[test]
fn the_map_made_from_the_mask_is_the_hand_coloured_one() {
    let Some(root) = root() else { return };
    let mask = read_labels(root.join("3M/GT_LargeVessel/10301.bmp")).unwrap();
    let made = trees(&fitted(&mask, 512, 512).unwrap(), &TreeOptions::default()).unwrap();
    let drawn = open(root.join("Colored_RV/10301.png"));
    let (Voxels::U8(ours), Voxels::U8(theirs)) = (coloured(&made).unwrap().frame(0).unwrap(), drawn.frame(0).unwrap())
    else {
        panic!("not 8 bits")
    };
    assert!(ours == theirs, "{} values differ", ours.iter().zip(&theirs).filter(|(a, b)| a != b).count());
}

#[test]
fn numbers_hold_when_a_real_mask_is_nibbled_at() {
    let Some(root) = root() else { return };
    let mask = read_labels(root.join("3M/GT_LargeVessel/10301.bmp")).unwrap();
    let before = trees(&mask, &TreeOptions::default()).unwrap();
    // without what lies in the first rows, vessels are met in another order and one falls in two
    let cut = Labels {
        data: mask.data.iter().enumerate().map(|(at, &v)| if at / mask.columns < 24 { 0 } else { v }).collect(),
        ..mask.clone()
    };
    let after = keep_numbers(&trees(&cut, &TreeOptions::default()).unwrap(), &before).unwrap();
    let (mut same, mut all) = (0, 0);
    for (&now, &then) in after.data.iter().zip(&before.data).filter(|(now, _)| **now != 0) {
        all += 1;
        same += usize::from(now == then);
    }
    assert!(same * 100 >= all * 85 && all > 5000, "{same} of {all}");
}

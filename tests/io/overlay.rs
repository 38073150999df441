//! Overlays: the right slices, the right colours in the right places.

use crate::{data, open};
use image::AnimationDecoder;
use sam_octa2_volumes::io::{self, OpenOptions};
use sam_octa2_volumes::picture::{self, Mark, MarkKind};
use sam_octa2_volumes::volume::{Labels, Volume};

const ORANGE: [u8; 3] = [230, 159, 0];
const BLUE: [u8; 3] = [86, 180, 233];

fn demo() -> (Volume, Labels) {
    let volume = io::open(data("demo/volume.nii.gz"), &OpenOptions::default()).unwrap();
    let mut labels = Labels::empty_like(&volume);
    for frame in [2, 3] {
        for (row, column) in (100..150).flat_map(|row| (60..90).map(move |column| (row, column))) {
            labels.frame_mut(frame)[row * 256 + column] = if column < 75 { 1 } else { 2 };
        }
    }
    (volume, labels)
}

#[test]
fn sheet_shows_labelled_and_marked_slices() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet.png");
    let (volume, labels) = demo();
    let marks = [
        Mark { frame: 2, object: 1, kind: MarkKind::Point { x: 200.0, y: 30.0, positive: true } },
        Mark { frame: 3, object: 2, kind: MarkKind::Box([180.0, 180.0, 220.0, 200.0]) },
        Mark { frame: 7, object: 1, kind: MarkKind::Point { x: 200.0, y: 30.0, positive: false } },
        // beyond every border, and beyond the volume: nothing to see, nothing to break
        Mark { frame: 7, object: 1, kind: MarkKind::Box([-1e9, f32::NAN, 1e9, 1e9]) },
        Mark { frame: 99, object: 1, kind: MarkKind::Point { x: 0.0, y: 0.0, positive: true } },
    ];
    picture::write(&path, &volume, &labels, &marks).unwrap();
    let sheet = image::open(&path).unwrap().into_rgb8();
    // three slices of 256 pixels, two by two with a gap of 4
    assert_eq!(sheet.dimensions(), (516, 516));
    assert_eq!(sheet.get_pixel(60, 120).0, ORANGE, "outline of object 1");
    assert_eq!(sheet.get_pixel(89, 120).0, BLUE, "outline of object 2");
    let [r, g, b] = sheet.get_pixel(65, 120).0;
    assert!([r, g, b] != ORANGE && r > b, "the fill lets the slice through");
    let [r, g, _] = sheet.get_pixel(200, 30).0;
    assert!(g > 200 && r < 50, "green plus");
    assert_eq!(sheet.get_pixel(260 + 180, 190).0, BLUE, "box of object 2");
    let [r, g, _] = sheet.get_pixel(200, 260 + 30).0;
    assert!(r > 200 && g < 100, "red cross");
}

#[test]
fn columns_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("columns.png");
    let (volume, labels) = demo();
    let mut other = Labels::empty_like(&volume);
    other.frame_mut(5)[120 * 256 + 60] = 1;
    let mark = Mark { frame: 5, object: 1, kind: MarkKind::Point { x: 200.0, y: 30.0, positive: true } };
    picture::write_columns(&path, &volume, &[("first", &labels), ("second", &other)], &[mark]).unwrap();
    let sheet = image::open(&path).unwrap().into_rgb8();
    // slices 2, 3 and 5; alone, with the first and with the second labels
    assert_eq!(sheet.dimensions(), (3 * 260 - 4, 3 * 260 - 4));
    let orange: Vec<(u32, u32)> = (0..3)
        .flat_map(|row| (0..3).map(move |column| (row, column)))
        .filter(|(row, column)| sheet.get_pixel(60 + 260 * column, 120 + 260 * row).0 == ORANGE)
        .collect();
    assert_eq!(orange, [(0, 1), (1, 1), (2, 2)]);
    let green = |column: u32| {
        let [r, g, _] = sheet.get_pixel(200 + 260 * column, 30 + 2 * 260).0;
        g > 200 && r < 50
    };
    assert_eq!([0, 1, 2].map(green), [false, false, true], "marks in the last column");

    let refused = |name: &str, columns: &[picture::Column<'_>]| {
        picture::write_columns(folder.path().join(name), &volume, columns, &[]).unwrap_err().to_string()
    };
    assert!(refused("c.gif", &[("first", &labels)]).contains("are a .png"));
    assert!(refused("c.png", &[]).contains("1 to 8 columns, got 0"));
    let wrong = Labels::empty_like(&open("dicom/rescaled"));
    assert!(refused("c.png", &[("first", &labels), ("wrong", &wrong)]).contains("12 x 256 x 256"));
}

#[test]
fn animated_png_shows_the_scenes_of_the_gif_in_all_colours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.apng");
    let (volume, labels) = demo();
    picture::write(&path, &volume, &labels, &[]).unwrap();
    let file = || std::io::BufReader::new(std::fs::File::open(&path).unwrap());
    let decoder = image::codecs::png::PngDecoder::new(file()).unwrap();
    assert!(decoder.is_apng().unwrap());
    let frames = decoder.apng().unwrap().into_frames().collect_frames().unwrap();
    assert_eq!(frames.len(), 12);
    assert_eq!(frames[3].delay().numer_denom_ms(), (200, 1));
    for (i, frame) in frames.iter().enumerate() {
        let [r, g, b, _] = frame.buffer().get_pixel(60, 120).0;
        assert_eq!([r, g, b] == ORANGE, i == 2 || i == 3, "slice {i}");
    }
}

#[test]
fn animation_shows_all_slices_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.gif");
    let (volume, labels) = demo();
    picture::write(&path, &volume, &labels, &[]).unwrap();
    let decoder =
        image::codecs::gif::GifDecoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap())).unwrap();
    let frames = decoder.into_frames().collect_frames().unwrap();
    assert_eq!(frames.len(), 12);
    assert_eq!(frames[0].delay().numer_denom_ms(), (200, 1));
    for (i, frame) in frames.iter().enumerate() {
        let [r, g, b, _] = frame.buffer().get_pixel(60, 120).0;
        let orange = r > 180 && b < 60 && g < r;
        assert_eq!(orange, i == 2 || i == 3, "slice {i}: {r} {g} {b}");
    }
}

#[test]
fn every_kind_of_volume_can_be_drawn() {
    let folder = tempfile::tempdir().unwrap();
    for name in
        ["nifti/float32_le.nii", "nifti/uint64_le.nii", "nifti/rgb.nii.gz", "pictures/flat.jpg", "dicom/rescaled"]
    {
        let volume = open(name);
        picture::write(folder.path().join("o.png"), &volume, &Labels::empty_like(&volume), &[]).unwrap();
    }
}

#[test]
fn refuses_other_endings_and_grids() {
    let folder = tempfile::tempdir().unwrap();
    let (volume, labels) = demo();
    let error = picture::write(folder.path().join("o.jpg"), &volume, &labels, &[]).unwrap_err().to_string();
    assert!(error.contains(".png") && error.contains(".gif"), "{error}");
    let other = Labels::empty_like(&open("dicom/rescaled"));
    let error = picture::write(folder.path().join("o.png"), &volume, &other, &[]).unwrap_err().to_string();
    assert!(error.contains("12 x 256 x 256"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

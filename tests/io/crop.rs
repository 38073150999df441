//! `--crop`: pixels and percent, on every kind of source, with the geometry following.

use crate::{as_f64, data, open};
use sam_octa2_volumes::io::{self, Crop, OpenOptions};
use sam_octa2_volumes::volume::Volume;

fn cropped(name: &str, crop: &str) -> Volume {
    io::open(data("io").join(name), &OpenOptions::with_crop(Some(crop)).unwrap()).unwrap()
}

#[test]
fn parses_and_prints() {
    for text in ["0,0,10,20", "75%,0,25%,100%", "12.5%,3,5,50%"] {
        assert_eq!(text.parse::<Crop>().unwrap().to_string(), text);
    }
    assert_eq!(" 1, 2 ,3 , 4 ".parse::<Crop>().unwrap().to_string(), "1,2,3,4");
    for text in ["", "1,2,3", "1,2,3,4,5", "-1,0,2,2", "1.5,0,2,2", "a,0,1,1", "0,0,101%,1", "0,0,NaN%,1"] {
        let error = text.parse::<Crop>().unwrap_err().to_string();
        assert!(error.contains("X,Y,W,H"), "{text}: {error}");
    }
}

#[test]
fn keeps_the_region_of_every_slice() {
    // slices of 4 columns x 3 rows
    for name in ["pictures/natural", "dicom/rescaled"] {
        let (whole, part) = (open(name), cropped(name, "50%,1,2,2"));
        assert_eq!((part.frames, part.rows, part.columns), (whole.frames, 2, 2));
        let values = as_f64(&whole.voxels().unwrap());
        let wanted: Vec<f64> = (0..whole.frames)
            .flat_map(|f| [(1, 2), (1, 3), (2, 2), (2, 3)].map(|(r, c)| values[(f * 3 + r) * 4 + c]))
            .collect();
        assert_eq!(as_f64(&part.voxels().unwrap()), wanted, "{name}");
    }
}

#[test]
fn keeps_colours_together() {
    let (whole, part) = (open("npy/colour.npy"), cropped("npy/colour.npy", "1,2,1,1"));
    let values = as_f64(&whole.voxels().unwrap());
    let wanted: Vec<f64> =
        (0..2).flat_map(|f| (0..3).map(move |c| (f, c))).map(|(f, c)| values[((f * 3 + 2) * 4 + 1) * 3 + c]).collect();
    assert_eq!(as_f64(&part.voxels().unwrap()), wanted);
}

#[test]
fn shifts_the_affine() {
    for (name, crop, x, y) in [("nifti/packed.nii.gz", "2,1,3,3", 2.0, 1.0), ("dicom/shuffled", "1,2,1,1", 1.0, 2.0)] {
        let (whole, part) = (open(name).geometry, cropped(name, crop).geometry);
        for row in 0..3 {
            let wanted = whole.affine[row][0] * x + whole.affine[row][1] * y + whole.affine[row][3];
            assert!((part.affine[row][3] - wanted).abs() < 1e-12, "{name}");
            assert_eq!(part.affine[row][..3], whole.affine[row][..3], "{name}");
        }
        assert_eq!(part.spacing, whole.spacing);
    }
}

#[test]
fn percentages_meet_without_gap() {
    // 5 columns in halves: 0..3 and 3..5
    let columns = |crop| cropped("pictures/grey8.png", crop).columns;
    assert_eq!((columns("0,0,50%,100%"), columns("50%,0,50%,100%")), (3, 2));
}

#[test]
fn outside_is_an_error() {
    for crop in ["4,0,2,1", "0,0,5,1", "0,0,0,1", "0,3,1,1", "18446744073709551615,0,1,1"] {
        let error = io::open(data("io/pictures/natural"), &OpenOptions::with_crop(Some(crop)).unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains("4 x 3 pixels") && error.contains(crop), "{crop}: {error}");
    }
}

//! NIfTI beyond its fixtures: choosing a volume, the halves of a pair, what is refused.

use crate::data;
use sam_octa2_volumes::io::{self, OpenOptions};

fn fails(name: &str, options: &OpenOptions, parts: &[&str]) {
    let error = io::open(data("io").join(name), options).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    for part in parts {
        assert!(error.contains(part), "{name}: no {part:?} in: {error}");
    }
}

#[test]
fn a_time_series_wants_a_choice() {
    let mut options = OpenOptions::default();
    fails("nifti/time.nii.gz", &options, &["time.nii.gz", "4 volumes", "[5, 4, 3, 2, 2]", "0 to 3"]);
    options.volume = Some(4);
    fails("nifti/time.nii.gz", &options, &["time.nii.gz", "no volume 4", "0 to 3"]);
    fails("nifti/slope.nii", &options, &["no volume 4", "holds 1"]);
    fails("pictures/natural", &options, &["no volume 4", "holds 1"]);
    options.volume = Some(0);
    assert_eq!(io::open(data("io/nifti/slope.nii"), &options).unwrap().frames, 3);
}

#[test]
fn pairs_find_each_other_and_say_when_not() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| std::fs::copy(data("io/nifti").join(from), folder.path().join(to)).unwrap();
    copy("pair.hdr", "a.b.HDR");
    copy("pair.img", "a.b.IMG");
    let options = OpenOptions::default();
    let upper = io::open(folder.path().join("a.b.IMG"), &options).unwrap();
    let named = io::open(data("io/nifti/pair.hdr"), &options).unwrap();
    assert_eq!(crate::as_f64(&upper.voxels().unwrap()), crate::as_f64(&named.voxels().unwrap()));
    fails("bad/alone.hdr", &options, &["alone.hdr", "alone.img is not beside it"]);
    copy("pair.img", "lonely.img");
    let error = io::open(folder.path().join("lonely.img"), &options).unwrap_err().to_string();
    assert!(error.contains("lonely.hdr is not beside it"), "{error}");
}

#[test]
fn what_is_refused() {
    let options = OpenOptions::default();
    fails("bad/complex.nii", &options, &["complex"]);
    fails("bad/float128.nii", &options, &["128-bit"]);
    fails("bad/analyze.hdr", &options, &["Analyze 7.5"]);
    fails("bad/text_mode.nii", &options, &["line ends"]);
    fails("bad/huge_claim2.nii", &options, &["dimensions"]);
}

#[test]
fn memory_has_a_limit() {
    let mut options = OpenOptions::default();
    options.max_bytes = Some(100);
    for name in ["nifti/packed.nii.gz", "npy/float64.npy", "pictures/pages.tif", "pictures/natural"] {
        fails(name, &options, &[name.rsplit('/').next().unwrap(), "bytes of memory", "the 100 allowed"]);
    }
    options.max_bytes = Some(120);
    assert_eq!(io::open(data("io/nifti/packed.nii.gz"), &options).unwrap().frames, 3);
}

//! Pictures: channels, spacing, animations, and pictures that boast.

use crate::{as_f64, data, open};
use sam_octa2_volumes::io::{self, Channel, OpenOptions};

fn with_channel(name: &str, channel: Channel) -> Vec<f64> {
    let mut options = OpenOptions::default();
    options.channel = Some(channel);
    let volume = io::open(data("io").join(name), &options).unwrap();
    assert_eq!(volume.channels, 1);
    as_f64(&volume.voxels().unwrap())
}

#[test]
fn one_channel_of_colour() {
    for name in ["pictures/rgb.png", "pictures/rgb.webp", "pictures/planar.tif", "npy/colour.npy", "nifti/rgb.nii.gz"] {
        let whole = as_f64(&open(name).voxels().unwrap());
        for (at, channel) in [Channel::Red, Channel::Green, Channel::Blue].into_iter().enumerate() {
            let wanted: Vec<f64> = whole.iter().skip(at).step_by(3).copied().collect();
            assert_eq!(with_channel(name, channel), wanted, "{name} {channel}");
        }
        // as Pillow's convert("L")
        let wanted: Vec<f64> = whole
            .chunks(3)
            .map(|p| ((p[0] as u32 * 19595 + p[1] as u32 * 38470 + p[2] as u32 * 7471 + 0x8000) >> 16).into())
            .collect();
        assert_eq!(with_channel(name, Channel::Luminance), wanted, "{name}");
    }
    assert_eq!(
        with_channel("pictures/grey16.png", Channel::Blue),
        as_f64(&open("pictures/grey16.png").voxels().unwrap())
    );
}

#[test]
fn channels_have_names() {
    for name in ["red", "green", "blue", "luminance"] {
        assert_eq!(name.parse::<Channel>().unwrap().to_string(), name);
    }
    assert_eq!("First".parse::<Channel>().unwrap(), Channel::Red);
    assert!("alpha".parse::<Channel>().unwrap_err().to_string().contains("luminance"));
}

#[test]
fn spacing_where_the_source_has_none() {
    let mut options = OpenOptions::default();
    options.spacing = Some([0.01, 0.02, 0.5]);
    options.crop = Some("1,1,2,2".parse().unwrap());
    for name in ["pictures/natural", "npy/float64.npy", "nifti/no_form.nii"] {
        let geometry = io::open(data("io").join(name), &options).unwrap().geometry;
        assert!(geometry.known);
        assert_eq!(geometry.spacing, [0.01, 0.02, 0.5], "{name}");
        assert!((geometry.affine[1][3] - 0.02).abs() < 1e-12, "the crop moves the origin: {:?}", geometry.affine);
    }
    let error = io::open(data("io/nifti/packed.nii.gz"), &options).unwrap_err().to_string();
    assert!(error.contains("leave the spacing out"), "{error}");
    options.spacing = Some([1.0, 0.0, 1.0]);
    let error = io::open(data("io/pictures/natural"), &options).unwrap_err().to_string();
    assert!(error.contains("positive"), "{error}");
}

#[test]
fn bad_pictures_are_one_line_at_once() {
    for (name, part) in [
        ("animation.webp", "animation"),
        ("animation.png", "animation"),
        ("truncated.webp", "picture"),
        ("truncated.tif", "picture"),
        ("bomb.png", "picture"),
        ("bomb.bmp", "picture"),
        ("bomb.tif", "picture"),
        ("wide.tif", "picture"),
    ] {
        let error = io::open(data("io/bad").join(name), &OpenOptions::default()).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(name) && !error.contains('\n'), "{error}");
    }
}

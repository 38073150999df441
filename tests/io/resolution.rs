//! What TIFF says of the size of its pixels, in all the ways of saying it; files are made here by hand.

use crate::open;
use sam_octa2_volumes::io::{self, OpenOptions};
use sam_octa2_volumes::volume::Geometry;
use std::fs::File;
use std::path::Path;
use tiff::encoder::{Rational, TiffEncoder, colortype::Gray8};
use tiff::tags::{ResolutionUnit, Tag};

/// Two pages with these tags.
fn write(path: &Path, description: &str, unit: ResolutionUnit, [x, y]: [(u32, u32); 2]) {
    let mut encoder = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    for _ in 0..2 {
        let mut image = encoder.new_image::<Gray8>(3, 2).unwrap();
        if !description.is_empty() {
            // as bytes: the crate writes nothing but ASCII as text
            image.encoder().write_tag(Tag::ImageDescription, description.as_bytes()).unwrap();
        }
        image.resolution_unit(unit);
        image.x_resolution(Rational { n: x.0, d: x.1 });
        image.y_resolution(Rational { n: y.0, d: y.1 });
        image.write_data(&[1, 2, 3, 4, 5, 6]).unwrap();
    }
}

fn read(path: &Path, spacing: Option<[f64; 3]>) -> Geometry {
    let mut options = OpenOptions::default();
    options.spacing = spacing;
    io::open(path, &options).unwrap().geometry
}

const OME: &str = r#"<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels SizeX="3"
 PhysicalSizeX="11.5" PhysicalSizeXUnit="µm" PhysicalSizeY="12.5" PhysicalSizeZ='0.25' PhysicalSizeZUnit='mm'/></Image></OME>"#;

#[test]
fn every_way_of_saying_it() {
    use ResolutionUnit::{Centimeter, Inch, None};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let ratio = [(1000, 10), (500, 10)];
    for (description, unit, resolution, wanted, known) in [
        ("", Centimeter, ratio, [0.1, 0.2, 1.0], false),
        ("", Inch, [(2540, 1), (5080, 1)], [0.01, 0.005, 1.0], false),
        ("", Inch, [(300, 1), (300, 1)], [1.0, 1.0, 1.0], false),
        ("", None, ratio, [1.0; 3], false),
        ("", Centimeter, [(0, 1), (0, 0)], [1.0; 3], false),
        ("ImageJ=1.54f\nimages=2\nslices=2\nunit=micron\nspacing=3.5\n", None, ratio, [1e-5, 2e-5, 3.5e-3], true),
        ("ImageJ=1.54f\nunit=\\u00B5m\nspacing=-2\n", None, ratio, [1e-5, 2e-5, 2e-3], true),
        ("ImageJ=1.54f\nunit=mm\n", None, ratio, [0.01, 0.02, 1.0], false),
        ("ImageJ=1.54f\nspacing=2\n", Centimeter, ratio, [0.1, 0.2, 20.0], true),
        ("ImageJ=1.54f\nunit=pixel\nspacing=2\n", None, ratio, [1.0; 3], false),
        ("unit=mm\nspacing=2\n", None, ratio, [1.0; 3], false),
        (OME, Inch, [(72, 1), (72, 1)], [0.0115, 0.0125, 0.25], true),
        ("<OME PhysicalSizeX=\"", Inch, [(2540, 1), (2540, 1)], [0.01, 0.01, 1.0], false),
    ] {
        write(&path, description, unit, resolution);
        let geometry = read(&path, Option::None);
        let off = geometry.spacing.iter().zip(wanted).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
        assert!(off < 1e-6, "{description:?} {unit:?}: {:?} instead of {wanted:?}", geometry.spacing);
        assert_eq!(geometry.known, known, "{description:?} {unit:?}");
        assert_eq!(read(&path, Some([3.0, 4.0, 5.0])).spacing, [3.0, 4.0, 5.0], "what the user says wins");
    }
}

#[test]
fn size_survives_tiff() {
    let folder = tempfile::tempdir().unwrap();
    let (tif, nii) = (folder.path().join("a.tif"), folder.path().join("a.nii.gz"));
    for name in ["nifti/packed.nii.gz", "nifti/no_form.nii", "dicom/shuffled"] {
        let before = open(name);
        io::write_volume(&before, &tif, &mut ()).unwrap();
        let pages = io::open(&tif, &OpenOptions::default()).unwrap();
        io::write_volume(&pages, &nii, &mut ()).unwrap();
        let after = io::open(&nii, &OpenOptions::default()).unwrap();
        let axes = if before.geometry.known { 3 } else { 2 };
        for axis in 0..axes {
            let (is, was) = (after.geometry.spacing[axis], before.geometry.spacing[axis]);
            assert!((is / was - 1.0).abs() < 1e-5, "{name}: {is} instead of {was}");
        }
        assert_eq!(pages.geometry.known, before.geometry.known, "{name}");
    }
}

//! Files of OCT devices against what their peers read of them (`tests/tools/make_oct_fixtures.py`), layer curves, slabs, and near misses.

use crate::data;
use sam_octa2_volumes::io::{self, FileKind, OpenOptions};
use sam_octa2_volumes::job::{self, InputRequest};
use sam_octa2_volumes::volume::{Eye, SlabOptions, SlabProjection, Volume, Voxels};
use std::fs;
use std::path::{Path, PathBuf};

fn file(name: &str) -> PathBuf {
    data("io/oct").join(name)
}

fn open(name: &str) -> Volume {
    io::open(file(name), &OpenOptions::default()).unwrap()
}

fn as_kind(name: &str, kind: FileKind) -> Volume {
    let mut options = OpenOptions::default();
    options.kind = Some(kind);
    io::open(file(name), &options).unwrap()
}

fn voxels(volume: &Volume) -> Voxels {
    volume.voxels().unwrap().into_owned()
}

fn error_of(path: &Path, options: &OpenOptions) -> String {
    let error = io::open(path, options).map(|volume| volume.shape()).unwrap_err().to_string();
    assert!(!error.contains('\n') && error.contains(&*path.file_name().unwrap().to_string_lossy()), "{error}");
    error
}

#[test]
fn structure_of_heyex_is_eyepys() {
    let volume = open("structure.vol");
    assert_eq!((volume.format, volume.shape(), volume.dtype()), ("heyex", [5, 24, 12, 1], "uint8"));
    assert_eq!(voxels(&volume), voxels(&open("structure.npy")));
    assert!(volume.geometry.known && !volume.geometry.placed);
    assert_eq!(volume.geometry.spacing, [0.0113, 0.00387, 0.2]);
    let scan = volume.scan.as_deref().unwrap();
    assert_eq!((scan.eye, scan.angle, scan.bottom_up), (Some(Eye::Right), Some(30.0), true));
    assert_eq!(scan.names(), "ILM, BM, RNFL, GCL, IPL, INL, OPL");
    assert_eq!(scan.positions[0], [0.2, 1.2, 1.3, 1.2]);
    let fundus = scan.fundus.as_ref().unwrap();
    assert_eq!((fundus.rows, fundus.columns, fundus.pixels.len(), fundus.spacing), (16, 16, 256, [0.1, 0.1]));
    let theirs = voxels(&open("structure_surfaces.npy")).to_f32();
    let ours: Vec<f32> =
        ["ILM", "BM", "RNFL", "OPL"].iter().flat_map(|name| scan.surface(name).unwrap().rows.clone()).collect();
    assert_eq!(ours.len(), theirs.len());
    assert!(ours.iter().zip(&theirs).all(|(a, b)| a == b || (a.is_nan() && b.is_nan())));
    assert!(ours.iter().any(|row| row.is_nan()));
}

#[test]
fn flow_of_heyex_is_eyepys_and_lies_in_0_to_1() {
    let volume = open("Angio.vol");
    assert_eq!(volume.dtype(), "float32");
    let scan = volume.scan.as_deref().unwrap();
    assert_eq!((scan.eye, scan.names().contains("IPL+, IPL-")), (Some(Eye::Left), true));
    assert!(!scan.names().contains("ONL"), "a curve that was not drawn: {}", scan.names());
    assert_eq!(voxels(&volume), voxels(&open("angio.npy")));
    let (low, high) = volume.range().unwrap();
    assert!(low == 0.0 && high <= 1.0);
    // the name decides, unless the user does
    assert_eq!(as_kind("Angio.vol", FileKind::HeyexStructure).dtype(), "uint8");
    assert_eq!(as_kind("structure.vol", FileKind::HeyexAngio).dtype(), "float32");
}

#[test]
fn an_xml_export_of_heyex_is_eyepys() {
    for path in [file("xml"), file("xml/export.xml")] {
        let volume = io::open(&path, &OpenOptions::default()).unwrap();
        assert_eq!((volume.format, volume.shape()), ("heyex", [3, 24, 12, 1]));
        assert_eq!(voxels(&volume), voxels(&open("xml.npy")));
        let close = |wanted: [f64; 3]| volume.geometry.spacing.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(close([0.0113, 0.00387, 0.25]), "{:?}", volume.geometry.spacing);
        let scan = volume.scan.as_deref().unwrap();
        assert_eq!((scan.eye, scan.angle, scan.bottom_up), (Some(Eye::Left), Some(30.0), true));
        assert_eq!(
            (scan.names().as_str(), scan.fundus.as_ref().map(|f| (f.rows, f.columns))),
            ("ILM, BM", Some((16, 16)))
        );
        let theirs = voxels(&open("xml_surfaces.npy")).to_f32();
        let ours: Vec<f32> = scan.surfaces.iter().flat_map(|surface| surface.rows.clone()).collect();
        assert!(
            ours.iter().zip(&theirs).all(|(a, b)| a == b || (a.is_nan() && b.is_nan())) && ours.len() == theirs.len()
        );
        assert!(volume.slab("whole", &SlabOptions::default()).is_ok());
    }
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(file("xml/export.xml")).unwrap();
    for (text, part) in [
        (text.clone(), "slo.tif"),
        (text[..text.len() / 2].to_owned(), "damaged"),
        ("<HEDX/>".to_owned(), "names no B-scan"),
    ] {
        let path = folder.path().join("export.xml");
        fs::write(&path, text).unwrap();
        for name in 0..3 {
            let scan = format!("scan_{name}.tif");
            fs::copy(file("xml").join(&scan), folder.path().join(&scan)).unwrap();
        }
        assert!(error_of(&path, &OpenOptions::default()).contains(part));
    }
}

#[test]
fn slabs_are_eyepys() {
    let volume = open("Angio.vol");
    let options = SlabOptions { projection: SlabProjection::Sum, ..SlabOptions::default() };
    for (ours, theirs) in [
        ("NFLVP", "NFLVP"),
        ("SVP", "SVP"),
        ("ICP", "ICP"),
        ("DCP", "DCP"),
        ("SVC", "SVC"),
        ("DVC", "DVC"),
        ("outer", "AVAC"),
        ("whole", "RET"),
    ] {
        let slab = volume.slab(ours, &options).unwrap().volume;
        assert_eq!(slab.shape(), [1, 5, 12, 1]);
        let [ours_values, theirs] = [slab, open(&format!("slab_{theirs}.npy"))].map(|one| voxels(&one).to_f32());
        let off = ours_values.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // theirs are sums of float32, ours of float64
        assert!(off < 5e-6, "{ours}: {off}");
        assert!(theirs.iter().any(|value| *value > 0.0), "{ours}");
    }
}

#[test]
fn a_request_gives_slabs_and_layers() {
    let request = |more: &dyn Fn(&mut InputRequest)| {
        let mut request = InputRequest { input: file("Angio.vol"), ..InputRequest::default() };
        more(&mut request);
        request
    };
    let slab = request(&|request| request.slab = Some("SVC".to_owned()));
    let mut noted = Noted(Vec::new());
    let volume = slab.open_once(&mut noted).unwrap();
    assert_eq!(volume.shape(), [1, 5, 12, 1]);
    assert_eq!(volume.scan.as_deref().unwrap().eye, Some(Eye::Left));
    assert!(noted.0.iter().any(|note| note.contains("1 of 60 columns have no such layer")), "{:?}", noted.0);
    // the same however it is read, and of a crop what the crop shows
    assert_eq!(voxels(&slab.open(&mut ()).unwrap()), voxels(&volume));
    let cropped =
        request(&|request| (request.slab, request.crop) = (Some("SVC".to_owned()), Some("4,0,8,100%".to_owned())));
    let [whole, part] = [&volume, &cropped.open(&mut ()).unwrap()].map(|volume| voxels(volume).to_f32());
    let columns = whole.chunks_exact(12).flat_map(|row| &row[4..]).copied().collect::<Vec<_>>();
    assert_eq!(part, columns);
    let above = request(&|request| {
        (request.slab, request.crop) = (Some("SVC".to_owned()), Some("0,1,100%,23".to_owned()));
    });
    assert_eq!(voxels(&above.open(&mut ()).unwrap()), voxels(&volume));
    let layers = request(&|request| request.layers_along = Some("ILM, 0, 40, 10".to_owned())).open(&mut ()).unwrap();
    assert_eq!(layers.shape(), [5, 5, 12, 1]);
    assert!((layers.geometry.spacing[2] - 0.01).abs() < 1e-12);
    for (wrong, part) in [
        (
            request(&|request| (request.slab, request.axis) = (Some("SVC".to_owned()), Some("y".to_owned()))),
            "leave the axis out",
        ),
        (request(&|request| request.projection = Some("mean".to_owned())), "name one"),
        (request(&|request| request.layers_along = Some("ILM,0,40".to_owned())), "SURFACE,FROM,TO,STEP"),
        (request(&|request| request.slab = Some("XYZ".to_owned())), "Angio.vol"),
    ] {
        let error = wrong.open(&mut ()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let info = job::info(&request(&|_| {}), &mut ()).unwrap();
    assert_eq!((info.eye, info.fundus, info.surfaces.len()), (Some(Eye::Left), Some([16, 16]), 13));
    assert!(info.to_string().contains("eye        left (OS)\nlayers     ILM, BM"), "{info}");
}

/// What readers say beside.
struct Noted(Vec<String>);

impl sam_octa2_volumes::progress::Observer for Noted {
    fn progress(&mut self, _: sam_octa2_volumes::progress::Progress<'_>) -> sam_octa2_volumes::progress::Flow {
        sam_octa2_volumes::progress::Flow::Continue
    }

    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

#[test]
fn optovue_is_oct_to_tiffs() {
    let flow = as_kind("flow.dat", FileKind::OptovueAngio);
    let theirs = open("flow.ome.tif");
    assert_eq!((flow.shape(), flow.dtype(), flow.format), ([8, 160, 8, 1], "uint16", "optovue"));
    assert_eq!(voxels(&flow), voxels(&theirs));
    // the size is nobody's word until the user gives it
    assert!(!flow.geometry.known);
    let mut options = OpenOptions::default();
    (options.kind, options.assume_size) = (Some(FileKind::OptovueAngio), Some([3.0, 3.0]));
    let sized = io::open(file("flow.dat"), &options).unwrap();
    assert!(sized.geometry.known && !sized.geometry.placed);
    for (ours, theirs) in sized.geometry.spacing.iter().zip(theirs.geometry.spacing) {
        assert!((ours - theirs).abs() < 1e-9, "{:?}", sized.geometry.spacing);
    }
    let en_face = as_kind("enface.dat", FileKind::OptovueEnFace);
    assert_eq!(voxels(&en_face), voxels(&open("enface.ome.tif")));
    options.kind = Some(FileKind::OptovueEnFace);
    assert_eq!(io::open(file("enface.dat"), &options).unwrap().geometry.spacing[..2], [0.375, 0.375]);
    // curves, numbered: nobody says which is which
    let mut options = OpenOptions::default();
    (options.kind, options.layers) = (Some(FileKind::OptovueAngio), Some(file("curves.dat")));
    let curved = io::open(file("flow.dat"), &options).unwrap();
    let scan = curved.scan.as_deref().unwrap();
    assert_eq!(scan.names(), "1, 2, 3, 4, 5, 6, 7, 8");
    assert_eq!(scan.surface("2").unwrap().rows[..9], [8., 9., 10., 11., 12., 13., 14., 15., 72.]);
    options.layers = None;
    options.kind = Some(FileKind::OptovueOct);
    assert!(error_of(&file("flow.dat"), &options).contains("no square of A-scans with reflectivity"));
}

/// A cube whose voxel at B-scan b, row r, column c is `at(b, r, c)`, as the device stores it: all backwards.
fn cube(frames: usize, columns: usize, at: impl Fn(usize, usize, usize) -> u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frames * 1024 * columns);
    for frame in (0..frames).rev() {
        for row in (0..1024).rev() {
            bytes.extend((0..columns).rev().map(|column| at(frame, row, column)));
        }
    }
    bytes
}

#[test]
fn cirrus_cubes_lie_backwards_and_say_in_their_name_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let at = |frame: usize, row: usize, column: usize| (frame * 50 + row % 40 + column * 2) as u8;
    let path = folder.path().join("P1_Macular Cube 16x4_1-2-2014_9-8-7_OS_sn1_cube_z.img");
    fs::write(&path, cube(4, 16, at)).unwrap();
    for lazy in [None, Some(0)] {
        let mut options = OpenOptions::default();
        options.lazy_bytes = lazy;
        let volume = io::open(&path, &options).unwrap();
        assert_eq!((volume.format, volume.shape(), volume.is_lazy()), ("cirrus", [4, 1024, 16, 1], lazy.is_some()));
        let wanted: Vec<u8> =
            (0..4).flat_map(|f| (0..1024).flat_map(move |r| (0..16).map(move |c| at(f, r, c)))).collect();
        assert_eq!(voxels(&volume), Voxels::U8(wanted));
        assert_eq!(volume.geometry.spacing, [6.0 / 16.0, 2.0 / 1024.0, 6.0 / 4.0]);
        assert_eq!(volume.scan.as_deref().unwrap().eye, Some(Eye::Left));
    }
    // a square says its columns itself, and no size
    let square = folder.path().join("angio_cube_raw.img");
    fs::write(&square, cube(4, 4, at)).unwrap();
    let volume = io::open(&square, &OpenOptions::default()).unwrap();
    assert_eq!((volume.shape(), volume.geometry.known), ([4, 1024, 4, 1], false));
    // others must be told
    let other = folder.path().join("other_cube_raw.img");
    fs::write(&other, cube(2, 16, at)).unwrap();
    assert!(error_of(&other, &OpenOptions::default()).contains("--columns"));
    let mut options = OpenOptions::default();
    (options.columns, options.assume_size) = (Some(16), Some([3.0, 3.0]));
    let volume = io::open(&other, &options).unwrap();
    assert_eq!((volume.shape(), volume.geometry.spacing[2]), ([2, 1024, 16, 1], 1.5));
    options.columns = Some(5);
    assert!(error_of(&other, &options).contains("not 6 B-scans of 5"));
    fs::write(&other, &cube(2, 16, at)[1..]).unwrap();
    assert!(error_of(&other, &OpenOptions::default()).contains("truncated"));
    // one half of a NIfTI pair stays one
    assert!(error_of(&data("io/bad/alone.hdr"), &OpenOptions::default()).contains("NIfTI"));
}

#[test]
fn octa_500_opens_as_it_is_distributed() {
    let folder = tempfile::tempdir().unwrap();
    let sample = folder.path().join("OCTA_3mm/OCTA/10301");
    fs::create_dir_all(&sample).unwrap();
    let pixel = |frame: usize, row: usize, column: usize| (frame * 40 + row + column) as u8;
    for frame in 0..5 {
        let picture = image::GrayImage::from_fn(12, 24, |x, y| image::Luma([pixel(frame, y as usize, x as usize)]));
        picture.save(sample.join(format!("{}.bmp", frame + 1))).unwrap();
    }
    let bare = io::open(&sample, &OpenOptions::default()).unwrap();
    assert_eq!((bare.format, bare.shape()), ("octa500", [5, 24, 12, 1]));
    let close = |spacing: [f64; 3], wanted: [f64; 3]| spacing.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(close(bare.geometry.spacing, [3.0 / 12.0, 2.0 / 24.0, 3.0 / 5.0]), "{:?}", bare.geometry.spacing);
    // curves beside the folders of pictures
    let curves = folder.path().join("Label/GT_Layers");
    fs::create_dir_all(&curves).unwrap();
    fs::copy(file("layers.mat"), curves.join("10301.mat")).unwrap();
    let volume = io::open(&sample, &OpenOptions::default()).unwrap();
    let scan = volume.scan.as_deref().unwrap();
    assert_eq!(scan.names(), "ILM, IPL, OPL, ISOS, RPE, BM");
    let theirs = voxels(&open("layers.npy")).to_f32();
    let ours: Vec<f32> = scan.surfaces.iter().flat_map(|surface| surface.rows.clone()).collect();
    assert_eq!(ours, theirs);
    // the slab of the first B-scan's first column, by hand
    let slab = volume.slab("ILM..OPL", &SlabOptions::default()).unwrap().volume;
    let [top, bottom] = ["ILM", "OPL"].map(|name| scan.surface(name).unwrap().rows[0] as usize);
    assert_eq!(voxels(&slab).to_f32()[0], (top..bottom).map(|row| pixel(0, row, 0)).max().unwrap() as f32);
    assert_eq!(slab.dtype(), "uint8");
    for slab in ["SVC", "DVC", "outer", "choriocapillaris", "whole"] {
        // two millimetres in 24 rows: twenty micrometres are less than half of one
        assert_eq!(volume.slab(slab, &SlabOptions::default()).is_ok(), slab != "choriocapillaris", "{slab}");
    }
    let error = volume.slab("ICP", &SlabOptions::default()).err().unwrap().to_string();
    assert!(error.contains("INL") || error.contains("IPL-"), "{error}");
    // a crop takes the curves with it
    let mut options = OpenOptions::default();
    options.crop = Some("2,0,10,100%".parse().unwrap());
    let cropped = io::open(&sample, &options).unwrap();
    assert_eq!(cropped.scan.as_deref().unwrap().surface("BM").unwrap().rows[0], scan.surface("BM").unwrap().rows[2]);
    // the folder above says what it holds
    let above = error_of(sample.parent().unwrap(), &OpenOptions::default());
    assert!(above.contains("1 samples of OCTA-500") && above.contains("10301"), "{above}");
}

#[test]
fn curves_come_from_matlab_scans_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let with = |layers: PathBuf| {
        let mut options = OpenOptions::default();
        options.layers = Some(layers);
        options
    };
    let names =
        |layers: &str| io::open(file("angio.npy"), &with(file(layers))).unwrap().scan.as_deref().unwrap().names();
    assert_eq!(names("layers.mat"), "ILM, IPL, OPL, ISOS, RPE, BM");
    assert_eq!(names("layers_plain.mat"), names("layers.mat"));
    assert_eq!(names("structure.vol"), "ILM, BM, RNFL, GCL, IPL, INL, OPL");
    // labels of the layers: the lower edge of each, and the upper of all
    let volume = open("angio.npy");
    let mut labels = sam_octa2_volumes::volume::Labels::empty_like(&volume);
    for frame in 0..5 {
        for (at, label) in labels.frame_mut(frame).iter_mut().enumerate() {
            *label = [0, 1, 2, 0][(at / 12 / 6).min(3)];
        }
    }
    let path = folder.path().join("retina.seg.nrrd");
    let mut options = sam_octa2_volumes::io::SegOptions::of("unused");
    options.describe("1=SCT^1^RNFL").unwrap();
    io::write_labels_with(&labels, &path, &options.into()).unwrap();
    let volume = io::open(file("angio.npy"), &with(path)).unwrap();
    let scan = volume.scan.as_deref().unwrap();
    assert_eq!(scan.names(), "ILM, RNFL 1, Object 2");
    assert_eq!(scan.surfaces.iter().map(|surface| surface.rows[0]).collect::<Vec<_>>(), [6.0, 12.0, 18.0]);
    let drawn = scan.drawn(&volume);
    assert_eq!((drawn.objects(), drawn.count(1), drawn.frame(0)[6 * 12]), (vec![1, 2, 3], 60, 1));
    // of another size, and none
    for (layers, part) in [
        ("structure.npy", "does not lie on"),
        ("Angio.vol", "holds curves of [5, 12]"),
        ("curves.dat", "no known type"),
    ] {
        let error = io::open(file("slab_SVC.npy"), &with(file(layers))).map(|v| v.shape()).unwrap_err().to_string();
        assert!(error.contains(layers) && error.contains(part), "{error}");
    }
    let mut bytes = fs::read(file("layers.mat")).unwrap();
    bytes[..10].copy_from_slice(b"MATLAB 7.3");
    let newer = folder.path().join("new.mat");
    fs::write(&newer, bytes).unwrap();
    let error = io::open(file("angio.npy"), &with(newer)).map(|v| v.shape()).unwrap_err().to_string();
    assert!(error.contains("-v7"), "{error}");
    let error = io::open(file("slab_SVC.npy"), &with(file("layers.mat"))).map(|v| v.shape()).unwrap_err().to_string();
    assert!(error.contains("no array [curves, 1, 12]") && error.contains("Layer [6, 5, 12]"), "{error}");
}

#[test]
fn a_size_may_be_assumed_where_none_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enface.png");
    image::GrayImage::new(20, 10).save(&path).unwrap();
    let mut options = OpenOptions::default();
    options.assume_size = Some(OpenOptions::parse_size("3x1.5mm").unwrap());
    let volume = io::open(&path, &options).unwrap();
    assert_eq!((volume.geometry.spacing[..2].to_vec(), volume.geometry.known), (vec![0.15, 0.15], true));
    options.crop = Some("5,0,10,10".parse().unwrap());
    assert_eq!(io::open(&path, &options).unwrap().geometry.spacing[..2], [0.15, 0.15]);
    assert!(error_of(&file("structure.vol"), &options).contains("says itself"));
    for wrong in ["", "mm", "3x", "-3mm", "0", "3x3x3"] {
        assert!(OpenOptions::parse_size(wrong).is_err(), "{wrong}");
    }
    assert_eq!(OpenOptions::parse_size("6").unwrap(), [6.0, 6.0]);
}

#[test]
fn near_misses_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, part) in [
        ("scan.e2e", &b"CMDb"[..], "HEYEX as .vol"),
        ("renamed.bin", b"CMDb1234", "HEYEX as .vol"),
        ("scan.fda", b"FOCTFDA", "IMAGEnet"),
        ("scan.mgz", b"\x1f\x8b\x08\x00", "mri_convert"),
        ("layers.mat", b"MATLAB 5.0 MAT-file", "--layers"),
        ("scan.mrb", b"PK", "3D Slicer"),
        ("scan.xyz", b"what is this", "--kind"),
        ("short.vol", b"HSF-OCT-103\0", "truncated"),
        ("text.vol", b"a solid of some program", "not a .vol file"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = error_of(&path, &OpenOptions::default());
        assert!(error.contains(part), "{error}");
    }
    let whole = fs::read(file("Angio.vol")).unwrap();
    let mut claims = whole.clone();
    claims[16..20].copy_from_slice(&60_000u32.to_le_bytes());
    let mut circle = whole.clone();
    circle[96] = 2;
    for (name, bytes, part) in [
        ("cut.vol", &whole[..whole.len() - 1], "truncated"),
        ("claims.vol", &claims, "60000 B-scans"),
        ("circle.vol", &circle, "circle scan"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert!(error_of(&path, &OpenOptions::default()).contains(part));
    }
}

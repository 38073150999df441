//! `docs/formats.md`: what reads and writes, written from the rows below. Each row opens its fixtures and finds in them what its peer
//! found (`expected.json`, `expected_more.json`); `SAM_OCTA2_BLESS=1` writes the page anew.

use crate::{data, distance, open};
use sam_octa2_volumes::io::{self, OpenOptions};
use sam_octa2_volumes::job::{self, InputRequest};
use sam_octa2_volumes::volume::Volume;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

/// One row of what reads.
struct Row {
    format: &'static str,
    variants: &'static str,
    /// who agrees, and how closely where not in every bit
    peer: &'static str,
    /// largest difference of a value
    tolerance: f64,
    /// below `tests/data/io`; `name#2` is the third volume of a file, `name*` every fixture that begins so
    fixtures: &'static [&'static str],
}

const fn row(
    format: &'static str,
    variants: &'static str,
    peer: &'static str,
    fixtures: &'static [&'static str],
) -> Row {
    Row { format, variants, peer, tolerance: 0.0, fixtures }
}

const ROWS: &[Row] = &[
    row(
        "NIfTI-1 `.nii`",
        "all integers of 8 to 64 bits, float32 and float64, both byte orders",
        "nibabel",
        &["nifti/uint*", "nifti/int*", "nifti/float*"],
    ),
    row("NIfTI-1 `.nii.gz`", "gzip, of several members too", "nibabel", &["nifti/packed.nii.gz"]),
    row("NIfTI-2 `.nii` `.nii.gz`", "as NIfTI-1", "nibabel", &["nifti/version2.nii", "nifti/version2_be.nii.gz"]),
    row(
        "NIfTI pairs",
        "`.hdr` + `.img`, each with or without `.gz`; either may be named",
        "nibabel",
        &["nifti/pair.hdr", "nifti/pair.img", "nifti/pair2_be.hdr.gz"],
    ),
    row("NIfTI colour", "RGB24; RGBA32 without its alpha", "nibabel", &["nifti/rgb.nii.gz", "nifti/rgba.nii"]),
    row(
        "NIfTI time series",
        "4 to 7 axes, one volume of them (option `volume`)",
        "nibabel",
        &["nifti/time.nii.gz#0", "nifti/time.nii.gz#2", "nifti/time.nii.gz#3"],
    ),
    row("NIfTI slope", "`scl_slope`, `scl_inter`; slope 0 is none", "nibabel", &["nifti/slope*"]),
    row(
        "NIfTI place",
        "sform before qform before spacing alone (then the place counts as unknown); mm, m and microns; extensions skipped",
        "nibabel",
        &[
            "nifti/qform*",
            "nifti/sform_over_qform.nii",
            "nifti/no_form.nii",
            "nifti/micron.nii",
            "nifti/metre.nii",
            "nifti/extension.nii",
        ],
    ),
    row(
        "NRRD `.nrrd`",
        "every integer and float type, both byte orders, raw and gzip; detached headers (`.nhdr`), skipped lines and bytes",
        "pynrrd, SimpleITK",
        &[
            "nrrd/uint*",
            "nrrd/int*",
            "nrrd/float*",
            "nrrd/gzip.nrrd",
            "nrrd/detached*",
            "nrrd/skips.nhdr",
            "nrrd/end.nhdr",
        ],
    ),
    row(
        "NRRD place",
        "spaces LPS, RAS and LAS with directions and origin; units; spacings alone (no place); slices of two axes",
        "SimpleITK",
        &[
            "nrrd/ras.nrrd",
            "nrrd/las.nrrd",
            "nrrd/itk.nrrd",
            "nrrd/itk_flat.nrrd",
            "nrrd/spacings.nrrd",
            "nrrd/nothing.nrrd",
            "nrrd/micron.nrrd",
        ],
    ),
    row(
        "NRRD axes",
        "colour, alpha dropped; times, layers and components are chosen by `volume`",
        "pynrrd, SimpleITK",
        &["nrrd/itk_colour.nrrd", "nrrd/rgba.nrrd", "nrrd/times.nrrd#0", "nrrd/times.nrrd#3"],
    ),
    row(
        "MetaImage `.mha`, `.mhd`",
        "every integer and float type, both byte orders, plain and compressed; voxels in a file beside; directions and origin; colour; \
         components by `volume`",
        "SimpleITK",
        &["meta/*"],
    ),
    row(
        "PNG",
        "8 and 16 bit, grey, RGB, palette; alpha is dropped",
        "Pillow",
        &[
            "pictures/grey8.png",
            "pictures/grey16.png",
            "pictures/rgb.png",
            "pictures/rgba.png",
            "pictures/grey_alpha.png",
            "pictures/palette.png",
        ],
    ),
    Row {
        tolerance: 4.0,
        ..row(
            "JPEG",
            "baseline and progressive, grey and colour",
            "Pillow, within 4 of 255",
            &["pictures/flat.jpg", "pictures/colour.jpg"],
        )
    },
    row("BMP", "grey and colour", "Pillow", &["pictures/grey8.bmp", "pictures/rgb.bmp"]),
    row("WebP", "without loss", "Pillow", &["pictures/rgb.webp"]),
    Row { tolerance: 4.0, ..row("WebP", "with loss", "Pillow, within 4 of 255", &["pictures/lossy.webp"]) },
    row(
        "TIFF",
        "integers of 8 to 64 bits, float16 to float64; 1, 2 and 4 bits spread over 0 to 255; both byte orders",
        "Pillow, tifffile",
        &[
            "pictures/grey8.tif",
            "pictures/grey16.tif",
            "pictures/float.tif",
            "pictures/float64.tif",
            "pictures/bilevel.tif",
        ],
    ),
    row(
        "TIFF colour",
        "RGB side by side or in planes, palette, alpha dropped",
        "Pillow, tifffile",
        &[
            "pictures/rgb.tif",
            "pictures/planar.tif",
            "pictures/palette_pages.tif",
            "pictures/alpha16.tif",
            "pictures/grey_alpha.tif",
        ],
    ),
    row(
        "TIFF size",
        "resolution in cm or inch (x, y); ImageJ's and OME's description (x, y, z); tests/io/resolution.rs",
        "the standards",
        &["pictures/pages.tif"],
    ),
    row(
        "TIFF layouts",
        "pages, strips, tiles, BigTIFF; plain, PackBits, LZW, Deflate, CCITT group 4; predictors",
        "Pillow, tifffile",
        &["pictures/pages.tif", "pictures/tiled.tif", "pictures/big.tif"],
    ),
    Row { tolerance: 4.0, ..row("TIFF", "JPEG inside", "Pillow, within 4 of 255", &["pictures/jpeg.tif"]) },
    row("folder of pictures", "in natural order of the names", "Pillow", &["pictures/natural"]),
    row(
        "`.npy`",
        "bool, integers, float16 to float64, both byte orders, C and Fortran order, versions 1 to 3; `[rows, columns]`, \
         `[frames, rows, columns]`, `[frames, rows, columns, 3]`",
        "numpy",
        &["npy/*"],
    ),
    row(
        "DICOM series",
        "slices in the order of their places",
        "SimpleITK",
        &["dicom/shuffled", "dicom/rescaled", "dicom/implicit", "dicom/big_endian"],
    ),
    row(
        "DICOM file",
        "multi-frame, palette, YBR, RLE, deflated, modality LUT",
        "pydicom",
        &[
            "dicom/multiframe.dcm",
            "dicom/palette*",
            "dicom/ybr*",
            "dicom/rle*",
            "dicom/deflated.dcm",
            "dicom/modality_lut.dcm",
        ],
    ),
];

/// What is written: ending, what it keeps, and fixtures that come back the same.
const WRITERS: &[(&str, &str, &[&str])] = &[
    (
        ".nii",
        "every type, RGB; place and size; a place that the source does not say is not claimed (no sform, no qform)",
        &["nifti/int16_be.nii", "nifti/rgb.nii.gz", "nifti/slope.nii"],
    ),
    (".nii.gz", "the same, packed", &["nifti/float64_be.nii", "dicom/shuffled"]),
    (
        ".nrrd",
        "every type, RGB; packed; place and size; `.nhdr`: voxels in a `.raw` file beside",
        &["nifti/uint64_be.nii", "nifti/rgb.nii.gz", "dicom/shuffled", "nrrd/spacings.nrrd", "nrrd/nothing.nrrd"],
    ),
    (".nhdr", "the same, not packed, in a `.raw` file beside", &["nifti/int8_le.nii", "nrrd/float64.nrrd"]),
    (
        ".mha",
        "every type, RGB; place and size",
        &["nifti/float64_be.nii", "pictures/rgb.tif", "meta/zlib.mha", "nrrd/spacings.nrrd"],
    ),
    (".mhd", "the same, in a `.raw` file beside", &["nifti/uint16_le.nii"]),
    (".npy", "every type, colour; no place", &["nifti/uint64_be.nii", "npy/colour.npy"]),
    (
        ".tif",
        "every type, colour of 8 and 16 bits; one page per slice; size (ImageJ's scale), no place",
        &["nifti/float64_be.nii", "nifti/int8_le.nii", "pictures/rgb.tif", "dicom/palette16.dcm"],
    ),
    ("", "a folder of PNGs: 8 and 16 bit, grey and RGB; no place", &["pictures/pages.tif", "pictures/natural"]),
];

fn expected() -> serde_json::Map<String, Value> {
    let read = |name: &str| -> serde_json::Map<String, Value> {
        serde_json::from_str(&std::fs::read_to_string(data("io").join(name)).unwrap()).unwrap()
    };
    let mut all = read("expected.json");
    all.extend(read("expected_more.json"));
    all.extend(read("expected_itk.json"));
    all
}

fn values(volume: &Volume) -> Vec<f64> {
    crate::as_f64(&volume.voxels().unwrap())
}

/// Opens `name` or `name#volume`.
fn open_chosen(name: &str) -> (Volume, io::VolumeInfo) {
    let (file, volume) = name.split_once('#').unwrap_or((name, ""));
    let mut options = OpenOptions::default();
    options.volume = volume.parse().ok();
    let path = data("io").join(file);
    let request = InputRequest { input: path.clone(), volume: options.volume, ..InputRequest::default() };
    let volume = io::open(&path, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
    (volume, job::info(&request, &mut ()).unwrap())
}

fn check(name: &str, expected: &Value, tolerance: f64) {
    let (volume, info) = open_chosen(name);
    assert_eq!(serde_json::json!(info.shape), expected["shape"], "{name}: shape");
    assert_eq!(info.dtype, expected["dtype"], "{name}: type");
    assert_eq!(info.geometry_known, expected["known"], "{name}: geometry known");
    let affine: [[f64; 4]; 4] = serde_json::from_value(expected["affine"].clone()).unwrap();
    let scale = affine.iter().flatten().fold(1.0, |most: f64, v| most.max(v.abs()));
    assert!(distance(&info.affine, &affine) < 2e-6 * scale, "{name}: {:?} instead of {affine:?}", info.affine);
    let theirs = expected["values"].as_array().unwrap();
    let ours = values(&volume);
    assert_eq!(ours.len(), theirs.len(), "{name}: number of values");
    for (ours, theirs) in ours.iter().zip(theirs) {
        let theirs = theirs.as_f64().unwrap_or_else(|| theirs.as_str().unwrap().parse().unwrap());
        let off = (ours - theirs).abs();
        assert!(off <= tolerance.max(6e-8 * theirs.abs()), "{name}: {ours} instead of {theirs}");
    }
}

#[test]
fn every_row_reads_as_its_peer_does() {
    let expected = expected();
    for row in ROWS {
        for fixture in row.fixtures {
            let prefix = fixture.strip_suffix('*');
            let names: Vec<&String> = expected
                .keys()
                .filter(|name| prefix.map_or(name.as_str() == *fixture, |prefix| name.starts_with(prefix)))
                .collect();
            assert!(!names.is_empty(), "{}: no fixture {fixture}", row.format);
            names.iter().for_each(|name| check(name, &expected[*name], row.tolerance));
        }
    }
}

#[test]
fn every_fixture_has_a_row() {
    let covered = |name: &str| {
        ROWS.iter()
            .flat_map(|row| row.fixtures)
            .any(|fixture| fixture.strip_suffix('*').map_or(*fixture == name, |prefix| name.starts_with(prefix)))
    };
    for list in ["expected_more.json", "expected_itk.json"] {
        let more: serde_json::Map<String, Value> =
            serde_json::from_str(&std::fs::read_to_string(data("io").join(list)).unwrap()).unwrap();
        for name in more.keys().filter(|name| !name.contains('#')) {
            assert!(covered(name), "{name} is in no row of the table");
        }
    }
}

#[test]
fn what_is_written_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    for (ending, _, fixtures) in WRITERS {
        for (k, name) in fixtures.iter().enumerate() {
            let path = folder.path().join(format!("{k}{ending}"));
            let before = open(name);
            io::write_volume(&before, &path, &mut ()).unwrap();
            let after = io::open(&path, &OpenOptions::default()).unwrap();
            assert_eq!(values(&after), values(&before), "{name} as {ending}");
            if [".nii", ".nrrd", ".nhdr", ".mha", ".mhd"].iter().any(|placed| ending.starts_with(placed)) {
                assert_eq!(after.geometry.known, before.geometry.known, "{name} as {ending}");
                assert!(distance(&after.geometry.affine, &before.geometry.affine) < 1e-5, "{name} as {ending}");
            }
        }
    }
}

const HEAD: &str = "# Formats

Made by `tests/io/formats.rs`; do not edit. Each row is a test: its fixtures in `tests/data/io` are opened and compared with what the
peer reads from them (values, type, shape, affine).

## What reads

| format | variants | agrees with | fixtures |
|---|---|---|---|
";

const TAIL: &str = "
## Options

| option | meaning |
|---|---|
| `crop` | a region of every slice, `X,Y,W,H` in pixels or percent; the place moves with it |
| `volume` | which volume of a time series (NIfTI, NRRD, MetaImage, TIFF) or component of a voxel, from 0; without it such a file is an error that says how many there are |
| `channel` | `red` (or `first`), `green`, `blue` or `luminance`: grey slices of colour ones; a number from 0 where a TIFF holds several channels |
| `spacing` | millimetres along x, y, z for sources that do not say (pictures, `.npy`, DICOM whose PixelSpacing is missing or cannot be read), and for TIFF in place of what it says; an error for others that say it |
| `kind` | what a file without a header is: `optovue-angio`, `optovue-enface`, `optovue-oct`, `cirrus`; whether a `.vol` holds `heyex-structure` or `heyex-angio` (otherwise its name says so) |
| `layers` | a file with the layer curves of the B-scans, instead of those in the volume's own file |
| `assume_size` | `3mm`, `6x4.5mm`: the whole field, for a picture en face and for B-scans of Optovue and Cirrus that do not say |
| `columns` | A-scans of a B-scan, for a Cirrus cube whose name does not say |
| `slab`, `projection`, `subtract`, `layers_along` | the projection of a slab, or layers along a curve, instead of the B-scans ([oct.md](oct.md)) |
| `max_bytes` | most bytes of voxels in memory; 32 GiB if nothing is said |
| `lazy_bytes` | larger NIfTI, NRRD, MetaImage, `.vol`, Optovue, Cirrus and DICOM volumes and `.npy` arrays (in C order) are read slice by slice when they are used; 256 MiB if nothing is said |
| `series` | which DICOM series of several: SeriesInstanceUID, series number, or `#2` for the second in the list; `#2` also for the second image of an OME-TIFF |
| `uneven` | accept DICOM slices with gaps or unequal spacing; otherwise they are an error that names them |

## OCT devices

`tests/io/oct.rs` compares each with its peer, on the fixtures in `tests/data/io/oct`; [oct.md](oct.md) says how to work with them.

| format | variants | agrees with |
|---|---|---|
| Heidelberg `.vol` | structure (8 bits, as HEYEX shows it) and flow (float32 in 0 to 1, anything else is 0); layer curves, fundus picture, eye, angle, places of the B-scans; large ones are read B-scan by B-scan | eyepy: voxels, curves, slabs |
| HEYEX XML export | the folder, or its `.xml`: pictures of the B-scans with curves, eye, scales, places and the fundus picture | eyepy |
| Optovue, extracted (`--kind`) | flow (uint16, 160 rows), en face (float32), curves (`--layers`); `.OCT` of angiography patterns (float32, 640 rows) | oct-to-tiff |
| Zeiss Cirrus `.img` | 1024 rows of 8 bits; columns, B-scans, size and eye from the name, or `--columns`, `--assume-size` | the order of the readers of AURA and retimat; no peer on PyPI |
| OCTA-500 | folders `OCT/10301` and `OCTA/10301` of B-scans, size by the number of the sample, curves from `GT_Layers/10301.mat` above them | scipy: curves |
| layer curves (`--layers`) | MATLAB 5 to 7 `[curves, B-scans, columns]`, another `.vol`, labels of the layers with the names of a `.seg.nrrd` | scipy, eyepy |

Not read, with an error that says what to do instead: Heidelberg `.e2e`, `.sdb`; Topcon `.fda`, `.fds`; encrypted Zeiss files; MGH and MGZ;
Analyze; MATLAB volumes and MATLAB 7.3; circle and radial scans of `.vol`.

## DICOM in detail

Files, folders and DICOMDIR; single-frame, multi-frame, enhanced (per-frame groups), ophthalmic B-scans and en-face images; with and without
preamble and meta information. `tests/io/dicom.rs` compares each of these with pydicom, on the fixtures in `tests/data/dicom`: implicit, explicit,
big endian, deflated, encapsulated uncompressed, RLE, JPEG baseline, extended (8 and 12 bit) and lossless, JPEG-LS, JPEG 2000, HTJ2K, JPEG XL;
grey and colour; 1 to 64 bits, float32 and float64. DICOM's own window is kept with the volume and not applied. Large ones, packed or not,
are read and decoded slice by slice when they are used. Reports, presentation states and segmentations beside the images of a folder are
no slices; segmentations alone are.

Numbers written as text (DS, IS) are read, or named: what stands there and cannot be read is never taken for absent. Commas are understood where
they can mean one thing (`0.0058,0.0019` for two values, `-10,5` for one). Without a readable PixelSpacing the size is unknown, a warning
says why, and `spacing` gives it; a rescale value, position or number of frames that cannot be read is an error. More frames in the pixel data than
NumberOfFrames says are read, with a warning. Slices are even if they lie on one grid but for the digits that their positions are rounded to.

## TIFF in detail

z are slices. Channels and times (ImageJ's hyperstacks, OME, the shape that tifffile writes) are chosen by `channel` and `volume`; the order of OME's
`TiffData` counts. A file with times alone is a film: its times are the slices. One directory for many planes (ImageJ's large stacks) is read plane by
plane; fewer planes than the description promises are an error. Unsigned integers of a white-is-zero page are turned round, as
Pillow does, so that bright is large (tifffile leaves them); signed integers and floats have no white and stay. FillOrder 2 is obeyed for every
compression.

## The same place

Labels meet a volume or other labels in `compare`, `dice`, `&`, `|`, `-`, `==`, overlays, mask prompts, `measure` with a volume, training, exports
and DICOM Segmentations. Where both say where they lie (NIfTI, DICOM, COCO of such), the same place in millimetres counts: labels that are
stored with other axes are turned, exactly; labels elsewhere, or with other voxels, are an error that says how far apart the corners lie.
`labels.resampled(volume)` brings them there on purpose. Where one of the two says nothing (pictures, TIFF, `.npy`), voxel lies on voxel, and
only shape and pixel size must agree. Whole numbers are the centres of pixels: a slice reaches from -0.5 to its size - 0.5.

## Labels

`.nii` `.nii.gz` `.nrrd` `.nhdr` `.mha` `.mhd` `.npy`, a folder of indexed PNGs, `.tif` (tests/io/labels.rs, itk.rs, pages.rs); `.seg.nrrd` with
a name, a colour and codes for each object, as 3D Slicer shows them (segments in several layers are read, if they do not overlap); `.json`, COCO run lengths, equal to pycocotools
(coco.rs); `.dcm`, DICOM Segmentation of a DICOM source, one segment per object (seg.rs, seg_peers.rs; no errors from dciodvfy, equal voxels in
pydicom, highdicom and SimpleITK). It refers to the series that was opened, and says what it is told to:

| `host-demo segment` | script option | what it says |
|---|---|---|
| `--seg-property` | `property` | what objects are: `vessel`, `artery`, `vein`, `capillary`, `faz`, `unspecified`, or codes as 3D Slicer writes them, `SCHEME^VALUE^MEANING` for the type, `~` after a category and before a region; `2=faz` for object 2 alone |
| `--seg-fractional` | (`session.save_probabilities`) | probabilities (FRACTIONAL) instead of yes and no (BINARY) |
| `--seg-deterministic` | `deterministic` | identifiers from the content, dates from the source: equal input gives equal bytes |
| `--seg-description`, `--seg-number` | `description`, `number` | series description (`Segmentation`) and number (the source's + 1000) |
| `--seg-algorithm` | `algorithm` | algorithm name (`SAM-OCTA2`) |

What a session knows about its objects (`set_object`: name, colour, property, hidden or not) is written where there is room: names, colours and codes in
`.dcm` and `.seg.nrrd`, name, `supercategory` and `color` of COCO's categories, and beside NIfTI a label description of ITK-SNAP, `NAME.label.txt`
(number, colour, opacity, shown or not, name). Options of the call (`property: \"2=faz\"`) count before it. Where nothing is known, nothing is added.

## What does not read, and says so

1-bit, complex and 128-bit NIfTI, Analyze 7.5; animations (GIF, APNG, animated WebP); TIFF with CCITT group 3 or zstd, CIELab, tiles with
colours in planes, and LZW tiles that end at a buffer's edge (a mistake of the `tiff` crate, image-tiff issue 395); structured and complex
`.npy`. A JPEG, or anything else that was packed with loss (lossy WebP, TIFF with JPEG, such DICOM), is no labels and no mask: values near
edges are not what was drawn. A link that leads nowhere, an empty file and a pointer of git-annex or Git LFS among slices are errors. Outputs have one
of the endings above; only a name without an ending is a folder. Damaged, truncated, empty or over-claiming files give a one-line error that names the
file: `tests/io/bad.rs`, `tests/io/field.rs` and `tests/io/fuzz.rs`.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for Row { format, variants, peer, fixtures, .. } in ROWS {
        let fixtures = fixtures.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
        writeln!(page, "| {format} | {variants} | {peer} | {fixtures} |").unwrap();
    }
    page.push_str("\n## What writes\n\n| ending | keeps | comes back the same |\n|---|---|---|\n");
    for (ending, keeps, fixtures) in WRITERS {
        let ending = if ending.is_empty() { "none".to_owned() } else { format!("`{ending}`") };
        let fixtures = fixtures.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
        writeln!(page, "| {ending} | {keeps} | {fixtures} |").unwrap();
    }
    page + TAIL
}

#[test]
fn the_page_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md");
    if std::env::var_os("SAM_OCTA2_BLESS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page(), "docs/formats.md is stale: run the test with SAM_OCTA2_BLESS=1");
}

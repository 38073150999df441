//! Round trips through every writer, and what a writer must never do: half a file, another file's place, another meaning.

use crate::{as_f64, data, distance, open};
use sam_octa2_volumes::io::{self, OpenOptions};
use sam_octa2_volumes::job::{self, ConvertRequest, InputRequest};
use sam_octa2_volumes::progress::{Flow, Observer, Progress};
use sam_octa2_volumes::volume::{Geometry, Labels, Volume, Voxels};
use std::path::Path;

fn convert(name: &str, output: &Path) -> sam_octa2_volumes::Result<()> {
    convert_file(&data("io").join(name), output, &mut ())
}

fn convert_file(input: &Path, output: &Path, observer: &mut dyn Observer) -> sam_octa2_volumes::Result<()> {
    let input = InputRequest { input: input.to_owned(), ..InputRequest::default() };
    job::convert(&ConvertRequest { input, output: output.to_owned() }, observer).map(drop)
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn nifti_keeps_type_values_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "nifti/uint8_be.nii",
        "nifti/int8_le.nii",
        "nifti/uint16_be.nii",
        "nifti/int16_le.nii",
        "nifti/uint32_be.nii",
        "nifti/int32_le.nii",
        "nifti/uint64_le.nii",
        "nifti/int64_be.nii",
        "nifti/float32_be.nii",
        "nifti/float64_le.nii",
        "nifti/rgb.nii.gz",
        "nifti/packed.nii.gz",
        "nifti/qform_half_turn.nii",
        "dicom/shuffled",
        "pictures/natural",
        "nifti/two_dimensional.nii",
        "nifti/no_form.nii",
    ];
    for name in names {
        let before = open(name);
        for output in ["a.b.nii", "new/folder/a.b.nii.gz"] {
            let output = folder.path().join(output);
            convert(name, &output).unwrap();
            let after = io::open(&output, &OpenOptions::default()).unwrap();
            assert_eq!(after.voxels().unwrap(), before.voxels().unwrap(), "{name}");
            assert_eq!(
                (after.frames, after.rows, after.columns, after.channels),
                (before.frames, before.rows, before.columns, before.channels)
            );
            // NIfTI holds float32
            assert!(
                distance(&after.geometry.affine, &before.geometry.affine) < 1e-5,
                "{name}: {:?}",
                after.geometry.affine
            );
            assert_eq!(after.geometry.known, before.geometry.known, "{name}");
        }
    }
    assert_eq!(files(folder.path()), ["a.b.nii", "new"], "something was left behind");
}

#[test]
fn nifti_to_nifti_keeps_every_bit_of_the_affine() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("a.nii.gz");
    convert("nifti/slope.nii", &output).unwrap();
    assert_eq!(io::open(&output, &OpenOptions::default()).unwrap().geometry, open("nifti/slope.nii").geometry);
}

#[test]
fn written_headers_have_both_forms_in_millimetres() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["nifti/packed.nii.gz", "nifti/qform_half_turn.nii", "nifti/qform_flipped.nii", "dicom/shuffled"] {
        let output = folder.path().join("a.nii");
        convert(name, &output).unwrap();
        let mut bytes = std::fs::read(&output).unwrap();
        let code = |bytes: &[u8], at: usize| i16::from_le_bytes([bytes[at], bytes[at + 1]]);
        assert_eq!((code(&bytes, 252), code(&bytes, 254), bytes[123]), (1, 1, 2), "{name}: qform, sform, unit");
        // without the sform, the qform alone says the same
        bytes[254] = 0;
        std::fs::write(&output, &bytes).unwrap();
        let qform = io::open(&output, &OpenOptions::default()).unwrap().geometry;
        assert!(distance(&qform.affine, &open(name).geometry.affine) < 1e-5, "{name}: {:?}", qform.affine);
    }
}

/// Or whoever measures the labels of pictures takes a pixel for a millimetre.
#[test]
fn a_place_that_is_not_known_is_not_claimed() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("a.nii");
    for (name, unit) in [("pictures/natural", 0), ("npy/float64.npy", 0), ("nifti/no_form.nii", 2)] {
        let volume = open(name);
        let labels = Labels::empty_like(&volume);
        io::write_labels(&labels, &output).unwrap();
        let bytes = std::fs::read(&output).unwrap();
        assert_eq!((&bytes[252..256], bytes[123]), (&[0; 4][..], unit), "{name}: qform and sform, unit");
        assert_eq!(io::read_labels(&output).unwrap().geometry, volume.geometry, "{name}");
    }
}

#[test]
fn sheared_axes_are_written_without_qform() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("a.nii");
    let sheared = [[1.0, 0.5, 0.0, 3.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
    let volume =
        Volume::new([1, 2, 2, 1], Voxels::U8(vec![1, 2, 3, 4]), Geometry::from_affine(sheared), "npy").unwrap();
    io::write_volume(&volume, &output, &mut ()).unwrap();
    assert_eq!(std::fs::read(&output).unwrap()[252], 0);
    assert_eq!(io::open(&output, &OpenOptions::default()).unwrap().geometry.affine, sheared);
}

#[test]
fn npy_keeps_shape_type_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("a.npy");
    for name in
        ["nifti/float64_be.nii", "nifti/uint64_le.nii", "nifti/rgb.nii.gz", "dicom/rescaled", "pictures/grey16.png"]
    {
        convert(name, &output).unwrap();
        let (before, after) = (open(name), io::open(&output, &OpenOptions::default()).unwrap());
        assert_eq!(after.voxels().unwrap(), before.voxels().unwrap(), "{name}");
        assert_eq!(
            (after.frames, after.rows, after.columns, after.channels),
            (before.frames, before.rows, before.columns, before.channels)
        );
    }
}

#[test]
fn pngs_keep_8_and_16_bits_grey_and_colour() {
    let folder = tempfile::tempdir().unwrap();
    for (i, name) in
        ["pictures/natural", "pictures/pages.tif", "dicom/rgb.dcm", "dicom/palette16.dcm", "nifti/uint16_be.nii"]
            .iter()
            .enumerate()
    {
        let output = folder.path().join(i.to_string());
        convert(name, &output).unwrap();
        let (before, after) = (open(name), io::open(&output, &OpenOptions::default()).unwrap());
        assert_eq!(after.voxels().unwrap(), before.voxels().unwrap(), "{name}");
        assert_eq!(files(&output), (0..before.frames).map(|frame| format!("{frame:05}.png")).collect::<Vec<_>>());
    }
}

#[test]
fn other_types_are_never_squeezed_into_png() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["nifti/float32_le.nii", "nifti/int16_le.nii", "nifti/uint32_be.nii"] {
        let error = convert(name, &folder.path().join("stack")).unwrap_err().to_string();
        assert!(error.contains(".nii.gz or .npy") && error.contains("stack"), "{error}");
    }
    assert!(files(folder.path()).is_empty());
}

#[test]
fn sixteen_bit_colour_has_no_place_in_nifti() {
    let folder = tempfile::tempdir().unwrap();
    let error = convert("dicom/palette16.dcm", &folder.path().join("a.nii")).unwrap_err().to_string();
    assert!(error.contains("colour of type uint16") && error.contains(".npy"), "{error}");
}

#[test]
fn unknown_endings_are_no_folders() {
    let folder = tempfile::tempdir().unwrap();
    let error = convert("nifti/slope.nii", &folder.path().join("a.mgz")).unwrap_err().to_string();
    assert!(error.contains(".mgz"), "{error}");
}

#[test]
fn a_png_folder_replaces_only_its_own_kind() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("stack");
    convert("pictures/natural", &output).unwrap();
    convert("pictures/pages.tif", &output).unwrap();
    assert_eq!(files(&output), ["00000.png", "00001.png", "00002.png"], "the previous stack is gone");
    // a picture that the user put there, even under our kind of name
    std::fs::copy(data("io/pictures/grey8.png"), output.join("00003.png")).unwrap();
    let error = convert("pictures/natural", &output).unwrap_err().to_string();
    assert!(error.contains("00003.png") && error.contains("new folder"), "{error}");
    assert_eq!(files(&output).len(), 4, "nothing was touched");
    assert_eq!(files(folder.path()), ["stack"], "something was left behind");
}

#[test]
fn the_input_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.nii");
    std::fs::copy(data("io/nifti/slope.nii"), &file).unwrap();
    let stack = folder.path().join("stack");
    convert("pictures/natural", &stack).unwrap();
    let before = std::fs::read(&file).unwrap();
    for (input, output) in [
        (file.clone(), file.clone()),
        (file.clone(), folder.path().join("stack/../a.nii")),
        (stack.clone(), stack.clone()),
        (stack.join("00000.png"), stack.clone()),
    ] {
        let error = convert_file(&input, &output, &mut ()).unwrap_err().to_string();
        assert!(error.contains("overwrite the input"), "{error}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn a_cancelled_run_leaves_the_previous_result() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("stack");
    convert("pictures/pages.tif", &output).unwrap();
    let mut stop = |p: Progress<'_>| if p.stage == "write" && p.done == 5 { Flow::Cancel } else { Flow::Continue };
    let error = convert_file(&data("io/pictures/natural"), &output, &mut stop).unwrap_err();
    assert_eq!(error.code(), "cancelled");
    assert_eq!(files(&output).len(), 3);
    assert_eq!(files(folder.path()), ["stack"]);
}

#[test]
fn a_failed_run_leaves_the_previous_result() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("a.npy");
    convert("nifti/slope.nii", &output).unwrap();
    let before = std::fs::read(&output).unwrap();
    convert("bad/truncated.nii.gz", &output).unwrap_err();
    assert_eq!(std::fs::read(&output).unwrap(), before);
    assert_eq!(files(folder.path()), ["a.npy"]);
}

#[cfg(unix)]
#[test]
fn results_have_the_usual_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain"), "").unwrap();
    std::fs::create_dir(folder.path().join("plain_folder")).unwrap();
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    convert("pictures/natural", &folder.path().join("a.nii.gz")).unwrap();
    convert("pictures/natural", &folder.path().join("stack")).unwrap();
    assert_eq!(mode("a.nii.gz"), mode("plain"));
    assert_eq!(mode("stack"), mode("plain_folder"));
}

#[test]
fn the_demo_volume_opens() {
    let volume = io::open(data("demo/volume.nii.gz"), &OpenOptions::default()).unwrap();
    assert_eq!((volume.frames, volume.rows, volume.columns, volume.dtype()), (12, 256, 256, "uint8"));
    let text = std::fs::read_to_string(data("demo/prompts.json")).unwrap();
    let prompts: sam_octa2_volumes::prompts::PromptFile = serde_json::from_str(&text).unwrap();
    // the vessel's click lies on something bright, the click on the avascular zone on something dark
    let values = as_f64(&volume.voxels().unwrap());
    let around = |[x, y]: [f32; 2]| {
        let square =
            (-2..=2).flat_map(|dy| (-2..=2).map(move |dx| ((y as i32 + dy) as usize, (x as i32 + dx) as usize)));
        square.map(|(row, column)| values[row * 256 + column]).sum::<f64>() / 25.0
    };
    let clicks: Vec<[f32; 2]> = prompts.objects.iter().map(|object| object.prompts[0].points[0]).collect();
    assert!(around(clicks[0]) > 120.0 && around(clicks[1]) < 30.0, "{} {}", around(clicks[0]), around(clicks[1]));
}

#[test]
fn endings_that_are_not_written_name_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let volume = open("pictures/natural");
    for ending in
        ["png", "jpg", "JPEG", "bmp", "webp", "gif", "hdr", "img", "gz", "hdr.gz", "dicom", "mgz", "seg", "npz"]
    {
        let path = folder.path().join(format!("a.{ending}"));
        for error in [io::write_volume(&volume, &path, &mut ()), io::check_label_output(&path, &Default::default())] {
            let error = error.unwrap_err().to_string();
            for written in [".nii", ".nii.gz", ".npy", ".tif", "folder", ".dcm", ".json"] {
                assert!(
                    error.contains(&format!("{written},"))
                        || error.contains(&format!("{written} "))
                        || error.ends_with(written),
                    "{error}"
                );
            }
        }
    }
    assert!(files(folder.path()).is_empty());
}

#[test]
fn every_ending_that_the_pages_promise_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let page = |name: &str| std::fs::read_to_string(data("../..").join(name)).unwrap();
    let (commands, formats) = (page("docs/commands.md"), page("docs/formats.md"));
    let manifest: serde_json::Value = serde_json::from_str(&page("plugin/libsam_octa2.json")).unwrap();
    let volume = open("pictures/natural");
    let endings = [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".npy", ".tif"];
    for ending in endings {
        assert!(commands.contains(&format!("`{ending}`")) && formats.contains(&format!("| `{ending}` |")), "{ending}");
        for list in ["reads", "writes"] {
            assert!(manifest[list].as_array().unwrap().contains(&ending.into()), "{list} lacks {ending}");
        }
        io::write_volume(&volume, folder.path().join(format!("a{ending}")), &mut ()).unwrap();
    }
    let promised = formats.split("## What writes").nth(1).unwrap().split("##").next().unwrap();
    assert_eq!(promised.matches("\n| `").count(), endings.len(), "{promised}");
}

//! DICOM Segmentations from the command line and from scripts: what is asked for is in the file, and mistakes are named.

use crate::util::{Host, Ran};
use std::path::{Path, PathBuf};

fn data(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name).display().to_string()
}

/// A host whose folder holds masks of two objects on slice 0 of `io/seg/ct`, and prompts with them.
fn host() -> Host {
    let host = Host::new();
    for (name, column) in [("one.png", 1), ("two.png", 5)] {
        let mut mask = image::GrayImage::new(7, 6);
        (0..6).for_each(|row| mask.put_pixel(column, row, image::Luma([255])));
        mask.save(host.path(name)).unwrap();
    }
    let object = |id: u32, mask: &str| format!(r#"{{"id": {id}, "prompts": [{{"frame": 0, "mask": "{mask}"}}]}}"#);
    host.file("p.json", format!(r#"{{"objects": [{}, {}]}}"#, object(1, "one.png"), object(2, "two.png")));
    host
}

fn segment(host: &Host, more: &[&str]) -> Ran {
    let (input, model, config) = (data("io/seg/ct"), data("parity/mini21.pt"), data("parity/mini21.yaml"));
    let arguments = ["segment", &input, "--prompts", "p.json", "--model", &model, "--model-config", &config];
    host.run(&[&arguments, more].concat())
}

fn holds(path: &Path, texts: &[&str]) {
    let bytes = std::fs::read(path).unwrap();
    for text in texts {
        assert!(bytes.windows(text.len()).any(|window| window == text.as_bytes()), "no {text} in {}", path.display());
    }
}

const DESCRIPTION: [&str; 11] = [
    "--seg-property",
    "vessel",
    "--seg-property",
    "2=SCT^309825002^Spatial and Relational Concept~99X^ZONE^Some zone",
    "--seg-deterministic",
    "--seg-description",
    "Vessels and a zone",
    "--seg-number",
    "4711",
    "--seg-algorithm",
    "mine 3.1",
];

#[test]
fn the_command_line_describes_a_segmentation() {
    let host = host();
    segment(&host, &[&["--out", "a.dcm"], &DESCRIPTION[..]].concat()).ok();
    segment(&host, &[&["--out", "b.dcm"], &DESCRIPTION[..]].concat()).ok();
    let texts = ["BINARY", "Blood Vessel", "Some zone", "99X", "Vessels and a zone", "4711", "mine 3.1"];
    holds(&host.path("a.dcm"), &texts);
    assert_eq!(std::fs::read(host.path("a.dcm")).unwrap(), std::fs::read(host.path("b.dcm")).unwrap());
    segment(&host, &["--out", "f.dcm", "--seg-fractional", "--seg-property", "faz"]).ok();
    holds(&host.path("f.dcm"), &["FRACTIONAL", "PROBABILITY", "Foveal avascular zone"]);
}

#[test]
fn mistakes_are_found_before_the_work() {
    let host = host();
    let fails = |more: &[&str], texts: &[&str]| drop(segment(&host, more).fails_with(texts));
    fails(&["--out", "a.dcm", "--seg-property", "vesel"], &["did you mean `vessel`?"]);
    fails(&["--out", "a.dcm", "--seg-property", "SCT^1"], &["is no code", "SCT^59820001^Blood Vessel"]);
    fails(&["--out", "a.dcm", "--seg-description", ""], &["series description"]);
    fails(&["--out", "l.nii.gz", "--seg-fractional"], &["needs an output that ends in .dcm", "l.nii.gz"]);
    fails(&["--overlay", "o.png", "--seg-number", "3"], &["needs an output that ends in .dcm"]);
    assert!(!host.path("a.dcm").exists());
}

#[test]
fn scripts_describe_a_segmentation() {
    let host = host();
    let head = format!(
        r##"let volume = open_volume("{}", #{{series: "#1"}});
let session = new_session(volume, load_model("{}", #{{config: "{}"}}));
session.prompts("p.json");
"##,
        data("io/seg/ct"),
        data("parity/mini21.pt"),
        data("parity/mini21.yaml")
    );
    let script = r#"
let options = #{property: ["vessel", "2=faz"], description: "Two", number: 12, algorithm: "mine", deterministic: true};
session.labels().save("a.dcm", options);
session.save_probabilities("f.dcm", options);
session.save_probabilities("f.nii.gz");
session.labels().save("c.dcm", #{property: "capillary"});
"#;
    let allowed = data("");
    let allow = ["--allow", allowed.as_str()];
    host.script(&format!("{head}{script}"), &allow).ok();
    holds(&host.path("a.dcm"), &["BINARY", "Blood Vessel", "Foveal avascular zone", "Two", "mine"]);
    holds(&host.path("f.dcm"), &["FRACTIONAL", "Blood Vessel", "Two"]);
    holds(&host.path("c.dcm"), &["Capillary"]);
    assert!(host.run(&["info", "f.nii.gz"]).code == Some(1), "two objects are two volumes");
    host.run(&["info", "f.nii.gz", "--volume", "1"]).ok();
    for (call, texts) in [
        (
            r#"session.labels().save("x.dcm", #{proprety: "vessel"})"#,
            ["save: unknown option `proprety`", "`property`?"],
        ),
        (r#"session.labels().save("x.dcm", #{property: "fza"})"#, ["\"fza\"", "did you mean `faz`?"]),
        (r#"session.labels().save("x.nii", #{property: "faz"})"#, ["needs an output that ends in .dcm", "x.nii"]),
        (r#"session.save_probabilities("x.npy")"#, ["probabilities are written as", ".nii.gz"]),
    ] {
        host.script(&format!("{head}{call}"), &allow).fails_with(&texts);
    }
}

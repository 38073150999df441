//! The tasks `vessels` and `measure` on files.

use sam_octa2_volumes::io::{read_labels, write_labels};
use sam_octa2_volumes::job::{MeasureRequest, VesselsRequest, measure, vessels};
use sam_octa2_volumes::volume::{Geometry, Labels};
use serde_json::{Value, json};
use std::path::Path;

fn labels(frames: usize, inside: impl Fn(usize, usize, usize) -> u16) -> Labels {
    let at = |i: usize| inside(i / 1024, i / 32 % 32, i % 32);
    let geometry = Geometry::from_spacing([0.1, 0.1, 0.01], true);
    Labels { frames, rows: 32, columns: 32, data: (0..frames * 1024).map(at).collect(), geometry }
}

fn written(folder: &Path, name: &str, labels: &Labels) -> String {
    let path = folder.join(name);
    write_labels(labels, &path).unwrap();
    path.display().to_string()
}

fn ask<T: serde::de::DeserializeOwned>(request: Value) -> T {
    serde_json::from_value(request).unwrap()
}

#[test]
fn a_mask_becomes_vessels_layer_by_layer() {
    let folder = tempfile::tempdir().unwrap();
    let mask = written(folder.path(), "mask.npy", &labels(1, |_, y, x| u16::from(x == 5 || (x == 20 && y > 3))));
    let regions = written(folder.path(), "regions.npy", &labels(3, |z, y, _| u16::from(z > 0 && y > 8)));
    let erased = written(folder.path(), "erased.npy", &labels(1, |_, _, x| u16::from(x > 10)));
    let out = folder.path().join("out.nii.gz");
    let request = json!({"map": mask, "regions": regions, "least_on_layer": 5, "output": out, "picture": folder.path().join("map.png")});
    let report = vessels(&ask::<VesselsRequest>(request.clone()), &mut ()).unwrap();
    assert_eq!((report.vessels.len(), report.layers, report.vessels[0].pixels), (2, 3, 46));
    assert!(report.to_string().starts_with("2 vessels on 3 slices"));
    let reply = read_labels(&out).unwrap();
    assert_eq!((reply.frames_of(1), reply.frames_of(2), reply.area(1, 2).unwrap()), (vec![1, 2], vec![1, 2], 23));
    assert!(folder.path().join("map.png").is_file());
    let mut less = request.clone();
    less["erased"] = json!(erased);
    vessels(&ask::<VesselsRequest>(less.clone()), &mut ()).unwrap();
    assert_eq!(read_labels(&out).unwrap().objects(), [1]);
    less["regions"] = Value::Null;
    let refused = |request: Value| vessels(&ask::<VesselsRequest>(request), &mut ()).unwrap_err().to_string();
    assert!(refused(less).contains("`regions`"));
    assert!(refused(json!({"map": mask, "output": mask})).contains("overwrite"));
    assert!(refused(json!({"map": mask, "coloured": true, "output": out})).contains("coloured map"));
}

#[test]
fn a_measurement_writes_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let zone = |y: usize, x: usize| y.abs_diff(16).pow(2) + x.abs_diff(16).pow(2) < 30;
    let both = labels(2, |z, y, x| if zone(y, x) { 7 } else { u16::from(x % 8 == 1 && z == 0) });
    let path = written(folder.path(), "both.nii.gz", &both);
    let out = |name: &str| folder.path().join(name);
    let request = json!({"labels": path, "faz_object": 7, "options": {"eye": "right", "diameters_mm": [1.0, 3.0]},
        "write": {"csv": out("t.csv"), "json": out("t.json"), "html": out("t.html")}});
    let report = measure(&ask::<MeasureRequest>(request.clone()), &mut ()).unwrap();
    assert_eq!((report.centre, report.centre_from, report.layers.len()), ([16.0, 16.0], "faz", 2));
    let text = |name: &str| std::fs::read_to_string(out(name)).unwrap();
    let reply: Value = serde_json::from_str(&text("t.json")).unwrap();
    assert!(reply["projected"]["regions"].as_array().unwrap().iter().any(|region| region["region"] == "inner_nasal"));
    assert!(
        reply["layers"][1]["regions"].as_array().unwrap().is_empty()
            && reply["layers"][1]["faz"]["area_mm2"].is_number()
    );
    assert!(text("t.csv").starts_with("layer,region,region_mm2,coverage,vessel_area_density"));
    assert_eq!(text("t.html").matches("data:image/png;base64,").count(), 2);
    let refused = |more: Value| {
        let mut asked = request.clone();
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        measure(&ask::<MeasureRequest>(asked), &mut ()).unwrap_err().to_string()
    };
    let absent = measure(&ask::<MeasureRequest>(json!({"labels": path, "faz_object": 3})), &mut ()).unwrap();
    assert!(absent.projected.faz.is_none() && absent.notes.iter().any(|note| note.contains('3')), "{:?}", absent.notes);
    assert!(refused(json!({"faz": path})).contains("either"));
    assert!(refused(json!({"options": {"diameters_mm": [3.0, 1.0]}})).contains("ascending"));
    assert!(refused(json!({"options": {"spacing": [0.0, 1.0, 1.0]}})).contains("not positive"));
    let unplaced = |geometry| Labels { geometry, ..both.clone() };
    for name in ["bare.npy", "bare.nii"] {
        let bare = written(folder.path(), name, &unplaced(Geometry::unknown()));
        assert!(refused(json!({"labels": bare})).contains("give `spacing`"), "{name}");
    }
    // as of a DICOM picture without a position
    let sized = written(folder.path(), "sized.nii", &unplaced(Geometry::from_spacing([0.1, 0.1, 0.01], false)));
    let again = measure(&ask::<MeasureRequest>(json!({"labels": sized, "faz_object": 7})), &mut ()).unwrap();
    assert_eq!(again.projected.faz.unwrap().area_mm2, report.projected.faz.as_ref().unwrap().area_mm2);
    assert!(serde_json::from_value::<MeasureRequest>(json!({"labels": path, "object": 3})).is_err());
}

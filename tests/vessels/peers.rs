//! Numbers equal to those of the peers.

use crate::data;
use sam_octa2_volumes::io::read_mask;
use sam_octa2_volumes::measure::octa::{Region, VesselMeasures, Vessels, Zone};
use sam_octa2_volumes::measure::{Grid, boundary};
use sam_octa2_volumes::vessels::{Graph, skeleton};
use serde_json::Value;

fn peers() -> Value {
    serde_json::from_str(&std::fs::read_to_string(data("measure/peers.json")).unwrap()).unwrap()
}

fn slice(name: &str, spacing: &Value) -> Grid {
    let (rows, columns, inside) = read_mask(data("measure").join(name).with_extension("png")).unwrap();
    let mm = |axis: usize| spacing[axis].as_f64().unwrap();
    Grid { shape: [1, rows, columns], spacing: [1.0, mm(0), mm(1)], inside }
}

fn close(what: &str, ours: f64, theirs: &Value, tolerance: f64) {
    let theirs = theirs.as_f64().unwrap_or_else(|| panic!("{what}: {theirs}"));
    assert!((ours - theirs).abs() <= tolerance * theirs.abs(), "{what}: {ours} and {theirs}");
}

fn measured(grid: Grid) -> VesselMeasures {
    let pixels = vec![true; grid.inside.len()];
    Vessels::of(grid).measure(&Region { name: "whole".into(), pixels, coverage: 1.0 })
}

#[test]
fn the_skeleton_is_scikit_images() {
    let peers = peers();
    for (name, reply) in peers["vessels"].as_object().unwrap() {
        let mask = slice(name, &peers["spacing"]);
        let hex = reply["skeleton"].as_str().unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        let theirs = (0..mask.inside.len()).map(|at| byte(at / 8) >> (7 - at % 8) & 1 == 1).collect::<Vec<_>>();
        assert!(skeleton(&mask).inside == theirs, "{name}");
        assert_eq!(boundary(&mask).count() as u64, reply["edge_pixels"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn lengths_and_calibres_are_skans_and_scipys() {
    let peers = peers();
    for (name, reply) in peers["vessels"].as_object().unwrap() {
        for (which, spacing) in [("", &peers["spacing"]), ("_uneven", &peers["uneven"])] {
            let ours = measured(slice(name, spacing));
            close(name, ours.length_mm, &reply[format!("length{which}_mm")], 1e-9);
            close(name, ours.calibre_um.unwrap() / 1000.0, &reply[format!("calibre{which}_mm")], 1e-9);
        }
        let ours = measured(slice(name, &peers["spacing"]));
        let counts = [ours.end_points, ours.branch_points].map(|n| n as u64);
        assert_eq!(counts, ["ends", "junctions"].map(|key| reply[key].as_u64().unwrap()), "{name}");
        let graph = Graph::of(&skeleton(&slice(name, &peers["spacing"])));
        let together: f64 = graph.branches.iter().map(|branch| branch.length).sum();
        assert!((together - ours.length_mm).abs() < 1e-9, "{name}: branches are {together} of {}", ours.length_mm);
    }
}

/// Which of several equally short trees joins the pixels of a junction is open; ends of branches may differ by a pixel.
#[test]
fn tortuosity_is_skans_and_pvbms() {
    let peers = peers();
    for name in ["tree", "web"] {
        let reply = &peers["vessels"][name];
        let ours = measured(slice(name, &peers["spacing"]));
        close(name, ours.branches as f64, &reply["skan_branches"], 0.05);
        close(name, ours.tortuosity_mean.unwrap(), &reply["skan_tortuosity_mean"], 0.01);
        close(name, ours.tortuosity_median.unwrap(), &reply["skan_tortuosity_median"], 0.01);
        close(name, ours.tortuosity_median.unwrap(), &reply["pvbm_tortuosity_median"], 0.02);
    }
}

#[test]
fn a_zone_measures_as_in_scikit_image() {
    let peers = peers();
    for (name, reply) in peers["faz"].as_object().unwrap() {
        for (which, spacing) in [("", &peers["spacing"]), ("_uneven", &peers["uneven"])] {
            let ours = Zone::of(&slice(name, spacing)).unwrap();
            let of = |key: &str| &reply[format!("{key}{which}_mm")];
            close(name, ours.area_mm2, &reply[format!("area{which}_mm2")], 1e-9);
            close(name, ours.major_axis_mm, of("major"), 1e-9);
            close(name, ours.minor_axis_mm, of("minor"), 1e-9);
            close(name, ours.equivalent_diameter_mm, of("equivalent"), 1e-9);
            close(name, ours.perimeter_polygon_mm, of("polygon"), 1e-9);
            let mm = |axis: usize| spacing[axis].as_f64().unwrap();
            close(name, ours.centre_y * mm(0), &of("centroid")[0], 1e-9);
            close(name, ours.centre_x * mm(1), &of("centroid")[1], 1e-9);
        }
        let ours = Zone::of(&slice(name, &peers["spacing"])).unwrap();
        close(name, ours.perimeter_crofton_mm, &reply["crofton_mm"], 1e-9);
    }
}

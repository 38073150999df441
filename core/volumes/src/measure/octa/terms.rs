//! How measures are called where people read them: a name, its unit and one line each (definitions and sources: docs/measurements.md).

/// One measure for people.
#[derive(Debug, Clone, Copy)]
pub struct Term {
    /// as in tables
    pub key: &'static str,
    /// as a paper calls it
    pub name: &'static str,
    /// of the number that is shown; nothing for ratios
    pub unit: &'static str,
    /// what the number is multiplied by to have this unit
    pub factor: f64,
    /// what it is, in one line
    pub about: &'static str,
}

const fn term(key: &'static str, name: &'static str, unit: &'static str, factor: f64, about: &'static str) -> Term {
    Term { key, name, unit, factor, about }
}

/// Measures of vessels that a page shows, the most used first; tables have all of them.
pub const VESSELS: [Term; 7] = [
    term("vessel_area_density", "Vessel area density", "%", 100.0, "share of the region that vessels cover"),
    term("length_density_per_mm", "Vessel length density", "mm⁻¹", 1.0, "length of the centre lines per area"),
    term("calibre_um", "Mean calibre", "µm", 1.0, "mean width of vessels along their centre lines"),
    term("diameter_index_um", "Diameter index", "µm", 1.0, "vessel area over length of the skeleton"),
    term(
        "tortuosity_median",
        "Tortuosity",
        "",
        1.0,
        "length of a branch over the distance of its ends, median; 1: straight",
    ),
    term("branch_points_per_mm2", "Branch points", "mm⁻²", 1.0, "places where three or more lines meet, per area"),
    term(
        "fractal_skeleton",
        "Fractal dimension",
        "",
        1.0,
        "box counting of the skeleton; 1: a line, 2: fills the plane",
    ),
];

/// Measures of the zone that a page shows.
pub const ZONE: [Term; 6] = [
    term("area_mm2", "Area", "mm²", 1.0, "of the avascular zone, holes filled"),
    term("perimeter_crofton_mm", "Perimeter", "mm", 1.0, "by Crofton's formula"),
    term(
        "circularity_crofton",
        "Circularity",
        "",
        1.0,
        "4π area over perimeter squared; 1: a circle, smaller: irregular",
    ),
    term(
        "acircularity_crofton",
        "Acircularity index",
        "",
        1.0,
        "perimeter over that of a circle of this area; 1: a circle",
    ),
    term("axis_ratio", "Axis ratio", "", 1.0, "long over short axis of the ellipse with the same moments"),
    term("equivalent_diameter_mm", "Equivalent diameter", "mm", 1.0, "of a circle of this area"),
];

/// Measures whose bias is known from labelled images.
pub const VALIDATED: [Term; 4] = [
    term("vessel_area_density", "vessel area", "%", 100.0, ""),
    term("length_density_per_mm", "vessel length", "%", 100.0, ""),
    term("calibre_um", "calibre", "%", 100.0, ""),
    term("faz_area_mm2", "FAZ area", "%", 100.0, ""),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::octa::{VesselMeasures, Zone};

    #[test]
    fn every_term_is_a_measure() {
        assert!(VESSELS.iter().all(|term| VesselMeasures::NAMES.contains(&term.key)));
        assert!(ZONE.iter().all(|term| Zone::NAMES.contains(&term.key)));
        let known = |key: &str| VesselMeasures::NAMES.contains(&key) || key == "faz_area_mm2";
        assert!(VALIDATED.iter().all(|term| known(term.key)));
    }
}

//! The foveal avascular zone in numbers (definitions: docs/measurements.md).

use super::fields::measures;
use super::perimeter::{crofton, polygon};
use crate::measure::{Connectivity, Grid, components, fill_holes};
use std::f64::consts::PI;

measures! {
    /// The zone: its largest part, with holes filled.
    Zone {
        /// pixels times their size
        area_mm2: f64,
        /// parts that do not touch by a face; more than one is worth a look
        parts: usize,
        /// by Crofton's formula, four directions
        perimeter_crofton_mm: f64,
        /// of the polygon at half height
        perimeter_polygon_mm: f64,
        /// 4πA/P², 1 for a circle and less for anything else, with the first perimeter
        circularity_crofton: f64,
        /// the same with the second perimeter
        circularity_polygon: f64,
        /// P/(2√(πA)), 1 for a circle and more for anything else, with the first perimeter
        acircularity_crofton: f64,
        /// the same with the second perimeter
        acircularity_polygon: f64,
        /// long axis of the ellipse with the same second moments
        major_axis_mm: f64,
        /// its short axis
        minor_axis_mm: f64,
        /// long axis through short axis (Krawitz 2017)
        axis_ratio: Option<f64>,
        /// short axis through long axis, as others print it
        axis_ratio_inverse: Option<f64>,
        /// 4A/(π major²)
        roundness: Option<f64>,
        /// diameter of a circle of this area
        equivalent_diameter_mm: f64,
        /// its centre, pixels from the left
        centre_x: f64,
        /// pixels from the top
        centre_y: f64,
    }
}

/// The largest part of a slice with its holes filled; nothing where the slice is empty.
pub(super) fn largest(slice: &Grid) -> Option<(Grid, usize)> {
    let (labels, sizes) = components(slice, Connectivity::Faces);
    let most = (0..sizes.len()).rev().max_by_key(|&part| sizes[part])?;
    let inside = labels.iter().map(|&label| label as usize == most + 1).collect();
    Some((fill_holes(&Grid { inside, ..slice.clone() }), sizes.len()))
}

impl Zone {
    /// Measures one slice; nothing where it has no zone.
    pub fn of(slice: &Grid) -> Option<Self> {
        let (zone, parts) = largest(slice)?;
        let area = zone.count() as f64 * zone.pixel_mm2();
        let (centre, [major, minor]) = axes(&zone);
        let perimeters = [crofton(&zone), polygon(&zone)];
        let circularity = perimeters.map(|perimeter| 4.0 * PI * area / (perimeter * perimeter));
        let ratio = |a: f64, b: f64| (b > 0.0).then(|| a / b);
        let zone = Self {
            area_mm2: area,
            parts,
            perimeter_crofton_mm: perimeters[0],
            perimeter_polygon_mm: perimeters[1],
            circularity_crofton: circularity[0],
            circularity_polygon: circularity[1],
            acircularity_crofton: circularity[0].sqrt().recip(),
            acircularity_polygon: circularity[1].sqrt().recip(),
            major_axis_mm: major,
            minor_axis_mm: minor,
            axis_ratio: ratio(major, minor),
            axis_ratio_inverse: ratio(minor, major),
            roundness: ratio(4.0 * area, PI * major * major),
            equivalent_diameter_mm: 2.0 * (area / PI).sqrt(),
            centre_x: centre[1],
            centre_y: centre[0],
        };
        Some(zone.tidy())
    }
}

/// Centre in pixels (row, column), and the axes of the ellipse with the same second moments in millimetres, as scikit-image's `regionprops`.
fn axes(zone: &Grid) -> ([f64; 2], [f64; 2]) {
    let [_, _, columns] = zone.shape;
    let [_, dy, dx] = zone.spacing;
    let places = || zone.inside.iter().enumerate().filter(|(_, inside)| **inside);
    let places = || places().map(|(at, _)| [(at / columns) as f64, (at % columns) as f64]);
    let count = places().count() as f64;
    let centre = [0, 1].map(|axis| places().map(|place| place[axis]).sum::<f64>() / count);
    let moment = |a: usize, b: usize| {
        let product = |place: [f64; 2]| (place[a] - centre[a]) * (place[b] - centre[b]);
        let step = [dy, dx];
        places().map(product).sum::<f64>() / count * step[a] * step[b]
    };
    let (yy, xx, xy) = (moment(0, 0), moment(1, 1), moment(0, 1));
    let spread = ((yy - xx) / 2.0).hypot(xy);
    let axis = |value: f64| 4.0 * value.max(0.0).sqrt();
    (centre, [axis((yy + xx) / 2.0 + spread), axis((yy + xx) / 2.0 - spread)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specks_and_holes_do_not_count() {
        let mut inside = vec![false; 100];
        (20..70).filter(|at| at % 10 < 5).for_each(|at| inside[at] = true);
        inside[42] = false;
        inside[99] = true;
        let zone = Zone::of(&Grid { shape: [1, 10, 10], spacing: [1.0, 0.1, 0.1], inside }).unwrap();
        assert!((zone.area_mm2 - 0.25).abs() < 1e-12 && zone.parts == 2, "{zone:?}");
        assert_eq!((zone.centre_x, zone.centre_y, zone.axis_ratio), (2.0, 4.0, Some(1.0)));
        assert!((zone.acircularity_crofton.powi(-2) - zone.circularity_crofton).abs() < 1e-12);
        assert!(Zone::of(&Grid { shape: [1, 1, 1], spacing: [1.0; 3], inside: vec![false] }).is_none());
        let dot = Zone::of(&Grid { shape: [1, 1, 1], spacing: [1.0; 3], inside: vec![true] }).unwrap();
        assert_eq!((dot.axis_ratio, dot.area_mm2), (None, 1.0));
    }
}

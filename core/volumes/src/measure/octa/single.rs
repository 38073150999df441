//! Vessel by vessel: where each lies and what it measures, seen from the front (definitions: docs/measurements.md).

use super::fields::measures;
use super::sectors::Region;
use super::vessel::Vessels;
use crate::measure::Grid;
use crate::progress::check;
use crate::volume::Labels;
use crate::{Error, Result};

measures! {
    /// One vessel: an object of the labels.
    SingleVessel {
        /// its number in the labels
        vessel: usize,
        /// the first layer that shows it
        first_layer: usize,
        /// the last layer that shows it
        last_layer: usize,
        /// layers that show it
        layers: usize,
        /// from the first of them to the last, both included, in micrometres; none in a single slice, which has no depth
        depth_um: Option<f64>,
        /// seen from the front
        area_mm2: f64,
        /// of its centre lines
        length_mm: f64,
        /// twice the distance to the outside, mean over the skeleton
        calibre_um: Option<f64>,
        /// arc through chord of branches longer than 10 pixels, mean
        tortuosity_mean: Option<f64>,
        /// places where three or more lines meet
        branch_points: usize,
    }
}

/// Every vessel of labels, by number; `[x, y, z]` are the millimetres between pixels.
pub(super) fn single_vessels(labels: &Labels, [x, y, z]: [f64; 3]) -> Result<Vec<SingleVessel>> {
    let map = boxes(labels);
    let mut vessels = Vec::with_capacity(map.len());
    for (number, place) in map {
        check()?;
        vessels.push(measured(labels, number, &place, [x, y, z]));
    }
    Ok(vessels)
}

/// Where an object lies: slices, rows and columns, both ends included, and how many slices show it.
struct Extent {
    low: [usize; 3],
    high: [usize; 3],
    layers: usize,
    last: Option<usize>,
}

/// The extent of every object, by number.
fn boxes(labels: &Labels) -> std::collections::BTreeMap<u16, Extent> {
    let mut found = std::collections::BTreeMap::<u16, Extent>::new();
    for frame in 0..labels.frames {
        for (at, &label) in labels.frame(frame).iter().enumerate().filter(|(_, label)| **label != 0) {
            let place = [frame, at / labels.columns, at % labels.columns];
            let extent =
                found.entry(label).or_insert_with(|| Extent { low: place, high: place, layers: 0, last: None });
            for (axis, at) in place.into_iter().enumerate() {
                extent.low[axis] = extent.low[axis].min(at);
                extent.high[axis] = extent.high[axis].max(at);
            }
            if extent.last != Some(frame) {
                (extent.last, extent.layers) = (Some(frame), extent.layers + 1);
            }
        }
    }
    found
}

/// One vessel alone, in a frame of one pixel around it.
fn measured(labels: &Labels, number: u16, extent: &Extent, [x, y, z]: [f64; 3]) -> SingleVessel {
    let Extent { low: [first, top, left], high: [last, bottom, right], layers, .. } = *extent;
    let [rows, columns] = [bottom - top + 3, right - left + 3];
    let mut inside = vec![false; rows * columns];
    for frame in first..=last {
        let slice = labels.frame(frame);
        for row in top..=bottom {
            let line = &slice[row * labels.columns + left..=row * labels.columns + right];
            let to = &mut inside[(row - top + 1) * columns + 1..];
            to.iter_mut().zip(line).for_each(|(to, &label)| *to |= label == number);
        }
    }
    let grid = Grid { shape: [1, rows, columns], spacing: [z, y, x], inside };
    let area_mm2 = grid.count() as f64 * grid.pixel_mm2();
    let all = Region { name: String::new(), pixels: vec![true; rows * columns], coverage: 1.0 };
    let told = Vessels::of(grid).measure(&all);
    let vessel = SingleVessel {
        vessel: usize::from(number),
        first_layer: first,
        last_layer: last,
        layers,
        depth_um: (labels.frames > 1).then(|| (last - first + 1) as f64 * z * 1000.0),
        area_mm2,
        length_mm: told.length_mm,
        calibre_um: told.calibre_um,
        tortuosity_mean: told.tortuosity_mean,
        branch_points: told.branch_points,
    };
    vessel.tidy()
}

/// One line per vessel. Errors: none that text in memory could have.
pub(super) fn csv(vessels: &[SingleVessel]) -> Result<String> {
    let failed = |error: csv::Error| Error::invalid(format!("the table of vessels: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(SingleVessel::NAMES).map_err(failed)?;
    for vessel in vessels {
        let cells = vessel.cells().into_iter().map(|cell| cell.map_or_else(String::new, |v| v.to_string()));
        writer.write_record(cells).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::invalid(format!("the table of vessels: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Geometry;

    #[test]
    fn each_vessel_has_its_own_numbers() {
        // vessel 2: 5 pixels thick and 60 long on layers 1 and 3; vessel 7: one row on layer 0, at the border
        let inside = |frame: usize, y: usize, x: usize| match (frame, y, x) {
            (1 | 3, 40..=44, 20..=79) => 2,
            (0, 0, _) => 7,
            _ => 0,
        };
        let data = (0..4 * 10_000).map(|at| inside(at / 10_000, at / 100 % 100, at % 100)).collect();
        let labels = Labels { frames: 4, rows: 100, columns: 100, data, geometry: Geometry::unknown() };
        let told = single_vessels(&labels, [0.01, 0.01, 0.002]).unwrap();
        assert_eq!(told.iter().map(|one| one.vessel).collect::<Vec<_>>(), [2, 7]);
        let one = told[0];
        assert_eq!([one.first_layer, one.last_layer, one.layers, one.branch_points], [1, 3, 2, 0]);
        assert!((one.depth_um.unwrap() - 6.0).abs() < 1e-9 && (one.area_mm2 - 0.03).abs() < 1e-9, "{one:?}");
        assert!((one.length_mm - 0.56).abs() < 0.03 && (one.calibre_um.unwrap() - 60.0).abs() < 3.0, "{one:?}");
        assert!((told[1].length_mm - 0.99).abs() < 1e-9 && told[1].depth_um == Some(2.0), "{:?}", told[1]);
        let flat = single_vessels(&labels.project(), [0.01, 0.01, 0.002]).unwrap();
        assert_eq!(flat[0].depth_um, None, "a picture has no depth");
        let table = csv(&told).unwrap();
        assert!(table.starts_with("vessel,first_layer,") && table.lines().count() == 3, "{table}");
    }
}

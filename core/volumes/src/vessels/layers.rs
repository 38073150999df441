//! Vessels layer by layer: where a layer cuts through the plexus, it shows the vessels of the en-face map.
//!
//! `mark_rv_objects` and `extract_modified_rv_mask` of SAM-OCTA2 (`utils.py`) on labels instead of files. The latter drops islands of
//! fewer than 50 pixels counted in three equal channels, which is 17 pixels.

use super::check_flat;
use crate::measure::{Connectivity, Grid, remove_small};
use crate::progress::check;
use crate::volume::{Geometry, Labels};
use crate::{Error, Result};

/// longest side of a map that is resized
const MOST_SIDE: usize = 32_768;

/// Fewest pixels of a vessel on a layer, as SAM-OCTA2 takes it.
pub const LEAST: usize = 100;

/// The vessels of `map` (one slice, one number each) on every layer of `regions` (whatever is not 0 is region): where both are. Islands of
/// fewer than `least` pixels (4 neighbours) go first, then what is left of a vessel with fewer than `least` pixels on that layer;
/// SAM-OCTA2 takes [`LEAST`]. A map of another size is brought to the layers' by [`fitted`]. So numbers mean the same vessel on all layers.
/// Errors: a map of several slices.
pub fn on_layers(map: &Labels, regions: &Labels, least: usize) -> Result<Labels> {
    let map = fitted(map, regions.rows, regions.columns)?;
    let mut vessels = regions.map(|_| 0);
    for frame in 0..regions.frames {
        check()?;
        let both = regions.frame(frame).iter().zip(&map.data).map(|(&region, &vessel)| region != 0 && vessel != 0);
        let grid = Grid { shape: [1, regions.rows, regions.columns], spacing: [1.0; 3], inside: both.collect() };
        let kept = remove_small(&grid, least, Connectivity::Faces);
        let mut sizes = vec![0usize; 1 << 16];
        let there = kept.inside.iter().zip(&map.data).filter(|(inside, _)| **inside);
        there.for_each(|(_, &vessel)| sizes[usize::from(vessel)] += 1);
        for (to, (&inside, &vessel)) in vessels.frame_mut(frame).iter_mut().zip(kept.inside.iter().zip(&map.data)) {
            *to = if inside && sizes[usize::from(vessel)] >= least { vessel } else { 0 };
        }
    }
    Ok(vessels)
}

/// Labels without what was erased: wherever `erased` is not 0. One slice of it counts for all layers. Errors: another size.
pub fn erase(labels: &Labels, erased: &Labels) -> Result<Labels> {
    if erased.frames != 1 {
        return labels.with(erased, |label, erased| if erased == 0 { label } else { 0 });
    }
    if (erased.rows, erased.columns) != (labels.rows, labels.columns) {
        return Err(Error::invalid(format!(
            "an erased region of {} x {} pixels does not fit labels of {} x {} (rows x columns)",
            erased.rows, erased.columns, labels.rows, labels.columns
        )));
    }
    let mut left = labels.clone();
    for frame in 0..left.frames {
        let pixels = left.frame_mut(frame).iter_mut().zip(&erased.data);
        pixels.filter(|(_, erased)| **erased != 0).for_each(|(label, _)| *label = 0);
    }
    Ok(left)
}

/// One slice of labels in another size: a pixel is inside where linear interpolation of the mask leaves any trace in 8 bits, as SAM-OCTA2 brings
/// en-face masks to the size of the layers (`cv2.resize`, then `>= 1`), with the number that weighs most there. Errors: several slices; no pixels; a side of more than 32768.
pub fn fitted(map: &Labels, rows: usize, columns: usize) -> Result<Labels> {
    check_flat("an en-face map", map)?;
    if (map.rows, map.columns) == (rows, columns) {
        return Ok(map.clone());
    }
    if rows == 0 || columns == 0 || map.data.is_empty() {
        return Err(Error::invalid("a map without pixels cannot be resized"));
    }
    if rows.max(columns) > MOST_SIDE {
        return Err(Error::invalid(format!(
            "a map of {rows} x {columns} pixels: {MOST_SIDE} are the most along a side"
        )));
    }
    let (down, across) = (taps(map.rows, rows), taps(map.columns, columns));
    let mut data = Vec::with_capacity(rows * columns);
    for &(row, below, y) in &down {
        for &(column, beside, x) in &across {
            let at = |row: usize, column: usize| map.data[row * map.columns + column];
            let corners = [
                (at(row, column), (1.0 - y) * (1.0 - x)),
                (at(row, beside), (1.0 - y) * x),
                (at(below, column), y * (1.0 - x)),
                (at(below, beside), y * x),
            ];
            data.push(heaviest(&corners));
        }
    }
    let scale = [map.columns as f64 / columns as f64, map.rows as f64 / rows as f64];
    Ok(Labels { frames: 1, rows, columns, data, geometry: scaled(&map.geometry, scale) })
}

/// For each new place the two old ones around it and the weight of the second; pixel centres are half a pixel in.
fn taps(from: usize, to: usize) -> Vec<(usize, usize, f64)> {
    let place = |at: usize| ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
    (0..to).map(place).map(|at| (at as usize, (at as usize + 1).min(from - 1), at.fract())).collect()
}

/// The number that weighs most among those inside; 0 where all of them would vanish in 8 bits.
fn heaviest(corners: &[(u16, f64); 4]) -> u16 {
    let weight = |number: u16| corners.iter().filter(|corner| corner.0 == number).map(|corner| corner.1).sum::<f64>();
    let inside = corners.iter().filter(|corner| corner.0 != 0);
    if inside.clone().map(|corner| corner.1).sum::<f64>() * 255.0 < 0.5 {
        return 0;
    }
    let best = inside.max_by(|a, b| weight(a.0).total_cmp(&weight(b.0)).then(b.0.cmp(&a.0)));
    best.map_or(0, |corner| corner.0)
}

/// The same place with pixels that are so many times larger along x and y.
fn scaled(geometry: &Geometry, [x, y]: [f64; 2]) -> Geometry {
    let mut scaled = geometry.clone();
    for row in &mut scaled.affine[..3] {
        row[3] += row[0] * (x - 1.0) / 2.0 + row[1] * (y - 1.0) / 2.0;
        (row[0], row[1]) = (row[0] * x, row[1] * y);
    }
    let [dx, dy, dz] = geometry.spacing;
    Geometry { spacing: [dx * x, dy * y, dz], ..scaled }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(frames: usize, rows: &[&str]) -> Labels {
        let data =
            rows.iter().flat_map(|row| row.bytes().map(|b| if b == b'.' { 0 } else { u16::from(b - b'0') })).collect();
        let geometry = Geometry::from_spacing([0.5, 0.5, 1.0], true);
        Labels { frames, rows: rows.len() / frames, columns: rows[0].len(), data, geometry }
    }

    #[test]
    fn a_layer_shows_the_vessels_of_its_region() {
        let map = labels(1, &["111.2", "....2", "3.333"]);
        let regions = labels(2, &["9..99", "99999", "99999", "1111.", ".....", "....."]);
        let expected = labels(2, &["....2", "....2", "..333", "111..", ".....", "....."]);
        assert_eq!(on_layers(&map, &regions, 2).unwrap(), expected); // single pixels of 1 and 3 are islands
        assert!(on_layers(&regions, &map, 2).is_err());
    }

    #[test]
    fn erased_regions_are_gone_from_one_layer_or_from_all() {
        let regions = labels(2, &["11", "11", "22", ".2"]);
        let one = labels(1, &["5.", "5."]);
        assert_eq!(erase(&regions, &one).unwrap(), labels(2, &[".1", ".1", ".2", ".2"]));
        let each = labels(2, &["..", "..", "5.", "55"]);
        assert_eq!(erase(&regions, &each).unwrap(), labels(2, &["11", "11", ".2", ".."]));
        assert!(erase(&regions, &labels(1, &["5"])).is_err());
    }

    #[test]
    fn a_map_grows_with_its_place() {
        let grown = fitted(&labels(1, &["1.", ".2"]), 4, 4).unwrap();
        assert_eq!(grown.data, labels(1, &["111.", "1112", "1122", ".222"]).data);
        assert_eq!((grown.geometry.spacing, grown.geometry.affine[0][3]), ([0.25, 0.25, 1.0], -0.125));
    }
}

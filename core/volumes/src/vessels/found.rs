//! What a model finds without a prompt, tidied and as objects: `dense vessel and FAZ maps, cut at the threshold -> masks -> one number per vessel`.
//!
//! Every mask that is made without a prompt goes through here (`session::segment_all`), so that the demo, `evaluate`, batches, reports and the
//! command line measure the same pixels, and the bias that `scripts/evaluate.rhai` measured holds for all of them.

use super::{TreeOptions, on_layers, trees};
use crate::Result;
use crate::measure::{Connectivity, Grid, components, fill_holes, remove_small};
use crate::progress::check;
use crate::volume::Labels;

/// Vessels of fewer pixels, seen from the front, are specks.
pub const LEAST_VESSEL: usize = 20;
/// A zone of less than one of so many pixels of the slice is a speck: 46 pixels, or 0.005 mm², of a 3 mm scan of 304 x 304.
const ZONE_SHARE: usize = 2000;
/// The number of the foveal avascular zone among objects; vessels come behind it.
pub const FAZ: u16 = 1;

/// The FAZ without specks and pinholes: on each slice the largest part that lies in the largest part of the projection, with its holes filled.
/// Whatever is not 0 is zone; object 1 in what comes back, which is empty where there is none.
pub fn clean_zone(faz: &Labels) -> Labels {
    let mut clean = faz.map(|_| 0);
    let least = (faz.rows * faz.columns / ZONE_SHARE).max(1);
    let Some(zone) = largest(&flat(faz), least) else { return clean };
    for frame in 0..faz.frames {
        let there = faz.frame(frame).iter().zip(&zone.inside).map(|(&label, &inside)| label != 0 && inside);
        if let Some(part) = largest(&Grid { inside: there.collect(), ..zone.clone() }, least) {
            clean
                .frame_mut(frame)
                .iter_mut()
                .zip(part.inside)
                .for_each(|(label, inside)| *label = u16::from(inside) * FAZ);
        }
    }
    clean
}

/// Vessels without specks: parts of fewer than [`LEAST_VESSEL`] pixels of the projection go. Whatever is not 0 is vessel.
pub fn clean_vessels(vessels: &Labels) -> Labels {
    let kept = remove_small(&flat(vessels), LEAST_VESSEL, Connectivity::Corners);
    let mut clean = vessels.map(|label| u16::from(label != 0));
    for frame in 0..vessels.frames {
        let pixels = clean.frame_mut(frame).iter_mut().zip(&kept.inside);
        pixels.filter(|(_, inside)| !**inside).for_each(|(label, _)| *label = 0);
    }
    clean
}

/// Masks as objects: [`FAZ`] is the zone, every vessel from 2 on has one number on all layers (parts that hang together seen from the front,
/// in reading order). Errors: masks of different size, more vessels than labels can number.
pub fn objects(vessels: &Labels, faz: &Labels) -> Result<Labels> {
    check()?;
    let map = trees(&vessels.project(), &TreeOptions { least: LEAST_VESSEL, ..TreeOptions::default() })?;
    let map = map.map(|number| if number == 0 { 0 } else { number.saturating_add(FAZ) });
    let layers = on_layers(&map, vessels, 1)?;
    layers.with(faz, |vessel, zone| if zone == 0 { vessel } else { FAZ })
}

/// Seen from the front, with pixels of one millimetre: sizes here are in pixels.
fn flat(labels: &Labels) -> Grid {
    Grid { spacing: [1.0; 3], ..Grid::where_(&labels.project(), |label| label != 0) }
}

/// The largest part of a slice with its holes filled; nothing where it has fewer than `least` pixels.
fn largest(slice: &Grid, least: usize) -> Option<Grid> {
    let (parts, sizes) = components(slice, Connectivity::Faces);
    let most = (0..sizes.len()).rev().max_by_key(|&part| sizes[part]).filter(|&part| sizes[part] >= least)?;
    let inside = parts.iter().map(|&part| part as usize == most + 1).collect();
    Some(fill_holes(&Grid { inside, ..slice.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Geometry;

    fn drawn(frames: usize, inside: impl Fn(usize, usize, usize) -> bool) -> Labels {
        let data = (0..frames * 100 * 100).map(|at| u16::from(inside(at / 10_000, at / 100 % 100, at % 100))).collect();
        Labels { frames, rows: 100, columns: 100, data, geometry: Geometry::unknown() }
    }

    #[test]
    fn a_zone_has_no_pinholes_and_no_specks() {
        let disc = |y: usize, x: usize| y.abs_diff(50).pow(2) + x.abs_diff(50).pow(2) < 144;
        let rough = drawn(2, |frame, y, x| {
            (disc(y, x) && (y, x) != (50, 50) && (frame == 0 || x < 55))
                || (y < 3 && x < 3 + frame)
                || (y, x) == (90, 90)
        });
        let clean = clean_zone(&rough);
        assert_eq!(clean, drawn(2, |frame, y, x| disc(y, x) && (frame == 0 || x < 55)));
        let speck = drawn(1, |_, y, x| y == 9 && x < 4);
        assert!(clean_zone(&speck).objects().is_empty(), "4 of 10000 pixels are no zone");
        assert!(clean_zone(&drawn(1, |_, _, _| false)).objects().is_empty());
    }

    #[test]
    fn vessels_have_one_number_on_all_layers_and_the_zone_is_the_first_object() {
        let vessels = drawn(2, |frame, y, x| (y == 10 && (x < 60) == (frame == 0)) || y == 80 || (y == 40 && x < 15));
        let clean = clean_vessels(&vessels);
        assert_eq!(clean.frame(0)[40 * 100], 0, "15 pixels are a speck");
        let faz = drawn(2, |_, y, x| (48..55).contains(&y) && (48..55).contains(&x));
        let found = objects(&clean, &faz).unwrap();
        assert_eq!(found.objects(), [1, 2, 3]);
        assert_eq!((found.frame(0)[10 * 100 + 5], found.frame(1)[10 * 100 + 70]), (2, 2));
        assert_eq!((found.frame(0)[10 * 100 + 70], found.frame(1)[80 * 100]), (0, 3));
        assert_eq!(objects(&clean, &faz.map(|_| 0)).unwrap().objects(), [2, 3], "no zone is a result");
    }
}

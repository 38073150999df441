//! A vessel mask seen from the front to one number per vessel, without hand work: parts that hang together are one tree, as in the coloured
//! maps that SAM-OCTA2 ships. Arteries and veins are not told apart.

use super::crossings::split;
use super::{Graph, check_flat, skeleton};
use crate::measure::{Connectivity, Grid, components, find, unite};
use crate::volume::Labels;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// pixels of a centre line that tell where its end points to
const END_PIXELS: usize = 8;
/// smallest cosine between the direction of an end and the way over a gap
const STRAIGHT_ON: f64 = 0.7;

/// How a mask becomes trees.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TreeOptions {
    /// trees of fewer pixels are left out. _Default: 0._
    pub least: usize,
    /// ends that point at each other over at most so many pixels belong together. _Default: 0._
    pub gap: f64,
    /// two lines that cross are two trees. _Default: they are one, as in SAM-OCTA2's maps._
    pub split_crossings: bool,
}

/// The vessels of one slice, numbered from 1 in the order in which rows, then columns, meet them. Whatever is not 0 is vessel.
/// Errors: several slices; more trees than labels can number; a gap that is no number.
pub fn trees(vessels: &Labels, options: &TreeOptions) -> Result<Labels> {
    check_flat("a map of vessels", vessels)?;
    if !(0.0..=1e4).contains(&options.gap) {
        return Err(Error::invalid(format!("a gap of {} pixels is not between 0 and 10000", options.gap)));
    }
    let mut grid = Grid::where_(vessels, |label| label != 0);
    grid.spacing = [1.0; 3]; // all options are in pixels
    let (mut parts, _) = components(&grid, Connectivity::Corners);
    if options.split_crossings {
        parts = split(&grid, &parts);
    }
    if options.gap > 0.0 {
        bridge(&grid, &mut parts, options.gap);
    }
    numbered(vessels, &parts, options.least)
}

/// Numbers in reading order, without small parts.
fn numbered(vessels: &Labels, parts: &[u32], least: usize) -> Result<Labels> {
    let mut sizes = BTreeMap::<u32, usize>::new();
    parts.iter().filter(|&&part| part != 0).for_each(|&part| *sizes.entry(part).or_default() += 1);
    let mut numbers = BTreeMap::new();
    for part in parts.iter().filter(|&&part| part != 0 && sizes[&part] >= least) {
        let next = numbers.len() + 1;
        numbers.entry(*part).or_insert(next);
    }
    if numbers.len() > usize::from(u16::MAX) {
        let what = format!("{} vessels are more than labels can number: leave out small ones (`least`)", numbers.len());
        return Err(Error::invalid(what));
    }
    let data = parts.iter().map(|part| numbers.get(part).map_or(0, |&number| number as u16)).collect();
    Ok(Labels { data, ..vessels.map(|_| 0) })
}

/// Joins parts whose ends point at each other.
fn bridge(grid: &Grid, parts: &mut [u32], gap: f64) {
    let columns = grid.shape[2];
    let ends: Vec<End> =
        Graph::of(&skeleton(grid)).branches.iter().flat_map(|branch| ends_of(&branch.pixels, columns)).collect();
    let most = parts.iter().copied().max().unwrap_or(0);
    let mut roots: Vec<u32> = (0..=most).collect();
    for (at, one) in ends.iter().enumerate() {
        for other in &ends[at + 1..] {
            let way = [other.place[0] - one.place[0], other.place[1] - one.place[1]];
            let length = way[0].hypot(way[1]);
            let ahead = |end: &End, sign: f64| sign * (end.to[0] * way[0] + end.to[1] * way[1]) >= STRAIGHT_ON * length;
            if length > 0.0 && length <= gap && ahead(one, 1.0) && ahead(other, -1.0) {
                unite(&mut roots, parts[one.pixel], parts[other.pixel]);
            }
        }
    }
    parts.iter_mut().for_each(|part| *part = find(&mut roots, *part));
}

/// Where a centre line begins, and the direction that it would go on in (of length 1).
struct End {
    pixel: usize,
    place: [f64; 2],
    to: [f64; 2],
}

/// Both ends of a branch; those at junctions do no harm, for they lie inside their own part.
fn ends_of(pixels: &[usize], columns: usize) -> Vec<End> {
    let place = |pixel: usize| [(pixel / columns) as f64, (pixel % columns) as f64];
    let end = |pixel: usize, behind: usize| {
        let (a, b) = (place(pixel), place(behind));
        let length = (a[0] - b[0]).hypot(a[1] - b[1]);
        (length > 0.0).then(|| End { pixel, place: a, to: [(a[0] - b[0]) / length, (a[1] - b[1]) / length] })
    };
    let last = pixels.len() - 1;
    let within = last.min(END_PIXELS);
    [end(pixels[0], pixels[within]), end(pixels[last], pixels[last - within])].into_iter().flatten().collect()
}

/// The same trees with the numbers of an earlier map: each takes the number of the one that it shares most pixels with (the largest overlaps
/// first, every number once); new ones get the lowest numbers that neither map has. So a vessel keeps its number when the mask changes a
/// little. Errors: maps of different size; more numbers than labels have.
pub fn keep_numbers(trees: &Labels, earlier: &Labels) -> Result<Labels> {
    let mut shared = BTreeMap::<(u16, u16), usize>::new();
    let earlier = earlier.onto(trees.lattice())?;
    let pairs = trees.data.iter().zip(&earlier.data).filter(|(now, before)| **now != 0 && **before != 0);
    pairs.for_each(|(&now, &before)| *shared.entry((now, before)).or_default() += 1);
    let mut overlaps: Vec<_> = shared.into_iter().collect();
    overlaps.sort_by_key(|&(pair, pixels)| (std::cmp::Reverse(pixels), pair));
    let mut numbers = BTreeMap::<u16, u16>::new();
    let mut taken = vec![false; 1 << 16];
    for ((now, before), _) in overlaps {
        if !numbers.contains_key(&now) && !taken[usize::from(before)] {
            numbers.insert(now, before);
            taken[usize::from(before)] = true;
        }
    }
    earlier.objects().into_iter().for_each(|before| taken[usize::from(before)] = true);
    let mut free = (1..=u16::MAX).filter(|&number| !taken[usize::from(number)]);
    for now in trees.objects() {
        if let Entry::Vacant(place) = numbers.entry(now) {
            place.insert(free.next().ok_or_else(|| Error::invalid("more vessels than labels can number"))?);
        }
    }
    Ok(trees.map(|now| numbers.get(&now).copied().unwrap_or(0)))
}

/// Parts of a map, each with the number of the object of `answers` that covers most of it, and at least `share` of its pixels (the lower number
/// where two cover as many); parts that none covers so far are left out. So a rough answer to clicks picks from a map that knows the vessels but not
/// which of them is meant. Errors: maps of different size; a share outside 0 to 1.
pub fn claimed(parts: &Labels, answers: &Labels, share: f64) -> Result<Labels> {
    if !(0.0..=1.0).contains(&share) {
        return Err(Error::invalid(format!("a share of {share}: it must lie between 0 and 1")));
    }
    let answers = answers.onto(parts.lattice())?;
    let mut sizes = BTreeMap::<u16, usize>::new();
    let mut covered = BTreeMap::<(u16, u16), usize>::new();
    for (&part, &answer) in parts.data.iter().zip(&answers.data).filter(|(part, _)| **part != 0) {
        *sizes.entry(part).or_default() += 1;
        if answer != 0 {
            *covered.entry((part, answer)).or_default() += 1;
        }
    }
    let mut owners = BTreeMap::<u16, (usize, u16)>::new();
    for ((part, answer), pixels) in covered {
        let enough = pixels as f64 >= share * sizes[&part] as f64;
        if enough && owners.get(&part).is_none_or(|best| best.0 < pixels) {
            owners.insert(part, (pixels, answer));
        }
    }
    Ok(parts.map(|part| owners.get(&part).map_or(0, |owner| owner.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Geometry;

    fn map(rows: &[&str]) -> Labels {
        let data =
            rows.iter().flat_map(|row| row.bytes().map(|b| if b == b'.' { 0 } else { u16::from(b - b'0') })).collect();
        Labels { frames: 1, rows: rows.len(), columns: rows[0].len(), data, geometry: Geometry::unknown() }
    }

    #[test]
    fn parts_are_numbered_as_they_are_read() {
        let mask = map(&["....1.", "1...1.", "1....1", "...1.."]);
        let expected = map(&["....1.", "2...1.", "2....1", "...3.."]);
        assert_eq!(trees(&mask, &TreeOptions::default()).unwrap(), expected);
        let large = TreeOptions { least: 2, ..Default::default() };
        assert_eq!(trees(&mask, &large).unwrap().objects(), [1, 2]);
        let two = Labels { frames: 2, rows: 2, ..mask };
        assert!(trees(&two, &TreeOptions::default()).unwrap_err().to_string().contains("one slice"));
    }

    fn drawn(size: usize, inside: impl Fn(f64, f64) -> bool) -> Labels {
        let data = (0..size * size).map(|at| u16::from(inside((at / size) as f64, (at % size) as f64))).collect();
        Labels { frames: 1, rows: size, columns: size, data, geometry: Geometry::unknown() }
    }

    #[test]
    fn ends_that_face_each_other_are_joined_over_a_gap() {
        let line = |y: f64, x: f64| (y - 20.0).abs() < 2.0 && !(18.0..23.0).contains(&x);
        let beside = |y: f64, x: f64| (y - 29.0).abs() < 2.0 && x < 10.0;
        let mask = drawn(41, |y, x| line(y, x) || beside(y, x));
        let found = |gap| trees(&mask, &TreeOptions { gap, ..Default::default() }).unwrap().objects().len();
        assert_eq!((found(0.0), found(12.0)), (3, 2));
    }

    #[test]
    fn a_crossing_is_two_vessels_where_asked_for_and_a_fork_is_one() {
        let split = TreeOptions { split_crossings: true, ..Default::default() };
        let cross = drawn(81, |y, x| (y - x).abs() < 3.0 || (y + 0.6 * x - 64.0).abs() < 4.0);
        assert_eq!(trees(&cross, &TreeOptions::default()).unwrap().objects().len(), 1);
        let parts = trees(&cross, &split).unwrap();
        assert_eq!(parts.objects().len(), 2);
        assert_eq!(parts.data[5 * 81 + 5], parts.data[75 * 81 + 75]);
        assert_eq!(parts.data[58 * 81 + 10], parts.data[22 * 81 + 70]);
        assert_ne!(parts.data[5 * 81 + 5], parts.data[58 * 81 + 10]);
        let fork = drawn(81, |y, x| (y - 40.0).abs() < 3.0 || ((y - x).abs() < 3.0 && y > 40.0));
        assert_eq!(trees(&fork, &split).unwrap().objects(), [1]);
    }

    #[test]
    fn numbers_stay_when_the_mask_changes() {
        let before = trees(&map(&["1.1.1", "1.1.1", "1.1.."]), &TreeOptions::default()).unwrap();
        let after = trees(&map(&["..1.1", "1.1.1", "1..1."]), &TreeOptions::default()).unwrap();
        assert_eq!(keep_numbers(&after, &before).unwrap(), map(&["..2.2", "1.2.2", "1..2."]));
        let new = trees(&map(&["....1", "1...1", "1.1.1"]), &TreeOptions::default()).unwrap();
        assert_eq!(keep_numbers(&new, &map(&["....3", "2...3", "2...."])).unwrap().objects(), [1, 2, 3]);
        assert!(keep_numbers(&new, &map(&["1"])).is_err());
    }

    #[test]
    fn parts_go_to_the_answer_that_covers_most_of_them() {
        let parts = map(&["1111.2222", "33.......", "44444.5..", "66......."]);
        let answers = map(&["7778...98", "88.......", "7........", "97......."]);
        let expected = map(&["7777.8888", "88.......", ".........", "77......."]);
        // 2 is covered by 9 and 8 alike; 4 by a fifth only, 5 not at all; 6 alike
        assert_eq!(claimed(&parts, &answers, 0.25).unwrap(), expected);
        assert_eq!(claimed(&parts, &answers, 0.2).unwrap().data[18..23], [7; 5]);
        assert!(claimed(&parts, &map(&["1"]), 0.2).is_err());
        assert!(claimed(&parts, &answers, 1.5).unwrap_err().to_string().contains("between 0 and 1"));
    }
}

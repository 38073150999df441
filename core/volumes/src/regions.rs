//! Where prompts for a mask may lie: points on its parts, points in the ring around them, boxes.
//!
//! SAM-OCTA2's rules (`prompts.py`): parts are 8-connected and have at least 20 pixels; the first positive points go one to each part, in
//! random order, further ones anywhere on the mask; negative points lie in the ring between two distances (squares) around a part, outside
//! of the whole mask.

use crate::measure::{Connectivity, Grid, components};
use crate::{Error, Result};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// pixels that a part must have to be given a point of its own
const LEAST_PART: usize = 20;
/// points of one kind that a prompt has at most
const MOST_POINTS: usize = 1000;

/// One object on one slice.
#[derive(Debug, Clone)]
pub struct Region {
    /// height in pixels
    pub rows: usize,
    /// width in pixels
    pub columns: usize,
    /// on the object or not, row by row
    pub inside: Vec<bool>,
}

impl Region {
    /// Its parts, largest number last: for every pixel the number of its part, 0 for none; and how many there are.
    pub fn parts(&self) -> (Vec<u32>, usize) {
        let grid = Grid { shape: [1, self.rows, self.columns], spacing: [1.0; 3], inside: self.inside.clone() };
        let (mut numbers, sizes) = components(&grid, Connectivity::Corners);
        let mut renumbered = vec![0; sizes.len() + 1];
        let mut count = 0;
        for (part, &size) in sizes.iter().enumerate() {
            if size >= LEAST_PART {
                count += 1;
                renumbered[part + 1] = count;
            }
        }
        numbers.iter_mut().for_each(|number| *number = renumbered[*number as usize]);
        (numbers, count as usize)
    }

    /// The pixels whose distance (the larger of the two along the axes) from this region is above `inner` and at most `outer`.
    pub fn ring(&self, [inner, outer]: [usize; 2]) -> Vec<bool> {
        let (near, far) = (self.grown(inner), self.grown(outer));
        near.into_iter().zip(far).map(|(near, far)| far && !near).collect()
    }

    /// Every pixel within `by` of the region, along rows first, then along columns.
    fn grown(&self, by: usize) -> Vec<bool> {
        let Self { rows, columns, ref inside } = *self;
        let along = |values: &[bool], lines: usize, length: usize, at: &dyn Fn(usize, usize) -> usize| {
            let mut grown = vec![false; values.len()];
            for line in 0..lines {
                let mut until = None; // the last pixel that the region behind reaches
                for (i, reverse) in (0..length).map(|i| (i, false)).chain((0..length).map(|i| (i, true))) {
                    if i == 0 {
                        until = None;
                    }
                    let here = at(line, if reverse { length - 1 - i } else { i });
                    if values[here] {
                        until = Some(i.saturating_add(by));
                    }
                    grown[here] |= until.is_some_and(|until| i <= until);
                }
            }
            grown
        };
        let wide = along(inside, rows, columns, &|row, i| row * columns + i);
        along(&wide, columns, rows, &|column, i| i * columns + column)
    }

    /// `[left, top, right, bottom]` around it, in pixel edges; none where it is empty.
    pub fn bounds(&self) -> Option<[usize; 4]> {
        let mut on = self.inside.iter().enumerate().filter(|(_, inside)| **inside).map(|(at, _)| at);
        let first = on.next()?;
        let start = [first % self.columns, first / self.columns, first % self.columns, first / self.columns];
        let [left, top, right, bottom] = on.fold(start, |[l, t, r, b], at| {
            let (x, y) = (at % self.columns, at / self.columns);
            [l.min(x), t.min(y), r.max(x), b.max(y)]
        });
        Some([left, top, right + 1, bottom + 1])
    }
}

/// How many points, and where the negative ones lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PointRules {
    /// points on the object
    pub positive: usize,
    /// points around it
    pub negative: usize,
    /// distances between which these lie, in pixels of the slice
    pub ring: [usize; 2],
}

impl Default for PointRules {
    fn default() -> Self {
        Self { positive: 1, negative: 0, ring: [3, 9] }
    }
}

impl PointRules {
    /// Errors: a ring without room, more points than any model can make use of. `of` is what the rules belong to, for messages.
    pub fn check(&self, of: &str) -> Result<()> {
        let Self { positive, negative, ring: [inner, outer] } = *self;
        let many = [("positive", positive), ("negative", negative)].into_iter().find(|(_, count)| *count > MOST_POINTS);
        match many {
            Some((name, count)) => {
                Err(Error::invalid(format!("{of}{name} is {count}: {MOST_POINTS} points are the most")))
            }
            None if inner >= outer => {
                Err(Error::invalid(format!("{of}ring is [{inner}, {outer}]: the second distance must be larger")))
            }
            None => Ok(()),
        }
    }

    /// Positive and negative points as `[x, y]` in pixels. Fewer where there is no room.
    pub fn draw(&self, region: &Region, rng: &mut ChaCha8Rng) -> [Vec<[usize; 2]>; 2] {
        let (numbers, count) = region.parts();
        let place = |at: usize| [at % region.columns, at / region.columns];
        let pixels = |wanted: &dyn Fn(usize) -> bool| (0..numbers.len()).filter(|&at| wanted(at)).collect::<Vec<_>>();
        let mut parts: Vec<u32> = (1..=count as u32).collect();

        parts.shuffle(rng);
        let mut positive = Vec::new();
        for part in parts.iter().take(self.positive) {
            positive.extend(pixels(&|at| numbers[at] == *part).choose(rng).copied());
        }
        let all = pixels(&|at| region.inside[at]);
        while positive.len() < self.positive && !all.is_empty() {
            positive.push(all[rng.random_range(0..all.len())]);
        }

        parts.shuffle(rng);
        let mut negative = Vec::new();
        for part in parts.iter().take(self.negative) {
            let inside = numbers.iter().map(|number| number == part).collect();
            let ring = Region { inside, ..*region }.ring(self.ring);
            negative.extend(pixels(&|at| ring[at] && !region.inside[at]).choose(rng).copied());
        }
        if negative.len() < self.negative {
            let ring = region.ring(self.ring);
            let all = pixels(&|at| ring[at]);
            while negative.len() < self.negative && !all.is_empty() {
                negative.push(all[rng.random_range(0..all.len())]);
            }
        }
        [positive, negative].map(|points| points.into_iter().map(place).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn square() -> Region {
        let (rows, columns) = (40, 50);
        let inside =
            (0..rows * columns).map(|at| (10..20).contains(&(at % columns)) && (5..15).contains(&(at / columns)));
        Region { rows, columns, inside: inside.collect() }
    }

    #[test]
    fn a_ring_lies_between_two_distances() {
        let ring = square().ring([2, 4]);
        let at = |x: usize, y: usize| ring[y * 50 + x];
        assert!(!at(8, 10) && at(7, 10) && at(6, 10) && !at(5, 10));
        assert!(at(23, 18) && at(12, 17) && !at(12, 16), "corners count as far as their farther side");
        assert_eq!(ring.iter().filter(|inside| **inside).count(), 18 * 18 - 14 * 14);
    }

    #[test]
    fn points_lie_where_the_rules_say() {
        let region = square();
        let rules = PointRules { positive: 3, negative: 4, ring: [3, 9] };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let [positive, negative] = rules.draw(&region, &mut rng);
        assert_eq!((positive.len(), negative.len()), (3, 4));
        assert!(positive.iter().all(|[x, y]| region.inside[y * 50 + x]));
        let ring = region.ring([3, 9]);
        assert!(negative.iter().all(|[x, y]| ring[y * 50 + x]));
        let again = rules.draw(&region, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(again, [positive, negative], "the same seed draws the same points");
        assert_eq!(region.bounds(), Some([10, 5, 20, 15]));
    }

    #[test]
    fn a_ring_may_reach_beyond_everything() {
        let ring = square().ring([0, usize::MAX]);
        assert_eq!(ring.iter().filter(|inside| **inside).count(), 40 * 50 - 100);
    }

    #[test]
    fn more_points_than_make_sense_are_refused() {
        let error = |rules: PointRules| rules.check("sample.points.").unwrap_err().to_string();
        assert!(
            error(PointRules { negative: usize::MAX, ..Default::default() }).starts_with("sample.points.negative is 1")
        );
        assert!(error(PointRules { ring: [9, 9], ..Default::default() }).contains("sample.points.ring is [9, 9]"));
        assert!(PointRules::default().check("").is_ok());
    }
}

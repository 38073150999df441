//! Scan lines: a raster scan writes row after row, so that a movement of the eye breaks, brightens or displaces whole rows, alike in all
//! layers. The truth is displaced with them.

use super::options::PhantomOptions;
use super::random::Random;

/// What happened during the scan.
pub struct Motion {
    side: usize,
    /// factor of each row and column: faint stripes
    rows: Vec<f32>,
    columns: Vec<f32>,
    /// rows whose decorrelation is the eye's, not the blood's, and by how much they are brighter
    broken: Vec<(usize, f32)>,
    /// from row to row (parts of the height), displaced by so much (part of the width), which dies away
    moved: Vec<(f32, f32, f32)>,
}

impl Motion {
    /// Draws what happens.
    pub fn new(random: &mut Random, side: usize, options: &PhantomOptions) -> Self {
        let strength = options.motion;
        let mut stripes = |size: f32| (0..side).map(|_| 1.0 + strength * size * random.normal()).collect();
        let (rows, columns) = (stripes(0.06), stripes(0.02));
        let mut times = |mean: f32| (0..4).filter(|_| random.chance((mean * strength / 4.0).min(1.0))).count();
        let (lines, moves, start) = (times(0.6), times(0.7), times(0.25) > 0);
        let mut broken: Vec<(usize, f32)> =
            (0..lines).map(|_| (random.whole(0, side - 1), random.between(0.2, 1.5))).collect();
        if start {
            let height = random.whole(1, 4);
            broken.extend((0..height).map(|row| (row, random.between(0.5, 3.0))));
        }
        let moved = (0..moves)
            .map(|_| {
                let from = random.between(0.02, 0.95);
                (from, from + random.between(0.03, 0.3), 0.009 * strength * random.normal())
            })
            .collect();
        Self { side, rows, columns, broken, moved }
    }

    /// Stripes and broken lines in grey values.
    pub fn lines(&self, random: &mut Random, grey: &mut [f32]) {
        for (line, row) in grey.chunks_mut(self.side).zip(&self.rows) {
            line.iter_mut().zip(&self.columns).for_each(|(v, column)| *v *= row * column);
        }
        for &(row, bright) in &self.broken {
            let line = &mut grey[row * self.side..(row + 1) * self.side];
            let patchy = random.between(0.1, 1.0);
            line.iter_mut().for_each(|v| *v += bright * (v.max(0.0) + 5.0) * (patchy + random.normal()).max(0.0));
        }
    }

    /// Displaces rows of a square picture or label map.
    pub fn shift<T: Copy>(&self, values: &mut [T], side: usize) {
        for (row, line) in values.chunks_mut(side).enumerate() {
            let at = row as f32 / side as f32;
            let inside = self.moved.iter().filter(|(from, to, _)| (*from..*to).contains(&at));
            let shift: f32 = inside.map(|(from, to, by)| by * (to - at) / (to - from)).sum();
            let pixels = (shift * side as f32).round() as isize;
            let by = pixels.unsigned_abs().min(side - 1);
            if pixels > 0 {
                line.copy_within(..side - by, by);
                let edge = line[by];
                line[..by].fill(edge);
            } else if pixels < 0 {
                line.copy_within(by.., 0);
                let edge = line[side - by - 1];
                line[side - by..].fill(edge);
            }
        }
    }
}

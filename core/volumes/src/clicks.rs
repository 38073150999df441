//! Where a person would click: on the deepest point of an object, on points far apart along its middle line, on the deepest error.
//!
//! The deepest point is the pixel farthest from everything outside, the centre of the largest disc within (RITM, Sofiiuk et al. 2021, and
//! SAM 2 correct at the centre of the largest error in the same way). What lies beyond the slice counts as outside.

use crate::measure::{Grid, squared_distances};
use crate::volume::Labels;
use crate::{Error, Result};

/// A click on a pixel of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Click {
    /// from the top
    pub row: usize,
    /// from the left
    pub column: usize,
    /// on the object, or beside it
    pub positive: bool,
}

/// `count` clicks on an object on a slice: the deepest point, then again and again the point of the middle line that is farthest from
/// those chosen. Fewer where the object has fewer pixels. Errors: no such slice; the object is not on it.
pub fn clicks(labels: &Labels, frame: usize, object: u16, count: usize) -> Result<Vec<Click>> {
    labels.check_frame(frame)?;
    let inside: Vec<bool> = labels.frame(frame).iter().map(|&label| label == object).collect();
    let depth = depth(&inside, labels.rows, labels.columns);
    let first = deepest(&depth).ok_or_else(|| {
        let on = labels.frames_of(object);
        Error::invalid(format!(
            "object {object} is not on slice {frame}: there is nothing to click (it is on slices {on:?})"
        ))
    })?;
    let middle = middle_line(&depth, labels.rows, labels.columns);
    let mut left: Vec<usize> = (0..inside.len()).filter(|&at| inside[at] && at != first).collect();
    // the middle line first; the rest of the object only where that is too short
    left.sort_by_key(|&at| !middle[at]);
    let enough = left.partition_point(|&at| middle[at]);
    left.truncate(if enough + 1 >= count { enough } else { left.len() });
    let place = |at: usize| [at / labels.columns, at % labels.columns];
    let apart =
        |a: usize, b: usize| -> usize { place(a).into_iter().zip(place(b)).map(|(a, b)| a.abs_diff(b).pow(2)).sum() };
    let mut chosen = vec![first];
    let mut nearest: Vec<usize> = left.iter().map(|&at| apart(at, first)).collect();
    while chosen.len() < count {
        let farthest = (0..left.len()).filter(|&i| nearest[i] > 0).max_by_key(|&i| (nearest[i], usize::MAX - i));
        let Some(farthest) = farthest.map(|i| left[i]) else { break };
        chosen.push(farthest);
        nearest.iter_mut().zip(&left).for_each(|(near, &at)| *near = apart(at, farthest).min(*near));
    }
    chosen.truncate(count);
    Ok(chosen
        .into_iter()
        .map(|at| Click { row: at / labels.columns, column: at % labels.columns, positive: true })
        .collect())
}

/// The click that corrects most: on the deepest point of what is missing (positive) or of what is too much (negative); nothing where the
/// two agree. Errors: labels on another grid; no such slice.
pub fn correction(found: &Labels, truth: &Labels, frame: usize, object: u16) -> Result<Option<Click>> {
    let truth = truth.onto(found.lattice())?;
    truth.check_frame(frame)?;
    let wrong = truth.with(found, |truth, found| match (truth == object, found == object) {
        (true, false) => 1,
        (false, true) => 2,
        _ => 0,
    })?;
    let error = |kind: u16| {
        let inside: Vec<bool> = wrong.frame(frame).iter().map(|&label| label == kind).collect();
        let depth = depth(&inside, wrong.rows, wrong.columns);
        deepest(&depth).map(|at| (depth[at], at))
    };
    let (missing, surplus) = (error(1), error(2));
    let positive = missing.map(|(depth, _)| depth) >= surplus.map(|(depth, _)| depth);
    let at = if positive { missing } else { surplus };
    Ok(at.map(|(_, at)| Click { row: at / wrong.columns, column: at % wrong.columns, positive }))
}

/// The square of each pixel's distance to the nearest one outside, 0 outside. A border of one pixel around the slice is outside.
fn depth(inside: &[bool], rows: usize, columns: usize) -> Vec<f64> {
    let wide = columns + 2;
    let mut outside = Grid { shape: [1, rows + 2, wide], spacing: [1.0; 3], inside: vec![true; (rows + 2) * wide] };
    let framed = |at: usize| (at / columns + 1) * wide + at % columns + 1;
    inside.iter().enumerate().for_each(|(at, &inside)| outside.inside[framed(at)] = !inside);
    let squares = squared_distances(&outside);
    (0..inside.len()).map(|at| squares[framed(at)]).collect()
}

/// The first of the deepest pixels; nothing where all are outside.
fn deepest(depth: &[f64]) -> Option<usize> {
    let deeper = |best: Option<usize>, at: usize| match best {
        Some(best) if depth[best] >= depth[at] => Some(best),
        best => {
            if depth[at] > 0.0 {
                Some(at)
            } else {
                best
            }
        }
    };
    (0..depth.len()).fold(None, deeper)
}

/// Pixels of the object that are as deep as all of their eight neighbours.
fn middle_line(depth: &[f64], rows: usize, columns: usize) -> Vec<bool> {
    let highest = |at: usize| {
        let (row, column) = (at / columns, at % columns);
        let near = |i: usize, length: usize| i.saturating_sub(1)..=(i + 1).min(length - 1);
        depth[at] > 0.0
            && near(row, rows).all(|row| near(column, columns).all(|column| depth[row * columns + column] <= depth[at]))
    };
    (0..depth.len()).map(highest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Geometry;

    fn labels(rows: &[&str]) -> Labels {
        let data =
            rows.iter().flat_map(|row| row.bytes().map(|c| u16::from(c.saturating_sub(b'0')) * u16::from(c != b'.')));
        Labels {
            frames: 1,
            rows: rows.len(),
            columns: rows[0].len(),
            data: data.collect(),
            geometry: Geometry::unknown(),
        }
    }

    fn places(clicks: &[Click]) -> Vec<[usize; 2]> {
        clicks.iter().map(|click| [click.row, click.column]).collect()
    }

    #[test]
    fn clicks_go_to_the_middle_then_to_the_ends() {
        let bar = labels(&["...........", ".333333333.", ".333333333.", ".333333333.", "..........."]);
        let three = clicks(&bar, 0, 3, 3).unwrap();
        assert_eq!(places(&three), [[2, 2], [2, 8], [2, 5]]);
        assert_eq!(clicks(&bar, 0, 3, 40).unwrap().len(), 27);
        let full = labels(&["11111", "11111", "11111"]);
        assert_eq!(places(&clicks(&full, 0, 1, 1).unwrap()), [[1, 1]]);
        let message = clicks(&bar, 0, 2, 1).unwrap_err().to_string();
        assert!(message.contains("object 2 is not on slice 0"), "{message}");
        assert!(clicks(&bar, 1, 3, 1).is_err());
    }

    #[test]
    fn the_deepest_error_is_corrected() {
        let truth = labels(&["111111....", "111111....", "111111....", ".........."]);
        let found = labels(&["1.....11..", "1.....11..", "1.........", ".........."]);
        let click = correction(&found, &truth, 0, 1).unwrap();
        assert_eq!(click, Some(Click { row: 1, column: 2, positive: true }));
        let surplus = labels(&["111111....", "1111111111", "1111111111", ".....11111"]);
        let click = correction(&surplus, &truth, 0, 1).unwrap();
        assert_eq!(click, Some(Click { row: 2, column: 7, positive: false }));
        assert_eq!(correction(&truth, &truth, 0, 1).unwrap(), None);
    }
}

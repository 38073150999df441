//! Strokes and outlines as prompts: a scribble becomes clicks along it, a polygon a drawn mask.

use super::{Mask, Point};
use crate::{Error, Result};

/// clicks that a scribble becomes, at most: what the model was trained on
const CLICKS: usize = 8;
/// pixels between two of them, at least
const GAP: f32 = 3.0;

impl Point {
    /// Clicks along a polyline, both ends included, about `width` pixels apart, at most 8. Errors: no place, a width that is none.
    pub fn scribble(line: &[[f32; 2]], width: f32, positive: bool) -> Result<Vec<Self>> {
        if !(width.is_finite() && width >= 0.0) || line.iter().flatten().any(|x| !x.is_finite()) {
            return Err(Error::invalid("a scribble needs places and a width of 0 pixels or more"));
        }
        let (Some(&first), Some(&last)) = (line.first(), line.last()) else {
            return Err(Error::invalid("a scribble needs a place"));
        };
        let length = |pair: &[[f32; 2]]| (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]);
        let total: f32 = line.windows(2).map(length).sum();
        let steps = ((total / width.max(GAP)) as usize).clamp(usize::from(total > 0.0), CLICKS - 1);
        let at = |distance: f32| {
            let mut left = distance;
            for pair in line.windows(2) {
                let long = length(pair);
                if left <= long && long > 0.0 {
                    return [0, 1].map(|axis| pair[0][axis] + (pair[1][axis] - pair[0][axis]) * left / long);
                }
                left -= long;
            }
            last
        };
        let point = |[x, y]: [f32; 2]| Self { x, y, positive };
        let between = (1..steps).map(|step| at(total * step as f32 / steps as f32));
        let ends = (steps > 0).then_some(last);
        Ok([first].into_iter().chain(between).chain(ends).map(point).collect())
    }
}

impl Mask {
    /// The pixels whose centres lie inside a polygon (even-odd rule; whole numbers are centres). Errors: fewer than three corners, no
    /// pixel inside.
    pub fn polygon(rows: usize, columns: usize, corners: &[[f32; 2]]) -> Result<Self> {
        if corners.len() < 3 || corners.iter().flatten().any(|x| !x.is_finite()) {
            return Err(Error::invalid(format!("a polygon has three corners or more, not {}", corners.len())));
        }
        let mut pixels = vec![false; rows * columns];
        for row in 0..rows {
            let y = row as f32;
            let sides = corners.iter().zip(corners.iter().cycle().skip(1));
            let crossed = sides.filter(|(a, b)| (a[1] > y) != (b[1] > y));
            let mut crossings: Vec<f32> =
                crossed.map(|(a, b)| a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])).collect();
            crossings.sort_by(f32::total_cmp);
            for pair in crossings.chunks_exact(2) {
                let (from, to) = (pair[0].ceil().max(0.0) as usize, pair[1].floor().min(columns as f32 - 1.0));
                let inside = (from..columns).take_while(|&column| column as f32 <= to);
                inside.for_each(|column| pixels[row * columns + column] = true);
            }
        }
        match pixels.contains(&true) {
            true => Ok(Self { rows, columns, pixels }),
            false => Err(Error::invalid("the polygon holds no pixel of the slice")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scribble_becomes_clicks_along_it() {
        let places = |line: &[[f32; 2]], width| {
            Point::scribble(line, width, true).unwrap().iter().map(|point| [point.x, point.y]).collect::<Vec<_>>()
        };
        assert_eq!(places(&[[2.0, 3.0]], 5.0), [[2.0, 3.0]]);
        assert_eq!(places(&[[0.0, 0.0], [10.0, 0.0]], 5.0), [[0.0, 0.0], [5.0, 0.0], [10.0, 0.0]]);
        assert_eq!(
            places(&[[0.0, 0.0], [6.0, 0.0], [6.0, 6.0]], 4.0),
            [[0.0, 0.0], [4.0, 0.0], [6.0, 2.0], [6.0, 6.0]]
        );
        assert_eq!(places(&[[0.0, 0.0], [1000.0, 0.0]], 1.0).len(), CLICKS);
        assert_eq!(places(&[[0.0, 0.0], [1.0, 0.0]], 9.0), [[0.0, 0.0], [1.0, 0.0]]);
        assert!(Point::scribble(&[], 1.0, true).is_err() && Point::scribble(&[[0.0; 2]], f32::NAN, true).is_err());
    }

    #[test]
    fn a_polygon_is_filled() {
        let square = Mask::polygon(4, 5, &[[1.0, 0.5], [3.0, 0.5], [3.0, 2.5], [1.0, 2.5]]).unwrap();
        let rows: Vec<String> = square
            .pixels
            .chunks(5)
            .map(|row| row.iter().map(|&inside| if inside { '#' } else { '.' }).collect())
            .collect();
        assert_eq!(rows, [".....", ".###.", ".###.", "....."]);
        let outside = [[-9.0, -9.0], [50.0, -9.0], [50.0, 50.0], [-9.0, 50.0]];
        assert!(Mask::polygon(4, 5, &outside).unwrap().pixels.iter().all(|inside| *inside));
        for wrong in [&outside[..2], &[[9.0, 9.0], [9.5, 9.0], [9.0, 9.5]]] {
            assert!(Mask::polygon(4, 5, wrong).is_err());
        }
    }
}

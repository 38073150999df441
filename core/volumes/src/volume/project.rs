//! From a stack to one picture (en face), and a volume in numbers.

use super::{Geometry, Labels, Volume, Voxels};
use crate::progress::check;
use crate::{Error, Result, with_voxels};
use serde::Serialize;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

/// How the values of a column become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// the largest
    Max,
    /// the smallest
    Min,
    /// the mean
    Mean,
}

impl FromStr for Projection {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "max" => Ok(Self::Max),
            "min" => Ok(Self::Min),
            "mean" => Ok(Self::Mean),
            other => Err(Error::invalid(format!("projection \"{other}\" is none of max, mean, min"))),
        }
    }
}

/// A volume in numbers; voxels that are not finite do not count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Statistics {
    /// voxels that count
    pub count: usize,
    /// the smallest value
    pub min: f64,
    /// the largest value
    pub max: f64,
    /// their mean
    pub mean: f64,
    /// standard deviation (of the whole, not of a sample)
    pub std: f64,
}

impl Volume {
    /// One slice made of `frames`, float32, at the place of the middle one. Errors: no such slices, colour.
    pub fn project(&self, frames: Range<usize>, how: Projection) -> Result<Self> {
        self.check_range(&frames)?;
        if self.channels != 1 {
            return Err(Error::invalid("a colour volume cannot be projected: open it with one channel"));
        }
        let mut sums = vec![0f64; self.rows * self.columns];
        for frame in frames.clone() {
            check()?;
            let values = self.frame(frame)?.to_f32();
            let first = frame == frames.start;
            for (sum, value) in sums.iter_mut().zip(values.into_iter().map(f64::from)) {
                *sum = match how {
                    _ if first => value,
                    Projection::Max => sum.max(value),
                    Projection::Min => sum.min(value),
                    Projection::Mean => *sum + value,
                };
            }
        }
        if how == Projection::Mean {
            sums.iter_mut().for_each(|sum| *sum /= frames.len() as f64);
        }
        let voxels = Voxels::F32(sums.into_iter().map(|sum| sum as f32).collect());
        let middle = (frames.start + frames.end - 1) as f64 / 2.0;
        Self::new([1, self.rows, self.columns, 1], voxels, at_depth(&self.geometry, middle), self.format)
    }

    /// Some of the slices as a volume of their own, which shares nothing but the place. Errors: no such slices.
    pub fn slices(&self, frames: Range<usize>) -> Result<Self> {
        self.check_range(&frames)?;
        let mut voxels = self.frame(frames.start)?;
        for frame in frames.start + 1..frames.end {
            check()?;
            voxels.append(&self.frame(frame)?);
        }
        let shape = [frames.len(), self.rows, self.columns, self.channels];
        let geometry = at_depth(&self.geometry, frames.start as f64);
        let scan = self.scan.as_ref().map(|scan| Arc::new(scan.frames(frames, self.columns)));
        Ok(Self::new(shape, voxels, geometry, self.format)?.with_window(self.window).with_scan(scan))
    }

    /// The values of some slices in numbers.
    pub fn statistics(&self, frames: Range<usize>) -> Result<Statistics> {
        self.check_range(&frames)?;
        let (mut count, mut sum, mut squares) = (0usize, 0f64, 0f64);
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for frame in frames {
            check()?;
            with_voxels!(&self.frame(frame)?, values => {
                for value in values.iter().map(|&v| v as f64).filter(|v| v.is_finite()) {
                    count += 1;
                    sum += value;
                    squares += value * value;
                    (min, max) = (min.min(value), max.max(value));
                }
            });
        }
        if count == 0 {
            return Ok(Statistics { count, min: 0.0, max: 0.0, mean: 0.0, std: 0.0 });
        }
        let mean = sum / count as f64;
        Ok(Statistics { count, min, max, mean, std: (squares / count as f64 - mean * mean).max(0.0).sqrt() })
    }

    /// Object 1 where a value lies between `low` and `high`, both included. Errors: colour.
    pub fn threshold(&self, low: f64, high: f64) -> Result<Labels> {
        if self.channels != 1 {
            return Err(Error::invalid("a colour volume has no threshold: open it with one channel"));
        }
        let mut labels = Labels::empty_like(self);
        for frame in 0..self.frames {
            check()?;
            let voxels = self.frame(frame)?;
            with_voxels!(&voxels, values => {
                for (label, &value) in labels.frame_mut(frame).iter_mut().zip(values) {
                    *label = u16::from((low..=high).contains(&(value as f64)));
                }
            });
        }
        Ok(labels)
    }

    fn check_range(&self, frames: &Range<usize>) -> Result<()> {
        if frames.is_empty() {
            return Err(Error::invalid(format!("slices {} to {} are none", frames.start, frames.end)));
        }
        self.check_frame(frames.start)?;
        self.check_frame(frames.end - 1)
    }
}

/// The same place, `frames` further along z.
pub(super) fn at_depth(geometry: &Geometry, frames: f64) -> Geometry {
    let mut moved = geometry.clone();
    for row in &mut moved.affine[..3] {
        row[3] += row[2] * frames;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> Volume {
        let voxels = Voxels::U8((0..24).collect());
        Volume::new([4, 2, 3, 1], voxels, Geometry::from_spacing([1.0, 1.0, 2.0], true), "npy").unwrap()
    }

    #[test]
    fn projections_and_their_place() {
        let values = |how| volume().project(1..4, how).unwrap().voxels().unwrap().to_f32();
        assert_eq!(values(Projection::Max), [18., 19., 20., 21., 22., 23.]);
        assert_eq!(values(Projection::Min), [6., 7., 8., 9., 10., 11.]);
        assert_eq!(values(Projection::Mean), [12., 13., 14., 15., 16., 17.]);
        assert_eq!(volume().project(1..4, Projection::Max).unwrap().geometry.affine[2][3], 4.0);
        assert!(volume().project(2..2, Projection::Max).is_err());
        assert!(volume().project(0..5, Projection::Max).is_err());
    }

    #[test]
    fn numbers_and_thresholds() {
        let reply = volume().statistics(0..4).unwrap();
        assert_eq!((reply.count, reply.min, reply.max, reply.mean), (24, 0.0, 23.0, 11.5));
        assert!((reply.std - 6.922186552431729).abs() < 1e-12, "{}", reply.std);
        assert_eq!(volume().threshold(5.0, 7.0).unwrap().count(1), 3);
        assert_eq!(volume().slices(2..3).unwrap().voxels().unwrap().to_f32(), [12., 13., 14., 15., 16., 17.]);
    }
}

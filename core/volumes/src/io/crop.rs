//! The region of every slice that is read: `"X,Y,W,H"`, each in pixels or percent.
//!
//! Strips that hold several pictures side by side (OCTA layer sequences: 2048 x 512, the raw layer in the last quarter) become
//! usable with `75%,0,25%,100%`.

use crate::volume::{Geometry, Voxels};
use crate::{Error, Result, with_voxels};
use std::fmt;
use std::str::FromStr;

/// A length along a slice.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Length {
    Pixels(usize),
    Percent(f64),
}

impl Length {
    /// In pixels of a side that is `side` pixels long.
    fn pixels(self, side: usize) -> usize {
        match self {
            Self::Pixels(pixels) => pixels,
            Self::Percent(percent) => (percent * side as f64 / 100.0).round() as usize,
        }
    }
}

/// A region of every slice: left edge, upper edge, width, height.
///
/// ```
/// # use sam_octa2_volumes::io::Crop;
/// let last_quarter: Crop = "75%,0,25%,100%".parse()?;
/// assert_eq!(last_quarter.to_string(), "75%,0,25%,100%");
/// # sam_octa2_volumes::Result::Ok(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop {
    sides: [Length; 4],
}

/// A [`Crop`] in the pixels of one slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub x: usize,
    pub y: usize,
    pub columns: usize,
    pub rows: usize,
}

impl FromStr for Crop {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(format!(
                "crop \"{text}\" is not X,Y,W,H with each in pixels (512) or percent (75%), such as 75%,0,25%,100%"
            ))
        };
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let parts: [&str; 4] = parts.try_into().map_err(|_| wrong())?;
        let mut sides = [Length::Pixels(0); 4];
        for (side, part) in sides.iter_mut().zip(parts) {
            *side = match part.strip_suffix('%') {
                None => Length::Pixels(part.parse().map_err(|_| wrong())?),
                Some(number) => {
                    let percent: f64 = number.trim().parse().map_err(|_| wrong())?;
                    if !(0.0..=100.0).contains(&percent) {
                        return Err(wrong());
                    }
                    Length::Percent(percent)
                }
            };
        }
        Ok(Self { sides })
    }
}

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, side) in self.sides.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match side {
                Length::Pixels(pixels) => write!(f, "{comma}{pixels}")?,
                Length::Percent(percent) => write!(f, "{comma}{percent}%")?,
            }
        }
        Ok(())
    }
}

impl Crop {
    /// The region in a slice of this size; an error when it is empty or reaches beyond the slice.
    pub(super) fn region(&self, rows: usize, columns: usize) -> Result<Region> {
        let [x, y, width, height] = self.sides;
        let (x, columns_wanted) = edge_and_length(x, width, columns);
        let (y, rows_wanted) = edge_and_length(y, height, rows);
        let fits = |edge: usize, length: usize, side: usize| {
            length > 0 && edge.checked_add(length).is_some_and(|end| end <= side)
        };
        if !fits(x, columns_wanted, columns) || !fits(y, rows_wanted, rows) {
            return Err(Error::invalid(format!(
                "crop {self} is {columns_wanted} x {rows_wanted} pixels at x {x}, y {y}: outside of slices of {columns} x {rows} pixels \
                 (columns x rows)"
            )));
        }
        Ok(Region { x, y, columns: columns_wanted, rows: rows_wanted })
    }
}

/// Two percentages are rounded at both ends, so that neighbouring regions neither overlap nor leave a gap.
fn edge_and_length(edge: Length, length: Length, side: usize) -> (usize, usize) {
    let start = edge.pixels(side);
    match (edge, length) {
        (Length::Percent(a), Length::Percent(b)) => (start, Length::Percent(a + b).pixels(side).saturating_sub(start)),
        _ => (start, length.pixels(side)),
    }
}

impl Region {
    /// The region of every slice of `[frames, rows, columns, channels]` values whose slices have `columns` and `rows`.
    pub fn cut(&self, voxels: &Voxels, rows: usize, columns: usize, channels: usize) -> Voxels {
        with_voxels!(voxels, values => Voxels::from(self.cut_values(values, rows, columns, channels)))
    }

    fn cut_values<T: Copy>(&self, values: &[T], rows: usize, columns: usize, channels: usize) -> Vec<T> {
        let row = columns * channels;
        values
            .chunks_exact(row * rows)
            .flat_map(|slice| slice[self.y * row..(self.y + self.rows) * row].chunks_exact(row))
            .flat_map(|line| &line[self.x * channels..(self.x + self.columns) * channels])
            .copied()
            .collect()
    }

    /// The geometry of what was cut out.
    pub fn geometry(&self, whole: &Geometry) -> Geometry {
        whole.shifted(self.x, self.y)
    }
}

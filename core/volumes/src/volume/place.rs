//! Do two grids lie at the same place? Labels come from one onto the other where that only turns axes round, without a voxel lost; any
//! other place is refused, and [`Labels::resampled`] is there for those who mean it.

use super::{Geometry, Labels, Volume};
use crate::progress::checkpoint;
use crate::{Error, Result};
use std::borrow::Cow;

/// how far the corners of two grids may lie apart, in voxels: the numbers in files are rounded
const ROUNDING: f64 = 0.05;
/// how far, relative to each other, sizes of a pixel may lie apart
const SAME_SIZE: f64 = 0.01;
/// the orders that three axes can have, the usual one first
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0], [2, 0, 1]];

/// A grid of voxels and where it lies.
#[derive(Debug, Clone, Copy)]
pub struct Lattice<'a> {
    /// voxels along x, y, z
    pub sides: [usize; 3],
    /// where they lie
    pub geometry: &'a Geometry,
}

/// How the axes of one grid become those of another: the axis that each is taken from, and whether it runs backwards.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Turn {
    axes: [usize; 3],
    backwards: [bool; 3],
}

impl Turn {
    /// All of them; the one that changes nothing comes first.
    fn all() -> impl Iterator<Item = Self> {
        ORDERS.into_iter().flat_map(|axes| {
            (0..8).map(move |bits| Self { axes, backwards: [0, 1, 2].map(|axis| bits >> axis & 1 == 1) })
        })
    }

    fn is_none(self) -> bool {
        self == Self { axes: ORDERS[0], backwards: [false; 3] }
    }

    fn fits(self, from: [usize; 3], to: [usize; 3]) -> bool {
        (0..3).all(|axis| from[self.axes[axis]] == to[axis])
    }
}

impl Lattice<'_> {
    /// Frames, rows, columns, for people.
    fn shape(&self) -> String {
        let [x, y, z] = self.sides;
        format!("{z} x {y} x {x}")
    }

    fn size(&self) -> String {
        let [x, y, z] = self.geometry.spacing.map(|mm| (mm * 1e5).round() / 1e5);
        format!("{x} x {y} x {z} mm")
    }

    /// How this grid has to be turned to lie on another. Errors: it lies elsewhere, or its voxels are others.
    fn turn_to(&self, to: &Lattice<'_>) -> Result<Turn> {
        if !(self.geometry.is_complete() && to.geometry.is_complete()) {
            return self.same_shape(to).map(|()| Turn { axes: ORDERS[0], backwards: [false; 3] });
        }
        for turn in Turn::all().filter(|turn| turn.fits(self.sides, to.sides)) {
            if self.apart(to, turn)?.0 < ROUNDING {
                return Ok(turn);
            }
        }
        let corners = Turn::all().map(|turn| Ok(self.apart(to, turn)?.1)).collect::<Result<Vec<f64>>>()?;
        Err(self.elsewhere(to, corners.into_iter().fold(f64::INFINITY, f64::min)))
    }

    /// Is it the same grid? Errors: it lies elsewhere, its voxels are others, its axes are stored in another order.
    pub fn lies_on(&self, other: &Lattice<'_>) -> Result<()> {
        match self.turn_to(other)?.is_none() {
            true => Ok(()),
            false => Err(Error::invalid("the two lie at the same place, but their axes are stored in another order")),
        }
    }

    /// Where one of the two does not know its place, voxel lies on voxel; sizes that both know must agree.
    fn same_shape(&self, to: &Lattice<'_>) -> Result<()> {
        if self.sides != to.sides {
            let (here, there) = (self.shape(), to.shape());
            return Err(Error::invalid(format!(
                "labels of {here} do not fit a grid of {there} (frames x rows x columns)"
            )));
        }
        let (here, there) = (self.geometry, to.geometry);
        let differs = |axis: usize| (here.spacing[axis] / there.spacing[axis] - 1.0).abs() > SAME_SIZE;
        if here.has_size() && there.has_size() && (differs(0) || differs(1)) {
            let what = "one of the two is not what it seems";
            return Err(Error::invalid(format!(
                "labels with voxels of {} do not fit a grid with voxels of {}: {what}",
                self.size(),
                to.size()
            )));
        }
        Ok(())
    }

    /// How far the corners lie apart at most after a turn: in voxels of the other grid, and in millimetres.
    fn apart(&self, to: &Lattice<'_>, turn: Turn) -> Result<(f64, f64)> {
        let (mut voxels, mut millimetres) = (0f64, 0f64);
        for corner in 0..8 {
            let far = [0, 1, 2].map(|axis| corner >> axis & 1 == 1);
            let there = [0, 1, 2].map(|axis| if far[axis] { to.sides[axis] as f64 - 1.0 } else { 0.0 });
            let mut here = [0.0; 3];
            for (axis, &from) in turn.axes.iter().enumerate() {
                here[from] = if far[axis] != turn.backwards[axis] { self.sides[from] as f64 - 1.0 } else { 0.0 };
            }
            let (place, wanted) = (self.geometry.to_mm(here), to.geometry.to_mm(there));
            let index = to.geometry.to_index(place)?;
            voxels = (0..3).map(|axis| (index[axis] - there[axis]).abs()).fold(voxels, f64::max);
            let squares: f64 = (0..3).map(|axis| (place[axis] - wanted[axis]).powi(2)).sum();
            millimetres = millimetres.max(squares.sqrt());
        }
        Ok((voxels, millimetres))
    }

    fn elsewhere(&self, to: &Lattice<'_>, millimetres: f64) -> Error {
        Error::invalid(format!(
            "labels of {} voxels (frames x rows x columns) of {} do not fit the grid of {} voxels of {}: they lie elsewhere, corners are \
             up to {millimetres:.4} mm apart. To bring them there on purpose, take the nearest voxel: `labels.resampled(volume)` in a script, \
             `SimpleITK.Resample(labels, volume, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor)` in Python",
            self.shape(),
            self.size(),
            to.shape(),
            to.size()
        ))
    }
}

impl Volume {
    /// Its grid.
    pub fn lattice(&self) -> Lattice<'_> {
        Lattice { sides: [self.columns, self.rows, self.frames], geometry: &self.geometry }
    }
}

impl Labels {
    /// Its grid.
    pub fn lattice(&self) -> Lattice<'_> {
        Lattice { sides: [self.columns, self.rows, self.frames], geometry: &self.geometry }
    }

    /// The same labels on another grid, voxel for voxel: as they are where one of the two does not say where it lies, else turned so that
    /// every voxel keeps its place in the patient.
    /// Errors: another number or size of voxels, another place; the text says how far apart they are and how to resample.
    pub fn onto(&self, grid: Lattice<'_>) -> Result<Cow<'_, Self>> {
        let turn = self.lattice().turn_to(&grid)?;
        if turn.is_none() {
            return Ok(Cow::Borrowed(self));
        }
        let steps = [1, self.columns, self.columns * self.rows].map(|step| step as isize);
        let step = |axis: usize| steps[turn.axes[axis]] * if turn.backwards[axis] { -1 } else { 1 };
        let along = [0, 1, 2].map(step);
        // an axis that runs backwards begins at its end
        let begin = |axis: usize| if turn.backwards[axis] { -along[axis] * (grid.sides[axis] as isize - 1) } else { 0 };
        let start: isize = (0..3).map(begin).sum();
        let [columns, rows, frames] = grid.sides;
        let mut data = Vec::with_capacity(self.data.len());
        for frame in 0..frames as isize {
            for row in 0..rows as isize {
                checkpoint();
                let first = start + frame * along[2] + row * along[1];
                data.extend((0..columns as isize).map(|column| self.data[(first + column * along[0]) as usize]));
            }
        }
        Ok(Cow::Owned(Self { frames, rows, columns, data, geometry: grid.geometry.clone() }))
    }

    /// The labels on another grid: each voxel gets the number of the nearest voxel here, 0 where there is none.
    /// Errors: one of the two does not say where it lies.
    pub fn resampled(&self, grid: Lattice<'_>) -> Result<Self> {
        if !(self.geometry.is_complete() && grid.geometry.is_complete()) {
            let what = "to resample labels, both grids must say where they lie (a picture, a TIFF or an .npy does not)";
            return Err(Error::invalid(what));
        }
        let [columns, rows, frames] = grid.sides;
        let index = |place: [f64; 3]| self.geometry.to_index(grid.geometry.to_mm(place));
        let first = index([0.0; 3])?;
        let step = |place: [f64; 3]| index(place).map(|at| [0, 1, 2].map(|axis| at[axis] - first[axis]));
        let along = [step([1.0, 0.0, 0.0])?, step([0.0, 1.0, 0.0])?, step([0.0, 0.0, 1.0])?];
        let mut data = Vec::with_capacity(columns * rows * frames);
        for frame in 0..frames {
            for row in 0..rows {
                checkpoint();
                data.extend((0..columns).map(|column| {
                    let at = |axis: usize| {
                        let [x, y, z] = along.map(|step| step[axis]);
                        first[axis] + column as f64 * x + row as f64 * y + frame as f64 * z
                    };
                    self.nearest([at(0), at(1), at(2)])
                }));
            }
        }
        Ok(Self { frames, rows, columns, data, geometry: grid.geometry.clone() })
    }

    /// The number at an index that may lie between voxels; 0 outside.
    fn nearest(&self, index: [f64; 3]) -> u16 {
        let [x, y, z] = index.map(f64::round);
        let inside = |at: f64, side: usize| at >= 0.0 && at < side as f64;
        if !(inside(x, self.columns) && inside(y, self.rows) && inside(z, self.frames)) {
            return 0;
        }
        self.data[(z as usize * self.rows + y as usize) * self.columns + x as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBLIQUE: [[f64; 4]; 4] =
        [[0.4, 0.3, 0.0, -7.0], [-0.3, 0.4, 0.0, 20.0], [0.0, 0.0, 2.0, 90.0], [0.0, 0.0, 0.0, 1.0]];

    fn labels() -> Labels {
        Labels { frames: 2, rows: 3, columns: 4, data: (1..25).collect(), geometry: Geometry::from_affine(OBLIQUE) }
    }

    /// The same labels stored with other axes.
    fn stored(turn: Turn) -> Labels {
        let labels = labels();
        let sides = turn.axes.map(|axis| labels.lattice().sides[axis]);
        let mut affine = OBLIQUE;
        for row in 0..3 {
            for axis in 0..3 {
                let step = OBLIQUE[row][turn.axes[axis]];
                affine[row][axis] = if turn.backwards[axis] { -step } else { step };
                affine[row][3] += if turn.backwards[axis] { step * (sides[axis] as f64 - 1.0) } else { 0.0 };
            }
        }
        let geometry = Geometry::from_affine(affine);
        let grid = Labels { frames: sides[2], rows: sides[1], columns: sides[0], data: vec![0; 24], geometry };
        labels.resampled(grid.lattice()).unwrap()
    }

    #[test]
    fn every_orientation_comes_back_exactly() {
        for turn in Turn::all() {
            let stored = stored(turn);
            let back = stored.onto(labels().lattice()).unwrap();
            assert_eq!(back.data, labels().data, "{turn:?}");
            assert_eq!(matches!(back, Cow::Borrowed(_)), turn.is_none(), "{turn:?}");
        }
    }

    #[test]
    fn another_place_is_an_error_that_says_how_far() {
        let moved = |by: f64| {
            let mut affine = OBLIQUE;
            affine[2][3] += by;
            Labels { geometry: Geometry::from_affine(affine), ..labels() }
        };
        assert!(moved(0.02).onto(labels().lattice()).is_ok(), "a hundredth of a voxel is rounding");
        let error = moved(0.7).onto(labels().lattice()).unwrap_err().to_string();
        assert!(error.contains("up to 0.7000 mm apart") && error.contains("labels.resampled(volume)"), "{error}");
        let coarse = Geometry::from_affine([OBLIQUE[0].map(|v| v * 2.0), OBLIQUE[1], OBLIQUE[2], OBLIQUE[3]]);
        assert!(Labels { geometry: coarse, ..labels() }.onto(labels().lattice()).is_err());
        let turned = stored(Turn { axes: [1, 0, 2], backwards: [false; 3] });
        let other = Labels { geometry: labels().geometry, ..turned };
        assert!(other.onto(labels().lattice()).unwrap_err().to_string().contains("2 x 4 x 3"));
    }

    #[test]
    fn without_a_place_shape_and_size_count() {
        let unknown = |geometry: Geometry| Labels { geometry, ..labels() };
        assert!(unknown(Geometry::unknown()).onto(labels().lattice()).is_ok());
        let same = unknown(Geometry::from_spacing([0.5, 0.5, 9.0], true));
        assert!(same.onto(labels().lattice()).is_ok(), "a TIFF says nothing of its place");
        let larger = unknown(Geometry::from_spacing([0.6, 0.5, 2.0], false));
        let error = larger.onto(labels().lattice()).unwrap_err().to_string();
        assert!(error.contains("0.6 x 0.5 x 2 mm"), "{error}");
        let flat = Labels { rows: 1, columns: 12, ..unknown(Geometry::unknown()) };
        assert!(flat.onto(labels().lattice()).unwrap_err().to_string().contains("2 x 1 x 12"));
    }

    #[test]
    fn resampling_takes_the_nearest_voxel() {
        let mut affine = OBLIQUE;
        affine[2][3] += 1.2;
        let grid = Labels { geometry: Geometry::from_affine(affine), ..labels() };
        let moved = labels().resampled(grid.lattice()).unwrap();
        assert_eq!(moved.frame(0), labels().frame(1));
        assert!(moved.frame(1).iter().all(|&label| label == 0));
        assert!(labels().resampled(Labels { geometry: Geometry::unknown(), ..labels() }.lattice()).is_err());
    }
}

//! The masks of one object, slice by slice, each cut to where it is. A copy shares the slices, so that earlier states cost nothing.

use super::refusal::{Answer, Refusal};
use sam_octa2_abi::{Form, Mask};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The part of a slice where an object is.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Crop {
    /// first row and column
    pub start: [usize; 2],
    /// rows and columns
    pub size: [usize; 2],
    /// row by row
    pub inside: Vec<bool>,
}

/// An object on the slices on which it is.
#[derive(Debug, Clone, Default)]
pub struct Masks(BTreeMap<usize, Arc<Crop>>);

/// First index and the one behind the last, for frames, rows and columns.
pub type Bounds = [[usize; 2]; 3];

impl Crop {
    /// Cuts a whole slice of `columns`; nothing if it is empty.
    pub fn of(inside: impl Fn(usize, usize) -> bool, rows: usize, columns: usize) -> Option<Self> {
        let [mut top, mut left, mut bottom, mut right] = [rows, columns, 0, 0];
        for row in 0..rows {
            for column in 0..columns {
                if inside(row, column) {
                    (top, bottom) = (top.min(row), row + 1);
                    (left, right) = (left.min(column), right.max(column + 1));
                }
            }
        }
        if bottom <= top {
            return None;
        }
        let cut = (top..bottom).flat_map(|row| (left..right).map(move |column| (row, column)));
        let inside = cut.map(|(row, column)| inside(row, column)).collect();
        Some(Self { start: [top, left], size: [bottom - top, right - left], inside })
    }

    /// Of the plugin's mask of a slice.
    pub fn of_mask(mask: &Mask) -> Answer<Option<Self>> {
        let view = mask.view(Form::Dense)?;
        let (shape, values) = (view.shape(), view.values::<u8>());
        match (shape.as_slice(), values) {
            (&[rows, columns], Some(values)) => {
                Ok(Self::of(|row, column| values[row * columns + column] != 0, rows, columns))
            }
            _ => Err(Refusal::inside("the plugin's mask has another form than a slice")),
        }
    }

    /// Puts the object into a block that shows part of a slice.
    fn paint(&self, block: &mut [u8], [rows, columns]: [[usize; 2]; 2]) {
        let width = columns[1] - columns[0];
        for (at, line) in self.inside.chunks_exact(self.size[1].max(1)).enumerate() {
            let row = self.start[0] + at;
            if !(rows[0]..rows[1]).contains(&row) {
                continue;
            }
            for (at, _) in line.iter().enumerate().filter(|&(_, &inside)| inside) {
                let column = self.start[1] + at;
                if (columns[0]..columns[1]).contains(&column) {
                    block[(row - rows[0]) * width + column - columns[0]] = 1;
                }
            }
        }
    }

    /// A whole slice, 1 where the object is.
    pub fn whole(&self, rows: usize, columns: usize) -> Vec<u8> {
        let mut slice = vec![0; rows * columns];
        self.paint(&mut slice, [[0, rows], [0, columns]]);
        slice
    }

    /// Lengths of runs in the order of rows within the crop, beginning with outside.
    pub fn runs(&self) -> Vec<usize> {
        let (mut runs, mut now, mut length) = (Vec::new(), false, 0);
        for &inside in &self.inside {
            if inside != now {
                runs.push(length);
                (now, length) = (inside, 0);
            }
            length += 1;
        }
        runs.push(length);
        runs
    }
}

impl Masks {
    /// On this slice.
    pub fn at(&self, frame: usize) -> Option<&Arc<Crop>> {
        self.0.get(&frame)
    }

    /// The slices on which the object is.
    pub fn frames(&self) -> impl Iterator<Item = usize> {
        self.0.keys().copied()
    }

    /// Replaces a slice.
    pub fn set(&mut self, frame: usize, crop: Option<Crop>) {
        match crop {
            Some(crop) => self.0.insert(frame, Arc::new(crop)),
            None => self.0.remove(&frame),
        };
    }

    /// 1 where the object is, within these bounds.
    pub fn block(&self, [frames, rows, columns]: Bounds) -> Vec<u8> {
        let plane = (rows[1] - rows[0]) * (columns[1] - columns[0]);
        let mut block = vec![0; (frames[1] - frames[0]) * plane];
        for (&frame, crop) in self.0.range(frames[0]..frames[1]) {
            crop.paint(&mut block[(frame - frames[0]) * plane..][..plane], [rows, columns]);
        }
        block
    }

    /// Where this differs from `other`: the box around what either has on slices that are not the same.
    pub fn changed_from(&self, other: &Self) -> Option<Bounds> {
        let frames: BTreeSet<usize> = self.frames().chain(other.frames()).collect();
        let mut bounds: Option<Bounds> = None;
        for frame in frames {
            let [one, two] = [self.at(frame), other.at(frame)];
            if one == two {
                continue;
            }
            for crop in [one, two].into_iter().flatten() {
                let [top, left] = crop.start;
                let here = [[frame, frame + 1], [top, top + crop.size[0]], [left, left + crop.size[1]]];
                let wider =
                    |all: Bounds| std::array::from_fn(|i| [all[i][0].min(here[i][0]), all[i][1].max(here[i][1])]);
                bounds = Some(bounds.map_or(here, wider));
            }
        }
        bounds
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ring() -> Crop {
        Crop::of(|row, column| (2..5).contains(&row) && (3..6).contains(&column) && (row, column) != (3, 4), 8, 9)
            .unwrap()
    }

    #[test]
    fn a_crop_is_cut_and_put_back() {
        let crop = ring();
        assert_eq!((crop.start, crop.size), ([2, 3], [3, 3]));
        assert_eq!(crop.runs(), [0, 4, 1, 4]);
        let whole = crop.whole(8, 9);
        assert_eq!(whole.iter().filter(|&&value| value == 1).count(), 8);
        assert_eq!(Crop::of(|row, column| whole[row * 9 + column] == 1, 8, 9), Some(crop));
        assert_eq!(Crop::of(|_, _| false, 8, 9), None);
    }

    #[test]
    fn changes_are_boxed() {
        let mut masks = Masks::default();
        masks.set(4, Some(ring()));
        let before = masks.clone();
        assert_eq!(masks.changed_from(&before), None);
        masks.set(4, Some(ring()));
        assert_eq!(masks.changed_from(&before), None, "the same again");
        masks.set(6, Crop::of(|row, column| (row, column) == (7, 0), 8, 9));
        assert_eq!(masks.changed_from(&before), Some([[6, 7], [7, 8], [0, 1]]));
        let block = masks.block([[4, 7], [2, 8], [0, 9]]);
        assert_eq!(block.iter().map(|&value| usize::from(value)).sum::<usize>(), 9);
        assert_eq!(masks.block([[4, 5], [3, 4], [4, 5]]), [0], "the hole");
    }
}

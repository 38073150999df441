//! Which axes of an NRRD array are those of a volume, and where its voxels lie.
//!
//! Standard: <https://teem.sourceforge.net/nrrd/format.html>, sections 5 (per-axis fields) and 6 (space). Axes are written fastest first.

use super::header::Header;
use crate::volume::Geometry;
use crate::{Error, Result};
use std::path::Path;

/// What an axis that is no direction in space counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apart {
    /// numbers of one colour
    Colour,
    /// anything of which one is chosen: times, layers of segments, components
    Choice,
}

/// The axes of an array as those of a volume.
#[derive(Debug, PartialEq)]
pub(super) struct Grid {
    /// `[frames, rows, columns]`
    pub shape: [u64; 3],
    /// numbers side by side in one voxel
    pub components: u64,
    /// are they a colour?
    pub colour: bool,
    /// volumes one after another
    pub volumes: u64,
    /// which axes are space, fastest first
    spatial: Vec<usize>,
}

impl Grid {
    /// Errors: axes that are no volume.
    pub fn of(path: &Path, header: &Header) -> Result<Self> {
        let sizes = sizes(path, header)?;
        let kinds: Vec<String> = header
            .field(&["kinds"])
            .map(|text| text.split_whitespace().map(str::to_lowercase).collect())
            .unwrap_or_default();
        let directions = header.field(&["spacedirections"]).map(vectors).unwrap_or_default();
        let apart: Vec<Option<Apart>> = (0..sizes.len())
            .map(|axis| {
                let nowhere = directions.get(axis).is_some_and(Option::is_none);
                apart(kinds.get(axis).map_or("", String::as_str), nowhere, sizes[axis])
            })
            .collect();
        let mut spatial: Vec<usize> = (0..sizes.len()).filter(|&axis| apart[axis].is_none()).collect();
        // arrays that say nothing of their axes: a volume, and times behind it
        let extra = spatial.split_off(spatial.len().min(3));
        let odd: Vec<usize> = (0..sizes.len()).filter(|axis| !spatial.contains(axis) && sizes[*axis] > 1).collect();
        let wrong = |what: &str| {
            let what = format!("holds an array of sizes {sizes:?} (fastest first) {what}; save one volume");
            Error::format(path, what)
        };
        if !(2..=3).contains(&spatial.len()) {
            return Err(wrong("with fewer than two axes in space"));
        }
        let (first, last) = (spatial[0], spatial[spatial.len() - 1]);
        if odd.iter().any(|axis| (first..last).contains(axis)) {
            return Err(wrong("with another axis between those in space"));
        }
        let before: Vec<usize> = odd.iter().copied().filter(|&axis| axis < first).collect();
        let product = |axes: &[usize]| axes.iter().try_fold(1u64, |all, &axis| all.checked_mul(sizes[axis]));
        let behind: Vec<usize> = odd.iter().copied().filter(|&axis| axis > last).collect();
        if !extra.is_empty() && extra.iter().any(|axis| apart[*axis].is_some()) {
            return Err(wrong("with more than three axes in space"));
        }
        let (Some(components), Some(volumes)) = (product(&before), product(&behind)) else {
            return Err(wrong("of more values than there can be"));
        };
        let side = |axis: usize| spatial.get(axis).map_or(1, |&axis| sizes[axis]);
        let colour = matches!(before[..], [axis] if apart[axis] == Some(Apart::Colour));
        Ok(Self { shape: [side(2), side(1), side(0)], components, colour, volumes, spatial })
    }

    /// Where the voxels lie, and what people should know of it.
    pub fn geometry(&self, path: &Path, header: &Header) -> Result<(Geometry, Option<String>)> {
        let Some(text) = header.field(&["spacedirections"]) else { return Ok(self.sizes_alone(header)) };
        let all = vectors(text);
        let directions: Vec<Vec<f64>> =
            self.spatial.iter().filter_map(|&axis| all.get(axis).cloned().flatten()).collect();
        let dimension = directions.first().map_or(0, Vec::len);
        if directions.len() != self.spatial.len() || directions.iter().any(|v| v.len() != dimension) {
            return Err(Error::format(
                path,
                format!("has space directions in its NRRD header that are none: {:?}", start(text)),
            ));
        }
        let units = header.field(&["spaceunits"]).map(quoted).unwrap_or_default();
        let (unit, note) = factor(units.first().map_or("", String::as_str));
        let lengths = [0, 1, 2].map(|axis| {
            directions.get(axis).map_or(1.0, |v: &Vec<f64>| unit * v.iter().map(|mm| mm * mm).sum::<f64>().sqrt())
        });
        if note.is_some() || lengths.iter().any(|mm| !(mm.is_finite() && *mm > 0.0)) {
            let zero = "the space directions of the NRRD header are zero or not finite: sizes are not known";
            return Ok((Geometry::unknown(), note.or(Some(zero.to_owned()))));
        }
        let signs = header.field(&["space"]).and_then(to_ras);
        let (Some(signs), 3) = (signs, dimension) else { return Ok((Geometry::from_spacing(lengths, true), None)) };
        let origin = header.field(&["spaceorigin"]).map(vectors).unwrap_or_default();
        let origin = origin.first().cloned().flatten().filter(|v| v.len() == 3).unwrap_or_else(|| vec![0.0; 3]);
        let column = |axis: usize| directions.get(axis).cloned().unwrap_or_else(|| across(&directions));
        let columns = [column(0), column(1), column(2), origin];
        let mut affine = [[0., 0., 0., 0.], [0., 0., 0., 0.], [0., 0., 0., 0.], [0., 0., 0., 1.]];
        for (row, values) in affine[..3].iter_mut().enumerate() {
            for (value, column) in values.iter_mut().zip(&columns) {
                // no minus zero, which would be written so
                *value = column[row] * signs[row] * unit + 0.0;
            }
        }
        match Geometry::checked(affine) {
            Ok(geometry) => Ok((geometry, None)),
            Err(error) => {
                Ok((Geometry::from_spacing(lengths, true), Some(format!("where the voxels lie is not known: {error}"))))
            }
        }
    }

    /// Sizes without a place: `spacings`.
    fn sizes_alone(&self, header: &Header) -> (Geometry, Option<String>) {
        let Some(text) = header.field(&["spacings"]) else { return (Geometry::unknown(), None) };
        let said: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap_or(f64::NAN)).collect();
        let units = header.field(&["units", "spaceunits"]).map(quoted).unwrap_or_default();
        let unit = self.spatial.first().and_then(|&axis| units.get(axis)).map_or("", String::as_str);
        let (unit, note) = factor(unit);
        let spacing = [0, 1, 2].map(|axis| match self.spatial.get(axis) {
            Some(&axis) => said.get(axis).map_or(f64::NAN, |mm| mm.abs() * unit),
            None => 1.0,
        });
        match note {
            Some(_) => (Geometry::unknown(), note),
            None if spacing.iter().all(|mm| mm.is_finite() && *mm > 0.0) => {
                (Geometry::from_spacing(spacing, true), None)
            }
            None => (Geometry::unknown(), None),
        }
    }
}

fn sizes(path: &Path, header: &Header) -> Result<Vec<u64>> {
    let text = header.wanted(path, &["sizes"])?;
    let sizes: Option<Vec<u64>> =
        text.split_whitespace().map(|size| size.parse().ok().filter(|&size: &u64| size > 0)).collect();
    let dimension = header.field(&["dimension"]).and_then(|text| text.parse::<usize>().ok());
    match sizes {
        Some(sizes) if (1..=16).contains(&sizes.len()) && dimension == Some(sizes.len()) => Ok(sizes),
        _ => Err(Error::format(path, format!("has impossible sizes in its NRRD header: {:?}", start(text)))),
    }
}

/// What an axis counts, if it is none in space.
fn apart(kind: &str, nowhere: bool, size: u64) -> Option<Apart> {
    match kind {
        "rgb-color" | "3-color" | "vector" | "3-vector" | "covariant-vector" if size == 3 => Some(Apart::Colour),
        "rgba-color" | "4-color" if size == 4 => Some(Apart::Colour),
        "list" | "time" | "vector" | "covariant-vector" | "normal" | "point" | "stub" | "scalar" | "complex"
        | "2-vector" | "4-vector" | "3-vector" | "3-normal" | "3-gradient" | "quaternion" | "rgb-color"
        | "rgba-color" | "hsv-color" | "xyz-color" => Some(Apart::Choice),
        _ if kind.ends_with("matrix") => Some(Apart::Choice),
        _ if nowhere => Some(Apart::Choice),
        _ => None,
    }
}

/// `(1,0,0) none (0, 0, 2)` as vectors; what cannot be read is not a number.
fn vectors(text: &str) -> Vec<Option<Vec<f64>>> {
    let mut vectors = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() && vectors.len() < 16 {
        if let Some(inside) = rest.strip_prefix('(') {
            let (inside, behind) = inside.split_once(')').unwrap_or((inside, ""));
            vectors.push(Some(inside.split(',').map(|number| number.trim().parse().unwrap_or(f64::NAN)).collect()));
            rest = behind.trim_start();
        } else {
            vectors.push(None);
            rest = rest.split_once(char::is_whitespace).map_or("", |(_, behind)| behind).trim_start();
        }
    }
    vectors
}

/// `"mm" "mm"` as texts.
fn quoted(text: &str) -> Vec<String> {
    match text.contains('"') {
        true => text.split('"').skip(1).step_by(2).map(str::to_owned).collect(),
        false => text.split_whitespace().map(str::to_owned).collect(),
    }
}

/// Millimetres of a unit; nothing said means millimetres, as ITK has it.
fn factor(unit: &str) -> (f64, Option<String>) {
    let known = match unit.trim().to_lowercase().as_str() {
        "" | "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" | "???" => 1.0,
        "um" | "µm" | "μm" | "micron" | "microns" | "micrometer" | "micrometers" | "micrometre" | "micrometres" => {
            1e-3
        }
        "nm" => 1e-6,
        "cm" => 10.0,
        "m" | "meter" | "meters" | "metre" | "metres" => 1e3,
        _ => {
            return (
                1.0,
                Some(format!("the unit {:?} of the NRRD header is none of length: sizes are not known", start(unit))),
            );
        }
    };
    (known, None)
}

/// As much of a damaged text as an error may hold.
fn start(text: &str) -> String {
    text.chars().take(60).collect()
}

/// What turns a space into right, anterior, superior.
fn to_ras(space: &str) -> Option<[f64; 3]> {
    let name = space.trim().trim_matches('"').to_lowercase();
    match name.strip_suffix("-time").or(name.strip_suffix('t')).unwrap_or(&name) {
        "right-anterior-superior" | "ras" => Some([1.0, 1.0, 1.0]),
        "left-anterior-superior" | "las" => Some([-1.0, 1.0, 1.0]),
        "left-posterior-superior" | "lps" => Some([-1.0, -1.0, 1.0]),
        _ => None,
    }
}

/// A direction across the two of a single slice, of length 1.
fn across(directions: &[Vec<f64>]) -> Vec<f64> {
    let [a, b] = [&directions[0], &directions[1]];
    let cross = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let length = cross.iter().map(|v| v * v).sum::<f64>().sqrt();
    cross.map(|v| v / length).to_vec()
}

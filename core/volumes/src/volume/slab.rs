//! From B-scans to pictures en face and back: projections of a slab between two surfaces of the retina, and layers parallel to a surface.
//!
//! A slab includes its upper surface and excludes its lower one, both rounded to whole rows (halves to the even row), as eyepy's slabs do.
//! Named slabs follow Campbell et al. 2017 (Sci Rep 7:42201, figure 5: the superficial complex is the inner 80 % of the ganglion cell complex,
//! the intermediate plexus reaches from there to the middle of the INL, the deep plexus from there to the end of the OPL), unless the
//! device drew the limits itself (`IPL-`, `IPL+`).

use super::scan::Scan;
use super::{Geometry, Labels, Volume, Voxels};
use crate::progress::check;
use crate::{Error, Result, with_voxels};
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

/// Slabs by name: other names, and their edges; the first pair counts whose surfaces are there.
const NAMED: &[(&str, &[&str], &[&str])] = &[
    ("SVC", &["superficial", "SCP"], &["ILM..IPL-", "ILM..ILM>IPL*0.8"]),
    ("NFLVP", &["RPCP"], &["ILM..RNFL"]),
    ("SVP", &[], &["RNFL..IPL-", "RNFL..ILM>IPL*0.8"]),
    ("ICP", &["intermediate"], &["IPL-..IPL+", "ILM>IPL*0.8..IPL>INL*0.5"]),
    ("DCP", &[], &["IPL+..OPL", "IPL>INL*0.5..OPL"]),
    ("DVC", &["deep"], &["IPL-..OPL", "ILM>IPL*0.8..OPL"]),
    ("outer", &["outer retina", "outer_retina", "AVAC"], &["OPL..BM", "OPL..RPE"]),
    ("choriocapillaris", &["CC"], &["BM..BM+20"]),
    ("whole", &["retina", "RET"], &["ILM..BM", "ILM..RPE"]),
];

/// How the voxels of a column become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SlabProjection {
    /// the largest, in the type of the volume
    Max,
    /// their mean, float32
    Mean,
    /// their sum, float32: what eyepy shows
    Sum,
    /// the mean of the brightest, as a share of them of 0 to 1 (at least one voxel), float32
    Brightest(f64),
}

impl FromStr for SlabProjection {
    type Err = Error;

    /// `max`, `mean`, `sum`, `brightest` (a fifth of them), `brightest:0.1`
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "max" => Ok(Self::Max),
            "mean" => Ok(Self::Mean),
            "sum" => Ok(Self::Sum),
            "brightest" => Ok(Self::Brightest(0.2)),
            other => other
                .strip_prefix("brightest:")
                .and_then(|share| share.trim().parse().ok())
                .filter(|share: &f64| *share > 0.0 && *share <= 1.0)
                .map(Self::Brightest)
                .ok_or_else(|| {
                    let known = "max, mean, sum, brightest (the mean of the brightest fifth) or brightest:SHARE (above 0, up to 1)";
                    Error::invalid(format!("projection {other:?} is none of {known}"))
                }),
        }
    }
}

/// How a slab is projected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlabOptions {
    /// _Default: the largest value._
    pub projection: SlabProjection,
    /// how much of the projection of all that lies above is taken off, 0 to 1; below 0 is 0. Slab subtraction against projection artefacts, as
    /// in Jia et al. 2014 (Ophthalmology 121:1435), where all of it is. _Default: 0._
    pub subtract: f64,
}

impl Default for SlabOptions {
    fn default() -> Self {
        Self { projection: SlabProjection::Max, subtract: 0.0 }
    }
}

/// A picture en face, or several, and where in the B-scans they came from.
pub struct EnFace {
    /// rows are B-scans, the highest of the fundus first
    pub volume: Volume,
    /// columns of B-scans in which a surface is not known or nothing lies between the two: their pixels are 0
    pub empty: usize,
    /// how labels go back
    pub origin: Flattened,
}

/// How layers en face lie in B-scans.
#[derive(Debug, Clone)]
pub struct Flattened {
    /// `[frames, rows, columns]` of the B-scans
    bscans: [usize; 3],
    /// of the B-scans
    geometry: Geometry,
    bottom_up: bool,
    span: Span,
}

#[derive(Debug, Clone)]
enum Span {
    /// one layer, from one row to another, `[frames, columns]`
    Between { top: Arc<[f64]>, bottom: Arc<[f64]> },
    /// layers in a distance from a row, each so many whole rows thick
    Along { row: Arc<[f64]>, offsets: Vec<f64>, thickness: f64 },
}

impl Flattened {
    /// The layers en face.
    fn layers(&self) -> usize {
        match &self.span {
            Span::Between { .. } => 1,
            Span::Along { offsets, .. } => offsets.len(),
        }
    }

    /// The rows of a B-scan's column that a layer covers.
    fn range(&self, layer: usize, column: usize) -> Range<usize> {
        let (top, bottom) = match &self.span {
            Span::Between { top, bottom } => (top[column], bottom[column]),
            Span::Along { row, offsets, thickness } => {
                // the row that was shown is among them, however it was rounded
                let first = (row[column] + offsets[layer]).round_ties_even() - ((thickness - 1.0) / 2.0).floor();
                (first, first + thickness)
            }
        };
        // what is not a number is no row
        if !(top.is_finite() && bottom.is_finite()) {
            return 0..0;
        }
        let rows = self.bscans[1] as f64;
        let [top, bottom] = [top, bottom].map(|edge| edge.round_ties_even().clamp(0.0, rows) as usize);
        top..bottom.max(top)
    }

    /// The row of a picture en face that shows a B-scan, and the other way round.
    fn row_of(&self, frame: usize) -> usize {
        if self.bottom_up { self.bscans[0] - 1 - frame } else { frame }
    }

    /// Labels of the layers as labels of the B-scans: in each column the rows that the layer was made of. Where layers meet, the last counts.
    /// Errors: labels of another size.
    pub fn back(&self, labels: &Labels) -> Result<Labels> {
        let [frames, rows, columns] = self.bscans;
        let (have, want) = ([labels.frames, labels.rows, labels.columns], [self.layers(), frames, columns]);
        if have != want {
            return Err(Error::invalid(format!("labels of {have:?} (layers, B-scans, columns) are none of {want:?}")));
        }
        let mut back =
            Labels { frames, rows, columns, data: vec![0; frames * rows * columns], geometry: self.geometry.clone() };
        for layer in 0..want[0] {
            check()?;
            for frame in 0..frames {
                let line = &labels.frame(layer)[self.row_of(frame) * columns..][..columns];
                let slice = back.frame_mut(frame);
                for (column, &object) in line.iter().enumerate().filter(|(_, object)| **object != 0) {
                    self.range(layer, frame * columns + column).for_each(|row| slice[row * columns + column] = object);
                }
            }
        }
        Ok(back)
    }

    /// Where the layers lie: x along the columns, y from B-scan to B-scan, z into the depth.
    fn place(&self, thickness: f64) -> Geometry {
        let [x, y, z] = self.geometry.spacing;
        match self.geometry.known {
            true => Geometry::from_spacing([x, z, y * thickness], true),
            false => Geometry::from_spacing([x, z, y], false),
        }
    }
}

impl Volume {
    /// The scan, whose surfaces lie in the B-scans at hand. Errors: a volume without, or in colour.
    fn bscans(&self) -> Result<&Scan> {
        if self.channels != 1 {
            return Err(Error::invalid("slabs are made of grey B-scans: open the volume with one channel"));
        }
        let scan = self.scan.as_deref().filter(|scan| !scan.surfaces.is_empty());
        scan.ok_or_else(|| {
            let how =
                "name a file that has them (`--layers FILE`, option `layers`: .mat, .vol, or labels of the layers)";
            Error::invalid(format!("the volume has no layer curves, so that it has no slabs: {how}"))
        })
    }

    /// The projection of a slab: a name (`SVC`, `ICP`, `DCP`, `DVC`, `outer`, `choriocapillaris`, `whole`, `NFLVP`, `SVP`), or two edges
    /// such as `ILM..IPL-10` (a surface and micrometres) or `ILM>IPL*0.8..OPL` (80 % of the way from one surface to another).
    ///
    /// Errors: surfaces that the scan does not have, micrometres where the depth of a row is not known.
    pub fn slab(&self, slab: &str, options: &SlabOptions) -> Result<EnFace> {
        let scan = self.bscans()?;
        let row_um = self.geometry.has_size().then_some(1000.0 * self.geometry.spacing[1]);
        let [top, bottom] = edges(scan, slab, row_um)?;
        let above = match options.subtract {
            0.0 => None,
            share if share > 0.0 && share <= 1.0 => Some(Edge::surface("ILM").rows(scan, None)?),
            share => {
                return Err(Error::invalid(format!(
                    "{share} of the projection above cannot be taken off: give 0 to 1"
                )));
            }
        };
        let whole = |top: &Arc<[f64]>, bottom: &Arc<[f64]>| Flattened {
            bscans: [self.frames, self.rows, self.columns],
            geometry: self.geometry.clone(),
            bottom_up: scan.bottom_up,
            span: Span::Between { top: top.clone(), bottom: bottom.clone() },
        };
        let origin = whole(&top, &bottom);
        let over = above.map(|ilm| whole(&ilm, &top));
        let mut pixels = vec![0f64; self.frames * self.columns];
        let (mut empty, mut thickness, mut covered) = (0, 0.0, 0usize);
        let mut first = None;
        for frame in 0..self.frames {
            check()?;
            let voxels = self.frame(frame)?;
            let line = &mut pixels[origin.row_of(frame) * self.columns..][..self.columns];
            for (column, pixel) in line.iter_mut().enumerate() {
                let at = frame * self.columns + column;
                let range = origin.range(0, at);
                if range.is_empty() {
                    empty += 1;
                    continue;
                }
                (thickness, covered) = (thickness + range.len() as f64, covered + 1);
                let reduce = |range: Range<usize>| with_voxels!(&voxels, values => reduced(values, range, column, self.columns, options.projection));
                *pixel = reduce(range);
                if let Some(over) = &over {
                    *pixel = (*pixel - options.subtract * reduce(over.range(0, at))).max(0.0);
                }
            }
            first.get_or_insert_with(|| voxels.part(0..0));
        }
        if covered == 0 {
            return Err(Error::invalid(format!(
                "slab {slab:?} is empty: nothing of the volume lies between its surfaces"
            )));
        }
        let stored = first.unwrap_or(Voxels::F32(Vec::new()));
        let eight_bits = matches!(stored, Voxels::U8(_));
        let (voxels, window) = match options.projection {
            SlabProjection::Max => (stored.of_same_type(&pixels), self.window),
            // means of 8 bits are seen as the 8 bits are
            SlabProjection::Mean | SlabProjection::Brightest(_) if eight_bits => (floats(&pixels), Some((0.0, 255.0))),
            _ => (floats(&pixels), None),
        };
        let geometry = origin.place(thickness / covered as f64);
        let volume = Volume::new([1, self.frames, self.columns, 1], voxels, geometry, self.format)?.with_window(window);
        let volume = volume.with_scan(Some(Arc::new(scan.without_bscans())));
        Ok(EnFace { volume, empty, origin })
    }

    /// Layers parallel to a surface, which SAM-OCTA2 follows vessels through: from `from` to `to` micrometres below it (above: negative),
    /// every `step` micrometres. Each pixel is the voxel of the nearest row, in the type of the volume.
    ///
    /// Errors: no such surface, a volume whose rows have no known depth, no layer.
    pub fn layers_along(&self, surface: &str, from: f64, to: f64, step: f64) -> Result<EnFace> {
        let scan = self.bscans()?;
        let row = Edge::surface(surface).rows(scan, None)?;
        if !self.geometry.has_size() {
            return Err(Error::invalid("layers in micrometres need the depth of a row: give the spacing"));
        }
        let um = 1000.0 * self.geometry.spacing[1];
        let count = ((to - from) / step + 1e-9).floor() + 1.0;
        if !(step > 0.0 && (1.0..=65_535.0).contains(&count)) {
            return Err(Error::invalid(format!("layers from {from} to {to} µm every {step} µm are none, or too many")));
        }
        let offsets: Vec<f64> = (0..count as usize).map(|layer| (from + layer as f64 * step) / um).collect();
        let layers = offsets.len();
        let origin = Flattened {
            bscans: [self.frames, self.rows, self.columns],
            geometry: self.geometry.clone(),
            bottom_up: scan.bottom_up,
            span: Span::Along { row: row.clone(), offsets: offsets.clone(), thickness: (step / um).round().max(1.0) },
        };
        let mut all: Option<Voxels> = None;
        let mut empty = 0;
        for frame in 0..self.frames {
            check()?;
            let voxels = self.frame(frame)?;
            let all = all.get_or_insert_with(|| voxels.of_same_type(&[]));
            let mut moves = Vec::with_capacity(layers * self.columns);
            for column in 0..self.columns {
                let height = row[frame * self.columns + column];
                empty += usize::from(!height.is_finite());
                for (layer, offset) in offsets.iter().enumerate() {
                    let at = (height + offset).round_ties_even();
                    // not a number is in no range
                    if (0.0..self.rows as f64).contains(&at) {
                        let to = (layer * self.frames + origin.row_of(frame)) * self.columns + column;
                        moves.push((to, at as usize * self.columns + column));
                    }
                }
            }
            all.scatter(layers * self.frames * self.columns, &voxels, &moves);
        }
        let voxels = all.unwrap_or(Voxels::F32(Vec::new()));
        let geometry = origin.place(step / um);
        let volume = Volume::new([layers, self.frames, self.columns, 1], voxels, geometry, self.format)?;
        let volume = volume.with_window(self.window).with_scan(Some(Arc::new(scan.without_bscans())));
        Ok(EnFace { volume, empty, origin })
    }
}

fn floats(pixels: &[f64]) -> Voxels {
    Voxels::F32(pixels.iter().map(|&pixel| pixel as f32).collect())
}

/// The voxels of a column between two rows as one number; none are 0.
fn reduced<T: Copy + Into64>(
    values: &[T],
    rows: Range<usize>,
    column: usize,
    columns: usize,
    how: SlabProjection,
) -> f64 {
    let count = rows.len();
    let values = rows.map(|row| values[row * columns + column].into64()).filter(|value| value.is_finite());
    match how {
        _ if count == 0 => 0.0,
        SlabProjection::Max => values.reduce(f64::max).unwrap_or(0.0),
        SlabProjection::Sum => values.sum(),
        SlabProjection::Mean => values.sum::<f64>() / count as f64,
        SlabProjection::Brightest(share) => {
            let mut all: Vec<f64> = values.collect();
            let kept = ((all.len() as f64 * share).round() as usize).clamp(1, all.len().max(1));
            all.sort_unstable_by(|a, b| b.total_cmp(a));
            all.iter().take(kept).sum::<f64>() / kept as f64
        }
    }
}

/// Numbers of every type that voxels have.
trait Into64 {
    fn into64(self) -> f64;
}

macro_rules! into64 {
    ($($element:ty),*) => {$(impl Into64 for $element { fn into64(self) -> f64 { self as f64 } })*};
}
into64!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

/// One side of a slab.
#[derive(Debug, Clone, PartialEq)]
struct Edge {
    surface: String,
    /// so much of the way to another surface
    towards: Option<(String, f64)>,
    um: f64,
}

impl Edge {
    fn surface(name: &str) -> Self {
        Self { surface: name.to_owned(), towards: None, um: 0.0 }
    }

    /// `IPL`, `IPL-10`, `IPL + 10 um`, `ILM>IPL*0.8`. Names may end with a sign themselves (`IPL-`): the longest
    /// name counts behind which nothing or a signed number stands.
    fn parse(text: &str, scan: &Scan) -> Result<Self> {
        let text = text.trim();
        if let Some((surface, rest)) = text.split_once('>') {
            let (to, share) = rest.split_once('*').unwrap_or((rest, "?"));
            let share: f64 = share.trim().parse().map_err(|_| unreadable(text))?;
            return Ok(Self { towards: Some((to.trim().to_owned(), share)), ..Self::surface(surface.trim()) });
        }
        let named = |name: &&str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let mut names: Vec<&str> = scan.surfaces.iter().map(|surface| surface.name.as_str()).filter(named).collect();
        names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
        for name in names {
            let rest = text[name.len()..].trim().trim_end_matches("um").trim_end_matches("µm").replace(' ', "");
            if rest.is_empty() {
                return Ok(Self::surface(name));
            }
            if rest.starts_with(['+', '-']) {
                let um: f64 = rest.parse().map_err(|_| unreadable(text))?;
                return Ok(Self { um, ..Self::surface(name) });
            }
        }
        Ok(Self::surface(text))
    }

    /// Its row in each column of each B-scan.
    fn rows(&self, scan: &Scan, row_um: Option<f64>) -> Result<Arc<[f64]>> {
        let at = scan.surface(&self.surface)?.rows.iter().map(|&row| f64::from(row));
        if let Some((to, share)) = &self.towards {
            let to = &scan.surface(to)?.rows;
            return Ok(at.zip(to).map(|(from, &to)| from + (f64::from(to) - from) * share).collect());
        }
        let offset = match (self.um, row_um) {
            (0.0, _) => 0.0,
            (um, Some(row)) => um / row,
            (um, None) => {
                let what = "needs the depth of a row, which the volume does not say: give the spacing";
                return Err(Error::invalid(format!("an edge {um} µm from {} {what}", self.surface)));
            }
        };
        Ok(at.map(|row| row + offset).collect())
    }
}

fn unreadable(text: &str) -> Error {
    Error::invalid(format!(
        "{text:?} is no edge of a slab: give a surface (IPL), micrometres from it (IPL-10), or a way (ILM>IPL*0.8)"
    ))
}

/// The rows of the two edges of a slab.
fn edges(scan: &Scan, slab: &str, row_um: Option<f64>) -> Result<[Arc<[f64]>; 2]> {
    let both = |text: &str| -> Result<[Arc<[f64]>; 2]> {
        let (top, bottom) = text.split_once("..").ok_or_else(|| unknown(slab))?;
        Ok([Edge::parse(top, scan)?.rows(scan, row_um)?, Edge::parse(bottom, scan)?.rows(scan, row_um)?])
    };
    let known = |name: &&str| name.eq_ignore_ascii_case(slab.trim());
    let rule = NAMED.iter().find(|(name, others, _)| known(name) || others.iter().any(known));
    let Some((name, _, choices)) = rule else { return both(slab) };
    let mut last = None;
    for choice in *choices {
        match both(choice) {
            Ok(edges) => return Ok(edges),
            Err(error) => last = Some(error),
        }
    }
    let why = last.map(|error| error.to_string()).unwrap_or_default();
    Err(Error::invalid(format!("no slab {name} ({}): {why}; or give two edges, as in ILM..OPL", choices.join(" or "))))
}

fn unknown(slab: &str) -> Error {
    let names: Vec<&str> = NAMED.iter().map(|(name, _, _)| *name).collect();
    let hint = crate::did_you_mean(slab, names.iter().copied());
    Error::invalid(format!("slab {slab:?} is none of {}{hint}, and no two edges as in ILM..IPL-10", names.join(", ")))
}

#[cfg(test)]
#[path = "slab_tests.rs"]
mod tests;

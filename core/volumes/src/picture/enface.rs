//! Pictures of a report on OCTA (`measure::octa`): what was measured, seen from the front, and the centre lines behind the numbers.

use super::draw::Canvas;
use super::{MAX_SIDE, MIN_SIDE, PERCENTILES};
use crate::intensity::volume_percentiles;
use crate::measure::Grid;
use crate::measure::octa::{OctaOptions, OctaReport, Vessels};
use crate::volume::{Labels, Projection, Volume};
use crate::{Error, Result};
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use std::f64::consts::PI;

/// thin and thick vessels
const CALIBRES: [[u8; 3]; 2] = [[86, 180, 233], [240, 228, 66]];
const JUNCTION: [u8; 3] = [213, 94, 0];
const CIRCLES: [u8; 3] = [235, 235, 235];

/// What a report is about.
#[derive(Debug, Clone, Copy)]
pub struct Enface<'a> {
    /// what was segmented; without it, or where its slices are of another size, the ground is black
    pub volume: Option<&'a Volume>,
    /// the vessels that were measured
    pub vessels: Option<&'a Labels>,
    /// the FAZ that was measured
    pub faz: Option<&'a Labels>,
}

impl Enface<'_> {
    /// PNG files with a line about each. Errors: slices that cannot be read, or are too large to draw.
    pub fn pictures(&self, report: &OctaReport, options: &OctaOptions) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let Some(labels) = self.vessels.or(self.faz) else { return Ok(Vec::new()) };
        let size = [labels.rows, labels.columns];
        let mut canvas = self.ground(size)?;
        let mut shown = self.vessels.map_or_else(|| vec![0; size[0] * size[1]], |vessels| vessels.project().data);
        if let Some(faz) = self.faz {
            let own = shown.iter().max().map_or(1, |most| most.saturating_add(1));
            shown.iter_mut().zip(faz.project().data).filter(|(_, faz)| *faz != 0).for_each(|(to, _)| *to = own);
        }
        canvas.objects(&shown, size[1], size[0]);
        circles(&mut canvas, report, options);
        let mut pictures = vec![("What was measured, projected, with the circles of the grid", png(canvas)?)];
        if let Some(vessels) = self.vessels {
            let picture = lines(vessels, report, size)?;
            pictures.push(("Centre lines, from thin (blue) to thick (yellow); branch points red", png(picture)?));
        }
        Ok(pictures)
    }

    /// The mean of the layers, or black.
    fn ground(&self, [rows, columns]: [usize; 2]) -> Result<Canvas> {
        let Some(volume) =
            self.volume.filter(|volume| (volume.rows, volume.columns, volume.channels) == (rows, columns, 1))
        else {
            return canvas(vec![0; rows * columns * 3], [rows, columns]);
        };
        let flat = volume.project(0..volume.frames, Projection::Mean)?;
        let window = volume_percentiles(&flat, PERCENTILES.0, PERCENTILES.1)?;
        let values = flat.frame(0)?.to_f32();
        let grey = |v: f32| ((f64::from(v) - window.low) / (window.high - window.low) * 255.0).clamp(0.0, 255.0) as u8;
        canvas(values.into_iter().flat_map(|v| [grey(v); 3]).collect(), [rows, columns])
    }
}

fn canvas(pixels: Vec<u8>, [rows, columns]: [usize; 2]) -> Result<Canvas> {
    let side = rows.max(columns);
    let zoom = match side {
        _ if side > 2 * MAX_SIDE => 2.0 * MAX_SIDE as f32 / side as f32,
        _ if side < MIN_SIDE => MIN_SIDE.div_ceil(side) as f32,
        _ => 1.0,
    };
    let picture = RgbImage::from_raw(columns as u32, rows as u32, pixels);
    let picture =
        picture.ok_or_else(|| Error::invalid(format!("slices of {columns} x {rows} are too large to draw")))?;
    Ok(Canvas::new(picture, zoom))
}

/// The circles and the limits between sectors.
fn circles(canvas: &mut Canvas, report: &OctaReport, options: &OctaOptions) {
    let [dx, dy, _] = report.spacing;
    let at = |radius: f64, angle: f64| {
        let (sine, cosine) = angle.sin_cos();
        [(report.centre[0] + radius * cosine / dx) as f32, (report.centre[1] + radius * sine / dy) as f32]
    };
    let radii: Vec<f64> = options.diameters_mm.iter().map(|diameter| diameter / 2.0).collect();
    for &radius in &radii {
        let points = (0..=180).map(|step| at(radius, f64::from(step) * PI / 90.0)).collect::<Vec<_>>();
        points.windows(2).for_each(|two| canvas.dotted(two[0], two[1], CIRCLES));
    }
    if let [first, .., last] = radii[..] {
        for turn in [0.25, 0.75, 1.25, 1.75] {
            canvas.dotted(at(first, turn * PI), at(last, turn * PI), CIRCLES);
        }
    }
}

/// The skeleton, coloured by calibre, over the mask.
fn lines(labels: &Labels, report: &OctaReport, size: [usize; 2]) -> Result<Canvas> {
    let [x, y, z] = report.spacing;
    let flat = labels.project();
    let mask = Grid { spacing: [z, y, x], ..Grid::where_(&flat, |label| label != 0) };
    let ground = mask.inside.iter().flat_map(|&inside| [if inside { 60 } else { 0 }; 3]).collect();
    let mut canvas = canvas(ground, size)?;
    let vessels = Vessels::of(mask);
    let place = |pixel: usize| [(pixel % size[1]) as f32, (pixel / size[1]) as f32];
    let thick =
        vessels.lines().map(|(_, width)| width).filter(|width| width.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    for (pixel, width) in vessels.lines() {
        let share = (width / thick).clamp(0.0, 1.0);
        let mix = |channel: usize| {
            let [thin, thick] = CALIBRES.map(|colour| f64::from(colour[channel]));
            (thin + (thick - thin) * share) as u8
        };
        canvas.spot(place(pixel), 1, [0, 1, 2].map(mix));
    }
    vessels.branch_points().for_each(|pixel| canvas.spot(place(pixel), 2, JUNCTION));
    Ok(canvas)
}

fn png(canvas: Canvas) -> Result<Vec<u8>> {
    let picture = canvas.into_picture();
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let encoded = encoder.write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8);
    encoded.map_err(|error| Error::invalid(format!("a picture of the report: {error}")))?;
    Ok(bytes)
}

//! Drawing on one slice: fills, outlines, marks and digits.
//!
//! Digits come from `font8x8`, an 8 x 8 bitmap font without dependencies; `imageproc` would bring a font renderer and linear
//! algebra for the same handful of lines.

use super::colours;
use super::{Mark, MarkKind};
use crate::{Error, Result};
use font8x8::UnicodeFonts;
use image::{Rgb, RgbImage, imageops};

/// how much of a fill's colour covers the grey
const FILL: f32 = 0.35;

/// A slice being drawn on, in picture pixels.
#[derive(Debug, Clone)]
pub struct Canvas {
    picture: RgbImage,
    zoom: f32,
}

impl Canvas {
    /// Scales the slice: smoothly when it shrinks, as plain squares when it grows.
    pub(super) fn new(slice: RgbImage, zoom: f32) -> Self {
        let side = |n: u32| ((n as f32 * zoom).round() as u32).max(1);
        let (width, height) = (side(slice.width()), side(slice.height()));
        let filter = if zoom < 1.0 { imageops::FilterType::Triangle } else { imageops::FilterType::Nearest };
        let picture = if zoom == 1.0 { slice } else { imageops::resize(&slice, width, height, filter) };
        Self { picture, zoom }
    }

    /// From grey values, row by row. Errors: there are not `columns * rows` of them.
    pub fn grey(values: &[u8], columns: usize, rows: usize, zoom: f32) -> Result<Self> {
        let bytes = values.iter().flat_map(|&value| [value; 3]).collect();
        let slice = RgbImage::from_raw(columns as u32, rows as u32, bytes);
        let wrong = || Error::invalid(format!("{} values are no slice of {columns} x {rows}", values.len()));
        Ok(Self::new(slice.ok_or_else(wrong)?, zoom))
    }

    pub(super) fn picture(&self) -> &RgbImage {
        &self.picture
    }

    pub(super) fn into_picture(self) -> RgbImage {
        self.picture
    }

    /// Fills and outlines the objects of `[rows, columns]` labels.
    pub fn objects(&mut self, labels: &[u16], columns: usize, rows: usize) {
        let (width, height) = (self.picture.width() as usize, self.picture.height() as usize);
        let at = |x: usize, y: usize| {
            let source = |n: usize, size: usize, source: usize| (n * source / size).min(source - 1);
            labels[source(y, height, rows) * columns + source(x, width, columns)]
        };
        for y in 0..height {
            for x in 0..width {
                let object = at(x, y);
                if object == 0 {
                    continue;
                }
                let edge = (x > 0 && at(x - 1, y) != object)
                    || (y > 0 && at(x, y - 1) != object)
                    || (x + 1 < width && at(x + 1, y) != object)
                    || (y + 1 < height && at(x, y + 1) != object);
                let colour = colours::of_object(colours::number(object));
                self.blend(x as i64, y as i64, colour, if edge { 1.0 } else { FILL });
            }
        }
    }

    /// A click or a box.
    pub fn mark(&mut self, mark: &Mark) {
        match mark.kind {
            MarkKind::Point { x, y, positive } => self.point(x, y, positive),
            MarkKind::Box(corners) => self.rectangle(corners, colours::of_object(colours::number(mark.object))),
        }
    }

    /// A plus (inside) or a cross (outside), with a dark rim that keeps it visible on any grey.
    pub fn point(&mut self, x: f32, y: f32, positive: bool) {
        let (x, y) = (self.place(x), self.place(y));
        let arms: [(i64, i64); 4] =
            if positive { [(1, 0), (-1, 0), (0, 1), (0, -1)] } else { [(1, 1), (-1, -1), (1, -1), (-1, 1)] };
        let colour = if positive { colours::POSITIVE } else { colours::NEGATIVE };
        let length = if positive { 7 } else { 5 };
        for (rim, colour) in [(3, [0; 3]), (2, colour)] {
            for step in 0..length + rim - 1 {
                for (dx, dy) in arms {
                    self.square(x + dx * step, y + dy * step, rim, colour);
                }
            }
        }
    }

    /// The outline of `[x0, y0, x1, y1]`.
    pub fn rectangle(&mut self, corners: [f32; 4], colour: [u8; 3]) {
        let [x0, y0, x1, y1] = corners.map(|v| self.place(v));
        for x in x0.min(x1).max(-1)..=x0.max(x1).min(self.picture.width().into()) {
            self.square(x, y0, 1, colour);
            self.square(x, y1, 1, colour);
        }
        for y in y0.min(y1).max(-1)..=y0.max(y1).min(self.picture.height().into()) {
            self.square(x0, y, 1, colour);
            self.square(x1, y, 1, colour);
        }
    }

    /// A line that is one pixel wide, dotted: every other pair of pixels.
    pub fn dotted(&mut self, from: [f32; 2], to: [f32; 2], colour: [u8; 3]) {
        let ends = [from, to].map(|[x, y]| [self.place(x), self.place(y)]);
        let steps = (ends[1][0] - ends[0][0]).abs().max((ends[1][1] - ends[0][1]).abs()).max(1);
        for step in (0..=steps).filter(|step| step % 4 < 2) {
            let along = |axis: usize| ends[0][axis] + (ends[1][axis] - ends[0][axis]) * step / steps;
            self.blend(along(0), along(1), colour, 1.0);
        }
    }

    /// A spot of `2 * radius - 1` pixels at a place.
    pub fn spot(&mut self, [x, y]: [f32; 2], radius: i64, colour: [u8; 3]) {
        self.square(self.place(x), self.place(y), radius, colour);
    }

    /// White characters of 8 x 8 pixels, doubled, on a dark ground.
    pub fn text(&mut self, x: i64, y: i64, text: &str) {
        let cell = 16;
        let width = text.len() as i64 * cell;
        for (dx, dy) in (-2..width + 2).flat_map(|dx| (-2..cell + 2).map(move |dy| (dx, dy))) {
            self.blend(x + dx, y + dy, [0; 3], 0.6);
        }
        for (i, character) in (0i64..).zip(text.chars()) {
            let Some(glyph) = font8x8::BASIC_FONTS.get(character) else { continue };
            for (dx, dy) in (0..cell).flat_map(|dx| (0..cell).map(move |dy| (dx, dy))) {
                if glyph[(dy / 2) as usize] >> (dx / 2) & 1 == 1 {
                    self.blend(x + i * cell + dx, y + dy, [255; 3], 1.0);
                }
            }
        }
    }

    /// Slice coordinate to picture pixel; pixel centres are whole numbers on both sides.
    fn place(&self, coordinate: f32) -> i64 {
        ((coordinate + 0.5) * self.zoom - 0.5).round().clamp(-1e6, 1e6) as i64
    }

    /// A square of `2 * radius - 1` pixels around a place, as far as it lies on the picture.
    fn square(&mut self, x: i64, y: i64, radius: i64, colour: [u8; 3]) {
        for (dx, dy) in (1 - radius..radius).flat_map(|dx| (1 - radius..radius).map(move |dy| (dx, dy))) {
            self.blend(x + dx, y + dy, colour, 1.0);
        }
    }

    fn blend(&mut self, x: i64, y: i64, colour: [u8; 3], share: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if let Some(Rgb(pixel)) = self.picture.get_pixel_mut_checked(x, y) {
            for (value, target) in pixel.iter_mut().zip(colour) {
                *value = (f32::from(*value) * (1.0 - share) + f32::from(target) * share).round() as u8;
            }
        }
    }
}

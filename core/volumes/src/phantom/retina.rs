//! The shape of the retina under the scan: two surfaces between which the vessels lie, and the foveal avascular zone.
//!
//! A flat slice meets the curved, tilted retina in a strip or a ring, and the foveal pit takes the middle out of it: what OCTA-500's layer
//! sequences show. Depths are micrometres downwards from where the inner surface lies at the fovea without its pit; places are millimetres
//! from the upper left corner of the field. The pit is a Gaussian (Dubis et al. 2009, a difference of Gaussians, Br J Ophthalmol 93:1223).

use super::options::PhantomOptions;
use super::random::{Field, Random};
use std::f32::consts::TAU;

/// Corners of the outline of the avascular zone.
const OUTLINE: usize = 720;

/// The depths of the inner retina.
pub struct Retina {
    /// where the fovea lies
    pub fovea: [f32; 2],
    bowl: f32,
    tilt: [f32; 2],
    pit: f32,
    pit_width: f32,
    thickness: f32,
    thin: f32,
    thin_width: f32,
    rough: Field,
    outline: Vec<f32>,
}

impl Retina {
    /// A retina from the options' seed.
    pub fn new(options: &PhantomOptions) -> Self {
        let mut random = Random::new(options.seed, 1);
        let field = options.field as f32;
        let off = 0.06 * field;
        let fovea = [0, 1].map(|_| field / 2.0 + (random.normal() * off / 2.0).clamp(-off, off));
        // the retina of a wide field is not steeper: the eye is the same
        let flat = 3.0 / field;
        let outline = outline(&mut random, options.faz_mm2);
        let pit_width = random.between(0.45, 0.65);
        Self {
            fovea,
            bowl: random.between(3.0, 30.0) * flat * flat.sqrt(),
            tilt: [0, 1].map(|_| random.normal() * 22.0 * flat),
            pit: random.between(70.0, 110.0),
            pit_width,
            thickness: random.between(125.0, 165.0),
            thin: random.between(22.0, 38.0),
            // narrower than the pit: the outer plexiform layer bulges upwards under the fovea, and a slice there cuts the zone in an arc
            thin_width: pit_width * random.between(0.78, 1.0),
            rough: Field::new(&mut random, 0.45, field),
            outline,
        }
    }

    /// Depth of the inner surface (ILM) and thickness of the inner retina, down to the OPL, in micrometres.
    pub fn at(&self, place: [f32; 2]) -> (f32, f32) {
        let [x, y] = [place[0] - self.fovea[0], place[1] - self.fovea[1]];
        let square = x * x + y * y;
        let bell = |width: f32| (-square / (width * width)).exp();
        let surface = -self.bowl * square + self.tilt[0] * x + self.tilt[1] * y + self.pit * bell(self.pit_width);
        let thickness = self.thickness + (self.thin - self.thickness) * bell(self.thin_width);
        (surface + 5.0 * self.rough.at(place), thickness)
    }

    /// Millimetres from the border of the avascular zone, measured along the ray from the fovea; negative inside.
    pub fn distance_to_faz(&self, place: [f32; 2]) -> f32 {
        let [x, y] = [place[0] - self.fovea[0], place[1] - self.fovea[1]];
        let turn = (y.atan2(x) / TAU).rem_euclid(1.0) * OUTLINE as f32;
        let (low, rest) = (turn as usize % OUTLINE, turn.fract());
        let radius = self.outline[low] * (1.0 - rest) + self.outline[(low + 1) % OUTLINE] * rest;
        (x * x + y * y).sqrt() - radius
    }
}

/// Radii of an irregular outline: an ellipse, lobes, and small dents where capillaries reach in. Area as asked, or 0.257 ± 0.104 mm²
/// (Linderman 2017 TVST 6(3):16).
fn outline(random: &mut Random, area: Option<f64>) -> Vec<f32> {
    let drawn = (0.257 + 0.104 * random.normal()).clamp(0.10, 0.50);
    let area = area.map_or(drawn, |area| area as f32);
    let mut waves = vec![(2, random.between(0.0, 0.16), random.angle())];
    waves.extend((3..=40).map(|k| (k, 0.095 * random.normal() / (k as f32 - 1.0).powf(0.85), random.angle())));
    let radius = |i: usize| {
        let angle = i as f32 / OUTLINE as f32 * TAU;
        1.0 + waves.iter().map(|(k, size, phase)| size * (*k as f32 * angle + phase).cos()).sum::<f32>()
    };
    let radii: Vec<f32> = (0..OUTLINE).map(|i| radius(i).max(0.3)).collect();
    let unit: f32 = radii.iter().map(|r| r * r).sum::<f32>() * TAU / OUTLINE as f32 / 2.0;
    radii.iter().map(|r| r * (area / unit).sqrt()).collect()
}

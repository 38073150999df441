//! A scanner looks at the anatomy: each slice lies at one depth of the eye and shows what of the plexuses lies there.
//!
//! Flow in a voxel follows from how far the slice is from each plexus; superficial vessels leave tails and shadows below; then speckle (a
//! complex Gaussian field, correlated along depth), threshold and gain, uneven light, scan lines. Noise models: Menten et al. 2022 (arXiv
//! 2207.11102) and Kreitner et al. 2024 (bias field, I·(0.7 N + 0.3) speckle).

use super::anatomy::{Anatomy, FAZ};
use super::motion::Motion;
use super::options::{Layers, PhantomOptions, Scanner};
use super::random::{Field, Random};
use super::raster::Plane;
use crate::progress::check;
use crate::{Error, Result};

/// Depth of the large vessels below the inner surface, in parts of the thickness of the inner retina; half the depth they take up.
const VESSELS: [f32; 2] = [0.22, 0.18];
/// No bed of capillaries takes up less than this half depth, µm: around the avascular zone they merge.
const THINNEST: f32 = 22.0;
/// The same for the capillaries of the superficial and of the deep plexus.
const SUPERFICIAL: [f32; 2] = [0.28, 0.18];
const DEEP: [f32; 2] = [0.82, 0.20];
/// Where the large vessels count as present: this many half depths.
const PRESENT: f32 = 1.2;

/// How this scanner turns flow into grey values.
pub struct Scan<'a> {
    anatomy: &'a Anatomy,
    options: &'a PhantomOptions,
    /// grey value of full flow; what is subtracted (dark) or added (bright)
    gain: f32,
    offset: f32,
    tissue: f32,
    tail: f32,
    shadow: f32,
    light: Vec<f32>,
    motion: Motion,
    /// depth of the first slice, and between two, µm
    first: f32,
    /// µm between two slices
    pub step: f32,
}

impl<'a> Scan<'a> {
    /// A scanner from the options' seed.
    pub fn new(anatomy: &'a Anatomy, options: &'a PhantomOptions) -> Result<Self> {
        let mut random = Random::new(options.seed, 5);
        let scanner = options.scanner.unwrap_or(if random.chance(0.65) { Scanner::Dark } else { Scanner::Bright });
        let (gain, offset) = match scanner {
            Scanner::Dark => (random.between(105.0, 185.0), -random.between(0.02, 0.08)),
            Scanner::Bright => (random.between(130.0, 230.0), random.between(0.0, 0.06)),
        };
        let tissue = match scanner {
            Scanner::Dark => random.between(0.08, 0.15),
            Scanner::Bright => random.between(0.10, 0.18),
        };
        let tail = if random.chance(0.6) { random.between(0.0, 0.12) } else { random.between(0.12, 0.4) };
        let shadow = random.between(0.3, 0.95);
        let light = light(&mut random, anatomy.native, options);
        let motion = Motion::new(&mut random, anatomy.native.side, options);
        let (first, step) = slices(&mut random, anatomy, options)?;
        let projection = options.projection;
        let (tail, shadow) = (tail * projection, (shadow * projection).min(1.0));
        Ok(Self { anatomy, options, gain, offset, tissue, tail, shadow, light, motion, first, step })
    }

    /// All slices, 8 bits, `[slices, rows, columns]`. Errors: cancelled.
    pub fn slices(&self) -> Result<Vec<u8>> {
        let mut random = Random::new(self.options.seed, 6);
        let native = self.anatomy.native.side;
        let mut speckle = Speckle::new(&mut random, native * native, self.step);
        let mut all = Vec::with_capacity(self.options.slices * self.options.size.pow(2));
        for slice in 0..self.options.slices {
            check()?;
            let grain = speckle.next(&mut random);
            let mut grey = self.slice(slice, grain);
            self.motion.lines(&mut random, &mut grey);
            all.extend(self.finished(&grey));
        }
        Ok(all)
    }

    /// Grey values of one slice on the scanner's grid.
    fn slice(&self, slice: usize, grain: &[[f32; 2]]) -> Vec<f32> {
        let (map, depth) = (self.anatomy, self.depth(slice));
        let (noise, capillaries) = (self.options.noise, self.options.capillaries);
        let grey = |(i, grain): (usize, &[f32; 2])| {
            let (surface, thickness) = map.depths[i];
            let below = depth - surface;
            if below < -30.0 {
                return 0.0; // vitreous
            }
            let at = below / thickness;
            let bell = |[centre, half]: [f32; 2]| (-((at - centre) / half).powi(2)).exp();
            let bed = |[centre, half]: [f32; 2]| bell([centre, half.max(THINNEST / thickness)]);
            let large = map.large[i];
            // below the vessels: 0 at their lower side, 1 further down
            let under = ((at - VESSELS[0] - VESSELS[1]) / 0.25).clamp(0.0, 1.0);
            // wide vessels hide more
            let shade = 0.15 * large + 0.85 * ((large - 0.6) / 0.4).max(0.0);
            let lit = 1.0 - self.shadow * under * shade;
            let vessel = large * (bell(VESSELS) + self.tail * under * (1.2 - at).clamp(0.0, 1.0));
            let twig = 0.78 * map.twigs[i] * bed(SUPERFICIAL);
            let fine = 0.52 * map.superficial[i] * bed(SUPERFICIAL) + 0.68 * map.deep[i] * bed(DEEP) * lit;
            let flow = vessel.max(twig * lit).max(capillaries * fine);
            let retina = (below / 12.0).clamp(0.0, 1.0);
            let tissue = retina * lit * self.tissue * (1.0 - 0.5 * ((below - thickness) / 45.0).clamp(0.0, 1.0));
            // amplitude with mean 1
            let amplitude = (grain[0] * grain[0] + grain[1] * grain[1]).sqrt() * 0.798;
            let rough = 1.0 + 0.55 * noise * (amplitude - 1.0);
            let floor = noise * (0.6 * tissue * amplitude * amplitude + 0.010 * grain[0]);
            (flow * rough + 0.4 * tissue + floor) * self.light[i] + self.offset * retina.max(0.4)
        };
        grain.iter().enumerate().map(grey).map(|v| v * self.gain).collect()
    }

    /// The slice or en-face picture as it leaves the scanner: moved lines, the output's size, 8 bits.
    fn finished(&self, grey: &[f32]) -> Vec<u8> {
        let (native, output) = (self.anatomy.native, self.anatomy.output);
        let mut out: Vec<u8> =
            resized(grey, native.side, output.side).into_iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect();
        self.motion.shift(&mut out, output.side);
        out
    }

    /// The projection of all inner layers, 8 bits, `[rows, columns]`: averaged, thus with little noise, and with stretched contrast.
    pub fn en_face(&self) -> Vec<u8> {
        let (map, capillaries) = (self.anatomy, self.options.capillaries);
        let mut random = Random::new(self.options.seed, 7);
        let mut grey: Vec<f32> = (0..map.large.len())
            .map(|i| {
                let fine = capillaries * (0.62 * map.superficial[i] + 0.10 * map.deep[i]);
                let flow = map.large[i].max(0.72 * map.twigs[i]).max(fine);
                let away = self.anatomy.retina.distance_to_faz(self.anatomy.native.place(i));
                let haze = 0.03 + 0.10 * (away / 0.5 + 0.6).clamp(0.0, 1.0);
                let noise = self.options.noise * (0.22 * flow + 0.04) * random.normal();
                (flow + haze + noise) * self.light[i] * 255.0
            })
            .collect();
        self.motion.lines(&mut random, &mut grey);
        self.finished(&grey)
    }

    /// Truth of one slice `[rows, columns]`: en-face vessels where the slice holds the plexus of large vessels, the avascular zone where the
    /// slice lies in the inner retina; and the first of these regions.
    pub fn truth(&self, slice: usize) -> (Vec<u16>, Vec<u16>) {
        let depth = self.depth(slice);
        let output = self.anatomy.output;
        let mut truth = self.anatomy.truth.clone();
        let mut region = vec![0u16; truth.len()];
        for (i, number) in truth.iter_mut().enumerate() {
            let (surface, thickness) = self.anatomy.retina.at(output.place(i));
            let at = (depth - surface) / thickness;
            let present = (at - VESSELS[0]).abs() <= PRESENT * VESSELS[1] && *number != FAZ;
            region[i] = u16::from(present);
            let inner = (0.0..=1.0).contains(&at) && *number == FAZ;
            *number = if present || inner { *number } else { 0 };
        }
        self.motion.shift(&mut truth, output.side);
        self.motion.shift(&mut region, output.side);
        (truth, region)
    }

    /// Truth of the en-face picture.
    pub fn en_face_truth(&self) -> Vec<u16> {
        let mut truth = self.anatomy.truth.clone();
        self.motion.shift(&mut truth, self.anatomy.output.side);
        truth
    }

    fn depth(&self, slice: usize) -> f32 {
        self.first + slice as f32 * self.step
    }
}

/// Speckle: two normal numbers per pixel, of which the next slice keeps what the axial resolution (about 9 µm) says.
struct Speckle {
    grain: Vec<[f32; 2]>,
    keep: f32,
}

impl Speckle {
    fn new(random: &mut Random, pixels: usize, step: f32) -> Self {
        Self { grain: (0..pixels).map(|_| [random.normal(), random.normal()]).collect(), keep: (-step / 9.0).exp() }
    }

    fn next(&mut self, random: &mut Random) -> &[[f32; 2]] {
        let fresh = (1.0 - self.keep * self.keep).sqrt();
        for both in &mut self.grain {
            *both = both.map(|v| self.keep * v + fresh * random.normal());
        }
        &self.grain
    }
}

/// Uneven light: darker edges, a slow random field, floaters.
fn light(random: &mut Random, plane: Plane, options: &PhantomOptions) -> Vec<f32> {
    let field = options.field as f32;
    let strength = options.vignetting;
    let fall = random.between(0.0, 0.3) * strength;
    let middle = [0, 1].map(|_| field * random.between(0.35, 0.65));
    let slow = Field::new(random, field / 3.0, field);
    let uneven = random.between(0.05, 0.25) * strength;
    let floaters: Vec<([f32; 2], f32, f32)> = (0..3)
        .filter_map(|_| {
            let floater =
                ([0, 1].map(|_| random.between(0.0, field)), random.between(0.1, 0.4), random.between(0.2, 0.7));
            random.chance(0.12).then_some(floater)
        })
        .collect();
    let at = |i: usize| {
        let place = plane.place(i);
        let square = |to: [f32; 2]| (place[0] - to[0]).powi(2) + (place[1] - to[1]).powi(2);
        let edge = 1.0 - fall * square(middle) / (field * field / 4.0);
        let shade: f32 = floaters
            .iter()
            .map(|(to, r, dark)| 1.0 - strength.min(1.0) * dark * (-square(*to) / (r * r)).exp())
            .product();
        (edge * (1.0 + uneven * slow.at(place)) * shade).max(0.05)
    };
    (0..plane.side * plane.side).map(at).collect()
}

/// Depth of the first slice and the distance between slices, µm.
fn slices(random: &mut Random, anatomy: &Anatomy, options: &PhantomOptions) -> Result<(f32, f32)> {
    let plane = anatomy.native;
    let far = |i: &usize| anatomy.retina.distance_to_faz(plane.place(*i));
    let sampled = |keep: &dyn Fn(f32) -> bool, depth: &dyn Fn(f32, f32) -> f32| {
        let pixels = (0..plane.side * plane.side).step_by(7).filter(|i| keep(far(i)));
        let mut depths: Vec<f32> = pixels.map(|i| depth(anatomy.depths[i].0, anatomy.depths[i].1)).collect();
        depths.sort_by(f32::total_cmp);
        depths
    };
    let quantile = |sorted: &[f32], q: f32| {
        let index = (q * sorted.len() as f32) as usize;
        sorted.get(index.min(sorted.len().saturating_sub(1))).copied()
    };
    let count = options.slices as f32;
    let pitch = random.between(3.1, 4.2); // OCTA-500's voxels are 2 mm / 640 = 3.1 µm deep
    let share = random.between(0.02, 0.55);
    let range = match options.layers {
        Layers::Whole => {
            let top = quantile(&sampled(&|_| true, &|surface, thickness| surface + 0.1 * thickness), 0.01);
            let end = quantile(&sampled(&|_| true, &|surface, thickness| surface + thickness), 0.95);
            top.zip(end).map(|(top, end)| (top, (end - top) / (count - 1.0).max(1.0)))
        }
        Layers::Vessels => {
            let plexus = sampled(&|border| border > 0.2, &|surface, thickness| surface + VESSELS[0] * thickness);
            quantile(&plexus, share).map(|start| (start - 8.0, pitch.min(60.0 / count)))
        }
        Layers::Faz => {
            let floor = sampled(&|border| border < 0.0, &|surface, thickness| surface + thickness);
            let step = pitch.min(60.0 / count);
            quantile(&floor, 1.0).map(|end| (end - (count - 1.0) * step - random.between(1.0, 6.0), step))
        }
    };
    range.ok_or_else(|| Error::invalid("phantom: the fovea lies outside of the field"))
}

/// Another size, bilinear, pixel centres kept in place.
fn resized(values: &[f32], from: usize, to: usize) -> Vec<f32> {
    let scale = from as f32 / to as f32;
    let taps: Vec<(usize, usize, f32)> = (0..to)
        .map(|i| {
            let place = ((i as f32 + 0.5) * scale - 0.5).clamp(0.0, (from - 1) as f32);
            let low = place as usize;
            (low, (low + 1).min(from - 1), place.fract())
        })
        .collect();
    let mut out = Vec::with_capacity(to * to);
    for &(top, bottom, v) in &taps {
        let line = |row: usize| &values[row * from..(row + 1) * from];
        let (above, under) = (line(top), line(bottom));
        out.extend(taps.iter().map(|&(left, right, u)| {
            let mix = |line: &[f32]| line[left] + (line[right] - line[left]) * u;
            mix(above) + (mix(under) - mix(above)) * v
        }));
    }
    out
}

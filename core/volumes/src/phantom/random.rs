//! Where everything random in a phantom comes from: streams of one seed, one per matter, so that a change in one leaves the others as they
//! were; and smooth random fields ("value noise", Perlin 1985: random numbers on a grid, a smooth curve between them).

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;

/// One stream of random numbers.
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream of one matter.
    pub fn new(seed: u64, matter: u64) -> Self {
        let mut source = ChaCha8Rng::seed_from_u64(seed);
        source.set_stream(matter);
        Self(source)
    }

    /// Evenly between two values.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.0.random::<f32>()
    }

    /// A whole number, both ends possible.
    pub fn whole(&mut self, low: usize, high: usize) -> usize {
        self.0.random_range(low..=high)
    }

    /// Does something happen that happens with this probability?
    pub fn chance(&mut self, probability: f32) -> bool {
        self.0.random::<f32>() < probability
    }

    /// Normal with mean 0 and deviation 1: the sum of four uniform numbers, which is close (no value beyond 3.5) and quick.
    pub fn normal(&mut self) -> f32 {
        let bits = self.0.next_u64();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f32 - 131_070.0) * (1.732_050_8 / 65_535.0)
    }

    /// An angle.
    pub fn angle(&mut self) -> f32 {
        self.between(0.0, TAU)
    }
}

/// A smooth random function of the plane with values in -1 to 1.
pub struct Field {
    pitch: f32,
    side: usize,
    values: Vec<f32>,
}

impl Field {
    /// Varies over distances of `pitch` millimetres; covers -1 to `extent` + 1 mm.
    pub fn new(random: &mut Random, pitch: f32, extent: f32) -> Self {
        let side = ((extent + 2.0) / pitch).ceil() as usize + 2;
        let values = (0..side * side).map(|_| random.between(-1.0, 1.0)).collect();
        Self { pitch, side, values }
    }

    /// The value at a place in millimetres.
    pub fn at(&self, [x, y]: [f32; 2]) -> f32 {
        let place = |v: f32| {
            let v = ((v + 1.0) / self.pitch).clamp(0.0, (self.side - 2) as f32);
            let whole = (v as usize).min(self.side - 2);
            let rest = v - whole as f32;
            (whole, rest * rest * (3.0 - 2.0 * rest))
        };
        let ((column, u), (row, v)) = (place(x), place(y));
        let line = |row: usize| {
            let start = row * self.side + column;
            self.values[start] + (self.values[start + 1] - self.values[start]) * u
        };
        line(row) + (line(row + 1) - line(row)) * v
    }
}

/// A random number in 0 to 1 for a cell of a grid, without a table: the finaliser of splitmix64 (Steele 2014).
pub fn hash(x: i32, y: i32, salt: u64) -> [f32; 2] {
    let mut bits = salt ^ (x as u32 as u64) << 32 ^ y as u32 as u64;
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    let unit = |bits: u32| (bits >> 8) as f32 / 16_777_216.0;
    [unit(bits as u32), unit((bits >> 32) as u32)]
}

//! The capillary mesh: edges of a Voronoi tessellation of random cells, the model of a space-filling capillary bed of Lorthois & Cassot
//! (2010, J Theor Biol 262:614), stretched along a slowly turning direction, bent, and with gaps.
//!
//! Nothing is stored: the distance to the edge between the two nearest cell centres is computed for every pixel.

use super::random::{Field, Random, hash};

/// One layer of capillaries.
pub struct Mesh {
    spacing: f32,
    width: f32,
    gaps: f32,
    salt: u64,
    turn: Field,
    bent: [Field; 2],
    stretch: f32,
}

impl Mesh {
    /// Cells of a mean width of `spacing` mm, lines of half width `width` mm.
    pub fn new(random: &mut Random, field: f32, spacing: f32, width: f32, stretch: f32) -> Self {
        let salt = random.whole(0, usize::MAX >> 1) as u64;
        let turn = Field::new(random, 0.7, field);
        let bent = [0, 1].map(|_| Field::new(random, spacing * 1.6, field));
        Self { spacing, width, gaps: random.between(0.12, 0.3), salt, turn, bent, stretch }
    }

    /// Brightness 0 to 1 at a place in millimetres.
    pub fn at(&self, place: [f32; 2]) -> f32 {
        let (sin, cos) = (self.turn.at(place) * 2.2).sin_cos();
        let bent = [0, 1].map(|k| (place[k] + 0.3 * self.spacing * self.bent[k].at(place)) / self.spacing);
        let home = bent.map(|v| v.floor() as i32);
        let mut nearest = [(f32::INFINITY, [0i32; 2]); 2];
        for y in home[1] - 1..=home[1] + 1 {
            for x in home[0] - 1..=home[0] + 1 {
                let [u, v] = hash(x, y, self.salt);
                let [dx, dy] = [x as f32 + u - bent[0], y as f32 + v - bent[1]];
                let (along, across) = (dx * cos + dy * sin, dy * cos - dx * sin);
                let square = (along / self.stretch).powi(2) + (across * self.stretch).powi(2);
                if square < nearest[0].0 {
                    nearest = [(square, [x, y]), nearest[0]];
                } else if square < nearest[1].0 {
                    nearest[1] = (square, [x, y]);
                }
            }
        }
        let [(a, cell), (b, other)] = nearest;
        // half the difference of the distances is the distance to the edge, near the line between the centres
        let edge = (b.sqrt() - a.sqrt()) * self.spacing / 2.0;
        let [flow, _] =
            hash(cell[0] ^ other[0], (cell[1] ^ other[1]).wrapping_add(cell[0].wrapping_mul(other[0])), !self.salt);
        let flow = if flow < self.gaps { 0.1 } else { 0.35 + 0.65 * flow };
        flow * (-(edge / self.width).powi(2)).exp()
    }
}

/// Where capillaries are lost (non-perfusion): patches that take up a share of the field.
pub struct Loss {
    field: Field,
    below: f32,
}

impl Loss {
    /// `share` of the field, 0 to 1.
    pub fn new(random: &mut Random, extent: f32, share: f32) -> Self {
        let field = Field::new(random, 0.45, extent);
        let mut values: Vec<f32> =
            (0..1600).map(|i| field.at([i % 40, i / 40].map(|k| (k as f32 + 0.5) / 40.0 * extent))).collect();
        values.sort_by(f32::total_cmp);
        let below = if share > 0.0 { values[((share * 1600.0) as usize).min(1599)] } else { f32::NEG_INFINITY };
        Self { field, below }
    }

    /// How much of the capillaries is left at a place, 0 or 1 with a soft border.
    pub fn left(&self, place: [f32; 2]) -> f32 {
        ((self.field.at(place) - self.below) / 0.1 + 0.5).clamp(0.0, 1.0)
    }
}

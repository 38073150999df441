//! What lies in the field, before any scanner looks at it: maps at the scanner's own resolution, and the truth at that of the output.
//!
//! Vessel flow, capillaries and depths are maps in 0 to 1 or micrometres on the A-scan grid (304 or 400, as OCTA-500's); the truth is drawn
//! from the same rods on the output grid.

use super::mesh::{Loss, Mesh};
use super::options::PhantomOptions;
use super::random::Random;
use super::raster::Plane;
use super::retina::Retina;
use super::tree::{self, Node};

/// The number of the avascular zone in labels; vessel trees follow.
pub const FAZ: u16 = 1;

/// Everything that does not depend on the slice.
pub struct Anatomy {
    /// the retina's surfaces
    pub retina: Retina,
    /// the scanner's own grid
    pub native: Plane,
    /// per pixel of it: depth of the inner surface and thickness of the inner retina, µm
    pub depths: Vec<(f32, f32)>,
    /// large vessels: the truth
    pub large: Vec<f32>,
    /// their side branches
    pub twigs: Vec<f32>,
    /// capillaries of the superficial plexus
    pub superficial: Vec<f32>,
    /// capillaries and small trees of the deep plexus
    pub deep: Vec<f32>,
    /// the grid of slices and labels
    pub output: Plane,
    /// per pixel of it: number of the vessel or the avascular zone, en face
    pub truth: Vec<u16>,
    /// vessels that the truth names: number, artery?
    pub vessels: Vec<(u16, bool)>,
}

impl Anatomy {
    /// Grows everything.
    pub fn new(options: &PhantomOptions) -> Self {
        let field = options.field as f32;
        let retina = Retina::new(options);
        let native = Plane::new(if field > 4.0 { 400 } else { 304 }, field);
        let output = Plane::new(options.size, field);
        let (nodes, first_twig) = tree::grow(&retina, field, options.seed);
        let width = widths(native.pixel);
        let (truth, vessels) = truth(&retina, output, &nodes[..first_twig], &width);
        let pixels = 0..native.side * native.side;
        let place = |i| native.place(i);
        let mut map = Self {
            depths: pixels.clone().map(|i| retina.at(place(i))).collect(),
            large: drawn(native, &nodes[..first_twig], 0, &width),
            twigs: drawn(native, &nodes, first_twig, |node| node.radius.max(0.6 * native.pixel)),
            superficial: Vec::new(),
            deep: Vec::new(),
            retina,
            native,
            output,
            truth,
            vessels,
        };
        map.capillaries(options, &nodes[..first_twig]);
        map.empty_faz();
        map
    }

    fn capillaries(&mut self, options: &PhantomOptions, large: &[Node]) {
        let field = options.field as f32;
        let native = self.native;
        let mut random = Random::new(options.seed, 4);
        let fine = (0.58 * native.pixel).max(0.0045);
        let (near, far) = (random.between(0.050, 0.066), random.between(0.042, 0.056));
        let meshes = [
            Mesh::new(&mut random, field, near, fine, 1.7),
            Mesh::new(&mut random, field, 1.45 * near, fine, 1.5),
            Mesh::new(&mut random, field, far, fine, 1.3),
            Mesh::new(&mut random, field, 1.5 * far, fine, 1.3),
        ];
        let lost = Loss::new(&mut random, field, options.dropout);
        // arteries keep capillaries away
        let mut free = vec![1f32; native.side * native.side];
        let artery = |node: &Node| if node.artery { node.radius + 0.025 } else { 0.0 };
        native.rods(large, 0, 0.0, artery, |i, inside, _, _| free[i] = free[i].min(1.0 - inside / 0.03).max(0.0));
        let ring = random.between(0.3, 0.9);
        let trees = tree::deep(&self.retina, field, options.seed);
        let trees = drawn(native, &trees, 0, |node| node.radius.max(0.6 * native.pixel));
        for (i, &tree) in trees.iter().enumerate() {
            let place = native.place(i);
            let border = self.retina.distance_to_faz(place);
            // the capillary ring around the avascular zone
            let arcade = ring * (-((border - 0.012) / 0.009).powi(2)).exp();
            // a second, wider mesh across the first: the bed is not one sheet
            let [a, b, c, d] = [0, 1, 2, 3].map(|k| meshes[k].at(place));
            // fewer and thinner towards the avascular zone
            let left = lost.left(place) * (0.45 + 0.55 * (border / 0.2).clamp(0.0, 1.0));
            self.superficial.push((a.max(0.6 * b) * free[i] * left).max(0.5 * arcade));
            self.deep.push((c.max(0.6 * d) * left).max(tree * (0.6 + 0.4 * c)).max(0.7 * arcade));
        }
    }

    /// No vessel reaches into the avascular zone.
    fn empty_faz(&mut self) {
        for i in 0..self.large.len() {
            let outside = (self.retina.distance_to_faz(self.native.place(i)) / self.native.pixel + 0.5).clamp(0.0, 1.0);
            for map in [&mut self.large, &mut self.twigs, &mut self.superficial, &mut self.deep] {
                map[i] *= outside;
            }
        }
    }
}

/// How wide a vessel looks: 1.3 times its calibre (Kreitner 2024), and no narrower than the scanner's spot.
fn widths(pixel: f32) -> impl Fn(&Node) -> f32 {
    move |node| (1.3 * node.radius).max(1.02 * pixel)
}

/// Rods with a soft edge, 0 to 1; wide vessels are brighter.
fn drawn(plane: Plane, nodes: &[Node], skip: usize, radius: impl Fn(&Node) -> f32) -> Vec<f32> {
    let mut map = vec![0f32; plane.side * plane.side];
    plane.rods(nodes, skip, plane.pixel / 2.0, radius, |i, inside, thick, _| {
        let edge = (inside / plane.pixel + 0.5).min(1.0);
        let flow = 0.6 + 0.4 * (thick / 0.03).min(1.0);
        map[i] = map[i].max(edge * flow);
    });
    map
}

/// The number of the vessel in which a pixel's centre lies most deeply, and which numbers there are.
fn truth(retina: &Retina, plane: Plane, nodes: &[Node], width: impl Fn(&Node) -> f32) -> (Vec<u16>, Vec<(u16, bool)>) {
    let mut truth = vec![0u16; plane.side * plane.side];
    let mut deepest = vec![f32::NEG_INFINITY; truth.len()];
    plane.rods(
        nodes,
        0,
        0.0,
        |node| width(node).max(0.71 * plane.pixel),
        |i, inside, _, node| {
            if inside > deepest[i] {
                (deepest[i], truth[i]) = (inside, FAZ + 1 + node.tree);
            }
        },
    );
    for (i, number) in truth.iter_mut().enumerate() {
        if retina.distance_to_faz(plane.place(i)) < 0.0 {
            *number = FAZ;
        }
    }
    let mut vessels: Vec<(u16, bool)> = nodes.iter().map(|node| (FAZ + 1 + node.tree, node.artery)).collect();
    vessels.dedup();
    vessels.sort_unstable();
    vessels.dedup();
    vessels.retain(|(number, _)| truth.contains(number));
    (truth, vessels)
}

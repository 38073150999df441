//! Vessels as pixels: every piece between a node and its parent is a rod with round ends. The same rods give the truth (pixel centre inside
//! of the rod) and the picture (a soft edge of one pixel), so that the two agree to a fraction of a pixel.

use super::tree::Node;

/// A square grid over the field.
#[derive(Clone, Copy)]
pub struct Plane {
    /// rows and columns
    pub side: usize,
    /// millimetres
    pub pixel: f32,
}

impl Plane {
    /// `side` pixels over `field` millimetres.
    pub fn new(side: usize, field: f32) -> Self {
        Self { side, pixel: field / side as f32 }
    }

    /// Centre of a pixel in millimetres.
    pub fn place(&self, index: usize) -> [f32; 2] {
        [index % self.side, index / self.side].map(|v| (v as f32 + 0.5) * self.pixel)
    }

    /// Calls `draw(pixel, millimetres inside of the rod, radius, node)` for the pixels around every rod, up to `margin` mm outside of it.
    pub fn rods(
        &self,
        nodes: &[Node],
        skip: usize,
        margin: f32,
        radius: impl Fn(&Node) -> f32,
        mut draw: impl FnMut(usize, f32, f32, &Node),
    ) {
        for node in &nodes[skip..] {
            let (a, b) = (nodes[node.parent].at, node.at);
            let thick = radius(node);
            let around = thick + margin;
            let span = |k: usize| {
                let (low, high) = (a[k].min(b[k]) - around, a[k].max(b[k]) + around);
                let index = |v: f32| (v / self.pixel - 0.5).clamp(0.0, self.side as f32);
                index(low).ceil() as usize..(index(high).floor() as usize + 1).min(self.side)
            };
            for row in span(1) {
                for column in span(0) {
                    let index = row * self.side + column;
                    let inside = thick - to_segment(self.place(index), a, b);
                    if inside >= -margin {
                        draw(index, inside, thick, node);
                    }
                }
            }
        }
    }
}

fn to_segment(p: [f32; 2], a: [f32; 2], b: [f32; 2]) -> f32 {
    let (ab, ap) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length = ab[0] * ab[0] + ab[1] * ab[1];
    let t = if length > 0.0 { ((ap[0] * ab[0] + ap[1] * ab[1]) / length).clamp(0.0, 1.0) } else { 0.0 };
    let d = [ap[0] - t * ab[0], ap[1] - t * ab[1]];
    (d[0] * d[0] + d[1] * d[1]).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_to_a_segment() {
        let (a, b) = ([0.0, 0.0], [2.0, 0.0]);
        assert_eq!(to_segment([1.0, 3.0], a, b), 3.0);
        assert_eq!(to_segment([5.0, 4.0], a, b), 5.0);
        assert_eq!(to_segment([3.0, 4.0], b, b), 17f32.sqrt());
    }
}

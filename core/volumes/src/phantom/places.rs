//! Where the nodes of vessel trees lie, cell by cell: which of them a sink pulls.

use super::plane::distance;
use super::tree::Node;

/// Nodes by place, to find the nearest quickly.
pub struct Places {
    cell: f32,
    side: usize,
    cells: Vec<Vec<u32>>,
}

impl Places {
    /// `cell`: the side of a cell, in mm.
    pub fn new(nodes: &[Node], cell: f32, field: f32) -> Self {
        let side = ((field + 1.0) / cell) as usize + 1;
        let mut places = Self { cell, side, cells: vec![Vec::new(); side * side] };
        for (i, node) in nodes.iter().enumerate() {
            let [x, y] = places.cell_of(node.at);
            places.cells[y * side + x].push(i as u32);
        }
        places
    }

    fn cell_of(&self, at: [f32; 2]) -> [usize; 2] {
        at.map(|v| (((v + 0.5) / self.cell).max(0.0) as usize).min(self.side - 1))
    }

    /// The node that a sink pulls: none where a vessel is nearer than `free`, or all are out of reach.
    pub fn fed(&self, nodes: &[Node], sink: [f32; 2], free: f32, reach: f32) -> Option<usize> {
        let [x, y] = self.cell_of(sink);
        let (columns, rows) =
            (x.saturating_sub(1)..=(x + 1).min(self.side - 1), y.saturating_sub(1)..=(y + 1).min(self.side - 1));
        let near = rows.flat_map(|row| columns.clone().map(move |column| row * self.side + column));
        let mut nearest = [(f32::INFINITY, 0); 2];
        for &i in near.flat_map(|cell| &self.cells[cell]) {
            let node = &nodes[i as usize];
            let d = distance(node.at, sink);
            let kind = &mut nearest[usize::from(node.artery)];
            if d < kind.0 {
                *kind = (d, i as usize);
            }
        }
        let (own, other) = if nearest[0].0 < nearest[1].0 { (0, 1) } else { (1, 0) };
        // two kinds compete for a sink; now and then the farther one gets it and crosses
        let crowded = nearest[own].0 < free && (nearest[other].0 < free || nearest[own].0 < free / 1.6);
        let fed = if nearest[own].0 < free { nearest[other] } else { nearest[own] };
        (!crowded && fed.0 < free * reach).then_some(fed.1)
    }
}

//! A skeleton as branches between nodes, in the way of skan (Nunez-Iglesias et al., PeerJ 6:e4312, 2018): pixels are joined to their 8
//! neighbours; where pixels with three or more neighbours lie side by side, only a shortest tree of their joints is kept; a branch goes from one
//! pixel without exactly two joints to the next.

use crate::measure::{Grid, unite};
use crate::progress::checkpoint;

/// One stretch of a centre line.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// its pixels in order, as indices `row * columns + column`; the first is the last again where it closes on itself
    pub pixels: Vec<usize>,
    /// millimetres along it
    pub length: f64,
    /// millimetres between its ends
    pub chord: f64,
}

/// The joints and branches of one slice.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// stretches between nodes, and closed loops
    pub branches: Vec<Branch>,
    /// places where three or more lines meet: the pixels of each, side by side
    pub junctions: Vec<Vec<usize>>,
    /// pixels with one neighbour
    pub ends: Vec<usize>,
    /// joints kept: two pixels and the millimetres between them
    pub joints: Vec<(usize, usize, f64)>,
}

impl Graph {
    /// The graph of a skeleton of one slice.
    pub fn of(skeleton: &Grid) -> Self {
        let links = Links::of(skeleton);
        let around: Vec<usize> = links.around.iter().map(Vec::len).collect();
        let junctions = links.clusters(|at| around[at] > 2);
        let kept = links.thinned(&junctions);
        let pixel = |node: usize| links.pixels[node];
        let joints = kept.all().map(|(a, b, mm)| (pixel(a), pixel(b), mm)).collect();
        let ends = (0..around.len()).filter(|&at| around[at] == 1).map(pixel).collect();
        let branches = kept.paths().into_iter().map(|path| kept.branch(&path, skeleton)).collect();
        let junctions = junctions.into_iter().map(|nodes| nodes.into_iter().map(pixel).collect()).collect();
        Self { branches, junctions, ends, joints }
    }

    /// Millimetres of all lines together.
    pub fn length(&self) -> f64 {
        self.joints.iter().map(|joint| joint.2).sum()
    }
}

/// Pixels of a skeleton and what each is joined to, with the millimetres between.
struct Links {
    pixels: Vec<usize>,
    around: Vec<Vec<(usize, f64)>>,
}

impl Links {
    fn of(skeleton: &Grid) -> Self {
        let [_, rows, columns] = skeleton.shape;
        let [_, dy, dx] = skeleton.spacing;
        let pixels: Vec<usize> = (0..rows * columns).filter(|&at| skeleton.inside[at]).collect();
        let mut number = vec![usize::MAX; rows * columns];
        pixels.iter().enumerate().for_each(|(node, &pixel)| number[pixel] = node);
        let neighbours = |&pixel: &usize| {
            let (row, column) = (pixel / columns, pixel % columns);
            let mut around = Vec::new();
            for r in row.saturating_sub(1)..(row + 2).min(rows) {
                for c in column.saturating_sub(1)..(column + 2).min(columns) {
                    let node = number[r * columns + c];
                    if node != usize::MAX && (r, c) != (row, column) {
                        let (y, x) = (dy * r.abs_diff(row) as f64, dx * c.abs_diff(column) as f64);
                        around.push((node, y.hypot(x)));
                    }
                }
            }
            around
        };
        let around = pixels.iter().map(neighbours).collect();
        Self { pixels, around }
    }

    /// Every joint once.
    fn all(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        let joints = self.around.iter().enumerate();
        joints.flat_map(|(a, around)| around.iter().filter(move |(b, _)| a < *b).map(move |&(b, mm)| (a, b, mm)))
    }

    /// Nodes of a kind that lie side by side.
    fn clusters(&self, kind: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
        let mut seen = vec![false; self.pixels.len()];
        let mut clusters = Vec::new();
        for start in (0..self.pixels.len()).filter(|&at| kind(at)) {
            if std::mem::replace(&mut seen[start], true) {
                continue;
            }
            let mut cluster = vec![start];
            let mut next = 0;
            while next < cluster.len() {
                for &(other, _) in &self.around[cluster[next]] {
                    if kind(other) && !std::mem::replace(&mut seen[other], true) {
                        cluster.push(other);
                    }
                }
                next += 1;
            }
            clusters.push(cluster);
        }
        clusters
    }

    /// Without the joints inside clusters that their shortest tree does not need (Kruskal 1956).
    fn thinned(&self, clusters: &[Vec<usize>]) -> Self {
        let mut cluster_of = vec![usize::MAX; self.pixels.len()];
        for (number, nodes) in clusters.iter().enumerate() {
            nodes.iter().for_each(|&node| cluster_of[node] = number);
        }
        let within = |a: usize, b: usize| cluster_of[a] != usize::MAX && cluster_of[a] == cluster_of[b];
        let (mut inner, outer): (Vec<_>, Vec<_>) = self.all().partition(|&(a, b, _)| within(a, b));
        inner.sort_by(|one, other| one.2.total_cmp(&other.2));
        let mut roots: Vec<u32> = (0..self.pixels.len() as u32).collect();
        inner.retain(|&(a, b, _)| unite(&mut roots, a as u32, b as u32));
        let mut around = vec![Vec::new(); self.pixels.len()];
        for (a, b, mm) in outer.into_iter().chain(inner) {
            around[a].push((b, mm));
            around[b].push((a, mm));
        }
        Self { pixels: self.pixels.clone(), around }
    }

    /// Walks from every node without exactly two joints along each of its joints, then round the loops that are left.
    fn paths(&self) -> Vec<Vec<usize>> {
        let mut used: Vec<Vec<bool>> = self.around.iter().map(|around| vec![false; around.len()]).collect();
        let mut paths = Vec::new();
        let nodes = (0..self.pixels.len()).filter(|&at| self.around[at].len() != 2);
        let rest = (0..self.pixels.len()).filter(|&at| self.around[at].len() == 2);
        for start in nodes.chain(rest) {
            checkpoint();
            for way in 0..self.around[start].len() {
                if !used[start][way] {
                    paths.push(self.walk(start, way, &mut used));
                }
            }
        }
        paths
    }

    fn walk(&self, start: usize, mut way: usize, used: &mut [Vec<bool>]) -> Vec<usize> {
        let (mut at, mut path) = (start, vec![start]);
        loop {
            let next = self.around[at][way].0;
            used[at][way] = true;
            let back = self.around[next].iter().position(|&(other, _)| other == at).unwrap_or(0);
            used[next][back] = true;
            path.push(next);
            if self.around[next].len() != 2 || next == start {
                return path;
            }
            (at, way) = (next, 1 - back);
        }
    }

    fn branch(&self, path: &[usize], skeleton: &Grid) -> Branch {
        let [_, _, columns] = skeleton.shape;
        let [_, dy, dx] = skeleton.spacing;
        let apart = |a: usize, b: usize| {
            let (a, b) = (self.pixels[a], self.pixels[b]);
            let (y, x) = ((a / columns).abs_diff(b / columns) as f64, (a % columns).abs_diff(b % columns) as f64);
            (y * dy).hypot(x * dx)
        };
        let length = path.windows(2).map(|step| apart(step[0], step[1])).sum();
        let pixels = path.iter().map(|&node| self.pixels[node]).collect();
        Branch { pixels, length, chord: apart(path[0], path[path.len() - 1]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(rows: &[&str]) -> Graph {
        Graph::of(&Grid { spacing: [1.0, 0.5, 0.5], ..Grid::drawn(rows) })
    }

    #[test]
    fn a_fork_has_three_branches_and_one_junction() {
        let graph = graph(&["#...#", ".#.#.", "..#..", "..#..", "..#.."]);
        assert_eq!((graph.branches.len(), graph.junctions.len(), graph.ends.len()), (3, 1, 3));
        let expected = 0.5 * (4.0 * 2f64.sqrt() + 2.0);
        assert!((graph.length() - expected).abs() < 1e-12, "{}", graph.length());
        let together: f64 = graph.branches.iter().map(|branch| branch.length).sum();
        assert!((together - expected).abs() < 1e-12);
    }

    #[test]
    fn a_thick_crossing_is_one_junction() {
        let graph = graph(&["..#..", "..#..", "#####", "..#..", "..#.."]);
        assert_eq!((graph.junctions.len(), graph.ends.len()), (1, 4));
        assert_eq!(graph.junctions[0].len(), 5);
        assert!((graph.length() - 4.0).abs() < 1e-12);
    }

    #[test]
    fn a_loop_is_one_branch_and_a_dot_none() {
        let graph = graph(&[".##..", "#..#.", "#..#.", ".##.#", "....."]);
        let ring = &graph.branches[0];
        assert!(graph.branches.len() == 1 || graph.ends.len() == 1, "{graph:?}");
        assert!(ring.length > 0.0);
        let dot = Graph::of(&Grid { shape: [1, 1, 3], spacing: [1.0; 3], inside: vec![false, true, false] });
        assert_eq!((dot.branches.len(), dot.ends.len(), dot.length()), (0, 0, 0.0));
    }
}

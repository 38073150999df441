//! Where two vessels cross: branches that go straight on belong together, two such pairs at one place are two vessels. A fork (three
//! branches) stays one.

use super::graph::Branch;
use super::{Graph, skeleton};
use crate::measure::{Grid, find, squared_distances, unite};
use std::collections::VecDeque;

/// largest cosine between two branches that are one vessel: 150 degrees
const STRAIGHT: f64 = -0.866;
/// a branch's direction is taken so many radii of the vessel away from the junction, and at least so many pixels
const AWAY: (f64, usize) = (2.5, 6);

/// Parts of the mask cut at crossings; `parts` are its components.
pub(super) fn split(grid: &Grid, parts: &[u32]) -> Vec<u32> {
    let thin = skeleton(grid);
    let graph = Graph::of(&thin);
    let outside = Grid { inside: grid.inside.iter().map(|&inside| !inside).collect(), ..grid.clone() };
    let radius: Vec<f64> = squared_distances(&outside).into_iter().map(f64::sqrt).collect();
    let places = Places::of(&graph, &radius, grid.inside.len());
    let mut roots: Vec<u32> = (0..graph.branches.len() as u32).collect();
    let mut seeds = vec![0u32; grid.inside.len()];
    let mut through = Vec::new(); // which branch owns a place
    for place in 0..places.arms.len() {
        through.push(places.join(place, &graph, &radius, grid.shape[2], &mut roots));
    }
    for (number, branch) in graph.branches.iter().enumerate() {
        let vessel = find(&mut roots, number as u32) + 1;
        branch
            .pixels
            .iter()
            .filter(|&&pixel| places.of_pixel[pixel].is_none())
            .for_each(|&pixel| seeds[pixel] = vessel);
    }
    for (pixel, place) in places.of_pixel.iter().enumerate() {
        if let Some(owner) = place.and_then(|place: usize| through[place]) {
            seeds[pixel] = find(&mut roots, owner) + 1;
        }
    }
    spread(grid, parts, seeds, graph.branches.len() as u32 + 1)
}

/// Junctions, those taken together that lie inside one another's vessel.
struct Places {
    /// the place of each pixel of a junction or of a line between two that are one
    of_pixel: Vec<Option<usize>>,
    /// of each place the branches that begin (false) or end (true) there
    arms: Vec<Vec<(usize, bool)>>,
}

impl Places {
    fn of(graph: &Graph, radius: &[f64], size: usize) -> Self {
        let mut junction = vec![None; size];
        for (number, pixels) in graph.junctions.iter().enumerate() {
            pixels.iter().for_each(|&pixel| junction[pixel] = Some(number));
        }
        let mut roots: Vec<u32> = (0..graph.junctions.len() as u32).collect();
        let mut inner = Vec::new();
        for branch in &graph.branches {
            let [first, last] = ends(branch);
            let (Some(a), Some(b)) = (junction[first], junction[last]) else { continue };
            if branch.length <= radius[first] + radius[last] {
                inner.push((branch, a));
                unite(&mut roots, a as u32, b as u32);
            }
        }
        for (branch, number) in inner {
            branch.pixels.iter().for_each(|&pixel| junction[pixel] = Some(number));
        }
        let of_pixel: Vec<Option<usize>> =
            junction.iter().map(|at| at.map(|at| find(&mut roots, at as u32) as usize)).collect();
        let mut arms = vec![Vec::new(); graph.junctions.len()];
        for (number, branch) in graph.branches.iter().enumerate() {
            let [first, last] = ends(branch).map(|pixel| of_pixel[pixel]);
            if first.is_some() && branch.pixels.iter().all(|&pixel| of_pixel[pixel] == first) {
                continue; // inside of one place
            }
            first.into_iter().for_each(|place| arms[place].push((number, false)));
            last.into_iter().for_each(|place| arms[place].push((number, true)));
        }
        Self { of_pixel, arms }
    }

    /// Joins the branches that are one vessel at a place; the branch that goes through it the straightest.
    fn join(&self, place: usize, graph: &Graph, radius: &[f64], columns: usize, roots: &mut [u32]) -> Option<u32> {
        let arm = |&(number, back): &(usize, bool)| {
            let mut pixels = graph.branches[number].pixels.clone();
            if back {
                pixels.reverse();
            }
            (number as u32, direction(&pixels, radius, columns))
        };
        let arms: Vec<_> = self.arms[place].iter().map(arm).collect();
        let pairs = straight(&arms);
        if pairs.len() >= 2 {
            for &(a, b) in &pairs {
                unite(roots, arms[a].0, arms[b].0);
            }
            let paired = |at: usize| pairs.iter().any(|&(a, b)| at == a || at == b);
            // what is no part of a pair hangs on the straightest
            for at in (0..arms.len()).filter(|&at| !paired(at)) {
                unite(roots, arms[pairs[0].0].0, arms[at].0);
            }
            return Some(arms[pairs[0].0].0);
        }
        for two in arms.windows(2) {
            unite(roots, two[0].0, two[1].0);
        }
        arms.first().map(|arm| arm.0)
    }
}

fn ends(branch: &Branch) -> [usize; 2] {
    [branch.pixels[0], branch.pixels[branch.pixels.len() - 1]]
}

/// Where a branch goes from its first pixel, of length 1.
fn direction(pixels: &[usize], radius: &[f64], columns: usize) -> [f64; 2] {
    let away = ((AWAY.0 * radius[pixels[0]]) as usize).max(AWAY.1);
    let from = pixels[(away / 3).min(pixels.len() - 1)];
    let to = pixels[away.min(pixels.len() - 1)];
    let from = if from == to { pixels[0] } else { from };
    let along = |step: fn(usize, usize) -> usize| step(to, columns) as f64 - step(from, columns) as f64;
    let (y, x) = (along(|at, columns| at / columns), along(|at, columns| at % columns));
    let length = y.hypot(x).max(1e-9);
    [y / length, x / length]
}

/// Disjoint pairs of arms that go straight on, the straightest first.
fn straight(arms: &[(u32, [f64; 2])]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for a in 0..arms.len() {
        for b in a + 1..arms.len() {
            let cosine = arms[a].1[0] * arms[b].1[0] + arms[a].1[1] * arms[b].1[1];
            if cosine <= STRAIGHT {
                pairs.push((cosine, a, b));
            }
        }
    }
    pairs.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut taken = vec![false; arms.len()];
    pairs.retain(|&(_, a, b)| {
        let free = !taken[a] && !taken[b];
        if free {
            (taken[a], taken[b]) = (true, true);
        }
        free
    });
    pairs.into_iter().map(|(_, a, b)| (a, b)).collect()
}

/// Every pixel of the mask belongs to the nearest seed inside it; parts without a seed keep a number of their own.
fn spread(grid: &Grid, parts: &[u32], mut labels: Vec<u32>, beyond: u32) -> Vec<u32> {
    let [_, rows, columns] = grid.shape;
    let mut queue: VecDeque<usize> = (0..labels.len()).filter(|&at| labels[at] != 0).collect();
    while let Some(at) = queue.pop_front() {
        let (row, column) = (at / columns, at % columns);
        for r in row.saturating_sub(1)..(row + 2).min(rows) {
            for c in column.saturating_sub(1)..(column + 2).min(columns) {
                let beside = r * columns + c;
                if grid.inside[beside] && labels[beside] == 0 {
                    labels[beside] = labels[at];
                    queue.push_back(beside);
                }
            }
        }
    }
    let unreached = labels.iter_mut().zip(parts).filter(|(label, part)| **label == 0 && **part != 0);
    unreached.for_each(|(label, part)| *label = beyond + part);
    labels
}

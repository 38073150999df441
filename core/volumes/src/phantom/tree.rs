//! Vessel trees grown by space colonisation (Runions et al. 2007; for retinal vessels Rauch & Harders 2021 and Kreitner et al. 2024,
//! doi 10.1109/TMI.2024.3354408): sinks that lack oxygen pull the nearest node of a tree, tips elongate or bifurcate, stems sprout; the
//! distances shrink from round to round, so that large vessels come first. Radii follow Murray's law with the published exponent.
//!
//! `roots -> grow (large vessels, which the truth names) -> smooth -> radii -> twigs (small branches, not in the truth)`

use super::places::Places;
use super::plane::{cross, direction, distance, dot, plus, turned, unit};
use super::random::{Field, Random};
use super::retina::Retina;
use std::f32::consts::PI;

/// Murray exponent of the superficial plexus (Kreitner 2024).
const MURRAY: f32 = 2.55;
/// Radius of the last named branches, mm.
const LEAF: [f32; 2] = [0.0065, 0.0100];
/// Shorter branches at the end of large vessels are taken off, mm.
const SPUR: f32 = 0.22;

/// A piece of vessel ends here; it begins at its parent.
#[derive(Clone)]
pub struct Node {
    /// millimetres
    pub at: [f32; 2],
    /// index of the node before it; a root is its own parent
    pub parent: usize,
    /// number of the tree, from 0
    pub tree: u16,
    /// arteries keep capillaries away
    pub artery: bool,
    /// millimetres
    pub radius: f32,
    children: u8,
    /// radius that the stem has at least: arcades
    trunk: f32,
}

/// Distances of one way of growing, in mm.
struct Growth {
    rounds: usize,
    sinks: usize,
    step: f32,
    /// nearest that a sink may lie to a vessel, in the first and the last round
    free: [f32; 2],
    /// how far a sink pulls, in units of `free`
    reach: f32,
    /// how much a tip keeps its direction
    inertia: f32,
    /// cosine of the half angle in which a tip feels sinks
    cone: f32,
    /// does the fovea draw tips towards it?
    homing: f32,
}

/// Short branches: nothing draws them, and they feel what lies on all sides before them.
const SHORT: Growth =
    Growth { rounds: 0, sinks: 0, step: 0.0, free: [0.0; 2], reach: 1.6, inertia: 0.25, cone: 0.0, homing: 0.0 };

/// Large vessels first, then small branches of them; the second begin at the index returned.
pub fn grow(retina: &Retina, field: f32, seed: u64) -> (Vec<Node>, usize) {
    let mut random = Random::new(seed, 2);
    let scale = if field > 4.0 { 1.5 } else { 1.0 };
    let mut nodes = roots(&mut random, retina, field);
    let step = 0.045 * scale;
    let end = random.between(0.145, 0.21) * scale;
    let large = Growth {
        rounds: (2.3 * (field / 3.0).sqrt() / step) as usize,
        sinks: (60.0 * field) as usize,
        step,
        free: [0.42 * scale, end],
        reach: 1.9,
        inertia: 0.55,
        cone: (50f32 / 180.0 * PI).cos(),
        homing: 0.22,
    };
    colonise(&mut nodes, &large, retina, field, &mut random);
    let mut nodes = without_spurs(&nodes, SPUR * scale);
    smooth(&mut nodes);
    radii(&mut nodes, &mut random);
    let first_twig = nodes.len();
    let twigs = Growth {
        rounds: 13,
        sinks: (550.0 * field) as usize,
        step: 0.03 * scale.sqrt(),
        free: [0.15 * scale, 0.075 * scale],
        inertia: 0.3,
        ..SHORT
    };
    branch(&mut nodes, &twigs, retina, field, &mut random);
    nodes[first_twig..].iter_mut().for_each(|node| node.radius = 0.0045);
    (nodes, first_twig)
}

/// Small trees of the deep plexus: dense, short, without a direction (Kreitner's parameters for it: inertia 0, a cone of 90 degrees).
pub fn deep(retina: &Retina, field: f32, seed: u64) -> Vec<Node> {
    let mut random = Random::new(seed, 3);
    let scale = if field > 4.0 { 1.5 } else { 1.0 };
    let mut nodes = Vec::new();
    let roots = (3.0 * field * field / (scale * scale)) as usize;
    for tree in 0..roots {
        let at = [0, 1].map(|_| random.between(-0.1, field + 0.1));
        if retina.distance_to_faz(at) > 0.1 {
            let way = turned([1.0, 0.0], random.angle());
            line(&mut nodes, tree as u16, tree % 2 == 0, &[at, plus(at, way, 0.03), plus(at, way, 0.06)], 0.0);
        }
    }
    let growth = Growth {
        rounds: 14,
        sinks: (250.0 * field) as usize,
        step: 0.035 * scale.sqrt(),
        free: [0.24 * scale, 0.10 * scale],
        reach: 1.7,
        ..SHORT
    };
    branch(&mut nodes, &growth, retina, field, &mut random);
    nodes.iter_mut().for_each(|node| node.radius = 0.0055);
    nodes
}

/// Small branches, and then the bends of everything.
fn branch(nodes: &mut Vec<Node>, growth: &Growth, retina: &Retina, field: f32, random: &mut Random) {
    colonise(nodes, growth, retina, field, random);
    bend(nodes, retina, field, random);
}

/// Stumps on the edge, arteries and veins in turn, and arcades: one or none across a corner of a small field, two in a wide one.
fn roots(random: &mut Random, retina: &Retina, field: f32) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut tree = 0;
    if field > 4.0 {
        let side = if random.chance(0.5) { 1.0 } else { -1.0 };
        for up in [1.0, -1.0] {
            arcade(random, retina, field, side, up, &mut nodes, &mut tree);
        }
    } else if random.chance(0.6) {
        corner(random, field, &mut nodes, &mut tree);
    }
    let wanted = if field > 4.0 { random.whole(11, 18) } else { random.whole(8, 13) };
    let apart = 0.3 * (field / 3.0).sqrt();
    for _ in 0..wanted * 8 {
        if usize::from(tree) >= wanted + 2 {
            break;
        }
        let along = random.between(-0.1, field + 0.1);
        let edge = [[along, -0.15], [along, field + 0.15], [-0.15, along], [field + 0.15, along]][random.whole(0, 3)];
        if nodes.iter().any(|node: &Node| distance(node.at, edge) < apart) {
            continue;
        }
        let inwards = direction(edge, retina.fovea);
        let heading = turned(inwards, random.normal() * 0.35);
        let artery = tree % 2 == 0;
        line(&mut nodes, tree, artery, &[edge, plus(edge, heading, 0.05), plus(edge, heading, 0.1)], 0.0);
        tree += 1;
    }
    nodes
}

/// A trunk that enters on the nasal side, passes above or below the fovea, and bends towards it.
fn arcade(r: &mut Random, retina: &Retina, field: f32, side: f32, up: f32, nodes: &mut Vec<Node>, tree: &mut u16) {
    let (height, fall) = (r.between(1.5, 2.3), r.between(0.02, 0.09));
    let (wave, phase) = (r.between(0.04, 0.12), r.angle());
    let steps = (field / 0.06) as usize + 8;
    let points: Vec<[f32; 2]> = (0..steps)
        .map(|i| {
            let x = -0.25 + i as f32 * 0.06;
            let u = (x - field / 2.0) + 0.8;
            let y = height - fall * u * u + wave * (2.2 * x + phase).sin();
            let x = if side > 0.0 { x } else { field - x };
            [x, retina.fovea[1] + up * y]
        })
        .collect();
    line(nodes, *tree, r.chance(0.5), &points, r.between(0.020, 0.038));
    *tree += 1;
}

/// A trunk that cuts a corner of the field.
fn corner(random: &mut Random, field: f32, nodes: &mut Vec<Node>, tree: &mut u16) {
    let (a, b) = (random.between(0.35, 1.1), random.between(0.35, 1.1));
    let (flip_x, flip_y) = (random.chance(0.5), random.chance(0.5));
    let bulge = random.between(-0.08, 0.12);
    let steps = ((a * a + b * b).sqrt() / 0.045) as usize + 8;
    let points: Vec<[f32; 2]> = (0..steps)
        .map(|i| {
            let t = -0.15 + 1.3 * i as f32 / (steps - 1) as f32;
            let push = bulge * (t * PI).sin();
            let [x, y] = [a * t + push * b, b * (1.0 - t) + push * a];
            [if flip_x { field - x } else { x }, if flip_y { field - y } else { y }]
        })
        .collect();
    line(nodes, *tree, random.chance(0.5), &points, random.between(0.024, 0.060));
    *tree += 1;
}

/// A stem along points.
fn line(nodes: &mut Vec<Node>, tree: u16, artery: bool, points: &[[f32; 2]], trunk: f32) {
    for (i, &at) in points.iter().enumerate() {
        let parent = if i == 0 { nodes.len() } else { nodes.len() - 1 };
        let taper = 1.0 - 0.45 * i as f32 / points.len() as f32;
        let children = u8::from(i + 1 < points.len());
        nodes.push(Node { at, parent, tree, artery, radius: LEAF[0], children, trunk: trunk * taper });
    }
}

/// Rounds of growth. Sinks outside of the avascular zone pull the nearest node; a tree of the other kind (artery, vein) may be crossed,
/// but keeps sinks away from it at a smaller distance.
fn colonise(nodes: &mut Vec<Node>, growth: &Growth, retina: &Retina, field: f32, random: &mut Random) {
    for round in 0..growth.rounds {
        let part = round as f32 / growth.rounds as f32;
        let free = growth.free[0] * (growth.free[1] / growth.free[0]).powf(part);
        let places = Places::new(nodes, free * growth.reach, field);
        let mut pulls: Vec<(usize, [f32; 2])> = Vec::new();
        for _ in 0..growth.sinks {
            let sink = [0, 1].map(|_| random.between(-0.2, field + 0.2));
            if retina.distance_to_faz(sink) < 0.03 {
                continue;
            }
            if let Some(node) = places.fed(nodes, sink, free, growth.reach) {
                pulls.push((node, direction(nodes[node].at, sink)));
            }
        }
        pulls.sort_by_key(|(node, _)| *node);
        for pull in pulls.chunk_by(|a, b| a.0 == b.0) {
            sprout(nodes, pull, growth, retina, random);
        }
    }
}

/// One node that sinks pull: it elongates, bifurcates (tips), or gets a side branch (stems).
fn sprout(nodes: &mut Vec<Node>, pulls: &[(usize, [f32; 2])], growth: &Growth, retina: &Retina, random: &mut Random) {
    let from = pulls[0].0;
    let Node { at, parent, children, .. } = nodes[from];
    let ahead = direction(nodes[parent].at, at);
    if children >= 2 {
        return;
    }
    let tip = children == 0;
    // a tip feels what lies before it; a stem what lies beside it
    let felt = |way: &[f32; 2]| if tip { dot(*way, ahead) > growth.cone } else { dot(*way, ahead).abs() < 0.75 };
    let felt: Vec<[f32; 2]> = pulls.iter().map(|pull| pull.1).filter(felt).collect();
    if felt.is_empty() {
        return;
    }
    let mean = unit(felt.iter().fold([0.0; 2], |sum, way| [sum[0] + way[0], sum[1] + way[1]]));
    let side = |way: &[f32; 2]| cross(ahead, *way);
    let spread = felt.iter().any(|way| side(way) > 0.25) && felt.iter().any(|way| side(way) < -0.25);
    let far = (retina.distance_to_faz(at) / 0.6).clamp(0.0, 1.0);
    if tip && spread && growth.cone > 0.0 && random.chance(0.35 * far) {
        // equal daughters: Murray's law gives the angle
        let angle = (2f32.powf(2.0 / MURRAY) / 2.0).acos() * random.between(0.7, 1.2);
        for turn in [angle, -angle] {
            push(nodes, from, turned(ahead, turn), growth, retina);
        }
        return;
    }
    // side branches leave their stem at an acute angle
    let keep = if tip { growth.inertia } else { growth.inertia * 0.7 };
    let home = direction(at, retina.fovea);
    let pull = growth.homing * far;
    let way = [0, 1].map(|i| keep * ahead[i] + (1.0 - keep) * mean[i] + pull * home[i] + 0.10 * random.normal());
    push(nodes, from, unit(way), growth, retina);
}

fn push(nodes: &mut Vec<Node>, from: usize, way: [f32; 2], growth: &Growth, retina: &Retina) {
    let at = plus(nodes[from].at, way, growth.step);
    if retina.distance_to_faz(at) < 0.02 {
        return;
    }
    let Node { tree, artery, .. } = nodes[from];
    nodes[from].children += 1;
    nodes.push(Node { at, parent: from, tree, artery, radius: 0.0, children: 0, trunk: 0.0 });
}

/// The same trees without short branches at the ends; indices are new.
fn without_spurs(nodes: &[Node], shortest: f32) -> Vec<Node> {
    // length from each node to its farthest tip, and from there back to the last bifurcation
    let mut beyond = vec![0f32; nodes.len()];
    for i in (0..nodes.len()).rev() {
        let parent = nodes[i].parent;
        beyond[parent] = beyond[parent].max(beyond[i] + distance(nodes[i].at, nodes[parent].at));
    }
    let mut place = vec![usize::MAX; nodes.len()];
    let mut kept: Vec<Node> = Vec::with_capacity(nodes.len());
    for (i, node) in nodes.iter().enumerate() {
        let root = node.parent == i;
        let forked = nodes[node.parent].children > 1;
        let long = beyond[i] + distance(node.at, nodes[node.parent].at) >= shortest;
        if !root && (place[node.parent] == usize::MAX || (forked && !long)) {
            continue;
        }
        place[i] = kept.len();
        let parent = if root { kept.len() } else { place[node.parent] };
        kept.push(Node { parent, children: 0, ..node.clone() });
        if !root {
            kept[parent].children += 1;
        }
    }
    kept
}

/// Takes the corners out of stems. Neighbours: the parent and the last child; bifurcations stay.
fn smooth(nodes: &mut [Node]) {
    for _ in 0..3 {
        let mut child = vec![usize::MAX; nodes.len()];
        (0..nodes.len()).for_each(|i| child[nodes[i].parent] = i);
        let before: Vec<[f32; 2]> = nodes.iter().map(|node| node.at).collect();
        for (i, node) in nodes.iter_mut().enumerate() {
            let (parent, child) = (node.parent, child[i]);
            if parent != i && node.children == 1 && child < before.len() {
                let middle = [0, 1].map(|k| (before[parent][k] + before[child][k]) / 2.0);
                node.at = [0, 1].map(|k| 0.4 * before[i][k] + 0.6 * middle[k]);
            }
        }
    }
}

/// Murray's law from the tips to the roots; children come after their parents.
fn radii(nodes: &mut [Node], random: &mut Random) {
    let leaf = random.between(LEAF[0], LEAF[1]);
    let mut flow = vec![0f32; nodes.len()];
    for i in (0..nodes.len()).rev() {
        if flow[i] == 0.0 {
            flow[i] = (leaf * random.between(0.7, 1.35)).powf(MURRAY);
        }
        let radius = flow[i].powf(1.0 / MURRAY).max(nodes[i].trunk);
        nodes[i].radius = radius.min(0.075);
        let parent = nodes[i].parent;
        if parent != i {
            flow[parent] += flow[i];
        }
    }
}

/// Tortuosity: a smooth random displacement of everything, less so near the avascular zone.
fn bend(nodes: &mut [Node], retina: &Retina, field: f32, random: &mut Random) {
    let scale = if field > 4.0 { 1.5 } else { 1.0 };
    let strength = random.between(0.6, 1.7) * scale;
    let fields: Vec<[Field; 2]> =
        [0.5, 0.22].map(|pitch| [0, 1].map(|_| Field::new(random, pitch * scale, field))).into_iter().collect();
    for node in nodes {
        let at = node.at;
        let near = (retina.distance_to_faz(at) / 0.15).clamp(0.0, 1.0) * strength;
        let moved = |k: usize| 0.050 * fields[0][k].at(at) + 0.026 * fields[1][k].at(at);
        node.at = [0, 1].map(|k| at[k] + near * moved(k));
    }
}

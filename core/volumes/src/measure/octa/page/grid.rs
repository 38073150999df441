//! The densities of the ETDRS grid as a coloured map (SVG).

use super::{OctaReport, SEEN};
use crate::volume::Eye;
use std::f64::consts::PI;
use std::fmt::Write as _;

/// Dark to bright, as viridis.
const COLOURS: [[f64; 3]; 5] =
    [[68.0, 1.0, 84.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [253.0, 231.0, 37.0]];
/// Side of the drawing, and the radius of its outermost circle.
const SIDE: f64 = 400.0;
const RADIUS: f64 = 176.0;
const RINGS: [&str; 3] = ["inner", "outer", "far"];

/// The map with its caption; nothing where there are no regions beside the whole picture.
pub(super) fn map(report: &OctaReport) -> String {
    let of = |name: &str| {
        let region = report.projected.regions.iter().find(|region| region.region == name)?;
        Some((region.measures.vessel_area_density, region.measures.coverage))
    };
    let Some(centre) = of("centre") else { return String::new() };
    let rings = RINGS.iter().take_while(|ring| of(ring).is_some()).count();
    let sectors = names(report.eye);
    let mut cells = vec![(Cell::Centre, centre)];
    for (ring, name) in RINGS.iter().take(rings).enumerate() {
        for (side, sector) in sectors.iter().enumerate() {
            cells.extend(of(&format!("{name}_{sector}")).map(|told| (Cell::Sector { ring, side }, told)));
        }
    }
    let densities = || cells.iter().map(|(_, (density, _))| *density);
    let (low, high) = (densities().fold(f64::INFINITY, f64::min), densities().fold(f64::NEG_INFINITY, f64::max));
    let step = RADIUS / (2.0 * rings as f64 + 1.0);
    let mut drawn = String::new();
    for (cell, (density, coverage)) in &cells {
        let share = if high > low { (density - low) / (high - low) } else { 0.5 };
        let text =
            if *coverage < SEEN { format!("({:.1})", density * 100.0) } else { format!("{:.1}", density * 100.0) };
        drawn += &cell.drawn(step, &colour(share), &text, share > 0.6, *coverage < SEEN);
    }
    for (side, name) in sectors.iter().enumerate() {
        let [x, y] = at(RADIUS + 13.0, side as f64 * PI / 2.0);
        let turn = if side % 2 == 0 {
            String::new()
        } else {
            format!(" transform=\"rotate({} {x:.1} {y:.1})\"", if side == 1 { 90 } else { -90 })
        };
        // writing to a string does not fail
        let _ = write!(drawn, "<text x=\"{x:.1}\" y=\"{:.1}\"{turn} class=\"l\">{name}</text>", y + 4.0);
    }
    format!(
        "<figure><svg viewBox=\"0 0 {SIDE} {SIDE}\" role=\"img\" aria-label=\"vessel area density by region\"><style>.v{{font:600 15px sans-serif;text-anchor:middle}}\
         .l{{font:13px sans-serif;text-anchor:middle;fill:#444}}</style>{drawn}</svg><figcaption>Vessel area density in % by region of the \
         grid, from {:.1} (dark) to {:.1} (bright); in brackets: seen in part</figcaption></figure>",
        low * 100.0,
        high * 100.0
    )
}

/// A part of the grid.
enum Cell {
    Centre,
    /// ring from inside, side from the top clockwise
    Sector {
        ring: usize,
        side: usize,
    },
}

impl Cell {
    /// Its shape with the number in it; the middle has the radius of one step, each ring a width of two.
    fn drawn(&self, step: f64, colour: &str, text: &str, bright: bool, part: bool) -> String {
        let ink = if bright { "#111" } else { "#fff" };
        let opacity = if part { 0.55 } else { 1.0 };
        let (shape, [x, y]) = match *self {
            Self::Centre => (format!("<circle cx=\"200\" cy=\"200\" r=\"{step:.1}\""), [200.0, 200.0]),
            Self::Sector { ring, side } => {
                let (inside, outside) = (step * (2 * ring + 1) as f64, step * (2 * ring + 3) as f64);
                let middle = side as f64 * PI / 2.0;
                let [a, b] = [middle - PI / 4.0, middle + PI / 4.0];
                let [p, q, r, s] = [at(outside, a), at(outside, b), at(inside, b), at(inside, a)];
                let path = format!(
                    "<path d=\"M{:.1} {:.1}A{outside:.1} {outside:.1} 0 0 1 {:.1} {:.1}L{:.1} {:.1}A{inside:.1} {inside:.1} 0 0 0 {:.1} {:.1}Z\"",
                    p[0], p[1], q[0], q[1], r[0], r[1], s[0], s[1]
                );
                (path, at(f64::midpoint(inside, outside), middle))
            }
        };
        format!(
            "{shape} fill=\"{colour}\" fill-opacity=\"{opacity}\" stroke=\"#fff\" stroke-width=\"2\"/><text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{ink}\" class=\"v\">{text}</text>",
            y + 5.0
        )
    }
}

/// A place at a distance from the middle, clockwise from the top.
fn at(radius: f64, angle: f64) -> [f64; 2] {
    [SIDE / 2.0 + radius * angle.sin(), SIDE / 2.0 - radius * angle.cos()]
}

/// Top, right, bottom and left, as regions are called.
fn names(eye: Option<Eye>) -> [&'static str; 4] {
    match eye {
        Some(Eye::Right) => ["superior", "nasal", "inferior", "temporal"],
        Some(Eye::Left) => ["superior", "temporal", "inferior", "nasal"],
        None => ["superior", "right", "inferior", "left"],
    }
}

fn colour(share: f64) -> String {
    let along = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let (below, rest) = ((along as usize).min(COLOURS.len() - 2), along);
    let rest = rest - below as f64;
    let mix =
        |channel: usize| (COLOURS[below][channel] * (1.0 - rest) + COLOURS[below + 1][channel] * rest).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

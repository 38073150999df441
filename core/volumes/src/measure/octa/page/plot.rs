//! Measures over the layers as curves (SVG), one below the other with the layers in common.

use super::OctaReport;
use super::short;
use crate::measure::octa::Layer;
use std::fmt::Write as _;

/// Of the drawing: width, left of the axis, height of a curve, and the room below it.
const WIDTH: f64 = 520.0;
const LEFT: f64 = 52.0;
const HEIGHT: f64 = 44.0;
const GAP: f64 = 24.0;

/// A curve: its name with the unit, and its number on a layer.
type Curve = (&'static str, fn(&Layer) -> Option<f64>);

const CURVES: [Curve; 3] = [
    ("Vessel area density (%)", |layer| Some(layer.whole()?.vessel_area_density * 100.0)),
    ("Mean calibre (µm)", |layer| layer.whole()?.calibre_um),
    ("FAZ area (mm²)", |layer| Some(layer.faz.as_ref()?.area_mm2)),
];

/// The curves; nothing for less than two layers.
pub(super) fn layers(report: &OctaReport) -> String {
    let numbered: Vec<(usize, &Layer)> = report.layers.iter().filter_map(|layer| Some((layer.layer?, layer))).collect();
    let [(first, _), .., (last, _)] = numbered[..] else { return String::new() };
    let x = |layer: usize| LEFT + (layer - first) as f64 / (last - first) as f64 * (WIDTH - LEFT - 12.0);
    let mut drawn = String::new();
    let mut top = 16.0;
    for (name, number) in CURVES {
        let points: Vec<(usize, f64)> = numbered.iter().filter_map(|(at, layer)| Some((*at, number(layer)?))).collect();
        let most = points.iter().map(|point| point.1).fold(0.0, f64::max);
        if most <= 0.0 {
            continue;
        }
        let y = |value: f64| top + HEIGHT * (1.0 - value / most);
        // writing to a string does not fail
        let _ = write!(
            drawn,
            "<text x=\"0\" y=\"{:.1}\" class=\"n\">{name}</text><path d=\"M{LEFT} {top}V{:.1}H{WIDTH}\" class=\"a\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" class=\"t\">{}</text><text x=\"{:.1}\" y=\"{:.1}\" class=\"t\">0</text>",
            top - 5.0,
            top + HEIGHT,
            LEFT - 5.0,
            top + 9.0,
            short(Some(most)),
            LEFT - 5.0,
            top + HEIGHT
        );
        let line: Vec<String> = points.iter().map(|&(at, value)| format!("{:.1},{:.1}", x(at), y(value))).collect();
        let _ = write!(drawn, "<polyline points=\"{}\" class=\"c\"/>", line.join(" "));
        for &(at, value) in &points {
            let _ = write!(drawn, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.4\" class=\"d\"/>", x(at), y(value));
        }
        top += HEIGHT + GAP;
    }
    let labels = [(first, "start"), (last, "end")];
    for (layer, side) in labels {
        let _ = write!(
            drawn,
            "<text x=\"{:.1}\" y=\"{:.1}\" style=\"text-anchor:{side}\" class=\"t\">layer {layer}</text>",
            x(layer),
            top - GAP + 14.0
        );
    }
    format!(
        "<h2>Over the layers</h2><figure class=\"plot\"><svg viewBox=\"0 0 {WIDTH} {:.0}\" style=\"aspect-ratio:auto\" role=\"img\" aria-label=\"measures over the layers\"><style>.n{{font:600 12px sans-serif;fill:#333}}\
         .t{{font:11px sans-serif;fill:#666;text-anchor:end}}.a{{fill:none;stroke:#bbb}}.c{{fill:none;stroke:#21618c;stroke-width:1.6}}\
         .d{{fill:#21618c}}</style>{drawn}</svg></figure>",
        top - GAP + 20.0
    )
}

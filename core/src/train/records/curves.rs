//! The curves of a training as a picture: losses above, quality below, over the steps.

use super::{EpochRecord, StepRecord};
use crate::io::write_text;
use crate::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (900, 640);
const FONT: (&str, u32) = ("sans-serif", 14);

/// One line: its name, colour and points.
type Line<'a> = (&'a str, RGBColor, Vec<(f64, f64)>);

/// Draws the curves as SVG; nothing before the first step.
pub fn write(path: &Path, epochs: &[EpochRecord], ends: &[(usize, f64)], steps: &[StepRecord]) -> Result<()> {
    let Some(last) = steps.last() else { return Ok(()) };
    let each = |value: &dyn Fn(&EpochRecord) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = epochs.iter().zip(ends).filter_map(|(epoch, (step, _))| Some((*step as f64, value(epoch)?)));
        points.collect()
    };
    let losses: [Line; 3] = [
        ("step", RGBColor(190, 205, 225), steps.iter().map(|step| (step.step as f64, step.loss)).collect()),
        ("epoch", RGBColor(0, 90, 180), each(&|epoch| Some(epoch.loss))),
        ("validation", RGBColor(213, 94, 0), each(&|epoch| Some(epoch.validation?.loss))),
    ];
    let quality: [Line; 5] = [
        ("vessels, no prompt", RGBColor(170, 170, 170), each(&|epoch| epoch.dense?[0])),
        ("FAZ, no prompt", RGBColor(90, 90, 90), each(&|epoch| epoch.dense?[1])),
        ("Dice", RGBColor(0, 90, 180), each(&|epoch| Some(epoch.validation?.dice))),
        ("Jaccard", RGBColor(213, 94, 0), each(&|epoch| Some(epoch.validation?.jaccard))),
        ("clDice", RGBColor(0, 150, 110), each(&|epoch| Some(epoch.validation?.cldice))),
    ];
    let most = losses.iter().flat_map(|line| &line.2).map(|point| point.1).filter(|loss| loss.is_finite());
    let most = most.fold(0.0, f64::max).max(1e-6);
    let mut svg = String::new();
    let steps = last.step.max(2) as f64;
    draw(&mut svg, steps, most * 1.05, &losses, &quality).map_err(|what| Error::format(path, what))?;
    write_text(path, &svg)
}

fn draw(svg: &mut String, steps: f64, most: f64, losses: &[Line], quality: &[Line]) -> std::result::Result<(), String> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let text = |error: &dyn std::fmt::Display| error.to_string();
    area.fill(&WHITE).map_err(|error| text(&error))?;
    let (upper, lower) = area.split_vertically(SIZE.1 / 2);
    chart(&upper, "loss", steps, most, losses).map_err(|error| text(&error))?;
    chart(&lower, "validation", steps, 1.0, quality).map_err(|error| text(&error))?;
    area.present().map_err(|error| text(&error))
}

fn chart<'a>(
    area: &DrawingArea<SVGBackend<'a>, Shift>,
    title: &str,
    steps: f64,
    most: f64,
    lines: &[Line],
) -> std::result::Result<(), Box<dyn std::error::Error + 'a>> {
    let mut chart = ChartBuilder::on(area)
        .caption(title, FONT)
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(48)
        .build_cartesian_2d(1.0..steps, 0.0..most)?;
    chart.configure_mesh().light_line_style(WHITE).x_desc("steps").x_label_formatter(&|x| format!("{x:.0}")).draw()?;
    for (name, colour, points) in lines.iter().filter(|line| !line.2.is_empty()) {
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    if lines.iter().any(|line| !line.2.is_empty()) {
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    }
    Ok(())
}

//! Measures for spreadsheets and for the terminal.

use super::{Layer, OctaReport, VesselMeasures, Zone};
use crate::{Error, Result};
use std::fmt;

impl OctaReport {
    /// One line per layer and region, the projection first; the FAZ stands in the line of the whole layer. Names carry their units.
    /// Errors: none that text in memory could have.
    pub fn csv(&self) -> Result<String> {
        let failed = |error: csv::Error| Error::invalid(format!("the table: {error}"));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let faz = Zone::NAMES.iter().map(|name| format!("faz_{name}"));
        let names = ["layer", "region"].into_iter().chain(VesselMeasures::NAMES.iter().copied()).map(str::to_owned);
        writer.write_record(names.chain(faz)).map_err(failed)?;
        for layer in std::iter::once(&self.projected).chain(&self.layers) {
            for row in layer.rows() {
                writer.write_record(row).map_err(failed)?;
            }
        }
        let bytes = writer.into_inner().map_err(|error| Error::invalid(format!("the table: {error}")))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// As JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl Layer {
    /// `projected`, or the number of the slice.
    pub(super) fn name(&self) -> String {
        self.layer.map_or_else(|| "projected".to_owned(), |layer| layer.to_string())
    }

    /// The vessels of the whole layer.
    pub(super) fn whole(&self) -> Option<&VesselMeasures> {
        self.regions.first().map(|region| &region.measures)
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let text =
            |cells: Vec<Option<f64>>| cells.into_iter().map(|cell| cell.map_or_else(String::new, |v| v.to_string()));
        let empty = |count: usize| vec![None; count];
        let row = |region: &str, vessels: Vec<Option<f64>>, faz: Vec<Option<f64>>| -> Vec<String> {
            [self.name(), region.to_owned()].into_iter().chain(text(vessels)).chain(text(faz)).collect()
        };
        let faz = self.faz.as_ref().map_or_else(|| empty(Zone::NAMES.len()), Zone::cells);
        if self.regions.is_empty() {
            return vec![row("whole", empty(VesselMeasures::NAMES.len()), faz)];
        }
        let faz_of = |at: usize| if at == 0 { faz.clone() } else { empty(Zone::NAMES.len()) };
        let regions = self.regions.iter().enumerate();
        regions.map(|(at, region)| row(&region.region, region.measures.cells(), faz_of(at))).collect()
    }
}

/// Four digits that count.
pub(super) fn short(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.fract() == 0.0 && value.abs() < 1e9 => value.to_string(),
        Some(value) => {
            let before = value.abs().log10().floor().clamp(-3.0, 3.0) as i32 + 1;
            format!("{value:.*}", usize::try_from((4 - before).max(0)).unwrap_or(0))
        }
    }
}

impl fmt::Display for OctaReport {
    /// The projection in short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y] = self.centre.map(|v| short(Some(v)));
        write!(f, "centre     {x}, {y} ({}), {} layers", self.centre_from, self.layers.len())?;
        if let Some(zone) = &self.projected.faz {
            write!(
                f,
                "\nFAZ        {} mm², perimeter {} mm, circularity {} (Crofton), axis ratio {}",
                short(Some(zone.area_mm2)),
                short(Some(zone.perimeter_crofton_mm)),
                short(Some(zone.circularity_crofton)),
                short(zone.axis_ratio)
            )?;
        }
        if !self.projected.regions.is_empty() {
            write!(
                f,
                "\n{:<16} {:>8} {:>8} {:>10} {:>10} {:>8}",
                "region", "coverage", "density", "length/mm", "calibre/um", "forks"
            )?;
        }
        for region in &self.projected.regions {
            let reply = &region.measures;
            let cells = [
                short(Some(reply.coverage)),
                short(Some(reply.vessel_area_density)),
                short(Some(reply.length_density_per_mm)),
                short(reply.calibre_um),
                reply.branch_points.to_string(),
            ];
            let [coverage, density, length, calibre, points] = cells;
            write!(f, "\n{:<16} {coverage:>8} {density:>8} {length:>10} {calibre:>10} {points:>8}", region.region)?;
        }
        write!(f, "\n{}", self.about.validated_on())?;
        self.notes.iter().try_for_each(|note| write!(f, "\nwarning: {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::octa::{OctaOptions, measure_octa};
    use crate::volume::{Geometry, Labels};

    #[test]
    fn a_table_has_a_line_per_layer_and_region() {
        let data = (0..2 * 400).map(|at| u16::from(at % 20 == 5)).collect();
        let geometry = Geometry::from_spacing([0.1, 0.1, 1.0], true);
        let vessels = Labels { frames: 2, rows: 20, columns: 20, data, geometry };
        let faz = vessels.map(|v| 1 - v);
        let options = OctaOptions { diameters_mm: vec![1.0], ..Default::default() };
        let report = measure_octa(Some(&vessels), Some(&faz), &options, &mut ()).unwrap();
        let csv = report.csv().unwrap();
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines.len(), 1 + 3 * 2);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{csv}");
        assert_eq!([lines[1][0], lines[1][1], lines[3][0], lines[4][1]], ["projected", "whole", "0", "centre"]);
        let of = |name: &str, line: usize| lines[line][lines[0].iter().position(|n| *n == name).unwrap()];
        assert_eq!((of("vessel_area_density", 1), of("faz_area_mm2", 2)), ("0.05", ""));
        assert!((of("faz_area_mm2", 1).parse::<f64>().unwrap() - 2.8).abs() < 1e-9);
        assert!(report.to_string().contains("FAZ") && report.json().contains("\"centre_from\": \"faz\""));
        assert_eq!([0.12346, 12.3456, 1234.56, 3.0].map(|v| short(Some(v))), ["0.1235", "12.35", "1235", "3"]);
    }
}

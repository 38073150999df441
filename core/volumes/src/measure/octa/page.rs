//! One page for people: pictures and tables in a file that needs no other (HTML, pictures inline).

use super::table::short;
use super::{OctaReport, VesselMeasures, Zone};
use base64ct::{Base64, Encoding};
use std::fmt::Write as _;

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:1100px;padding:0 1em;color:#222}\
h1{font-size:1.4em}h2{font-size:1.1em;margin-top:1.6em}figure{display:inline-block;margin:0 1em 1em 0;vertical-align:top}\
figure img{width:480px;max-width:100%;image-rendering:pixelated}figcaption{color:#555;max-width:480px}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
td,th{padding:.15em .6em;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}\
td:first-child,th:first-child{text-align:left;position:sticky;left:0;background:#fff}";

/// what the page shows of every layer
const PER_LAYER: [&str; 7] = [
    "vessel_area_density",
    "skeleton_density",
    "length_density_per_mm",
    "diameter_index_um",
    "calibre_um",
    "tortuosity_median",
    "branch_points",
];

impl OctaReport {
    /// The page. `title` is what was measured; pictures are PNG files with a line about each.
    pub fn html(&self, title: &str, pictures: &[(&str, Vec<u8>)]) -> String {
        let mut page = String::new();
        let title = escaped(title);
        // writing to a string does not fail
        let _ = write!(
            page,
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{}",
            self.facts()
        );
        for (about, png) in pictures {
            let (data, about) = (Base64::encode_string(png), escaped(about));
            let _ = write!(
                page,
                "<figure><img alt=\"{about}\" src=\"data:image/png;base64,{data}\"><figcaption>{about}</figcaption></figure>"
            );
        }
        page += &self.zone();
        page += &self.regions();
        page += &self.per_layer();
        page += "<p>Definitions, and what these numbers were compared with: docs/measurements.md. They depend on device, threshold and axial \
                 length (no magnification is corrected); no number here says what is normal.</p></html>\n";
        page
    }

    fn facts(&self) -> String {
        let [dx, dy, dz] = self.spacing.map(|mm| short(Some(mm * 1000.0)));
        let [x, y] = self.centre.map(|v| short(Some(v)));
        let eye = self.eye.map_or_else(|| "unknown".to_owned(), |eye| format!("{eye:?}").to_lowercase());
        format!(
            "<p>{} layers; voxels of {dx} × {dy} × {dz} µm (x, y, z); centre at {x}, {y} pixels ({}); eye: {eye}.</p>",
            self.layers.len(),
            self.centre_from
        )
    }

    fn zone(&self) -> String {
        let Some(zone) = &self.projected.faz else { return String::new() };
        let rows = Zone::NAMES.iter().zip(zone.cells());
        let rows = rows.map(|(name, value)| vec![(*name).to_owned(), short(value)]).collect::<Vec<_>>();
        format!("<h2>Foveal avascular zone, projected</h2>{}", table(&["measure", "value"], &rows))
    }

    /// Regions as columns.
    fn regions(&self) -> String {
        let regions = &self.projected.regions;
        if regions.is_empty() {
            return String::new();
        }
        let head: Vec<&str> = std::iter::once("measure").chain(regions.iter().map(|r| r.region.as_str())).collect();
        let cells: Vec<_> = regions.iter().map(|region| region.measures.cells()).collect();
        let row = |at: usize| {
            std::iter::once(VesselMeasures::NAMES[at].to_owned()).chain(cells.iter().map(|c| short(c[at]))).collect()
        };
        let rows: Vec<Vec<String>> = (0..VesselMeasures::NAMES.len()).map(row).collect();
        format!("<h2>Vessels, projected</h2>{}", table(&head, &rows))
    }

    fn per_layer(&self) -> String {
        if self.layers.is_empty() {
            return String::new();
        }
        let head: Vec<&str> =
            ["layer", "faz_area_mm2", "faz_circularity_crofton"].into_iter().chain(PER_LAYER).collect();
        let rows = self.layers.iter().map(|layer| {
            let faz = layer.faz.as_ref();
            let vessels = |name: &str| {
                let at = VesselMeasures::NAMES.iter().position(|known| *known == name)?;
                layer.whole()?.cells()[at]
            };
            let zone = [faz.map(|zone| zone.area_mm2), faz.map(|zone| zone.circularity_crofton)];
            let cells = zone.into_iter().chain(PER_LAYER.map(vessels)).map(short);
            std::iter::once(layer.name()).chain(cells).collect()
        });
        format!("<h2>Layers</h2>{}", table(&head, &rows.collect::<Vec<_>>()))
    }
}

fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &mut dyn Iterator<Item = &str>, tag: &str| {
        let cells: String = cells.map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>")
    };
    let body: String = rows.iter().map(|row| line(&mut row.iter().map(String::as_str), "td")).collect();
    format!("<div class=\"wide\"><table>{}{body}</table></div>", line(&mut head.iter().copied(), "th"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use crate::measure::octa::{OctaOptions, measure_octa};
    use crate::volume::{Geometry, Labels};

    #[test]
    fn a_page_is_whole_and_lets_no_markup_in() {
        let geometry = Geometry::from_spacing([0.1; 3], true);
        let vessels = Labels { frames: 1, rows: 20, columns: 20, data: vec![1; 400], geometry };
        let report = measure_octa(Some(&vessels), Some(&vessels), &OctaOptions::default(), &mut ()).unwrap();
        let page = report.html("<script>\"a\" & b", &[("map <1>", vec![1, 2, 3])]);
        assert!(page.contains("&lt;script&gt;&quot;a&quot; &amp; b") && !page.contains("<script"));
        assert!(page.contains("data:image/png;base64,AQID") && page.contains("map &lt;1&gt;"));
        assert!(page.contains("faz_area_mm2") && page.ends_with("</html>\n"));
        assert_eq!(page.matches("<tr>").count(), page.matches("</tr>").count());
    }
}

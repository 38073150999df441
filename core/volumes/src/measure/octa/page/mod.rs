//! A report for people on one page (HTML that needs no other file; A4 when printed).
//!
//! Top: whose eye, what made the numbers, when. Then pictures with the densities of the ETDRS grid as a map, the measures with a line of
//! explanation each, how they go over the layers, single vessels, and what the numbers were validated on. `grid` draws the map, `plot` the curves.

mod grid;
mod plot;

use super::table::short;
use super::terms::{self, Term};
use super::{ALL, OctaReport, RegionMeasures, SingleVessel, VesselMeasures, Zone};
use base64ct::{Base64, Encoding};
use std::fmt::Write as _;

const STYLE: &str = include_str!("style.css");
/// Single vessels that the page has room for, the longest.
const VESSELS: usize = 8;
/// Of a region of which less is seen, the page says so.
const SEEN: f64 = 0.75;
/// Regions that the page has a column for.
const REGIONS: [(&str, &str); 5] =
    [("whole", "whole"), ("centre", "centre"), ("inner", "inner ring"), ("outer", "outer ring"), ("far", "third ring")];

impl OctaReport {
    /// The page. Pictures are PNG files with a line about each; `title` where no case is named.
    pub fn html(&self, title: &str, pictures: &[(&str, Vec<u8>)]) -> String {
        let title = escaped(self.about.case.as_deref().unwrap_or(title));
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{}{}<div class=\"pictures\">",
            self.facts(),
            self.noted()
        );
        for (about, png) in pictures {
            let (data, about) = (Base64::encode_string(png), escaped(about));
            // writing to a string does not fail
            let _ = write!(
                page,
                "<figure><img alt=\"{about}\" src=\"data:image/png;base64,{data}\"><figcaption>{about}</figcaption></figure>"
            );
        }
        page += &grid::map(self);
        page += "</div><div class=\"columns\"><section>";
        page += &self.regions();
        page += &plot::layers(self);
        page += "</section><section>";
        page += &self.zone();
        page += &self.singles();
        page += "</section></div>";
        page += &self.validated();
        page += "<p class=\"end\">Definitions and sources: docs/measurements.md. Numbers depend on device, layers and threshold; none says \
                 what is normal. For research; not a medical device.</p></html>\n";
        page
    }

    /// Whose eye, what of it, what made the numbers, when.
    fn facts(&self) -> String {
        let ([frames, rows, columns], [dx, dy, dz]) = (self.shape, self.spacing);
        let um = |mm: f64| short(Some(mm * 1000.0));
        let mm = |count: usize, each: f64| short(Some((count as f64 * each * 100.0).round() / 100.0));
        let about = &self.about;
        let unknown = || "not known".to_owned();
        let corrected = self.magnification.map(|by| format!(", corrected for the axial length ({}x)", short(Some(by))));
        let layers = match frames {
            1 => "one picture seen from the front".to_owned(),
            count => format!("{count}, {} µm apart", um(dz)),
        };
        let model = about.model.as_ref().map(|model| {
            let print = about.fingerprint.as_ref().map(|print| format!(" ({})", print.get(..8).unwrap_or(print)));
            let method = about.method.as_ref().map(|method| format!(", {method}"));
            format!("{model}{}{}", print.unwrap_or_default(), method.unwrap_or_default())
        });
        let facts = [
            ("Eye", self.eye.map_or_else(unknown, |eye| format!("{eye:?}").to_lowercase())),
            (
                "Scan",
                format!(
                    "{} × {} mm, {columns} × {rows} pixels of {} × {} µm{}",
                    mm(columns, dx),
                    mm(rows, dy),
                    um(dx),
                    um(dy),
                    corrected.unwrap_or_default()
                ),
            ),
            ("Layers", about.layers.clone().map_or(layers.clone(), |named| format!("{named} ({layers})"))),
            ("Model", model.unwrap_or_else(unknown)),
            ("Program", format!("SAM-OCTA2 plugin {}", env!("CARGO_PKG_VERSION"))),
            ("Date", about.date.clone().unwrap_or_else(|| chrono::Local::now().format("%Y-%m-%d").to_string())),
        ];
        let facts: String = facts
            .iter()
            .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escaped(value)))
            .collect();
        format!("<dl>{facts}</dl>")
    }

    /// What to look at first, and how good the picture is.
    fn noted(&self) -> String {
        let mut lines: Vec<String> =
            self.notes.iter().map(|note| format!("<li class=\"warn\">{}</li>", escaped(note))).collect();
        if let Some(quality) = &self.about.quality {
            lines.push(format!(
                "<li>Picture: signal {} (how far vessels stand out from the noise), motion {} (how far the worst line stands out); compare \
                 scans of one device only</li>",
                short(Some(quality.signal)),
                short(Some(quality.motion))
            ));
        }
        let cut =
            self.projected.regions.iter().filter(|region| region.measures.coverage < SEEN && region.region != "whole");
        let cut: Vec<String> = cut.map(|region| region.region.replace('_', " ")).collect();
        if !cut.is_empty() {
            lines.push(format!(
                "<li>Less than {:.0} % of these lie within the picture: {}</li>",
                SEEN * 100.0,
                escaped(&cut.join(", "))
            ));
        }
        let [x, y] = self.centre.map(|v| short(Some(v)));
        let from = match self.centre_from {
            "faz" => "the centre of the FAZ",
            "given" => "given",
            _ => "the middle of the picture, for there is no FAZ: regions may be off the fovea",
        };
        lines.push(format!("<li>The grid's centre is {from} (pixel {x}, {y})</li>"));
        format!("<ul>{}</ul>", lines.concat())
    }

    /// Regions as columns, measures as rows.
    fn regions(&self) -> String {
        let of = |key: &str| self.projected.regions.iter().find(|region| region.region == key);
        let shown: Vec<(&str, &RegionMeasures)> =
            REGIONS.iter().filter_map(|(key, name)| Some((*name, of(key)?))).collect();
        if shown.is_empty() {
            return String::new();
        }
        let head = shown.iter().map(|(name, _)| format!("<th>{name}</th>")).collect::<String>();
        let mut body = String::new();
        for term in &terms::VESSELS {
            let cells = shown
                .iter()
                .map(|(_, region)| format!("<td>{}</td>", value(term, of_vessels(&region.measures, term.key))));
            body += &row(term, &cells.collect::<String>());
        }
        let share = |region: &RegionMeasures| format!("<td>{:.0}</td>", region.measures.coverage * 100.0);
        let seen: String = shown.iter().map(|(_, region)| share(region)).collect();
        format!(
            "<h2>Vessels, seen from the front</h2><table><tr><th></th>{head}</tr>{body}<tr class=\"quiet\"><td>Seen (%)<small>share of the \
             region within the picture</small></td>{seen}</tr></table>"
        )
    }

    fn zone(&self) -> String {
        let Some(zone) = &self.projected.faz else {
            return "<h2>Foveal avascular zone</h2><p>None was found or labelled.</p>".to_owned();
        };
        let cell = |term: &Term| {
            let at = Zone::NAMES.iter().position(|known| *known == term.key);
            row(term, &format!("<td>{}</td>", value(term, at.and_then(|at| zone.cells()[at]))))
        };
        let rows: String = terms::ZONE.iter().map(cell).collect();
        format!("<h2>Foveal avascular zone</h2><table><tr><th></th><th>value</th></tr>{rows}</table>")
    }

    /// The longest vessels.
    fn singles(&self) -> String {
        if self.vessels.len() < 2 {
            return String::new();
        }
        let mut longest: Vec<&SingleVessel> = self.vessels.iter().collect();
        longest.sort_by(|a, b| b.length_mm.total_cmp(&a.length_mm));
        let rows = longest.iter().take(VESSELS).map(|one| {
            let cells = [Some(one.length_mm), one.calibre_um, one.tortuosity_mean].map(short);
            let range = match self.layers.len() {
                0 | 1 => String::new(),
                _ => format!("<td>{} to {}</td>", one.first_layer, one.last_layer),
            };
            let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
            format!("<tr><td>{}</td>{cells}{range}</tr>", one.vessel)
        });
        let range = if self.layers.len() < 2 { "" } else { "<th>layers</th>" };
        let count = self.vessels.len();
        let which = if count > VESSELS { format!("the {VESSELS} longest of {count}") } else { format!("all {count}") };
        format!(
            "<h2>Single vessels: {which}</h2><table><tr><th>number</th><th>length (mm)</th><th>calibre (µm)</th><th>tortuosity</th>{range}</tr>{}</table>",
            rows.collect::<String>()
        )
    }

    /// How far the numbers are off, by set of labelled images.
    fn validated(&self) -> String {
        let Some(table) = &self.about.validation else {
            return "<h2>Accuracy</h2><p>Not known: no labelled images were measured with what made these labels.</p>"
                .to_owned();
        };
        let head: String = terms::VALIDATED.iter().map(|term| format!("<th>{}</th>", term.name)).collect();
        let line = |set: &super::ValidationSet| {
            let cells = terms::VALIDATED.iter().map(|term| match set.measures.get(term.key) {
                Some(bias) => format!("<td>{} <small>n = {}</small></td>", bias.shown(term), bias.n),
                None => "<td>–</td>".to_owned(),
            });
            let name = if set.data == ALL { "all of them" } else { &set.data };
            format!("<tr><td>{} ({} images)</td>{}</tr>", escaped(name), set.images, cells.collect::<String>())
        };
        let rows: String = table.sets.iter().map(line).collect();
        format!(
            "<h2>Accuracy of {} on labelled images</h2><p>Mean and standard deviation of (found − truth) / truth over images, seen from the \
             front, without a click.</p><table class=\"accuracy\"><tr><th>images</th>{head}</tr>{rows}</table>",
            escaped(&table.model)
        )
    }
}

/// Name, unit and what it is, then the cells.
fn row(term: &Term, cells: &str) -> String {
    let unit = if term.unit.is_empty() { String::new() } else { format!(" ({})", term.unit) };
    format!("<tr><td>{}{unit}<small>{}</small></td>{cells}</tr>", term.name, term.about)
}

/// A number in the unit of its term.
fn value(term: &Term, number: Option<f64>) -> String {
    match number.map(|number| number * term.factor) {
        Some(percent) if term.unit == "%" => format!("{percent:.1}"),
        number => short(number),
    }
}

/// One measure of vessels by name.
fn of_vessels(measures: &VesselMeasures, key: &str) -> Option<f64> {
    let at = VesselMeasures::NAMES.iter().position(|known| *known == key)?;
    measures.cells()[at]
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use crate::measure::octa::{About, OctaOptions, measure_octa};
    use crate::volume::{Geometry, Labels};

    fn labels(number: impl Fn(usize, usize, usize) -> u16) -> Labels {
        let data = (0..2 * 3600).map(|at| number(at / 3600, at / 60 % 60, at % 60)).collect();
        Labels { frames: 2, rows: 60, columns: 60, data, geometry: Geometry::from_spacing([0.1; 3], true) }
    }

    #[test]
    fn a_page_is_whole_and_lets_no_markup_in() {
        let vessels = labels(|frame, y, x| u16::from(y % 9 < 2) + 2 * u16::from(frame == 1 && x == 5 && y % 9 > 4));
        let faz = labels(|_, y, x| u16::from(y.abs_diff(30) + x.abs_diff(30) < 8));
        let report = measure_octa(Some(&vessels), Some(&faz), &OctaOptions::default(), &mut ()).unwrap();
        let about = About {
            case: Some("<script>\"a\" & b".to_owned()),
            date: Some("2026-11-30".to_owned()),
            ..About::default()
        };
        let page = report.with_about(about).html("file", &[("map <1>", vec![1, 2, 3])]);
        assert!(page.contains("<h1>&lt;script&gt;&quot;a&quot; &amp; b</h1>") && !page.contains("<script"));
        assert!(page.contains("data:image/png;base64,AQID") && page.contains("map &lt;1&gt;"));
        for text in [
            "Vessel area density (%)",
            "Circularity",
            "6 × 6 mm",
            "2026-11-30",
            "not known",
            "Accuracy",
            "all 2",
            "inner ring",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
        for tag in ["tr", "td", "table", "svg", "section", "div", "ul", "li", "dl", "g", "text"] {
            let begins = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(begins, page.matches(&format!("</{tag}>")).count(), "{tag}: {page}");
        }
        assert!(
            page.ends_with("</html>\n")
                && !page.contains("NaN")
                && !page.contains("http://")
                && !page.contains("src=\"/")
        );
    }

    #[test]
    fn no_zone_is_a_result_that_is_said() {
        let nothing = labels(|_, _, _| 0);
        let report = measure_octa(Some(&nothing), Some(&nothing), &OctaOptions::default(), &mut ()).unwrap();
        assert!(report.notes.iter().any(|note| note.starts_with("no vessels")), "{:?}", report.notes);
        assert!(report.notes.contains(&"no FAZ: none was found".to_owned()), "{:?}", report.notes);
        let page = report.html("nothing", &[]);
        assert!(page.contains("None was found or labelled.") && page.contains("there is no FAZ"), "{page}");
    }
}

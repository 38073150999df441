//! What a reader of a report should look at: numbers that hardly an eye has, and what is missing.
//!
//! The limits are wide on purpose: they find wrong sizes of pixels, empty masks and wrong objects, and say nothing about health.

use super::OctaReport;
use super::table::short;

/// Square millimetres of a zone that is none, or is more than one (published means: 0.2 to 0.7 mm²; docs/measurements.md).
const ZONE_MM2: [f64; 2] = [0.01, 3.0];
/// Millimetres of the field of an OCTA scan.
const FIELD_MM: [f64; 2] = [1.0, 18.0];
/// Micrometres of mean calibre.
const CALIBRE_UM: [f64; 2] = [5.0, 200.0];
/// Share of the picture that vessels may cover.
const DENSEST: f64 = 0.7;

/// Everything to say, the most important first. `asked` says whether a FAZ was to be measured, `field_mm` how large the picture is.
pub(super) fn notes(report: &OctaReport, asked: bool, field_mm: [f64; 2]) -> Vec<String> {
    let mut notes = Vec::new();
    let outside = |value: f64, [low, high]: [f64; 2]| !(low..=high).contains(&value);
    if field_mm.iter().any(|&mm| outside(mm, FIELD_MM)) {
        let [x, y] = field_mm.map(|mm| short(Some(mm)));
        notes.push(format!("the picture is {x} x {y} mm, which no OCTA scan is: look at the spacing"));
    }
    if let Some(whole) = report.projected.whole() {
        let density = whole.vessel_area_density;
        if density == 0.0 {
            notes.push("no vessels: the vessel area density is 0".to_owned());
        } else if density > DENSEST {
            notes.push(format!("vessels cover {:.0} % of the picture: is the whole retina labelled?", density * 100.0));
        }
        if let Some(calibre) = whole.calibre_um.filter(|&um| outside(um, CALIBRE_UM)) {
            notes.push(format!("a mean calibre of {} µm: look at the spacing", short(Some(calibre))));
        }
    }
    match &report.projected.faz {
        None if asked => notes.push("no FAZ: none was found".to_owned()),
        None => {}
        Some(zone) => {
            if outside(zone.area_mm2, ZONE_MM2) {
                notes.push(format!("a FAZ of {} mm²: look at it, and at the spacing", short(Some(zone.area_mm2))));
            }
            if zone.parts > 1 {
                notes.push(format!("the FAZ has {} parts; its numbers are of the largest", zone.parts));
            }
        }
    }
    notes
}

/// What a validation says about these numbers: densities that none of the labelled images had.
pub(super) fn unlike_validation(report: &OctaReport) -> Option<String> {
    let pooled = report.about.validation.as_ref()?.pooled()?;
    let seen = pooled.measures.get("vessel_area_density")?;
    let own = report.projected.whole()?.vessel_area_density;
    let percent = |share: f64| short(Some(share * 100.0));
    let (low, high) = (seen.low?, seen.high?);
    (!(low..=high).contains(&own)).then(|| {
        format!(
            "a vessel area density of {} % is outside of what the labelled images had ({} to {} %)",
            percent(own),
            percent(low),
            percent(high)
        )
    })
}

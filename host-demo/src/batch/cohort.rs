//! Which cases to look at first: failures, what the model itself is unsure of, poor pictures, and values far from those of the others.

use super::merge::flat;
use super::page::{label, short};
use super::record::{Record, Status};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Numbers that are compared with the cohort's.
const COMPARED: [&str; 7] = [
    "faz_area_mm2",
    "vessel_area_density",
    "skeleton_density",
    "length_density_per_mm",
    "calibre_um",
    "signal",
    "motion",
];
/// An outlier is farther from the median than so many robust standard deviations (Iglewicz and Hoaglin 1993).
const FAR: f64 = 3.5;
/// A cohort of fewer values has no outliers.
const FEWEST: usize = 8;
/// A predicted IoU below this is a low score.
const LOW_IOU: f64 = 0.5;
/// Of these only one side is bad: signal that is low, motion that is high.
const ONE_SIDED: [(&str, bool); 2] = [("signal", false), ("motion", true)];

/// One case on the page.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Entry {
    pub case: String,
    pub status: &'static str,
    pub volume: String,
    /// the picture, below the case's results
    pub picture: Option<String>,
    /// other files that people open
    pub files: Vec<String>,
    pub numbers: BTreeMap<String, f64>,
    pub warnings: Vec<String>,
    /// what speaks for a look, each with how much
    pub flags: Vec<(String, f64)>,
}

impl Entry {
    /// How much speaks for a look.
    pub fn weight(&self) -> f64 {
        self.flags.iter().map(|(_, weight)| weight).sum()
    }

    fn flag(&mut self, text: String, weight: f64) {
        self.flags.push((text, weight));
    }
}

/// All cases, one after the other.
#[derive(Debug, Default)]
pub struct Cohort {
    entries: Vec<Entry>,
}

impl Cohort {
    /// Adds a case; without a record it is missing.
    pub fn add(&mut self, case: &str, record: Option<&Record>) {
        let mut entry = Entry { case: case.to_owned(), status: "missing", ..Entry::default() };
        let Some(record) = record else {
            entry.flag("not done yet".to_owned(), 500.0);
            self.entries.push(entry);
            return;
        };
        entry.status = if record.status == Status::Done { "done" } else { "failed" };
        entry.volume = record.inputs.get("volume").map(|input| input.path.display().to_string()).unwrap_or_default();
        entry.picture = ["front.png", "overlay.png"]
            .iter()
            .find(|name| record.outputs.contains_key(**name))
            .map(|name| (*name).to_owned());
        let shown =
            |name: &&String| [".html", ".png", ".csv", ".txt", ".gif"].iter().any(|ending| name.ends_with(ending));
        entry.files = record.outputs.keys().filter(shown).cloned().collect();
        entry.warnings.clone_from(&record.warnings);
        entry.numbers =
            flat(&record.result).into_iter().filter_map(|(name, value)| Some((name, Value::as_f64(&value)?))).collect();
        entry.own_flags(record);
        self.entries.push(entry);
    }

    /// With what the comparison says, first what to look at first.
    pub fn judged(mut self) -> Vec<Entry> {
        self.flag_without_zone();
        for name in COMPARED {
            let values: Vec<f64> = self
                .entries
                .iter()
                .filter_map(|entry| entry.numbers.get(name).copied())
                .filter(|v| v.is_finite())
                .collect();
            let Some((middle, spread)) = robust(values) else { continue };
            for entry in &mut self.entries {
                let Some(&value) = entry.numbers.get(name) else { continue };
                let far = (value - middle).abs() / spread;
                let above = value > middle;
                let harmless = ONE_SIDED.iter().any(|(one, bad)| *one == name && *bad != above);
                if far > FAR && !harmless {
                    let side = if above { "above" } else { "below" };
                    let (called, value, middle) = (label(name), short(value), short(middle));
                    entry.flag(format!("{called} {value}, far {side} the median {middle}"), 10.0 + far.min(50.0));
                }
            }
        }
        self.entries.sort_by(|a, b| b.weight().total_cmp(&a.weight()).then_with(|| a.case.cmp(&b.case)));
        self.entries
    }
}

impl Cohort {
    /// Where most cases have a foveal avascular zone, one without is to be looked at.
    fn flag_without_zone(&mut self) {
        let has = |entry: &Entry| entry.numbers.contains_key("faz_area_mm2");
        let (with, done) = (
            self.entries.iter().filter(|e| has(e)).count(),
            self.entries.iter().filter(|e| e.status == "done").count(),
        );
        if 2 * with > done {
            let without = self.entries.iter_mut().filter(|entry| entry.status == "done" && !has(entry));
            without.for_each(|entry| {
                entry.flags.retain(|(text, _)| !text.starts_with("warning: no FAZ")); // the same in other words
                entry.flag("no FAZ was found".to_owned(), 25.0);
            });
        }
    }
}

impl Entry {
    /// What the case says about itself.
    fn own_flags(&mut self, record: &Record) {
        if let Some(error) = &record.error {
            self.flag(format!("failed: {}", error.message), 1000.0);
        }
        let number = |entry: &Self, name: &str| entry.numbers.get(name).copied();
        if let Some(lost) = number(self, "lost_objects").filter(|&lost| lost > 0.0) {
            self.flag(format!("{lost} objects were lost"), 40.0 + lost.min(20.0));
        }
        if let Some(empty) = number(self, "empty_answers").filter(|&empty| empty > 0.0) {
            self.flag(format!("{empty} prompts have an empty answer"), 60.0);
        }
        if let Some(iou) = number(self, "lowest_iou").filter(|&iou| iou < LOW_IOU) {
            self.flag(format!("a mask has a predicted IoU of {iou:.2}"), 30.0);
        }
        if !self.warnings.is_empty() {
            let more = if self.warnings.len() > 1 {
                format!(" (and {} more)", self.warnings.len() - 1)
            } else {
                String::new()
            };
            self.flag(format!("warning: {}{more}", self.warnings[0]), 5.0);
        }
    }
}

/// Median and robust standard deviation (1.4826 times the median distance from the median); `None` for few values, or without a spread.
fn robust(mut values: Vec<f64>) -> Option<(f64, f64)> {
    if values.len() < FEWEST {
        return None;
    }
    let middle = median(&mut values);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    let spread = 1.4826 * median(&mut distances);
    (spread > 0.0).then_some((middle, spread))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(areas: &[f64]) -> Vec<Entry> {
        let entry = |(at, area): (usize, &f64)| Entry {
            case: format!("{at}"),
            numbers: BTreeMap::from([("faz_area_mm2".to_owned(), *area)]),
            ..Entry::default()
        };
        Cohort { entries: areas.iter().enumerate().map(entry).collect() }.judged()
    }

    #[test]
    fn the_outlier_stands_first() {
        let judged = cohort(&[0.30, 0.31, 0.29, 0.33, 0.28, 0.32, 0.30, 1.4, 0.27]);
        assert_eq!(judged[0].case, "7");
        assert!(judged[0].flags[0].0.contains("above") && judged[1].flags.is_empty(), "{judged:?}");
    }

    #[test]
    fn a_case_without_a_zone_is_looked_at_where_others_have_one() {
        let entry = |area: Option<f64>| Entry {
            case: format!("{area:?}"),
            status: "done",
            numbers: area.map(|area| ("faz_area_mm2".to_owned(), area)).into_iter().collect(),
            ..Entry::default()
        };
        let judged = Cohort { entries: [Some(0.3), None, Some(0.2)].map(entry).into() }.judged();
        assert_eq!((judged[0].case.as_str(), judged[0].flags.len()), ("None", 1));
        assert!(
            Cohort { entries: [Some(0.3), None, None].map(entry).into() }.judged().iter().all(|e| e.flags.is_empty())
        );
    }

    #[test]
    fn few_or_equal_values_have_no_outliers() {
        assert!(cohort(&[0.3, 0.3, 9.0]).iter().all(|entry| entry.flags.is_empty()));
        assert!(cohort(&[0.3; 12]).iter().all(|entry| entry.flags.is_empty()));
    }

    #[test]
    fn medians() {
        assert_eq!((median(&mut [3.0, 1.0, 2.0]), median(&mut [4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }
}

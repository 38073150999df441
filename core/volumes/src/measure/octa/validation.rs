//! What a model's numbers were validated on: the small table beside its weights (`NAME.validation.json`), which `scripts/evaluate.rhai` writes.
//!
//! Its fingerprint is that of the model with its thresholds: numbers of other weights or another threshold are not covered, and reports say so.

use super::terms::{Term, VALIDATED};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// name of the model
    pub model: String,
    /// of its weights and configuration
    pub fingerprint: String,
    /// how probable a pixel must be to count as vessel and as FAZ
    pub thresholds: [f64; 2],
    /// one line per set of labelled images; the last may pool the others
    pub sets: Vec<ValidationSet>,
}

/// What was found on one set of images, against its labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationSet {
    /// its name; [`ALL`] pools the others
    pub data: String,
    /// how many images it has
    pub images: usize,
    /// relative errors by measure ([`VALIDATED`])
    pub measures: BTreeMap<String, Bias>,
}

/// The name of the set that pools the others.
pub const ALL: &str = "all";

/// How far a measure is off: (found - truth) / truth over images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bias {
    /// images with a truth
    pub n: usize,
    /// mean
    pub bias: f64,
    /// standard deviation; none for one image
    pub sd: Option<f64>,
    /// the smallest value found on these images, where it does not depend on the size of pixels
    pub low: Option<f64>,
    /// the largest
    pub high: Option<f64>,
}

impl Validation {
    /// Reads a table. Errors: no such file; what is no such table.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::format(path, format!("is no table of a validation: {error}")))
    }

    /// The set that pools the others, else the only one.
    pub fn pooled(&self) -> Option<&ValidationSet> {
        self.sets.iter().find(|set| set.data == ALL).or_else(|| self.sets.first().filter(|_| self.sets.len() == 1))
    }

    /// In one line: `on 129 labelled images (...): vessel area +2 % ± 9 %, ...`.
    pub fn sentence(&self) -> String {
        let Some(pooled) = self.pooled() else { return String::new() };
        let names = self.sets.iter().filter(|set| set.data != ALL).map(|set| format!("{} of {}", set.images, set.data));
        let names: Vec<String> = names.collect();
        let told = VALIDATED.iter().filter_map(|term| {
            let bias = pooled.measures.get(term.key)?;
            let some = if bias.n == pooled.images { String::new() } else { format!(" ({} images)", bias.n) };
            Some(format!("{} {}{some}", term.name, bias.shown(term)))
        });
        let told: Vec<String> = told.collect();
        format!("on {} labelled images ({}): {}", pooled.images, names.join(", "), told.join(", "))
    }
}

impl Bias {
    /// `+2 % ± 9 %`
    pub fn shown(&self, term: &Term) -> String {
        let Term { factor, unit, .. } = term;
        let spread = self.sd.map_or_else(String::new, |sd| format!(" ± {:.0} {unit}", sd * factor));
        format!("{:+.0} {unit}{spread}", (self.bias * factor).round() + 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_a_sentence() {
        let text = r#"{"model": "nano", "fingerprint": "ab", "thresholds": [0.65, 0.5], "sets": [
            {"data": "A", "images": 100, "measures": {}}, {"data": "B", "images": 29, "measures": {}},
            {"data": "all", "images": 129, "measures": {
                "vessel_area_density": {"n": 129, "bias": 0.021, "sd": 0.088, "low": 0.02, "high": 0.3},
                "faz_area_mm2": {"n": 2, "bias": -0.001, "sd": null, "low": null, "high": null}}}]}"#;
        let table: Validation = serde_json::from_str(text).unwrap();
        let told = "on 129 labelled images (100 of A, 29 of B): vessel area +2 % ± 9 %, FAZ area +0 % (2 images)";
        assert_eq!(table.sentence(), told);
        assert!(Validation::read(Path::new("gone.json")).is_err());
    }
}

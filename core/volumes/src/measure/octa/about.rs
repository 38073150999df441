//! What stands above the numbers of a report: whose they are, what made them, and how far they can be trusted.

use super::validation::Validation;
use crate::measure::Quality;
use serde::{Deserialize, Serialize};

/// Where the numbers of a report come from. Everything may be unknown; the page says so.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct About {
    /// name of the case: the title of the page
    pub case: Option<String>,
    /// which layers the labels are of, in words: `SVC`, `237 to 246`
    pub layers: Option<String>,
    /// the model that made the labels
    pub model: Option<String>,
    /// its fingerprint
    pub fingerprint: Option<String>,
    /// with or without clicks, in words
    pub method: Option<String>,
    /// day of the report, `2026-11-30`; nothing: today
    pub date: Option<String>,
    /// what the numbers of this model were validated on
    #[serde(skip_deserializing)]
    pub validation: Option<Validation>,
    /// of the picture
    #[serde(skip_deserializing)]
    pub quality: Option<Quality>,
    /// what else to say: lost objects, empty answers
    pub notes: Vec<String>,
}

impl About {
    /// Takes a table of a validation, if it is of this model; else a note says that it is not. A model that is not known is that of the table.
    pub fn validated(&mut self, table: Validation) {
        match &self.fingerprint {
            Some(own) if *own != table.fingerprint => {
                let what = "the table beside the model is of other weights or thresholds: what these numbers are off is not known";
                self.notes.push(what.to_owned());
            }
            _ => {
                self.model.get_or_insert_with(|| table.model.clone());
                self.validation = Some(table);
            }
        }
    }

    /// What the numbers were validated on, in one line.
    pub fn validated_on(&self) -> String {
        match &self.validation {
            Some(table) => format!("validated {}", table.sentence()),
            None => "not validated: how far these numbers are off is not known".to_owned(),
        }
    }
}

//! What is written down while training: the losses, the quality of every slice after every epoch, the best epoch; as tables
//! (`tables`), for TensorBoard (`events`), as a picture (`curves`) and as pictures of the answers (`sheets`).

mod curves;
mod events;
mod measure;
mod sheets;
mod tables;

pub use measure::measure;
pub use sheets::sheet;
pub use tables::write_test;

use super::data::Subset;
use super::step::DenseDice;
use crate::Result;
use crate::measure::Comparison;
use events::EventFile;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// One epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// from 1
    pub epoch: usize,
    /// mean training loss of a slice
    pub loss: f64,
    /// clips that were left out
    pub skipped: usize,
    /// mean over the validated slices; none where nothing was validated
    pub validation: Option<Means>,
    /// Dice of vessels and avascular zone without a prompt, mean over the validated cases; none where model or data lack it
    pub dense: Option<DenseDice>,
}

/// Means over slices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Means {
    /// slices
    pub slices: usize,
    /// loss
    pub loss: f64,
    /// Dice
    pub dice: f64,
    /// intersection over union
    pub jaccard: f64,
    /// of what was found, how much is true
    pub precision: f64,
    /// of what is true, how much was found
    pub recall: f64,
    /// of what is not true, how much was left out
    pub specificity: f64,
    /// overlap of the centre lines
    pub cldice: f64,
    /// millimetres (pixels where the spacing is unknown), over slices where both have the object
    pub hausdorff_mm: Option<f64>,
    /// the same without the worst 5 %
    pub hd95_mm: Option<f64>,
    /// Dice of the slices that were prompted
    #[serde(default)]
    pub prompted_dice: Option<f64>,
    /// Dice of the slices that were followed, without a prompt of their own
    #[serde(default)]
    pub followed_dice: Option<f64>,
}

impl Means {
    /// The means that are known, with the names that tables and events give them.
    fn named(&self) -> Vec<(String, f64)> {
        let Self { loss, dice, jaccard, precision, recall, specificity, cldice, hausdorff_mm, hd95_mm, .. } = *self;
        let Self { prompted_dice, followed_dice, .. } = *self;
        let all = [
            ("loss", Some(loss)),
            ("dice", Some(dice)),
            ("jaccard", Some(jaccard)),
            ("precision", Some(precision)),
            ("recall", Some(recall)),
            ("specificity", Some(specificity)),
            ("cldice", Some(cldice)),
            ("hausdorff_mm", hausdorff_mm),
            ("hd95_mm", hd95_mm),
            ("prompted_dice", prompted_dice),
            ("followed_dice", followed_dice),
        ];
        all.into_iter().filter_map(|(name, value)| Some((format!("validation/{name}"), value?))).collect()
    }
}

/// One object on one slice after one epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SliceRecord {
    /// from 1
    pub epoch: usize,
    /// what the case is for
    pub subset: Subset,
    /// the case
    pub case: String,
    /// the object
    pub object: u16,
    /// slice of the clip
    pub frame: usize,
    /// was it prompted?
    pub prompted: bool,
    /// loss
    pub loss: f64,
    /// presence logit
    pub object_score: f64,
    /// overlap of the centre lines
    pub cldice: f64,
    /// the rest
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl EpochRecord {
    /// From the slices that were validated.
    pub fn new(epoch: usize, loss: f64, skipped: usize, slices: &[SliceRecord], dense: Option<DenseDice>) -> Self {
        Self { epoch, loss, skipped, validation: Means::of(slices), dense }
    }
}

impl Means {
    /// Means over slices; none over none.
    pub fn of(slices: &[SliceRecord]) -> Option<Self> {
        let mean = |value: &dyn Fn(&SliceRecord) -> Option<f64>| {
            let values: Vec<f64> = slices.iter().filter_map(value).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        Some(Self {
            slices: slices.len(),
            loss: mean(&|slice| Some(slice.loss))?,
            dice: mean(&|slice| Some(slice.comparison.dice))?,
            jaccard: mean(&|slice| Some(slice.comparison.jaccard))?,
            precision: mean(&|slice| Some(slice.comparison.precision))?,
            recall: mean(&|slice| Some(slice.comparison.recall))?,
            specificity: mean(&|slice| Some(slice.comparison.specificity))?,
            cldice: mean(&|slice| Some(slice.cldice))?,
            hausdorff_mm: mean(&|slice| slice.comparison.hausdorff_mm),
            hd95_mm: mean(&|slice| slice.comparison.hd95_mm),
            prompted_dice: mean(&|slice| slice.prompted.then_some(slice.comparison.dice)),
            followed_dice: mean(&|slice| (!slice.prompted).then_some(slice.comparison.dice)),
        })
    }
}

/// One step of the optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// from 1
    pub step: usize,
    /// mean loss of a slice
    pub loss: f64,
    /// learning rate
    pub learning_rate: f64,
    /// seconds since 1970
    pub time: f64,
}

/// The records of a run, and their files.
pub struct Records {
    folder: PathBuf,
    options: Value,
    /// every epoch so far
    pub epochs: Vec<EpochRecord>,
    /// the last step of every epoch so far, and when the epoch was measured
    ends: Vec<(usize, f64)>,
    steps: Vec<StepRecord>,
    /// the text of `metrics.csv`
    rows: String,
    events: Option<EventFile>,
}

impl Records {
    /// For an output folder; `options` are shown in the spreadsheet.
    pub fn new(folder: &Path, options: Value) -> Self {
        let folder = folder.to_owned();
        let (epochs, ends, steps, rows) = Default::default();
        Self { folder, options, epochs, ends, steps, rows, events: None }
    }

    /// An optimizer step.
    pub fn step(&mut self, step: usize, loss: f64, learning_rate: f64) {
        self.steps.push(StepRecord { step, loss, learning_rate, time: now() });
    }

    /// An epoch; writes the tables, events and curves. -> is it the best so far?
    pub fn epoch(&mut self, record: EpochRecord, slices: &[SliceRecord]) -> Result<bool> {
        let epoch = record.epoch;
        self.epochs.push(record);
        self.ends.push((self.steps.last().map_or(0, |step| step.step), now()));
        self.rows = tables::append(std::mem::take(&mut self.rows), slices)?;
        self.write()?;
        Ok(self.best().is_some_and(|best| best.epoch == epoch))
    }

    fn write(&mut self) -> Result<()> {
        tables::write_csv(&self.folder, &self.rows, &self.steps)?;
        tables::write_xlsx(&self.folder.join("metrics.xlsx"), &self.epochs, &self.rows, &self.steps, &self.options)?;
        curves::write(&self.folder.join("curves.svg"), &self.epochs, &self.ends, &self.steps)?;
        let mut events = match self.events.take() {
            Some(events) => events,
            None => EventFile::new(&self.folder.join("tensorboard"))?,
        };
        events.append(&self.epochs, &self.ends, &self.steps)?;
        self.events = Some(events);
        Ok(())
    }

    /// The epoch with the highest validation Dice (without prompts, where only that is trained); where nothing was validated, the one with the smallest loss.
    pub fn best(&self) -> Option<&EpochRecord> {
        let score = |record: &EpochRecord| match (record.validation, record.dense) {
            (Some(means), _) => means.dice,
            (None, Some(dense)) => {
                let known: Vec<f64> = dense.into_iter().flatten().collect();
                known.iter().sum::<f64>() / known.len().max(1) as f64
            }
            (None, None) => -1.0 - record.loss,
        };
        self.epochs.iter().reduce(|best, record| if score(record) > score(best) { record } else { best })
    }

    /// To go on later.
    pub fn state(&self) -> Value {
        json!({"epochs": self.epochs, "ends": self.ends, "steps": self.steps, "rows": self.rows})
    }

    /// Goes on.
    pub fn set_state(&mut self, state: &Value) -> serde_json::Result<()> {
        self.epochs = serde_json::from_value(state["epochs"].clone())?;
        self.ends = serde_json::from_value(state["ends"].clone())?;
        self.steps = serde_json::from_value(state["steps"].clone())?;
        self.rows = serde_json::from_value(state["rows"].clone())?;
        Ok(())
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

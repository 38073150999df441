//! What is written down while training: the course of the losses, the quality of every slice after every epoch, the best epoch.

use super::clip::Clip;
use super::data::Subset;
use super::data::sample::LoadedCase;
use super::losses::soft_cldice;
use super::step::SliceLoss;
use crate::io::write_text;
use crate::measure::{Comparison, Grid, compare};
use crate::model::layers::resize_bilinear;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor, no_grad};

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
    pub fn new(epoch: usize, loss: f64, skipped: usize, slices: &[SliceRecord]) -> Self {
        Self { epoch, loss, skipped, validation: Means::of(slices) }
    }
}

impl Means {
    fn of(slices: &[SliceRecord]) -> Option<Self> {
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
        })
    }
}

/// The records of a run, and their files.
pub struct Records {
    folder: PathBuf,
    /// every epoch so far
    pub epochs: Vec<EpochRecord>,
    /// step, loss, learning rate
    steps: Vec<(usize, f64, f64)>,
    /// rows of `metrics.csv`
    rows: String,
}

impl Records {
    /// For an output folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), epochs: Vec::new(), steps: Vec::new(), rows: String::new() }
    }

    /// An optimizer step.
    pub fn step(&mut self, step: usize, loss: f64, learning_rate: f64) {
        self.steps.push((step, loss, learning_rate));
    }

    /// An epoch; writes the tables. -> is it the best so far?
    pub fn epoch(&mut self, record: EpochRecord, slices: &[SliceRecord]) -> Result<bool> {
        let epoch = record.epoch;
        self.epochs.push(record);
        let mut writer = csv::WriterBuilder::new().has_headers(self.rows.is_empty()).from_writer(Vec::new());
        let path = self.folder.join("metrics.csv");
        for slice in slices {
            writer.serialize(Row::from(slice)).map_err(|error| Error::format(&path, error.to_string()))?;
        }
        let bytes = writer.into_inner().map_err(|error| Error::format(&path, error.to_string()))?;
        self.rows.push_str(&String::from_utf8_lossy(&bytes));
        write_text(&path, &self.rows)?;
        let lines = self.steps.iter().map(|(step, loss, rate)| format!("{step},{loss},{rate}\n"));
        write_text(self.folder.join("steps.csv"), &format!("step,loss,learning_rate\n{}", lines.collect::<String>()))?;
        Ok(self.best().is_some_and(|best| best.epoch == epoch))
    }

    /// The epoch with the highest validation Dice; where nothing was validated, the one with the smallest loss.
    pub fn best(&self) -> Option<&EpochRecord> {
        let score = |record: &EpochRecord| record.validation.map_or(-1.0 - record.loss, |means| means.dice);
        self.epochs.iter().reduce(|best, record| if score(record) > score(best) { record } else { best })
    }

    /// To go on later.
    pub fn state(&self) -> Value {
        json!({"epochs": self.epochs, "steps": self.steps, "rows": self.rows})
    }

    /// Goes on.
    pub fn set_state(&mut self, state: &Value) -> serde_json::Result<()> {
        self.epochs = serde_json::from_value(state["epochs"].clone())?;
        self.steps = serde_json::from_value(state["steps"].clone())?;
        self.rows = serde_json::from_value(state["rows"].clone())?;
        Ok(())
    }

    /// The quality of a clip's masks, at the model's resolution; distances in the case's millimetres.
    pub fn measure(
        &self,
        epoch: usize,
        subset: Subset,
        case: &LoadedCase,
        clip: &Clip,
        losses: &[SliceLoss],
    ) -> Result<Vec<SliceRecord>> {
        let mut records = Vec::new();
        for SliceLoss { object, frame, loss, low_res, score } in losses {
            let Some(truth) = clip.objects.iter().find(|candidate| candidate.id == *object) else { continue };
            let (prompted, truth) = (truth.prompts.contains_key(frame), &truth.truth[*frame]);
            let side = truth.size()[3];
            let mask = no_grad(|| resize_bilinear(low_res, [side, side]).gt(0.0));
            let [x, y, _] = case.volume.geometry.spacing;
            let spacing =
                [1.0, y * case.volume.rows as f64 / side as f64, x * case.volume.columns as f64 / side as f64];
            let grid = |mask: &Tensor| -> Result<Grid> {
                let inside =
                    crate::guard::torch(|| Vec::<bool>::try_from(mask.to_device(tch::Device::Cpu).flatten(0, -1)))?;
                Ok(Grid { shape: [1, side as usize, side as usize], spacing, inside })
            };
            let comparison = compare(&grid(&mask)?, &grid(&truth.gt(0.5))?)?;
            let float = |x: &Tensor| x.to_kind(Kind::Float).to_device(tch::Device::Cpu);
            let cldice = no_grad(|| 1.0 - soft_cldice(&float(&mask), &float(truth)).double_value(&[]));
            records.push(SliceRecord {
                epoch,
                subset,
                case: case.name.clone(),
                object: *object,
                frame: *frame,
                prompted,
                loss: *loss,
                object_score: *score,
                cldice,
                comparison,
            });
        }
        Ok(records)
    }
}

/// A row of `metrics.csv`: the record without nesting, which the csv crate cannot write.
#[derive(Serialize)]
struct Row<'a> {
    epoch: usize,
    subset: Subset,
    case: &'a str,
    object: u16,
    frame: usize,
    prompted: bool,
    loss: f64,
    object_score: f64,
    dice: f64,
    jaccard: f64,
    precision: f64,
    recall: f64,
    specificity: f64,
    cldice: f64,
    hausdorff_mm: Option<f64>,
    hd95_mm: Option<f64>,
}

impl<'a> From<&'a SliceRecord> for Row<'a> {
    fn from(slice: &'a SliceRecord) -> Self {
        let SliceRecord { epoch, subset, ref case, object, frame, prompted, loss, object_score, cldice, comparison } =
            *slice;
        let Comparison { dice, jaccard, precision, recall, specificity, hausdorff_mm, hd95_mm, .. } = comparison;
        Row {
            epoch,
            subset,
            case,
            object,
            frame,
            prompted,
            loss,
            object_score,
            dice,
            jaccard,
            precision,
            recall,
            specificity,
            cldice,
            hausdorff_mm,
            hd95_mm,
        }
    }
}

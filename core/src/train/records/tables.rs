//! The records as tables: `metrics.csv`, `steps.csv`, and both with the epochs and the options in `metrics.xlsx`.

use super::{EpochRecord, SliceRecord, StepRecord};
use crate::io::{atomic_file, write_text};
use crate::measure::Comparison;
use crate::train::data::Subset;
use crate::{Error, Result};
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// rows of a worksheet that are filled at most: more slices or steps are in the CSV files only
const MOST_ROWS: usize = 200_000;

type Xlsx<T> = std::result::Result<T, XlsxError>;

/// The text of `metrics.csv` with more rows.
pub fn append(mut table: String, slices: &[SliceRecord]) -> Result<String> {
    let wrong = |error: String| Error::invalid(format!("metrics.csv: {error}"));
    let mut writer = csv::WriterBuilder::new().has_headers(table.is_empty()).from_writer(Vec::new());
    for slice in slices {
        writer.serialize(Row::from(slice)).map_err(|error| wrong(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| wrong(error.to_string()))?;
    table.push_str(&String::from_utf8_lossy(&bytes));
    Ok(table)
}

/// Writes `test.csv`: the test cases at the end.
pub fn write_test(folder: &Path, slices: &[SliceRecord]) -> Result<()> {
    write_text(folder.join("test.csv"), &append(String::new(), slices)?)
}

/// Writes the CSV files.
pub fn write_csv(folder: &Path, metrics: &str, steps: &[StepRecord]) -> Result<()> {
    write_text(folder.join("metrics.csv"), metrics)?;
    let line = |StepRecord { step, loss, learning_rate, .. }: &StepRecord| format!("{step},{loss},{learning_rate}\n");
    let lines: String = steps.iter().map(line).collect();
    write_text(folder.join("steps.csv"), &format!("step,loss,learning_rate\n{lines}"))
}

/// Writes the spreadsheet: epochs, slices, steps, options.
pub fn write_xlsx(
    path: &Path,
    epochs: &[EpochRecord],
    metrics: &str,
    steps: &[StepRecord],
    options: &Value,
) -> Result<()> {
    let workbook = || -> Xlsx<Workbook> {
        let mut workbook = Workbook::new();
        let rows = epochs.iter().map(|epoch| flat(&serde_json::to_value(epoch).unwrap_or_default()));
        let rows: Vec<_> = rows.collect();
        // an epoch that was not validated has fewer columns
        let widest = rows.iter().max_by_key(|row| row.len()).cloned().unwrap_or_default();
        let heads: Vec<&str> = widest.iter().map(|(name, _)| name.as_str()).collect();
        let value = |row: &[(String, String)], head: &str| {
            row.iter().find(|(name, _)| name == head).map_or(String::new(), |(_, value)| value.clone())
        };
        let rows = rows.iter().map(|row| heads.iter().map(|head| value(row, head)).collect());
        fill(workbook.add_worksheet(), "epochs", &heads, rows)?;

        let mut table = csv::Reader::from_reader(metrics.as_bytes());
        let heads = table.headers().cloned().unwrap_or_default();
        let rows = table.records().filter_map(std::result::Result::ok);
        let rows = rows.map(|record| record.iter().map(str::to_owned).collect());
        fill(workbook.add_worksheet(), "slices", &heads.iter().collect::<Vec<_>>(), rows)?;

        let row =
            |step: &StepRecord| vec![step.step.to_string(), step.loss.to_string(), step.learning_rate.to_string()];
        fill(workbook.add_worksheet(), "steps", &["step", "loss", "learning_rate"], steps.iter().map(row))?;

        let rows = flat(options).into_iter().map(|(name, value)| vec![name, value]);
        fill(workbook.add_worksheet(), "options", &["option", "value"], rows)?;
        Ok(workbook)
    };
    let wrong = |error: XlsxError| Error::format(path, error.to_string());
    let bytes = workbook().and_then(|mut workbook| workbook.save_to_buffer()).map_err(wrong)?;
    atomic_file(path, |temporary| std::fs::write(temporary, bytes).map_err(Error::io(path)))
}

fn fill(sheet: &mut Worksheet, name: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Xlsx<()> {
    sheet.set_name(name)?.set_freeze_panes(1, 0)?;
    let bold = Format::new().set_bold();
    for (column, head) in (0u16..).zip(heads) {
        sheet.write_with_format(0, column, *head, &bold)?.set_column_width(column, head.len().max(9) as f64 + 2.0)?;
    }
    for (row, values) in (1u32..).zip(rows.take(MOST_ROWS)) {
        for (column, value) in (0u16..).zip(values) {
            match value.parse::<f64>() {
                Ok(number) if number.is_finite() => sheet.write(row, column, number)?,
                _ => sheet.write(row, column, value)?,
            };
        }
    }
    Ok(())
}

/// The leaves of a JSON value with their paths: `run.epochs`.
fn flat(value: &Value) -> Vec<(String, String)> {
    let Value::Object(map) = value else { return Vec::new() };
    let mut leaves = Vec::new();
    for (name, value) in map {
        match value {
            Value::Object(_) => leaves.extend(flat(value).into_iter().map(|(rest, v)| (format!("{name}.{rest}"), v))),
            Value::Null => leaves.push((name.clone(), String::new())),
            Value::String(text) => leaves.push((name.clone(), text.clone())),
            other => leaves.push((name.clone(), other.to_string())),
        }
    }
    leaves
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

//! The records for TensorBoard: an event file that grows with the training.
//!
//! Format: TensorFlow's `record_writer` (length, its checksum, data, its checksum; checksums are CRC-32C, rotated and offset) around
//! the messages `Event` and `Summary` of `event.proto` and `summary.proto`, as far as curves of numbers need them.

use super::{EpochRecord, StepRecord};
use crate::{Error, Result};
use prost::Message;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// what TensorBoard looks for in a name
const FILE: &str = "events.out.tfevents.0.sam_octa2";

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// seconds since 1970
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    /// of the first event only
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Number>,
}

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// An event file under way.
pub struct EventFile {
    path: PathBuf,
    file: File,
    /// steps and epochs that are in it
    written: (usize, usize),
}

impl EventFile {
    /// Begins the file anew in a folder: what was there before is in the records, too.
    pub fn new(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = folder.join(FILE);
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(&path).map_err(Error::io(&path))?;
        let mut events = Self { path, file, written: (0, 0) };
        let version = Some("brain.Event:2".to_owned());
        events.record(&Event { wall_time: super::now(), step: 0, file_version: version, summary: None })?;
        Ok(events)
    }

    /// Adds what is not in it yet. `ends`: for every epoch its last step, and when.
    pub fn append(&mut self, epochs: &[EpochRecord], ends: &[(usize, f64)], steps: &[StepRecord]) -> Result<()> {
        for step in steps.iter().skip(self.written.0) {
            self.numbers(
                step.step,
                step.time,
                [("train/loss", step.loss), ("train/learning_rate", step.learning_rate)],
            )?;
        }
        for (epoch, &(step, time)) in epochs.iter().zip(ends).skip(self.written.1) {
            self.numbers(step, time, [("epoch/loss", epoch.loss), ("epoch/epoch", epoch.epoch as f64)])?;
            if let Some([vessel, faz]) = epoch.dense {
                let dense = [("validation/dense_vessel_dice", vessel), ("validation/dense_faz_dice", faz)];
                self.numbers(step, time, dense.into_iter().filter_map(|(name, value)| Some((name, value?))))?;
            }
            if let Some(means) = &epoch.validation {
                let named = means.named();
                self.numbers(step, time, named.iter().map(|(name, value)| (name.as_str(), *value)))?;
            }
        }
        self.written = (steps.len(), epochs.len());
        self.file.flush().map_err(Error::io(&self.path))
    }

    fn numbers<'a>(
        &mut self,
        step: usize,
        wall_time: f64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<()> {
        let number = |(tag, value): (&str, f64)| Number { tag: tag.to_owned(), simple_value: Some(value as f32) };
        let summary = Summary { value: values.into_iter().map(number).collect() };
        self.record(&Event { wall_time, step: step as i64, file_version: None, summary: Some(summary) })
    }

    fn record(&mut self, event: &Event) -> Result<()> {
        let data = event.encode_to_vec();
        let length = (data.len() as u64).to_le_bytes();
        let checksum = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
        let bytes = [&length[..], &checksum(&length), &data, &checksum(&data)].concat();
        self.file.write_all(&bytes).map_err(Error::io(&self.path))
    }
}

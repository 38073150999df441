//! Lookup tables: modality LUT and palettes. Standard: DICOM PS3.3 C.11.1 (modality LUT), C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9.2 (palettes,
//! plain and segmented).

use super::elements::DataSet;
use crate::{Error, Result};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use std::path::Path;

/// entries of the largest table
const MOST: usize = 1 << 16;

/// Stored values below and above a table get its ends.
pub(super) struct Table {
    first: i64,
    entries: Vec<u16>,
    pub bits: u16,
}

impl Table {
    pub fn get(&self, value: i64) -> u16 {
        let index = value.saturating_sub(self.first).clamp(0, self.entries.len() as i64 - 1);
        self.entries[index as usize]
    }

    /// `signed`: are stored values signed? It decides how the first value is read.
    fn of(path: &Path, set: &DataSet, descriptor: Tag, data: Tag, segments: Tag, signed: bool) -> Result<Self> {
        let damaged = || Error::format(path, "has a damaged or missing lookup table");
        let numbers = set.exactly(descriptor).map_err(|fault| Error::format(path, fault))?;
        let [count, first, bits] = numbers.ok_or_else(damaged)?;
        // 0 stands for 65536; a signed reading of the count makes large ones negative
        let count = if count <= 0.0 { (count + 65536.0) as usize } else { count as usize };
        let first = if signed { i64::from(first as i64 as u16 as i16) } else { i64::from(first as i64 as u16) };
        let mut entries = match set.words(data) {
            Some(words) => Self::plain(set, data, words, count, bits == 8.0),
            None => expand(&set.words(segments).ok_or_else(damaged)?, count).ok_or_else(damaged)?,
        };
        if entries.len() != count || entries.is_empty() || !(1.0..=16.0).contains(&bits) {
            return Err(damaged());
        }
        // 8-bit colours which some writers keep in the high byte of 16
        if bits == 8.0 && entries.iter().any(|&v| v > 255) {
            entries.iter_mut().for_each(|v| *v >>= 8);
        }
        Ok(Self { first, entries, bits: bits as u16 })
    }

    /// Words, or bytes where there are only half as many.
    fn plain(set: &DataSet, data: Tag, mut words: Vec<u16>, count: usize, bytes: bool) -> Vec<u16> {
        if words.len() < count && bytes {
            return set.bytes(data).unwrap_or_default().iter().take(count).map(|&b| b.into()).collect();
        }
        words.truncate(count);
        words
    }
}

/// Segments of a palette (C.7.9.2): values, straight lines, and repetitions of earlier segments.
fn expand(words: &[u16], count: usize) -> Option<Vec<u16>> {
    let mut table: Vec<u16> = Vec::new();
    let mut at = 0;
    while at < words.len() && table.len() < count.min(MOST) {
        at = match words[at] {
            2 => {
                let repeat = usize::from(*words.get(at + 1)?);
                let offset = usize::from(*words.get(at + 2)?) | usize::from(*words.get(at + 3)?) << 16;
                let mut from = offset / 2;
                for _ in 0..repeat {
                    from = segment(words, from, &mut table)?;
                }
                at + 4
            }
            _ => segment(words, at, &mut table)?,
        };
    }
    table.truncate(count);
    Some(table)
}

/// Adds one segment and says where the next one starts.
fn segment(words: &[u16], at: usize, table: &mut Vec<u16>) -> Option<usize> {
    let (kind, length) = (*words.get(at)?, usize::from(*words.get(at + 1)?));
    if table.len() + length > 2 * MOST {
        return None;
    }
    match kind {
        0 => {
            table.extend_from_slice(words.get(at + 2..at + 2 + length)?);
            Some(at + 2 + length)
        }
        1 => {
            let (from, to) = (f64::from(*table.last()?), f64::from(*words.get(at + 2)?));
            let step = (to - from) / length.max(1) as f64;
            table.extend((1..=length).map(|i| (from + step * i as f64).round_ties_even() as u16));
            Some(at + 3)
        }
        _ => None,
    }
}

/// Red, green and blue.
pub(super) fn palette(path: &Path, set: &DataSet, signed: bool) -> Result<[Table; 3]> {
    let table = |descriptor, data, segments| Table::of(path, set, descriptor, data, segments, signed);
    Ok([
        table(
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
        table(
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
        table(
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
    ])
}

/// The table of the Modality LUT Sequence.
pub(super) fn modality(path: &Path, set: &DataSet, signed: bool) -> Result<Table> {
    let item = set.items(tags::MODALITY_LUT_SEQUENCE).first();
    let item = item.ok_or_else(|| Error::format(path, "has an empty Modality LUT Sequence"))?;
    Table::of(path, item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, tags::LUT_DATA, signed)
}

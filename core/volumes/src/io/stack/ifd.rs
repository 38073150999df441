//! The directories of a TIFF, as far as the `tiff` crate has to be helped with them: it refuses pages with a palette, but reads the same
//! bytes as grey indices when their directory says grey.
//!
//! Standard: TIFF 6.0, <https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf>, "Image File Directory" and "Palette-color
//! Images"; BigTIFF: <https://www.awaresystems.be/imaging/tiff/bigtiff.html>.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};
use std::path::Path;

const PHOTOMETRIC: u16 = 262;
const PALETTE: u16 = 3;
const BLACK_IS_ZERO: u16 = 1;
/// more entries than this, over all directories, are nobody's picture
const MAX_ENTRIES: u64 = 1 << 22;

/// A TIFF whose palette pages call themselves grey.
pub(super) struct AsGrey {
    file: BufReader<File>,
    position: u64,
    /// where the word lies that says palette, for each page that has one; ascending
    words: Vec<u64>,
    big_endian: bool,
}

impl AsGrey {
    /// The file, and for each page: does it have a palette?
    pub fn open(path: &Path) -> Result<(Self, Vec<bool>)> {
        let mut file = BufReader::new(File::open(path)?);
        let mut start = [0; 4];
        file.read_exact(&mut start)?;
        let mut walk = Walk { big_endian: start[0] == b'M', big: start.contains(&43), file };
        let pages = walk.pages().unwrap_or_default();
        let mut words: Vec<u64> = pages.iter().filter_map(|&word| word).collect();
        words.sort_unstable();
        let Walk { mut file, big_endian, .. } = walk;
        file.seek(SeekFrom::Start(0))?;
        Ok((Self { file, position: 0, words, big_endian }, pages.iter().map(Option::is_some).collect()))
    }
}

impl Read for AsGrey {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let length = self.file.read(buffer)?;
        let end = self.position + length as u64;
        let first = self.words.partition_point(|&word| word + 2 <= self.position);
        let bytes = if self.big_endian { BLACK_IS_ZERO.to_be_bytes() } else { BLACK_IS_ZERO.to_le_bytes() };
        for &word in self.words[first..].iter().take_while(|&&word| word < end) {
            for (at, byte) in (word..).zip(bytes) {
                if (self.position..end).contains(&at) {
                    buffer[(at - self.position) as usize] = byte;
                }
            }
        }
        self.position = end;
        Ok(length)
    }
}

impl Seek for AsGrey {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.position = match to {
            // keeps the buffer where the place lies in it
            SeekFrom::Start(at) => {
                self.file.seek_relative((at as i64).wrapping_sub(self.position as i64))?;
                at
            }
            other => self.file.seek(other)?,
        };
        Ok(self.position)
    }
}

/// Goes from directory to directory.
struct Walk {
    file: BufReader<File>,
    big_endian: bool,
    /// BigTIFF: 64-bit places
    big: bool,
}

impl Walk {
    /// For each page: where it says that it has a palette, if it has one.
    fn pages(&mut self) -> Result<Vec<Option<u64>>> {
        self.file.seek(SeekFrom::Start(if self.big { 8 } else { 4 }))?;
        let mut pages = Vec::new();
        let mut seen = HashSet::new();
        let mut left = MAX_ENTRIES;
        let mut next = self.place()?;
        while next != 0 && left > 0 && seen.insert(next) {
            self.file.seek(SeekFrom::Start(next))?;
            let entries = if self.big { self.number::<8>()? } else { self.number::<2>()? };
            let (size, value_at) = if self.big { (20, 12) } else { (12, 8) };
            let first = self.file.stream_position()?;
            let mut palette = None;
            left = left.saturating_sub(entries.max(1));
            for entry in 0..entries.min(left) {
                let at = first + entry * size;
                let here = self.file.stream_position()?;
                self.file.seek_relative(at as i64 - here as i64)?;
                if self.number::<2>()? as u16 == PHOTOMETRIC {
                    self.file.seek_relative(value_at - 2)?;
                    palette = (self.number::<2>()? as u16 == PALETTE).then_some(at + value_at as u64);
                }
            }
            pages.push(palette);
            self.file.seek(SeekFrom::Start(first.saturating_add(entries.saturating_mul(size))))?;
            next = self.place()?;
        }
        Ok(pages)
    }

    fn place(&mut self) -> Result<u64> {
        if self.big { self.number::<8>() } else { self.number::<4>() }
    }

    fn number<const N: usize>(&mut self) -> Result<u64> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        if !self.big_endian {
            bytes.reverse();
        }
        Ok(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }
}

//! The directories of a TIFF, as far as the `tiff` crate (0.11) has to be helped with them. It refuses pages with a palette, turns floats of
//! white-is-zero pages into `1 - x`, and ignores FillOrder; it reads the same bytes as grey when their directory says black-is-zero
//! and the bits of its strips stand the usual way round.
//!
//! Standard: TIFF 6.0, <https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf>, "Image File Directory", "Palette-color
//! Images", "FillOrder"; BigTIFF: <https://www.awaresystems.be/imaging/tiff/bigtiff.html>.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
/// places and lengths of strips, then of tiles
const PLACES: [u16; 2] = [273, 324];
const LENGTHS: [u16; 2] = [279, 325];
const WHITE_IS_ZERO: u64 = 0;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u64 = 3;
/// value of Compression; its bytes are those of a JPEG file, whatever FillOrder says
const JPEG: u64 = 7;
/// FillOrder: the first pixel lies in the lowest bit
const LOWEST_FIRST: u64 = 2;
/// more entries than this, over all directories, are nobody's picture
const MAX_ENTRIES: u64 = 1 << 22;

/// What the directory of a page says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Page {
    pub palette: bool,
    pub white_is_zero: bool,
    /// the tag Compression
    pub compression: u64,
}

/// A TIFF whose pages call themselves black-is-zero, with the highest bit of a byte first.
pub(super) struct Plain {
    file: BufReader<File>,
    position: u64,
    /// where a word lies that says another photometric interpretation; ascending
    words: Vec<u64>,
    /// bytes whose bits stand the other way round; ascending, apart from each other
    reversed: Vec<Range<u64>>,
    big_endian: bool,
}

impl Plain {
    /// The file and its pages.
    pub fn open(path: &Path) -> Result<(Self, Vec<Page>)> {
        let mut file = BufReader::new(File::open(path)?);
        let mut start = [0; 4];
        file.read_exact(&mut start)?;
        let length = file.get_ref().metadata()?.len();
        let mut walk = Walk::new(file, &start, length);
        let pages = walk.pages().unwrap_or_default();
        let Walk { mut file, big_endian, mut words, mut reversed, .. } = walk;
        words.sort_unstable();
        reversed.sort_unstable_by_key(|range| range.start);
        // ranges that overlap are damage: none of their bytes is turned twice
        let mut end = 0;
        for range in &mut reversed {
            range.start = range.start.max(end);
            end = end.max(range.end);
        }
        reversed.retain(|range| range.start < range.end);
        file.seek(SeekFrom::Start(0))?;
        Ok((Self { file, position: 0, words, reversed, big_endian }, pages))
    }

    fn rewrite(&self, buffer: &mut [u8]) {
        let (start, end) = (self.position, self.position + buffer.len() as u64);
        let first = self.reversed.partition_point(|range| range.end <= start);
        for range in self.reversed[first..].iter().take_while(|range| range.start < end) {
            let (from, to) = (range.start.max(start) - start, range.end.min(end) - start);
            buffer[from as usize..to as usize].iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let first = self.words.partition_point(|&word| word + 2 <= start);
        let bytes = if self.big_endian { BLACK_IS_ZERO.to_be_bytes() } else { BLACK_IS_ZERO.to_le_bytes() };
        for &word in self.words[first..].iter().take_while(|&&word| word < end) {
            for (at, byte) in (word..).zip(bytes).filter(|(at, _)| (start..end).contains(at)) {
                buffer[(at - start) as usize] = byte;
            }
        }
    }
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let length = self.file.read(buffer)?;
        self.rewrite(&mut buffer[..length]);
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for Plain {
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
    length: u64,
    big_endian: bool,
    /// BigTIFF: 64-bit places
    big: bool,
    words: Vec<u64>,
    reversed: Vec<Range<u64>>,
}

/// An entry of a directory: what it says, and where.
#[derive(Clone, Copy)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    value_at: u64,
    /// the first two bytes of the value as a number
    short: u64,
}

impl Walk {
    fn new(file: BufReader<File>, start: &[u8; 4], length: u64) -> Self {
        let (big_endian, big) = (start[0] == b'M', start.contains(&43));
        Self { file, length, big_endian, big, words: Vec::new(), reversed: Vec::new() }
    }

    fn pages(&mut self) -> Result<Vec<Page>> {
        self.file.seek(SeekFrom::Start(if self.big { 8 } else { 4 }))?;
        let mut pages = Vec::new();
        let mut seen = HashSet::new();
        let mut left = MAX_ENTRIES;
        let mut next = self.place()?;
        while next != 0 && left > 0 && seen.insert(next) {
            self.file.seek(SeekFrom::Start(next))?;
            let entries = if self.big { self.number::<8>()? } else { self.number::<2>()? };
            let size = if self.big { 20 } else { 12 };
            let first = self.file.stream_position()?;
            left = left.saturating_sub(entries.max(1));
            let mut wanted = Vec::new();
            for entry in 0..entries.min(left) {
                let at = first + entry * size;
                let here = self.file.stream_position()?;
                self.file.seek_relative(at as i64 - here as i64)?;
                let tag = self.number::<2>()? as u16;
                if [COMPRESSION, PHOTOMETRIC, FILL_ORDER].contains(&tag)
                    || PLACES.contains(&tag)
                    || LENGTHS.contains(&tag)
                {
                    let kind = self.number::<2>()? as u16;
                    let count = self.place()?;
                    let value_at = at + if self.big { 12 } else { 8 };
                    wanted.push(Entry { tag, kind, count, value_at, short: self.number::<2>()? });
                }
            }
            pages.push(self.page(&wanted)?);
            self.file.seek(SeekFrom::Start(first.saturating_add(entries.saturating_mul(size))))?;
            next = self.place()?;
        }
        Ok(pages)
    }

    fn page(&mut self, entries: &[Entry]) -> Result<Page> {
        let mut page = Page::default();
        let find = |tags: &[u16]| entries.iter().find(|entry| tags.contains(&entry.tag)).copied();
        if let Some(entry) = find(&[PHOTOMETRIC]) {
            (page.palette, page.white_is_zero) = (entry.short == PALETTE, entry.short == WHITE_IS_ZERO);
            if page.palette || page.white_is_zero {
                self.words.push(entry.value_at);
            }
        }
        if let Some(entry) = find(&[COMPRESSION]) {
            page.compression = entry.short;
        }
        let turned = find(&[FILL_ORDER]).is_some_and(|entry| entry.short == LOWEST_FIRST) && page.compression != JPEG;
        if let (true, Some(places), Some(lengths)) = (turned, find(&PLACES), find(&LENGTHS)) {
            let (places, lengths) = (self.numbers(places)?, self.numbers(lengths)?);
            let strips = places.into_iter().zip(lengths);
            self.reversed.extend(strips.map(|(place, length)| place..place.saturating_add(length)));
        }
        Ok(page)
    }

    /// All values of an entry: shorts, longs or long longs.
    fn numbers(&mut self, Entry { kind, count, value_at, .. }: Entry) -> Result<Vec<u64>> {
        let size = match kind {
            3 => 2,
            4 => 4,
            16 => 8,
            _ => return Ok(Vec::new()),
        };
        // no more than the file has room for
        if count > self.length / size {
            return Ok(Vec::new());
        }
        self.file.seek(SeekFrom::Start(value_at))?;
        if count * size > if self.big { 8 } else { 4 } {
            let at = self.place()?;
            self.file.seek(SeekFrom::Start(at))?;
        }
        (0..count)
            .map(|_| match size {
                2 => self.number::<2>(),
                4 => self.number::<4>(),
                _ => self.number::<8>(),
            })
            .collect()
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

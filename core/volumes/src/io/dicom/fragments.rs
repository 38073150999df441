//! Where each frame lies in a file: one after the other, or in the fragments of encapsulated pixel data.
//!
//! Standard: DICOM PS3.5 A.4 (fragments, Basic Offset Table), PS3.3 C.7.6.3.1.8 (Extended Offset Table).

use super::codec::Codec;
use super::elements::PixelElement;
use super::file::DicomFile;
use super::header::Header;
use crate::Error;
use dicom_dictionary_std::tags;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
const SEQUENCE_END: [u8; 4] = [0xFE, 0xFF, 0xDD, 0xE0];
/// bytes of an offset table
const MOST_TABLE: u64 = 16 << 20;
/// how a picture starts: JPEG and JPEG-LS, JPEG 2000, JPEG XL (bare, boxed)
const STARTS: [&[u8]; 4] = [&[0xFF, 0xD8, 0xFF], &[0xFF, 0x4F, 0xFF, 0x51], &[0xFF, 0x0A], &[0, 0, 0, 0x0C]];

/// A piece of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Piece {
    pub offset: u64,
    pub length: u64,
    starts_picture: bool,
}

/// How many frames there are, where the header claims `claimed`: fewer than that only where there are too few fragments.
pub(super) fn count(file: &mut DicomFile, pixels: &PixelElement, claimed: u64) -> Result<u64, String> {
    let (table, pieces) = pieces(file, pixels, claimed as usize)?;
    let starts = pieces.iter().filter(|piece| piece.starts_picture).count();
    let found = match (pieces.len() as u64, table.len() as u64) {
        (pieces, _) if pieces <= claimed => return Ok(pieces),
        (_, listed) if listed >= claimed && listed > 0 => listed,
        // these have one fragment per frame
        (pieces, _) if matches!(Codec::of(&file.syntax), Some(Codec::Rle | Codec::Native | Codec::Deflate)) => pieces,
        _ => starts as u64,
    };
    Ok(found.max(claimed))
}

/// The pieces of every frame.
pub(super) fn of_frames(
    file: &mut DicomFile,
    header: &Header,
    pixels: &PixelElement,
) -> crate::Result<Vec<Vec<Piece>>> {
    let (table, pieces) =
        pieces(file, pixels, header.frames.len()).map_err(|fault| Error::format(&header.path, fault))?;
    let count = header.frames.len();
    let starts = |i: usize| i == 0 || pieces[i].starts_picture;
    let frames = match () {
        () if count == 1 => vec![pieces.clone()],
        () if pieces.len() == count => pieces.iter().map(|&piece| vec![piece]).collect(),
        () if table.len() == count => split(&pieces, |i| table.contains(&(pieces[i].offset - pieces[0].offset))),
        () => split(&pieces, starts),
    };
    if frames.len() != count || frames.iter().any(Vec::is_empty) {
        let what =
            format!("is truncated or damaged: {} compressed frames instead of {count}", frames.len().min(pieces.len()));
        return Err(Error::format(&header.path, what));
    }
    Ok(frames)
}

fn split(pieces: &[Piece], starts: impl Fn(usize) -> bool) -> Vec<Vec<Piece>> {
    let mut frames: Vec<Vec<Piece>> = Vec::new();
    for (i, &piece) in pieces.iter().enumerate() {
        match frames.last_mut() {
            Some(frame) if !starts(i) => frame.push(piece),
            _ => frames.push(vec![piece]),
        }
    }
    frames
}

/// The offset table and the fragments. A table with fewer entries than `frames` is none.
fn pieces(file: &mut DicomFile, pixels: &PixelElement, frames: usize) -> Result<(Vec<u64>, Vec<Piece>), String> {
    let cut = |_| "is truncated inside of its compressed pixels".to_owned();
    let end = file.length;
    let source = &mut file.source;
    let mut at = pixels.offset;
    let (mut table, mut pieces) = (None, Vec::new());
    loop {
        source.seek(SeekFrom::Start(at)).map_err(cut)?;
        let mut head = [0; 8];
        if source.read_exact(&mut head).is_err() {
            break;
        }
        let [a, b, c, d, l0, l1, l2, l3] = head;
        let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
        if [a, b, c, d] == SEQUENCE_END {
            break;
        }
        if [a, b, c, d] != ITEM {
            return Err("is damaged: compressed pixels that are not in items".to_owned());
        }
        let offset = at + 8;
        if offset + length > end {
            let what = format!("is truncated: {} of {length} bytes of a compressed frame", end.saturating_sub(offset));
            return Err(what);
        }
        if table.is_none() {
            let plausible = length >= 4 * frames as u64 && length % 4 == 0 && length <= MOST_TABLE;
            let mut bytes = vec![0; if plausible { length as usize } else { 0 }];
            source.read_exact(&mut bytes).map_err(cut)?;
            let offsets = bytes.as_chunks::<4>().0.iter().map(|&b| u64::from(u32::from_le_bytes(b)));
            table = Some(offsets.collect::<Vec<u64>>());
        } else {
            let mut start = [0; 4];
            let known = length >= 4 && source.read_exact(&mut start).is_ok();
            let starts_picture = known && STARTS.iter().any(|mark| start.starts_with(mark));
            pieces.push(Piece { offset, length, starts_picture });
        }
        at = offset + length;
    }
    let mut table = table.unwrap_or_default();
    if let Some(extended) = file.set.bytes(tags::EXTENDED_OFFSET_TABLE).filter(|_| table.is_empty()) {
        table = extended.as_chunks::<8>().0.iter().map(|&b| u64::from_le_bytes(b)).collect();
    }
    Ok((table, pieces))
}

/// The bytes of a frame.
pub(super) fn read(file: &mut DicomFile, path: &Path, pieces: &[Piece]) -> crate::Result<Vec<u8>> {
    let size = pieces.iter().map(|piece| piece.length as usize).sum();
    let mut bytes = Vec::with_capacity(size);
    for piece in pieces {
        file.source.seek(SeekFrom::Start(piece.offset)).map_err(Error::io(path))?;
        (&mut *file.source).take(piece.length).read_to_end(&mut bytes).map_err(Error::io(path))?;
    }
    Ok(bytes)
}

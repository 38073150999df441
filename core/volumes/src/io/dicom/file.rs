//! A DICOM file opened: which transfer syntax, the elements before the pixels, and where the pixels lie.
//!
//! Files with a preamble and meta information are what the standard wants (PS3.10 chapter 7); data sets without one or without both
//! are common in archives of old devices and are recognised by their first element. Deflated files (PS3.5 A.5) are unpacked
//! first, within a limit.

use super::elements::{self, Bytes, DataSet, Encoding, PixelElement};
use crate::{Error, Result};
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// retired by the standard, kept by archives
pub(super) const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// preamble, before `DICM`
const PREAMBLE: usize = 128;
const DEFLATED: [&str; 3] =
    [uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, uids::JPIP_REFERENCED_DEFLATE, uids::JPIPHTJ2K_REFERENCED_DEFLATE];
/// most bytes that a deflated file may unpack to
const MOST_UNPACKED: u64 = 2 << 30;
/// more than this of it lies in a temporary file
const MOST_IN_MEMORY: usize = 64 << 20;

/// An open file.
pub(super) struct DicomFile {
    pub source: Box<dyn Bytes>,
    pub length: u64,
    pub syntax: String,
    pub encoding: Encoding,
    pub set: DataSet,
    pub pixels: Option<PixelElement>,
}

/// How a file starts.
enum Start {
    /// meta information at this offset
    Meta(u64),
    /// a data set at this offset
    Plain(u64, Encoding),
}

impl Start {
    /// By the first bytes of a file; `None` where they are not DICOM's.
    fn of(head: &[u8]) -> Option<Self> {
        let (preamble, rest) = head.split_at_checked(PREAMBLE).unwrap_or((&[], head));
        if let Some(after) = rest.strip_prefix(b"DICM") {
            return match after {
                [2, 0, ..] => Some(Self::Meta(PREAMBLE as u64 + 4)),
                _ => Self::plain(after, PREAMBLE as u64 + 4),
            };
        }
        let head = if preamble.is_empty() { rest } else { head };
        match head {
            [b'D', b'I', b'C', b'M', 2, 0, ..] => Some(Self::Meta(4)),
            [2, 0, 0, 0, b'U', b'L', 4, 0, ..] => Some(Self::Meta(0)),
            _ => Self::plain(head, 0),
        }
    }

    /// The first element of an image is of group 8, and its numbers are small.
    fn plain(head: &[u8], offset: u64) -> Option<Self> {
        let &[g0, g1, e0, e1, a, b, c, d, ..] = head else { return None };
        let explicit =
            a.is_ascii_uppercase() && b.is_ascii_uppercase() && dicom_core::VR::from_binary([a, b]).is_some();
        let (big, length) = match (g0, g1) {
            (8, 0) => (false, u32::from_le_bytes([a, b, c, d])),
            (0, 8) => (true, u32::from_be_bytes([a, b, c, d])),
            _ => return None,
        };
        let element = if big { u16::from_be_bytes([e0, e1]) } else { u16::from_le_bytes([e0, e1]) };
        let known = [0, 1, 5, 6, 8, 0x12, 0x14, 0x16, 0x18, 0x20].contains(&element);
        (known && (explicit || length <= 256)).then_some(Self::Plain(offset, Encoding { explicit, big }))
    }
}

/// Does the name end like a DICOM file's?
pub(in crate::io) fn is_named_so(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ["dcm", "dicom"].iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Does the file start as a DICOM file does?
pub(in crate::io) fn is_dicom(path: &Path) -> Result<bool> {
    Ok(Start::of(&first_bytes(path)?).is_some())
}

fn first_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(PREAMBLE + 12);
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(PREAMBLE as u64 + 12).read_to_end(&mut head).map_err(Error::io(path))?;
    Ok(head)
}

impl DicomFile {
    /// Reads everything before the pixels.
    pub fn open(path: &Path) -> Result<Self> {
        let start = Start::of(&first_bytes(path)?).ok_or_else(|| {
            let what = "is not a DICOM file (no DICM mark after 128 bytes, and no image's first element at the start)";
            Error::format(path, what)
        })?;
        let file = File::open(path).map_err(Error::io(path))?;
        let mut length = file.metadata().map_err(Error::io(path))?.len();
        let mut source: Box<dyn Bytes> = Box::new(BufReader::new(file));
        let (syntax, encoding) = match start {
            Start::Plain(offset, encoding) => {
                source.seek(SeekFrom::Start(offset)).map_err(Error::io(path))?;
                (syntax_of(encoding).to_owned(), encoding)
            }
            Start::Meta(offset) => {
                source.seek(SeekFrom::Start(offset)).map_err(Error::io(path))?;
                let syntax = transfer_syntax(&mut *source, length).map_err(|fault| damaged(path, &fault))?;
                let explicit = syntax != uids::IMPLICIT_VR_LITTLE_ENDIAN;
                let big = syntax == EXPLICIT_BIG_ENDIAN;
                (syntax, Encoding { explicit, big })
            }
        };
        if DEFLATED.contains(&syntax.as_str()) {
            (source, length) = inflate(path, source)?;
        }
        let (set, pixels) = elements::read(&mut *source, length, encoding).map_err(|fault| damaged(path, &fault))?;
        Ok(Self { source, length, syntax, encoding, set, pixels })
    }
}

/// Reads the meta information (explicit little endian in every file) and stays at the start of the data set. Files without a
/// transfer syntax are taken for what their first element looks like.
fn transfer_syntax(source: &mut dyn Bytes, length: u64) -> std::result::Result<String, String> {
    let cut = |_| "truncated inside of the meta information".to_owned();
    let mut syntax = None;
    loop {
        let start = source.stream_position().map_err(cut)?;
        let mut head = [0; 8];
        source.read_exact(&mut head).map_err(cut)?;
        let [g0, g1, e0, e1, v0, v1, l0, l1] = head;
        if [g0, g1] != [2, 0] {
            source.seek(SeekFrom::Start(start)).map_err(cut)?;
            let found = || match Start::plain(&head, 0) {
                Some(Start::Plain(_, encoding)) => syntax_of(encoding).to_owned(),
                _ => uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned(),
            };
            return Ok(syntax.unwrap_or_else(found));
        }
        let size = match &[v0, v1] {
            b"OB" | b"OW" | b"UN" | b"SQ" | b"UT" => {
                let mut long = [0; 4];
                source.read_exact(&mut long).map_err(cut)?;
                u64::from(u32::from_le_bytes(long))
            }
            vr if dicom_core::VR::from_binary(*vr).is_some() => u64::from(u16::from_le_bytes([l0, l1])),
            _ => u64::from(u32::from_le_bytes([v0, v1, l0, l1])),
        };
        let value = source.stream_position().map_err(cut)?;
        if value + size > length {
            return Err("an element of the meta information claims more bytes than there are".to_owned());
        }
        if Tag(2, u16::from_le_bytes([e0, e1])) == tags::TRANSFER_SYNTAX_UID && size <= 128 {
            let mut text = vec![0; size as usize];
            source.read_exact(&mut text).map_err(cut)?;
            syntax = Some(String::from_utf8_lossy(&text).replace(char::is_control, "").trim().to_owned())
                .filter(|s| !s.is_empty());
        }
        source.seek(SeekFrom::Start(value + size)).map_err(cut)?;
    }
}

fn syntax_of(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding { big: true, .. } => EXPLICIT_BIG_ENDIAN,
        Encoding { explicit: true, .. } => uids::EXPLICIT_VR_LITTLE_ENDIAN,
        Encoding { explicit: false, .. } => uids::IMPLICIT_VR_LITTLE_ENDIAN,
    }
}

/// Unpacks the rest of the file, and says how many bytes it is: in memory where it is small, else in an unnamed temporary file.
fn inflate(path: &Path, source: Box<dyn Bytes>) -> Result<(Box<dyn Bytes>, u64)> {
    let (mut unpacked, mut length) = (tempfile::spooled_tempfile(MOST_IN_MEMORY), 0);
    let mut stream = flate2::read::DeflateDecoder::new(source);
    let mut block = vec![0; 1 << 16];
    loop {
        // a stream that is cut off still holds the elements before the cut
        let read = stream.read(&mut block).unwrap_or(0);
        if read == 0 {
            unpacked.rewind().map_err(Error::io(path))?;
            return Ok((Box::new(BufReader::new(unpacked)), length));
        }
        length += read as u64;
        if length > MOST_UNPACKED {
            let what = format!("unpacks to more than {MOST_UNPACKED} bytes: too large, or a bomb");
            return Err(Error::format(path, what));
        }
        unpacked.write_all(&block[..read]).map_err(Error::io(path))?;
    }
}

/// The one sentence for a header that cannot be read.
fn damaged(path: &Path, fault: &str) -> Error {
    Error::format(path, format!("cannot be read as DICOM, damaged or truncated ({fault})"))
}

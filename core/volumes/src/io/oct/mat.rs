//! Arrays of numbers in MATLAB files of version 5 to 7 (`save -v7`), as OCTA-500 has its layer curves.
//!
//! Described in MathWorks' "MAT-File Format" (2024), chapter "Level 5 MAT-File Format". The crates that read such files ask for memory as headers
//! promise it; this reads one array and no more than the file holds.

use crate::{Error, Result};
use flate2::read::ZlibDecoder;
use std::io::Read;
use std::path::Path;

/// of the file; the elements follow
const HEADER: usize = 128;
/// no file of curves is larger, unpacked
const MOST: u64 = 1 << 30;

/// An array as it lies: first index fastest.
#[derive(Debug)]
pub(super) struct Array {
    pub name: String,
    pub sizes: Vec<usize>,
    pub values: Vec<f32>,
}

/// The arrays of real numbers of a file.
/// Errors: another version, damage.
pub(super) fn read(path: &Path) -> Result<Vec<Array>> {
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    let limit = || Error::Unsupported(format!("{}: is too large for layer curves (1 GiB)", path.display()));
    if length > MOST {
        return Err(limit());
    }
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    if bytes.starts_with(b"MATLAB 7.3") || bytes.starts_with(b"\x89HDF") {
        let what = "is a MATLAB 7.3 file (HDF5), which is not read: save it with `save FILE -v7`, or from Python with scipy.io.savemat";
        return Err(Error::Unsupported(format!("{}: {what}", path.display())));
    }
    let damaged = |what: &str| Error::format(path, format!("is no MATLAB file of version 5 to 7, or damaged: {what}"));
    let big = match bytes.get(124..HEADER) {
        Some([.., b'I', b'M']) => false,
        Some([.., b'M', b'I']) => true,
        _ => return Err(damaged("no mark of its byte order")),
    };
    let mut arrays = Vec::new();
    let mut rest = Element { bytes: &bytes[HEADER..], big };
    while !rest.bytes.is_empty() {
        let Some((kind, data)) = rest.next() else { return Err(damaged("an element reaches behind the end")) };
        let array = match kind {
            COMPRESSED => {
                // deflate cannot grow by more than this, and what is no curve is not unpacked for long
                let most = (data.len() as u64).saturating_mul(1032).min(MOST);
                let mut unpacked = Vec::new();
                ZlibDecoder::new(data)
                    .take(most)
                    .read_to_end(&mut unpacked)
                    .map_err(|error| damaged(&format!("an element cannot be unpacked ({error})")))?;
                match (Element { bytes: &unpacked, big }).next() {
                    Some((MATRIX, data)) => array(data, big),
                    Some(_) => None,
                    None => return Err(damaged("a packed element reaches behind its end")),
                }
            }
            MATRIX => array(data, big),
            _ => None,
        };
        arrays.extend(array);
    }
    Ok(arrays)
}

const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// What is left of a list of elements.
struct Element<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl<'a> Element<'a> {
    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// The next element: its type and its data.
    fn next(&mut self) -> Option<(u32, &'a [u8])> {
        let first = self.u32(0)?;
        if first >> 16 != 0 {
            // small: up to four bytes beside the tag
            let data = self.bytes.get(4..8)?.get(..(first >> 16) as usize)?;
            self.bytes = &self.bytes[8..];
            return Some((first & 0xffff, data));
        }
        let length = self.u32(4)? as usize;
        let end = length.checked_add(8)?;
        let data = self.bytes.get(8..end)?;
        // elements begin at multiples of 8, but for packed ones
        let next = if first == COMPRESSED { end } else { end.next_multiple_of(8) };
        self.bytes = self.bytes.get(next..).unwrap_or_default();
        Some((first, data))
    }
}

/// The array that a matrix element holds; `None` for cells, structures, texts, complex and sparse ones, and damaged ones.
fn array(data: &[u8], big: bool) -> Option<Array> {
    let mut parts = Element { bytes: data, big };
    let (_, flags) = parts.next()?;
    let flags = Element { bytes: flags, big }.u32(0)?;
    let (class, complex) = (flags & 0xff, flags & 0x0800 != 0);
    if !(6..=15).contains(&class) || complex {
        return None;
    }
    let (_, sizes) = parts.next()?;
    let sizes: Vec<usize> =
        sizes.chunks_exact(4).filter_map(|n| Element { bytes: n, big }.u32(0)).map(|n| n as usize).collect();
    let (_, name) = parts.next()?;
    let name = String::from_utf8_lossy(name).into_owned();
    let (kind, values) = parts.next()?;
    let values = floats(kind, values, big)?;
    let count = sizes.iter().try_fold(1usize, |product, &side| product.checked_mul(side))?;
    (count == values.len()).then_some(Array { name, sizes, values })
}

/// Numbers of any type of storage.
fn floats(kind: u32, bytes: &[u8], big: bool) -> Option<Vec<f32>> {
    macro_rules! all {
        ($type:ty, $width:literal) => {
            bytes
                .as_chunks::<$width>()
                .0
                .iter()
                .map(
                    |&chunk| {
                        if big { <$type>::from_be_bytes(chunk) as f32 } else { <$type>::from_le_bytes(chunk) as f32 }
                    },
                )
                .collect()
        };
    }
    Some(match kind {
        1 => all!(i8, 1),
        2 => all!(u8, 1),
        3 => all!(i16, 2),
        4 => all!(u16, 2),
        5 => all!(i32, 4),
        6 => all!(u32, 4),
        7 => all!(f32, 4),
        9 => all!(f64, 8),
        12 => all!(i64, 8),
        13 => all!(u64, 8),
        _ => return None,
    })
}

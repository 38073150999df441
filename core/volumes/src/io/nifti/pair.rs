//! Which files a NIfTI volume lies in: one (`.nii`), or two (`.hdr` and `.img`), each packed by gzip or not.

use crate::io::gzip::Unpacker;
use crate::{Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// deflate cannot shrink more than this, which bounds what a short file may claim to hold
const MAX_GZIP_RATIO: u64 = 1032;

/// The bytes of a file from its beginning, unpacked where it is gzip, whatever its name says.
pub(super) enum Stream {
    Plain(BufReader<File>),
    Gzip(Box<BufReader<Unpacker<BufReader<File>>>>),
}

impl Stream {
    /// The stream, and how many bytes it can hold at most.
    pub fn open(path: &Path) -> Result<(Self, u64)> {
        let file = File::open(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let gzip = reader.fill_buf().map_err(Error::io(path))?.starts_with(&[0x1f, 0x8b]);
        Ok(match gzip {
            true => {
                let unpacked = BufReader::with_capacity(1 << 16, Unpacker::new(reader));
                (Self::Gzip(Box::new(unpacked)), length.saturating_mul(MAX_GZIP_RATIO))
            }
            false => (Self::Plain(reader), length),
        })
    }

    /// Goes to a byte behind the present one.
    pub fn skip_to(&mut self, from: u64, to: u64) -> std::io::Result<()> {
        match self {
            Self::Plain(reader) => reader.seek(SeekFrom::Start(to)).map(drop),
            Self::Gzip(reader) => {
                std::io::copy(&mut reader.take(to.saturating_sub(from)), &mut std::io::sink()).map(drop)
            }
        }
    }
}

impl Stream {
    /// The file itself and where to read on, for `bytes` bytes at `start`: a packed stream goes to an unnamed temporary file.
    pub fn into_file(mut self, from: u64, start: u64, bytes: u64) -> std::io::Result<(File, u64)> {
        self.skip_to(from, start)?;
        match self {
            Self::Plain(reader) => Ok((reader.into_inner(), start)),
            Self::Gzip(mut reader) => {
                let mut file = tempfile::tempfile()?;
                let unpacked = std::io::copy(&mut reader.by_ref().take(bytes), &mut file)?;
                if unpacked < bytes {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                // reading on to the end lets gzip check its checksum
                std::io::copy(&mut reader.take(1 << 20), &mut std::io::sink())?;
                Ok((file, 0))
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Gzip(reader) => reader.read(buffer),
        }
    }
}

/// Does the name end like one half of a pair?
pub(super) fn is_half(name: &str) -> bool {
    [".hdr", ".img", ".hdr.gz", ".img.gz"].iter().any(|ending| name.ends_with(ending))
}

/// The other half: the same name with `wanted` (`hdr` or `img`) for its ending, packed or not; `path` itself where it ends so.
pub(super) fn half(path: &Path, wanted: &str) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let lower = name.to_lowercase();
    let plain = lower.strip_suffix(".gz").unwrap_or(&lower);
    if plain.ends_with(&format!(".{wanted}")) {
        return Ok(path.to_path_buf());
    }
    let stem = plain.rfind('.').and_then(|end| name.get(..end)).unwrap_or(&name);
    let upper = wanted.to_uppercase();
    let candidates = [wanted.to_owned(), format!("{wanted}.gz"), upper.clone(), format!("{upper}.GZ")];
    candidates
        .iter()
        .map(|ending| path.with_file_name(format!("{stem}.{ending}")))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Error::format(path, format!("is one half of a NIfTI .hdr/.img pair; {stem}.{wanted} is not beside it"))
        })
}

//! The bytes of a file from some place on, unpacked on the way where they are packed: what NIfTI, NRRD and MetaImage read their voxels from.

use super::gzip::Unpacker;
use crate::{Error, Result};
use flate2::bufread::ZlibDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// deflate cannot shrink more than this, which bounds what a short file may claim to hold
const MAX_DEFLATE_RATIO: u64 = 1032;

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// not at all
    Plain,
    /// RFC 1952
    Gzip,
    /// RFC 1950, as MetaImage has it
    Zlib,
}

impl Packing {
    /// How a whole file is packed: gzip or not at all, whatever its name says.
    pub fn of_file(path: &Path) -> Result<Self> {
        Ok(Self::of(opened(path, 0)?.fill_buf().map_err(Error::io(path))?, Self::Plain))
    }

    /// Gzip where the bytes begin as gzip does, else `otherwise`.
    fn of(start: &[u8], otherwise: Self) -> Self {
        if start.starts_with(&[0x1f, 0x8b]) { Self::Gzip } else { otherwise }
    }
}

/// Bytes that are read from a place in a file on.
pub(super) enum Stream {
    /// as they lie
    Plain(BufReader<File>),
    /// unpacked
    Packed(Box<BufReader<Box<dyn Read + Send>>>),
}

impl Stream {
    /// The bytes of a file from its beginning, unpacked where it is gzip, whatever its name says; and how many there can be at most.
    pub fn open(path: &Path) -> Result<(Self, u64)> {
        let mut reader = opened(path, 0)?;
        let packing = Packing::of(reader.fill_buf().map_err(Error::io(path))?, Packing::Plain);
        Self::of(path, reader, 0, packing)
    }

    /// The bytes from byte `at` of the file on, which are packed as said (either way of packing is taken for the other).
    pub fn open_at(path: &Path, at: u64, packing: Packing) -> Result<(Self, u64)> {
        let mut reader = opened(path, at)?;
        let packing = match packing {
            Packing::Plain => Packing::Plain,
            _ => Packing::of(reader.fill_buf().map_err(Error::io(path))?, Packing::Zlib),
        };
        Self::of(path, reader, at, packing)
    }

    fn of(path: &Path, reader: BufReader<File>, at: u64, packing: Packing) -> Result<(Self, u64)> {
        let length = reader.get_ref().metadata().map_err(Error::io(path))?.len().saturating_sub(at);
        let unpacked = |bytes: Box<dyn Read + Send>| {
            (Self::Packed(Box::new(BufReader::with_capacity(1 << 16, bytes))), length.saturating_mul(MAX_DEFLATE_RATIO))
        };
        Ok(match packing {
            Packing::Plain => (Self::Plain(reader), length),
            Packing::Gzip => unpacked(Box::new(Unpacker::new(reader))),
            Packing::Zlib => unpacked(Box::new(ZlibDecoder::new(reader))),
        })
    }

    /// Steps over bytes.
    pub fn skip(&mut self, bytes: u64) -> std::io::Result<()> {
        match self {
            Self::Plain(reader) => {
                let bytes = i64::try_from(bytes).map_err(|_| ErrorKind::UnexpectedEof)?;
                reader.seek_relative(bytes)
            }
            Self::Packed(reader) => std::io::copy(&mut reader.take(bytes), &mut std::io::sink()).map(drop),
        }
    }

    /// Reads on to the end, so that a check sum there is checked.
    pub fn finish(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Packed(reader) => std::io::copy(&mut reader.take(1 << 20), &mut std::io::sink()).map(drop),
        }
    }

    /// A file and where to read on in it, for the next `bytes` bytes: what is packed goes to an unnamed temporary file.
    pub fn into_file(self, bytes: u64) -> std::io::Result<(File, u64)> {
        match self {
            Self::Plain(mut reader) => {
                let at = reader.stream_position()?;
                Ok((reader.into_inner(), at))
            }
            Self::Packed(mut reader) => {
                let mut file = tempfile::tempfile()?;
                let unpacked = std::io::copy(&mut reader.by_ref().take(bytes), &mut file)?;
                if unpacked < bytes {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                Self::Packed(reader).finish()?;
                Ok((file, 0))
            }
        }
    }
}

fn opened(path: &Path, at: u64) -> Result<BufReader<File>> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path).map_err(Error::io(path))?);
    reader.seek(SeekFrom::Start(at)).map_err(Error::io(path))?;
    Ok(reader)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Packed(reader) => reader.read(buffer),
        }
    }
}

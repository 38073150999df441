//! A walk along the lengths of a DICOM file before anything is read from it.
//!
//! `dicom-object` asks for as much memory as an element claims to need: up to 4 GiB for one flipped bit. Here each claim is held
//! against the size of the file first (PS3.5 chapter 7, PS3.10 chapter 7); values are skipped, so that it costs little.

use super::header::unreadable;
use crate::{Error, Result};
use dicom_core::VR;
use dicom_core::header::{HasLength, Header};
use dicom_dictionary_std::tags;
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_parser::StatefulDecode;
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// preamble and `DICM`
const META_START: u64 = 132;
/// value representations of explicit encodings whose length has four bytes
const LONG: [&[u8; 2]; 10] = [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UN", b"UR", b"UT"];
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// Does every element before the pixels fit into the file, and do the pixels?
pub(super) fn check_lengths(path: &Path) -> Result<()> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let length = file.get_ref().metadata().map_err(Error::io(path))?.len();
    let syntax = transfer_syntax(&mut file, length).map_err(|_| truncated(path))?;
    let syntax = syntax.ok_or_else(|| Error::format(path, "has damaged or truncated DICOM meta information"))?;
    let Some(syntax) = TransferSyntaxRegistry.get(&syntax) else {
        return Err(Error::Unsupported(format!("{}: has an unknown transfer syntax ({syntax})", path.display())));
    };
    if syntax.uid() == DEFLATED {
        // lengths count unpacked bytes
        return Ok(());
    }
    let mut reader = LazyDataSetReader::new_with_ts(file, syntax).map_err(|error| unreadable(path, &error))?;
    while let Some(token) = reader.advance() {
        match token.map_err(|error| unreadable(path, &error))? {
            LazyDataToken::PixelSequenceStart => break,
            token @ LazyDataToken::LazyValue { .. } => {
                let LazyDataToken::LazyValue { header, decoder } = &token else { continue };
                let claimed = header.length().get().map(u64::from);
                if claimed.is_none_or(|claimed| decoder.position() + claimed > length) {
                    return Err(truncated(path));
                }
                if header.tag() == tags::PIXEL_DATA {
                    break;
                }
                token.skip().map_err(|error| unreadable(path, &error))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The transfer syntax from the meta information, which is explicit little endian in every file. Leaves the file at the start of the
/// data set; `None` where the meta information is damaged.
fn transfer_syntax(file: &mut BufReader<File>, length: u64) -> std::io::Result<Option<String>> {
    file.seek(SeekFrom::Start(META_START))?;
    let mut syntax = None;
    loop {
        let start = file.stream_position()?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [g0, g1, e0, e1, v0, v1, l0, l1] = head;
        if [g0, g1] != [2, 0] {
            file.seek(SeekFrom::Start(start))?;
            return Ok(syntax);
        }
        if VR::from_binary([v0, v1]).is_none() {
            return Ok(None);
        }
        let size = if LONG.contains(&&[v0, v1]) {
            let mut long = [0; 4];
            file.read_exact(&mut long)?;
            u64::from(u32::from_le_bytes(long))
        } else {
            u64::from(u16::from_le_bytes([l0, l1]))
        };
        if file.stream_position()? + size > length {
            return Ok(None);
        }
        let mut value = vec![0; size as usize];
        file.read_exact(&mut value)?;
        if [e0, e1] == [0x10, 0] {
            syntax = Some(String::from_utf8_lossy(&value).trim_end_matches(['\0', ' ']).to_owned());
        }
    }
}

fn truncated(path: &Path) -> Error {
    Error::format(path, "is damaged or truncated: an element claims more bytes than the DICOM file has")
}

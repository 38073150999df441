//! Unpacking within limits: gzip, and the parts of a form.

use super::refusal::{Answer, Refusal};
use axum::extract::Multipart;
use axum::extract::multipart::Field;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// Unpacks gzip to exactly `expected` bytes.
pub fn gunzip(packed: &[u8], expected: usize) -> Answer<Vec<u8>> {
    let unpacked = gunzip_up_to(packed, expected)?;
    match unpacked.len() == expected {
        true => Ok(unpacked),
        false => Err(Refusal::bad(format!("{} bytes were packed, but {expected} are expected", unpacked.len()))),
    }
}

/// Unpacks gzip that holds at most `most` bytes; what holds more is refused without being unpacked to its end.
pub fn gunzip_up_to(packed: &[u8], most: usize) -> Answer<Vec<u8>> {
    let mut unpacked = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(packed).take(limit).read_to_end(&mut unpacked);
    read.map_err(|error| Refusal::bad(format!("this is no sound gzip: {error}")))?;
    match unpacked.len() <= most {
        true => Ok(unpacked),
        false => Err(Refusal::too_large(format!("more than the {most} bytes that may be were packed"))),
    }
}

/// Packs quickly.
pub fn gzip(bytes: &[u8]) -> Answer<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// The parts of a form by name.
pub type Parts = BTreeMap<String, Part>;

/// One part.
#[derive(Debug, Default)]
pub struct Part {
    /// what the client calls the file
    pub file_name: Option<String>,
    /// what it holds
    pub bytes: Vec<u8>,
}

/// Reads a form whose parts hold at most `most` bytes together.
pub async fn parts(mut form: Multipart, most: usize) -> Answer<Parts> {
    let mut parts = Parts::new();
    let mut left = most;
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        let name = field.name().unwrap_or_default().to_owned();
        let part = part(field, &mut left).await?;
        if parts.len() == 16 {
            return Err(Refusal::bad("the form has more than 16 parts"));
        }
        parts.insert(name, part);
    }
    Ok(parts)
}

async fn part(mut field: Field<'_>, left: &mut usize) -> Answer<Part> {
    let mut part = Part { file_name: field.file_name().map(str::to_owned), bytes: Vec::new() };
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
        *left = left
            .checked_sub(chunk.len())
            .ok_or_else(|| Refusal::too_large("the form is larger than this server takes"))?;
        part.bytes.extend_from_slice(&chunk);
    }
    Ok(part)
}

fn broken(error: &axum::extract::multipart::MultipartError) -> Refusal {
    Refusal::new(error.status(), format!("the form cannot be read: {}", error.body_text()))
}

/// A part that must be there.
pub fn take(parts: &mut Parts, name: &str) -> Answer<Part> {
    parts.remove(name).ok_or_else(|| Refusal::bad(format!("the form has no part `{name}`")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = gzip(&vec![0; 10 << 20]).unwrap();
        assert_eq!(gunzip_up_to(&bomb, 1000).unwrap_err().status, 413);
        assert_eq!(gunzip(&bomb, 10 << 20).unwrap().len(), 10 << 20);
    }

    #[test]
    fn short_and_damaged_gzip_is_refused() {
        let packed = gzip(b"twelve bytes").unwrap();
        assert!(gunzip(&packed, 13).is_err());
        assert!(gunzip(&packed[..packed.len() - 9], 12).is_err());
        assert!(gunzip(b"no gzip", 7).is_err());
    }
}

//! Chunks of Blosc2, unpacked: what nnInteractive's clients send. Written from the format's description
//! (<https://github.com/Blosc/c-blosc2/blob/main/README_CHUNK_FORMAT.rst>) and compared with PyPI `blosc2`. Sizes come from the sender: every
//! one is checked before it is used, and nothing is made larger than the caller allows.

use super::refusal::{Answer, Refusal};
use ruzstd::decoding::FrameDecoder;

const HEADER: usize = 16;
const EXTENDED: usize = 32;
const LZ4: u8 = 1;
const ZSTD: u8 = 4;
const SHUFFLE: u8 = 1;
/// The chunk is the bytes themselves.
const STORED: u8 = 2;
/// Both bits together: the header is the long one.
const LONG: u8 = 5;
const NOT_SPLIT: u8 = 0x10;

fn wrong(what: &str) -> Refusal {
    Refusal::bad(format!("this is no sound Blosc2 chunk: {what}"))
}

/// The head of a chunk.
struct Chunk<'a> {
    bytes: &'a [u8],
    header: usize,
    flags: u8,
    type_size: usize,
    size: usize,
    block: usize,
    shuffled: bool,
    special: u8,
}

impl<'a> Chunk<'a> {
    fn read(bytes: &'a [u8], expected: usize) -> Answer<Self> {
        let head = bytes.get(..HEADER).ok_or_else(|| wrong("it is cut off"))?;
        let (flags, type_size) = (head[2], usize::from(head[3]).max(1));
        let number = |at: usize| {
            i32_at(head, at).and_then(|n| usize::try_from(n).ok()).ok_or_else(|| wrong("a size is negative"))
        };
        let (size, block, packed) = (number(4)?, number(8)?, number(12)?);
        if size != expected {
            return Err(wrong(&format!("it holds {size} bytes and not {expected}")));
        }
        let bytes = bytes.get(..packed).ok_or_else(|| wrong("it is cut off"))?;
        let long = flags & LONG == LONG;
        let (header, shuffled, special) = match long {
            false => (HEADER, flags & 1 != 0, 0),
            true => {
                let more = bytes.get(HEADER..EXTENDED).ok_or_else(|| wrong("it is cut off"))?;
                let filters = more[..6].iter().filter(|&&filter| filter != 0);
                let shuffled = match filters.copied().collect::<Vec<_>>()[..] {
                    [] => false,
                    [SHUFFLE] => true,
                    _ => return Err(wrong("it is filtered in a way that is not understood here")),
                };
                (EXTENDED, shuffled, more[15] >> 4 & 7)
            }
        };
        Ok(Self { bytes, header, flags, type_size, size, block, shuffled, special })
    }

    fn codec(&self) -> u8 {
        self.flags >> 5
    }
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(i32::from_le_bytes(bytes.try_into().ok()?))
}

/// Unpacks a chunk of exactly `expected` bytes behind `out`.
pub fn unpack(bytes: &[u8], expected: usize, out: &mut Vec<u8>) -> Answer<()> {
    let chunk = Chunk::read(bytes, expected)?;
    let end = out.len().checked_add(expected).ok_or_else(|| wrong("it is too large"))?;
    let rest = &chunk.bytes[chunk.header.min(chunk.bytes.len())..];
    match chunk.special {
        0 if chunk.flags & STORED != 0 => {
            out.extend_from_slice(rest.get(..chunk.size).ok_or_else(|| wrong("it is cut off"))?);
            return Ok(());
        }
        0 => {}
        1 => {
            out.resize(end, 0);
            return Ok(());
        }
        3 => {
            let value = rest.get(..chunk.type_size).ok_or_else(|| wrong("it is cut off"))?;
            if !expected.is_multiple_of(chunk.type_size) {
                return Err(wrong("its size is no multiple of its values'"));
            }
            (0..expected / chunk.type_size).for_each(|_| out.extend_from_slice(value));
            return Ok(());
        }
        other => return Err(wrong(&format!("it is of the special kind {other}"))),
    }
    if chunk.size == 0 {
        return Ok(());
    }
    if chunk.block == 0 || chunk.block > chunk.size {
        return Err(wrong("the size of its blocks is odd"));
    }
    let mut plain = Vec::new();
    for at in 0..chunk.size.div_ceil(chunk.block) {
        let size = chunk.block.min(chunk.size - at * chunk.block);
        let start = i32_at(rest, 4 * at).and_then(|start| usize::try_from(start).ok());
        let start = start.filter(|&start| start >= chunk.header).ok_or_else(|| wrong("a block lies outside of it"))?;
        plain.clear();
        block(&chunk, start, size, &mut plain)?;
        match chunk.shuffled && chunk.type_size > 1 {
            true => unshuffled(&plain, chunk.type_size, out),
            false => out.extend_from_slice(&plain),
        }
    }
    Ok(())
}

/// The streams of one block.
fn block(chunk: &Chunk<'_>, start: usize, size: usize, plain: &mut Vec<u8>) -> Answer<()> {
    let whole = size == chunk.block;
    let streams = if chunk.flags & NOT_SPLIT != 0 || !whole { 1 } else { chunk.type_size };
    let length = size / streams;
    if length * streams != size {
        return Err(wrong("a block cannot be split"));
    }
    let mut at = start;
    for _ in 0..streams {
        let packed = i32_at(chunk.bytes, at).ok_or_else(|| wrong("a block is cut off"))?;
        at += 4;
        let Ok(packed) = usize::try_from(packed) else {
            // a run of one value
            let token = chunk.bytes.get(at).ok_or_else(|| wrong("a block is cut off"))?;
            at += 1;
            if token & 1 == 0 {
                return Err(wrong("a block has a token that is not understood here"));
            }
            plain.resize(plain.len() + length, (packed.unsigned_abs() & 0xff) as u8);
            continue;
        };
        if packed == 0 {
            plain.resize(plain.len() + length, 0);
            continue;
        }
        let end = at.checked_add(packed).ok_or_else(|| wrong("a block is cut off"))?;
        let stream = chunk.bytes.get(at..end).ok_or_else(|| wrong("a block is cut off"))?;
        at = end;
        match (packed == length, chunk.codec()) {
            (true, _) => plain.extend_from_slice(stream),
            (false, LZ4) => plain.extend(lz4(stream, length)?),
            (false, ZSTD) => plain.extend(zstd(stream, length)?),
            (false, other) => {
                return Err(wrong(&format!("it is packed with codec {other}, which is not understood here")));
            }
        }
    }
    Ok(())
}

fn lz4(stream: &[u8], length: usize) -> Answer<Vec<u8>> {
    let mut plain = vec![0; length];
    match lz4_flex::block::decompress_into(stream, &mut plain) {
        Ok(written) if written == length => Ok(plain),
        _ => Err(wrong("a block does not unpack (LZ4)")),
    }
}

fn zstd(stream: &[u8], length: usize) -> Answer<Vec<u8>> {
    let mut plain = vec![0; length];
    match FrameDecoder::new().decode_all(stream, &mut plain) {
        Ok(written) if written == length => Ok(plain),
        _ => Err(wrong("a block does not unpack (Zstandard)")),
    }
}

/// Bytes sorted by their place within a value, put back; what is left over at the end lies as it was.
fn unshuffled(plain: &[u8], type_size: usize, out: &mut Vec<u8>) {
    let count = plain.len() / type_size;
    let start = out.len();
    out.extend_from_slice(plain);
    let values = &mut out[start..start + count * type_size];
    for (place, bytes) in plain[..count * type_size].chunks_exact(count.max(1)).enumerate() {
        for (value, &byte) in values.chunks_exact_mut(type_size).zip(bytes) {
            value[place] = byte;
        }
    }
}

/// A chunk that holds bytes as they are.
pub fn stored(bytes: &[u8], type_size: u8) -> Answer<Vec<u8>> {
    let number = |size: usize| {
        i32::try_from(size).map(i32::to_le_bytes).map_err(|_| Refusal::too_large("the answer is too large"))
    };
    let size = number(bytes.len())?;
    let mut chunk = vec![5, 1, 0x80 | LONG | STORED, type_size];
    for part in [size, size, number(bytes.len().saturating_add(EXTENDED))?] {
        chunk.extend_from_slice(&part);
    }
    chunk.resize(EXTENDED, 0);
    chunk.extend_from_slice(bytes);
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    /// Chunks of PyPI `blosc2` and what they hold (tests/tools/make_blosc2_fixtures.py).
    fn fixtures() -> Vec<(String, Vec<u8>, Vec<u8>)> {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/blosc2/chunks.json");
        let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let bytes = |text: &serde_json::Value| {
            use base64ct::{Base64, Encoding};
            super::super::packed::gunzip_up_to(&Base64::decode_vec(text.as_str().unwrap()).unwrap(), 1 << 24).unwrap()
        };
        let case = |case: &serde_json::Value| (case["name"].to_string(), bytes(&case["chunk"]), bytes(&case["plain"]));
        cases.as_array().unwrap().iter().map(case).collect()
    }

    #[test]
    fn the_same_as_blosc2() {
        let fixtures = fixtures();
        assert!(fixtures.len() > 20);
        for (name, chunk, plain) in fixtures {
            let mut out = vec![7];
            unpack(&chunk, plain.len(), &mut out).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
            assert!(out[1..] == plain[..], "{name}");
        }
    }

    #[test]
    fn stored_chunks_come_back() {
        let chunk = stored(b"some bytes", 1).unwrap();
        let mut out = Vec::new();
        unpack(&chunk, 10, &mut out).unwrap();
        assert_eq!(out, b"some bytes");
        assert!(unpack(&chunk, 11, &mut Vec::new()).is_err());
    }

    #[test]
    fn damaged_chunks_are_refused_and_never_grow() {
        let mut random = 1u64;
        let mut next = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize
        };
        for (_, chunk, plain) in fixtures() {
            for round in 0..150 {
                let mut damaged = chunk.clone();
                match round % 3 {
                    0 => damaged.truncate(next() % chunk.len()),
                    _ => (0..1 + next() % 4).for_each(|_| {
                        let at = next() % if round % 3 == 1 { chunk.len().min(64) } else { chunk.len() };
                        damaged[at] = next() as u8;
                    }),
                }
                let mut out = Vec::new();
                if unpack(&damaged, plain.len(), &mut out).is_ok() {
                    assert_eq!(out.len(), plain.len());
                }
            }
        }
    }
}

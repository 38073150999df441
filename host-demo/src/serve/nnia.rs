//! The arrays of nnInteractive's protocol: a head with type and shape, then chunks of Blosc2.
//!
//! `"NNIA", version 1, codec, dimensions, length of the name, name, i64 per dimension, u32 chunks, { u64 plain, u64 packed, chunk }`

use super::array::{Array, Kind, count};
use super::blosc2;
use super::refusal::{Answer, Refusal};

fn wrong(what: &str) -> Refusal {
    Refusal::bad(format!("the array cannot be read: {what}"))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Answer<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| wrong("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Answer<u8> {
        Ok(self.take(1)?[0])
    }

    fn size(&mut self) -> Answer<usize> {
        let bytes = <[u8; 8]>::try_from(self.take(8)?).unwrap_or_default();
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| wrong("a size is too large"))
    }
}

/// What the head says: type, shape, and the chunks that follow.
pub struct Head<'a> {
    kind: Kind,
    /// slowest first
    pub shape: Vec<usize>,
    /// bytes of the values
    pub size: usize,
    chunks: u32,
    rest: Reader<'a>,
}

impl<'a> Head<'a> {
    /// Reads the head.
    pub fn read(bytes: &'a [u8]) -> Answer<Self> {
        let mut reader = Reader(bytes);
        if reader.take(4)? != b"NNIA" || reader.byte()? != 1 {
            return Err(wrong("it does not begin as one"));
        }
        let (_codec, dimensions, length) = (reader.byte()?, reader.byte()?, reader.byte()?);
        let name = std::str::from_utf8(reader.take(usize::from(length))?).map_err(|_| wrong("its type has no name"))?;
        let kind = Kind::named(name)?;
        if !(1..=4).contains(&dimensions) {
            return Err(wrong("it has no dimensions, or more than four"));
        }
        let shape = (0..dimensions).map(|_| reader.size()).collect::<Answer<Vec<usize>>>()?;
        let size = count(&shape)?.checked_mul(kind.size()).ok_or_else(|| wrong("it is too large"))?;
        let chunks = <[u8; 4]>::try_from(reader.take(4)?).map(u32::from_le_bytes).unwrap_or_default();
        Ok(Self { kind, shape, size, chunks, rest: reader })
    }

    /// Unpacks the values. They take `size` bytes, and never more.
    pub fn array(mut self) -> Answer<Array> {
        let mut bytes = Vec::new();
        for _ in 0..self.chunks {
            let (plain, packed) = (self.rest.size()?, self.rest.size()?);
            let chunk = self.rest.take(packed)?;
            if plain > self.size - bytes.len() {
                return Err(wrong("its chunks hold more than its shape"));
            }
            blosc2::unpack(chunk, plain, &mut bytes)?;
        }
        Array::new(self.kind, self.shape, bytes)
    }
}

/// A block of bytes as an array of uint8.
pub fn pack(shape: [usize; 3], bytes: &[u8]) -> Answer<Vec<u8>> {
    let mut array = b"NNIA\x01\x01\x03\x05uint8".to_vec();
    for n in shape {
        array.extend_from_slice(&(n as u64).to_le_bytes());
    }
    let chunks: Vec<&[u8]> = bytes.chunks(1 << 30).collect();
    array.extend_from_slice(&(chunks.len() as u32).to_le_bytes());
    for chunk in chunks {
        let packed = blosc2::stored(chunk, 1)?;
        array.extend_from_slice(&(chunk.len() as u64).to_le_bytes());
        array.extend_from_slice(&(packed.len() as u64).to_le_bytes());
        array.extend_from_slice(&packed);
    }
    Ok(array)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn there_and_back() {
        let values: Vec<u8> = (0..24).map(|at| u8::from(at % 5 == 0)).collect();
        let packed = pack([2, 3, 4], &values).unwrap();
        let head = Head::read(&packed).unwrap();
        assert_eq!((head.shape.as_slice(), head.size), (&[2, 3, 4][..], 24));
        let drawn = head.array().unwrap().into_drawn();
        assert!(drawn.iter().zip(&values).all(|(&drawn, &value)| drawn == (value == 1)));
        for length in 0..packed.len() {
            assert!(Head::read(&packed[..length]).and_then(Head::array).is_err(), "{length}");
        }
    }
}

//! Huffman tables of JPEG. Source: ITU-T T.81 annex C and F.2.2.3.

use super::Fault;
use super::bits::Bits;

/// A table, by the length of its codes.
#[derive(Clone)]
pub(super) struct Huffman {
    /// for each length: the first code, how many codes, index of the first value
    lengths: [(i32, i32, usize); 17],
    values: Vec<u8>,
}

impl Huffman {
    /// From the counts of codes of 1 to 16 bits and their values.
    pub fn new(counts: &[u8; 16], values: &[u8]) -> Self {
        let mut lengths = [(0, 0, 0); 17];
        let (mut code, mut index) = (0i32, 0);
        for (length, &count) in counts.iter().enumerate() {
            lengths[length + 1] = (code, i32::from(count), index);
            code = (code + i32::from(count)) << 1;
            index += usize::from(count);
        }
        Self { lengths, values: values.to_vec() }
    }

    /// The next symbol.
    pub fn symbol(&self, bits: &mut Bits<'_>) -> Result<u8, Fault> {
        let mut code = 0i32;
        for (first, count, index) in &self.lengths[1..] {
            code = code << 1 | bits.take(1) as i32;
            let place = code - first;
            if (0..*count).contains(&place) {
                return self.values.get(index + place as usize).copied().ok_or("a damaged Huffman table".to_owned());
            }
        }
        Err("a code that the Huffman table does not have: damaged".to_owned())
    }
}

/// A number of `size` bits whose first bit is its sign.
pub(super) fn extend(bits: &mut Bits<'_>, size: u32) -> i32 {
    if size == 0 {
        return 0;
    }
    let value = bits.take(size) as i32;
    if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value }
}

//! RLE Lossless: PackBits by byte planes. Standard: DICOM PS3.5 annex G.

use super::{Coded, Fault, Shape, words};

/// number of segments and 15 offsets
const HEADER: usize = 64;

/// One segment per byte of a value, the high one first, value after value.
pub(super) fn decode(stream: &[u8], shape: Shape<'_>) -> Result<Coded, Fault> {
    let width = usize::from(shape.allocated.div_ceil(8));
    let planes = width * shape.samples;
    let (header, _) = stream.as_chunks::<4>();
    let numbers: Vec<usize> = header.iter().take(16).map(|&word| u32::from_le_bytes(word) as usize).collect();
    if stream.len() < HEADER || numbers[0] != planes || planes > 15 {
        let claimed = numbers.first().copied().unwrap_or(0);
        return Err(format!("RLE data of {claimed} segments, {planes} are needed"));
    }
    let mut bytes = vec![0; shape.values() * width];
    let mut plane = Vec::with_capacity(shape.pixels());
    for segment in 0..planes {
        let start = numbers[1 + segment];
        let end = if segment + 1 < planes { numbers[2 + segment] } else { stream.len() };
        let packed = stream.get(start..end).filter(|_| start >= HEADER).ok_or("RLE segments outside of the data")?;
        plane.clear();
        unpack(packed, shape.pixels(), &mut plane)?;
        let (sample, high_first) = (segment / width, segment % width);
        let first = sample * width + (width - 1 - high_first);
        bytes.iter_mut().skip(first).step_by(planes).zip(&plane).for_each(|(to, &from)| *to = from);
    }
    Ok(Coded::new(words(&bytes, shape.allocated), None))
}

fn unpack(packed: &[u8], wanted: usize, plane: &mut Vec<u8>) -> Result<(), Fault> {
    let mut rest = packed;
    while plane.len() < wanted {
        let Some((&control, after)) = rest.split_first() else {
            return Err(format!("an RLE segment ends after {} of {wanted} pixels", plane.len()));
        };
        let count = match control {
            0..=127 => {
                let count = usize::from(control) + 1;
                plane.extend_from_slice(&after[..count.min(after.len())]);
                count
            }
            128 => 0,
            129.. => {
                let value = after.first().copied().ok_or("an RLE segment ends inside of a run")?;
                plane.extend(std::iter::repeat_n(value, 257 - usize::from(control)));
                1
            }
        };
        rest = after.get(count..).unwrap_or_default();
    }
    plane.truncate(wanted);
    Ok(())
}

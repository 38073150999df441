//! `bytes -> gzip` on all cores: the bytes are packed block by block, each block by itself, and the blocks joined to one ordinary stream.
//!
//! Standards: RFC 1952 (gzip), RFC 1951 (deflate). A block ends with an empty stored block (a "sync flush"), which leaves it on a whole byte, so
//! that the next can follow. What comes out is the same for any number of cores.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::io::{Error, Result, Write};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// small enough for all cores to have work, large enough to cost nothing in size
const BLOCK: usize = 1 << 20;
/// more cores than this wait for the disk
const MOST_THREADS: usize = 16;
/// magic, deflate, no flags, no time, fastest, system unknown
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// an empty last block
const END: [u8; 2] = [3, 0];

/// A packed block and the checksum of what it holds.
type Packed = Result<(Vec<u8>, Crc)>;

/// Writes the parts, one after another, as one gzip stream of level 1, as nibabel does.
pub(super) fn write(out: &mut impl Write, parts: &[&[u8]]) -> Result<()> {
    let blocks: Vec<&[u8]> = parts.iter().flat_map(|part| part.chunks(BLOCK)).collect();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.clamp(1, MOST_THREADS).min(blocks.len().max(1));
    out.write_all(&HEAD)?;
    let crc = thread::scope(|scope| {
        let lanes: Vec<Receiver<Packed>> = (0..threads)
            .map(|lane| {
                let (sender, receiver) = sync_channel(4);
                let blocks = &blocks;
                scope.spawn(move || {
                    for block in blocks.iter().skip(lane).step_by(threads) {
                        // the receiver is gone when writing failed
                        if sender.send(packed(block)).is_err() {
                            break;
                        }
                    }
                });
                receiver
            })
            .collect();
        let mut crc = Crc::new();
        for i in 0..blocks.len() {
            let (bytes, part) = lanes[i % threads].recv().map_err(Error::other)??;
            out.write_all(&bytes)?;
            crc.combine(&part);
        }
        Result::Ok(crc)
    })?;
    out.write_all(&END)?;
    out.write_all(&crc.sum().to_le_bytes())?;
    out.write_all(&crc.amount().to_le_bytes())
}

fn packed(block: &[u8]) -> Packed {
    let mut crc = Crc::new();
    crc.update(block);
    let mut deflate = Compress::new(Compression::fast(), false);
    let mut out = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let rest = &block[deflate.total_in() as usize..];
        let status = deflate.compress_vec(rest, &mut out, FlushCompress::Sync).map_err(Error::other)?;
        // room left over: everything is in it, the flush too
        if deflate.total_in() as usize == block.len() && out.len() < out.capacity() {
            return Ok((out, crc));
        }
        if status == Status::StreamEnd {
            return Err(Error::other("deflate ended too early"));
        }
        out.reserve(block.len() / 4 + 1024);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use flate2::read::GzDecoder;
    use std::io::Read;

    #[test]
    fn any_gzip_reader_gets_the_bytes_back() {
        let mut state = 1u32;
        let mut noise = |n: usize| -> Vec<u8> {
            let step = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..n).map(step).collect()
        };
        let plain = vec![7u8; 3 * super::BLOCK + 5];
        for (head, rest) in [(vec![], vec![]), (noise(352), noise(2 * super::BLOCK)), (noise(1), plain)] {
            let mut gzip = Vec::new();
            super::write(&mut gzip, &[&head, &rest]).unwrap();
            let mut back = Vec::new();
            // one member: this decoder stops behind the first
            GzDecoder::new(&gzip[..]).read_to_end(&mut back).unwrap();
            assert!(back == [head, rest].concat());
        }
    }
}

//! `gzip -> bytes`, of any number of members and with zeros behind them, and `bytes -> gzip` on all cores: the bytes are packed block by block, each block by itself, and the blocks joined to one ordinary stream.
//!
//! Standards: RFC 1952 (gzip), RFC 1951 (deflate). A block ends with an empty stored block (a "sync flush"), which leaves it on a whole byte, so
//! that the next can follow. What comes out is the same for any number of cores.

use crate::progress::checkpoint;
use flate2::bufread::GzDecoder;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::io::{BufRead, Error, Read, Result, Write};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// small enough for all cores to have work, large enough to cost nothing in size
const BLOCK: usize = 1 << 20;
/// so many blocks for each core are collected before they are packed
const BLOCKS_AT_ONCE: usize = 4;
/// more cores than this wait for the disk
const MOST_THREADS: usize = 16;
/// of zlib-rs: as small as level 1 of zlib, which nibabel takes; its own level 1 leaves a third more
const LEVEL: Compression = Compression::new(2);
/// magic, deflate, no flags, no time, fastest, system unknown
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// an empty last block
const END: [u8; 2] = [3, 0];

/// Unpacks member after member. Zeros behind a member are padding (tapes and block devices leave them), as for `gzip` and Python; anything
/// else must be a member.
pub(super) struct Unpacker<R: BufRead> {
    /// nothing once the last member is over
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Unpacker<R> {
    pub fn new(packed: R) -> Self {
        Self { member: Some(GzDecoder::new(packed)) }
    }
}

impl<R: BufRead> Read for Unpacker<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut packed) = self.member.take().map(GzDecoder::into_inner) else { break };
            if !skip_zeros(&mut packed)? {
                self.member = Some(GzDecoder::new(packed));
            }
        }
        Ok(0)
    }
}

/// Is it the end?
fn skip_zeros(packed: &mut impl BufRead) -> Result<bool> {
    loop {
        let bytes = packed.fill_buf()?;
        let (length, zeros) = (bytes.len(), bytes.iter().take_while(|&&byte| byte == 0).count());
        packed.consume(zeros);
        if length == 0 || zeros < length {
            return Ok(length == 0);
        }
    }
}

/// A packed block and the checksum of what it holds.
type Packed = Result<(Vec<u8>, Crc)>;

/// Packs what is written to it, as one gzip stream; [`Packer::finish`] ends it.
pub(super) struct Packer<W: Write> {
    out: W,
    threads: usize,
    waiting: Vec<u8>,
    crc: Crc,
}

impl<W: Write> Packer<W> {
    pub fn new(mut out: W) -> Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        out.write_all(&HEAD)?;
        Ok(Self { out, threads: cores.clamp(1, MOST_THREADS), waiting: Vec::new(), crc: Crc::new() })
    }

    /// Packs what is left and writes the checksum.
    pub fn finish(mut self) -> Result<()> {
        self.pack()?;
        self.out.write_all(&END)?;
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        self.out.flush()
    }

    /// Packs what waits: each core takes every so many-th block, and they are written in order.
    fn pack(&mut self) -> Result<()> {
        let Self { out, threads, waiting, crc } = self;
        let blocks: Vec<&[u8]> = waiting.chunks(BLOCK).collect();
        thread::scope(|scope| {
            let lanes: Vec<Receiver<Packed>> = (0..*threads)
                .map(|lane| {
                    let (sender, receiver) = sync_channel(BLOCKS_AT_ONCE);
                    let blocks = blocks.iter().skip(lane).step_by(*threads);
                    scope.spawn(move || {
                        for block in blocks {
                            // the receiver is gone when writing failed
                            if sender.send(packed(block)).is_err() {
                                break;
                            }
                        }
                    });
                    receiver
                })
                .collect();
            for i in 0..blocks.len() {
                let (bytes, part) = lanes[i % *threads].recv().map_err(Error::other)??;
                out.write_all(&bytes)?;
                crc.combine(&part);
            }
            Result::Ok(())
        })?;
        waiting.clear();
        Ok(())
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let room = self.threads * BLOCKS_AT_ONCE * BLOCK - self.waiting.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.waiting.extend_from_slice(taken);
        if taken.len() == room {
            checkpoint();
            self.pack()?;
        }
        Ok(taken.len())
    }

    /// Blocks stay whole: nothing is packed before its time.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

fn packed(block: &[u8]) -> Packed {
    let mut crc = Crc::new();
    crc.update(block);
    let mut deflate = Compress::new(LEVEL, false);
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
    use std::io::{Read, Write};

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn members_and_zeros_behind_them() {
        let unpacked = |packed: &[u8]| {
            let mut bytes = Vec::new();
            super::Unpacker::new(packed).read_to_end(&mut bytes).map(|_| bytes)
        };
        let (one, two) = (member(b"one"), member(b"two"));
        let zeros = |count: usize| vec![0; count];
        assert_eq!(unpacked(&one).unwrap(), b"one");
        assert_eq!(unpacked(&[one.clone(), zeros(70_000)].concat()).unwrap(), b"one");
        assert_eq!(unpacked(&[one.clone(), zeros(3), two.clone(), zeros(1)].concat()).unwrap(), b"onetwo");
        let mut wrong = one.clone();
        let crc = wrong.len() - 8;
        wrong[crc] ^= 1;
        for damaged in
            [wrong, one[..one.len() - 3].to_vec(), [&one[..], b"text"].concat(), [one, zeros(2), vec![7]].concat()]
        {
            assert!(unpacked(&damaged).is_err());
        }
    }

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
        let plain = vec![7u8; 70 * super::BLOCK + 5];
        for (head, rest) in [(vec![], vec![]), (noise(352), noise(2 * super::BLOCK)), (noise(1), plain)] {
            let mut gzip = Vec::new();
            let mut packer = super::Packer::new(&mut gzip).unwrap();
            packer.write_all(&head).unwrap();
            packer.write_all(&rest).unwrap();
            packer.finish().unwrap();
            let mut back = Vec::new();
            // one member: this decoder stops behind the first
            GzDecoder::new(&gzip[..]).read_to_end(&mut back).unwrap();
            assert!(back == [head, rest].concat());
        }
    }
}

//! Bits out of a JPEG or JPEG-LS scan, the high one first.
//!
//! Sources: ITU-T T.81 F.2.2.5 (a zero byte follows each FF), T.87 A.1 (a zero bit does). Behind the end come zeros, and the end is
//! remembered.

/// How FF is kept apart from markers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stuffing {
    Byte,
    Bit,
}

/// Reads a scan up to the next marker.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    stuffing: Stuffing,
    window: u64,
    filled: u32,
    after_ff: bool,
    /// zero bits that were made up
    beyond: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8], stuffing: Stuffing) -> Self {
        Self { data, at: 0, stuffing, window: 0, filled: 0, after_ff: false, beyond: 0 }
    }

    /// Was more asked for than there is? A few bits of padding do not count.
    pub fn exhausted(&self) -> bool {
        self.beyond > self.filled + 8
    }

    fn fill(&mut self) {
        while self.filled <= 48 {
            let Some(&byte) = self.data.get(self.at) else { return self.pad() };
            if self.stuffing == Stuffing::Bit {
                if self.after_ff && byte >= 0x80 {
                    return self.pad();
                }
                let width = if self.after_ff { 7 } else { 8 };
                self.window = self.window << width | u64::from(byte);
                self.filled += width;
                self.after_ff = byte == 0xFF;
                self.at += 1;
                continue;
            }
            if byte == 0xFF && self.data.get(self.at + 1) != Some(&0) {
                return self.pad();
            }
            self.at += if byte == 0xFF { 2 } else { 1 };
            self.window = self.window << 8 | u64::from(byte);
            self.filled += 8;
        }
    }

    fn pad(&mut self) {
        self.window <<= 8;
        self.filled += 8;
        self.beyond = self.beyond.saturating_add(8);
    }

    /// The next `count` bits, at most 32.
    pub fn take(&mut self, count: u32) -> u32 {
        if count == 0 {
            return 0;
        }
        if self.filled < count {
            self.fill();
        }
        while self.filled < count {
            self.pad();
        }
        self.filled -= count;
        (self.window >> self.filled) as u32 & (u32::MAX >> (32 - count))
    }

    /// Zeros before the next one, at most `most`; the one is taken, too.
    pub fn zeros(&mut self, most: u32) -> Option<u32> {
        (0..=most).find(|_| self.take(1) == 1)
    }

    /// Behind the next marker of the kind RSTn; `false` where there is none.
    pub fn restart(&mut self) -> bool {
        let rest = &self.data[self.at.min(self.data.len())..];
        let marker = rest.windows(2).position(|pair| pair[0] == 0xFF && (0xD0..=0xD7).contains(&pair[1]));
        let Some(marker) = marker else { return false };
        *self = Self::new(&rest[marker + 2..], self.stuffing);
        true
    }
}

//! JPEG-LS, lossless and near-lossless, 2 to 16 bits, grey and colour in all three interleavings.
//!
//! No pure Rust crate does that: of those tried on our fixtures, `pure_jpegls` 2.0 refuses colour (its grey is exact),
//! `dicom-toolkit-codec` 0.5 fails on every one, and `charls` needs a C++ compiler.
//!
//! Source: ITU-T T.87 (ISO/IEC 14495-1): annex A (the algorithm; the names of its variables are kept), B (interleaving), C (markers and
//! preset parameters). Mapping tables, restart intervals and the colour transforms of one vendor are refused.

use super::bits::{Bits, Stuffing};
use super::{Coded, Fault, Shape};
use crate::volume::Voxels;

/// A.7.1.1
const J: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// contexts of regular mode; two of run mode follow
const REGULAR: usize = 365;

/// Marker segments before and between scans.
#[derive(Default)]
struct Header {
    bits: u32,
    preset: Option<[i32; 5]>,
}

pub(super) fn decode(stream: &[u8], shape: Shape<'_>) -> Result<Coded, Fault> {
    let start = stream.windows(3).position(|window| window == [0xFF, 0xD8, 0xFF]).ok_or("no JPEG-LS stream")?;
    let stream = &stream[start..];
    let mut header = Header::default();
    let mut values = vec![0u16; shape.values()];
    let (mut at, mut done) = (2, 0);
    while done < shape.samples {
        let Some(&[mark, kind, high, low]) = stream.get(at..at + 4) else {
            return Err(format!("the JPEG-LS stream ends after {done} of {} components", shape.samples));
        };
        if mark != 0xFF || kind == 0xFF {
            at += 1;
            continue;
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        let segment = stream.get(at + 4..at + 2 + length).ok_or("a truncated JPEG-LS segment")?;
        at += 2 + length;
        match kind {
            0xF7 => header.frame(segment, shape)?,
            0xF8 => header.preset(segment)?,
            0xDD => return Err("JPEG-LS with restart intervals, which is not supported".to_owned()),
            0xE8 if segment.starts_with(b"mrfx") && segment.get(4) != Some(&0) => {
                return Err("JPEG-LS with a vendor's colour transform, which is not supported".to_owned());
            }
            0xDA => {
                let scan = stream.get(at..).unwrap_or_default();
                done += header.scan(segment, scan, shape, done, &mut values)?;
                at += scan.windows(2).position(|pair| pair[0] == 0xFF && pair[1] >= 0x80).unwrap_or(scan.len());
            }
            _ => {}
        }
    }
    let raw =
        if header.bits <= 8 { Voxels::U8(values.iter().map(|&v| v as u8).collect()) } else { Voxels::U16(values) };
    Ok(Coded::new(raw, Some(header.bits as u16)))
}

impl Header {
    fn frame(&mut self, segment: &[u8], shape: Shape<'_>) -> Result<(), Fault> {
        let &[bits, r0, r1, c0, c1, components, ..] = segment else {
            return Err("a truncated JPEG-LS header".to_owned());
        };
        let [rows, columns] = [[r0, r1], [c0, c1]].map(|pair| usize::from(u16::from_be_bytes(pair)));
        shape.check(columns, rows, components.into())?;
        self.bits = bits.into();
        if (2..=16).contains(&bits) { Ok(()) } else { Err(format!("JPEG-LS of {bits} bits")) }
    }

    /// C.2.4.1: the parameters; tables are refused.
    fn preset(&mut self, segment: &[u8]) -> Result<(), Fault> {
        let (Some(1), Some(numbers)) = (segment.first(), segment.get(1..11)) else {
            return Err("JPEG-LS with a mapping table, which is not supported".to_owned());
        };
        let pairs = numbers.as_chunks::<2>().0;
        self.preset = Some(std::array::from_fn(|i| u16::from_be_bytes(pairs[i]).into()));
        Ok(())
    }

    /// Decodes one scan and says how many components it held.
    fn scan(
        &self,
        segment: &[u8],
        scan: &[u8],
        shape: Shape<'_>,
        done: usize,
        values: &mut [u16],
    ) -> Result<usize, Fault> {
        let count = usize::from(segment.first().copied().unwrap_or(0));
        let rest = segment.get(1 + 2 * count..).unwrap_or_default();
        let &[near, interleave, transform, ..] = rest else { return Err("a truncated JPEG-LS scan".to_owned()) };
        if self.bits == 0 || transform != 0 || count == 0 || done + count > shape.samples {
            return Err("a damaged or unsupported JPEG-LS scan".to_owned());
        }
        if interleave > 2 || (count > 1) == (interleave == 0) && count > 1 {
            return Err(format!("JPEG-LS interleave mode {interleave}"));
        }
        let parameters = Parameters::of(self.bits, near.into(), self.preset)?;
        let mut decoder = Decoder::new(parameters, Bits::new(scan, Stuffing::Bit), count);
        decoder.lines(shape, done, count, interleave == 2, values)?;
        Ok(count)
    }
}

#[derive(Clone, Copy)]
struct Parameters {
    maxval: i32,
    near: i32,
    range: i32,
    qbpp: u32,
    limit: u32,
    thresholds: [i32; 3],
    reset: i32,
}

impl Parameters {
    /// A.2.1 and C.2.4.1.1.
    fn of(bits: u32, near: i32, preset: Option<[i32; 5]>) -> Result<Self, Fault> {
        let given = preset.unwrap_or_default();
        let or = |value: i32, default: i32| if value == 0 { default } else { value };
        let maxval = or(given[0], (1 << bits) - 1);
        if maxval >= 1 << bits || near > 255.min(maxval / 2) {
            return Err("damaged JPEG-LS parameters".to_owned());
        }
        let clamp = |value: i32, least: i32| if value > maxval || value < least { least } else { value };
        let defaults = if maxval >= 128 {
            let factor = (maxval.min(4095) + 128) / 256;
            [factor + 2 + 3 * near, factor * 4 + 3 + 5 * near, factor * 17 + 4 + 7 * near]
        } else {
            let factor = 256 / (maxval + 1);
            [2.max(3 / factor + 3 * near), 3.max(7 / factor + 5 * near), 4.max(21 / factor + 7 * near)]
        };
        let first = or(given[1], clamp(defaults[0], near + 1));
        let second = or(given[2], clamp(defaults[1], first));
        let third = or(given[3], clamp(defaults[2], second));
        let range = (maxval + 2 * near) / (2 * near + 1) + 1;
        let log = |value: i32| 32 - (value - 1).leading_zeros();
        let bpp = log(maxval + 1).max(2);
        let thresholds = [first, second, third];
        Ok(Self {
            maxval,
            near,
            range,
            qbpp: log(range),
            limit: 2 * (bpp + bpp.max(8)),
            thresholds,
            reset: or(given[4], 64),
        })
    }

    /// A.3.3
    fn quantise(&self, d: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        let size = match d.abs() {
            a if a <= self.near => 0,
            a if a < t1 => 1,
            a if a < t2 => 2,
            a if a < t3 => 3,
            _ => 4,
        };
        if d < 0 { -size } else { size }
    }

    /// A.4.5, A.5.3: the value from the prediction and the error.
    fn reconstruct(&self, prediction: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let mut value = prediction + error * step;
        if value < -self.near {
            value += self.range * step;
        } else if value > self.maxval + self.near {
            value -= self.range * step;
        }
        value.clamp(0, self.maxval)
    }
}

#[derive(Clone, Copy)]
struct Context {
    a: i32,
    b: i32,
    c: i32,
    n: i32,
}

struct Decoder<'a> {
    p: Parameters,
    bits: Bits<'a>,
    contexts: Vec<Context>,
    run_index: Vec<usize>,
}

/// Two lines of one component: the one above and the one in work, with one value more on each side.
struct Lines {
    above: Vec<i32>,
    line: Vec<i32>,
}

impl Lines {
    fn new(columns: usize) -> Self {
        Self { above: vec![0; columns + 2], line: vec![0; columns + 2] }
    }

    /// A.2.1: what is left of the first and right of the last value.
    fn next(&mut self) {
        std::mem::swap(&mut self.above, &mut self.line);
        let last = self.above.len() - 1;
        self.above[last] = self.above[last - 1];
        self.line[0] = self.above[1];
    }

    /// Ra, Rb, Rc, Rd of the value at `x`, counted from 1.
    fn around(&self, x: usize) -> [i32; 4] {
        [self.line[x - 1], self.above[x], self.above[x - 1], self.above[x + 1]]
    }
}

impl<'a> Decoder<'a> {
    fn new(p: Parameters, bits: Bits<'a>, components: usize) -> Self {
        let context = Context { a: 2.max((p.range + 32) / 64), b: 0, c: 0, n: 1 };
        Self { p, bits, contexts: vec![context; REGULAR + 2], run_index: vec![0; components] }
    }

    fn lines(
        &mut self,
        shape: Shape<'_>,
        first: usize,
        count: usize,
        by_sample: bool,
        values: &mut [u16],
    ) -> Result<(), Fault> {
        let mut lines: Vec<Lines> = (0..count).map(|_| Lines::new(shape.columns)).collect();
        for row in values.chunks_exact_mut(shape.columns * shape.samples) {
            lines.iter_mut().for_each(Lines::next);
            if by_sample {
                self.line(&mut lines, 0, shape.columns)?;
            } else {
                for (component, lines) in lines.iter_mut().enumerate() {
                    self.line(std::slice::from_mut(lines), component, shape.columns)?;
                }
            }
            if self.bits.exhausted() {
                return Err("the JPEG-LS scan ends too early: truncated".to_owned());
            }
            for (component, lines) in lines.iter().enumerate() {
                let to = row.iter_mut().skip(first + component).step_by(shape.samples);
                to.zip(&lines.line[1..]).for_each(|(to, &value)| *to = value as u16);
            }
        }
        Ok(())
    }

    /// One line of one component, or of all when they are interleaved by sample.
    fn line(&mut self, lines: &mut [Lines], index: usize, columns: usize) -> Result<(), Fault> {
        let mut x = 1;
        while x <= columns {
            let mut contexts = [0; 4];
            for (context, lines) in contexts.iter_mut().zip(lines.iter()) {
                let [a, b, c, d] = lines.around(x);
                let [q1, q2, q3] = [d - b, b - c, c - a].map(|d| self.p.quantise(d));
                *context = 81 * q1 + 9 * q2 + q3;
            }
            if contexts[..lines.len()].iter().all(|&context| context == 0) {
                x = self.run(lines, index, x, columns)?;
                continue;
            }
            for (context, lines) in contexts.iter().zip(lines.iter_mut()) {
                lines.line[x] = self.regular(*context, lines.around(x))?;
            }
            x += 1;
        }
        Ok(())
    }

    /// A.4 to A.6
    fn regular(&mut self, context: i32, [a, b, c, _]: [i32; 4]) -> Result<i32, Fault> {
        let sign = if context < 0 { -1 } else { 1 };
        let index = context.unsigned_abs() as usize;
        let guess = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        };
        let state = self.contexts[index];
        let guess = (guess + sign * state.c).clamp(0, self.p.maxval);
        let k = golomb_parameter(state.n, state.a)?;
        let mapped = self.golomb(k, self.p.limit)?;
        let inverted = self.p.near == 0 && k == 0 && 2 * state.b <= -state.n;
        let error = match (mapped % 2 == 0, inverted) {
            (true, false) => mapped / 2,
            (false, false) => -(mapped + 1) / 2,
            (false, true) => (mapped - 1) / 2,
            (true, true) => -(mapped / 2) - 1,
        };
        self.update(index, error);
        Ok(self.p.reconstruct(guess, sign * error))
    }

    fn update(&mut self, index: usize, error: i32) {
        let Context { a, b, c, n } = &mut self.contexts[index];
        *b += error * (2 * self.p.near + 1);
        *a += error.abs();
        if *n == self.p.reset {
            *a >>= 1;
            *b = if *b >= 0 { *b >> 1 } else { -((1 - *b) >> 1) };
            *n >>= 1;
        }
        *n += 1;
        if *b <= -*n {
            *b = (*b + *n).max(1 - *n);
            *c = (*c - 1).max(-128);
        } else if *b > 0 {
            *b = (*b - *n).min(0);
            *c = (*c + 1).min(127);
        }
    }

    /// A.7: values equal to the one before, then one that is not. Returns where the line goes on.
    fn run(&mut self, lines: &mut [Lines], index: usize, start: usize, columns: usize) -> Result<usize, Fault> {
        let mut x = start;
        while self.bits.take(1) == 1 {
            let whole = 1usize << J[self.run_index[index]];
            let count = whole.min(columns + 1 - x);
            x += count;
            if count == whole {
                self.run_index[index] = (self.run_index[index] + 1).min(31);
            }
            if x > columns {
                break;
            }
        }
        let interrupted = x <= columns;
        if interrupted {
            x += self.bits.take(J[self.run_index[index]]) as usize;
            if x > columns {
                return Err("a JPEG-LS run beyond its line: damaged".to_owned());
            }
        }
        for lines in lines.iter_mut() {
            let value = lines.line[start - 1];
            lines.line[start..x].fill(value);
        }
        if !interrupted {
            return Ok(x);
        }
        let together = lines.len() > 1;
        for lines in lines.iter_mut() {
            let [a, b, ..] = lines.around(x);
            lines.line[x] = self.interruption(a, b, together, self.run_index[index])?;
        }
        self.run_index[index] = self.run_index[index].saturating_sub(1);
        Ok(x + 1)
    }

    /// A.7.2: the value behind a run.
    fn interruption(&mut self, a: i32, b: i32, together: bool, run_index: usize) -> Result<i32, Fault> {
        let alike = !together && (a - b).abs() <= self.p.near;
        let kind = i32::from(alike);
        let index = REGULAR + usize::from(alike);
        let state = self.contexts[index];
        let total = if alike { state.a + (state.n >> 1) } else { state.a };
        let k = golomb_parameter(state.n, total)?;
        let mapped = self.golomb(k, self.p.limit - J[run_index] - 1)?;
        let with_kind = mapped + kind;
        let map = with_kind % 2;
        let size = (with_kind + map) / 2;
        let negative = (k != 0 || 2 * state.b >= state.n) == (map == 1);
        let error = if negative { -size } else { size };
        // b counts the negative errors here
        let context = &mut self.contexts[index];
        context.b += i32::from(error < 0);
        context.a += (mapped + 1 - kind) >> 1;
        if context.n == self.p.reset {
            context.a >>= 1;
            context.n >>= 1;
            context.b >>= 1;
        }
        context.n += 1;
        let (guess, sign) = if alike { (a, 1) } else { (b, if a > b { -1 } else { 1 }) };
        Ok(self.p.reconstruct(guess, sign * error))
    }

    /// A.5.3: a number in the limited Golomb code.
    fn golomb(&mut self, k: u32, limit: u32) -> Result<i32, Fault> {
        let most = limit.saturating_sub(self.p.qbpp + 1);
        let zeros = self.bits.zeros(limit).ok_or("a JPEG-LS code that is too long: damaged")?;
        let value = if zeros < most { zeros << k | self.bits.take(k) } else { self.bits.take(self.p.qbpp) + 1 };
        if value < 1 << 18 { Ok(value as i32) } else { Err("a JPEG-LS error that is too large: damaged".to_owned()) }
    }
}

/// A.5.1
fn golomb_parameter(n: i32, a: i32) -> Result<u32, Fault> {
    (0..24).find(|&k| i64::from(n) << k >= i64::from(a)).ok_or_else(|| "a damaged JPEG-LS context".to_owned())
}

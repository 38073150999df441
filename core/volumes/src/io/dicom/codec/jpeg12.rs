//! JPEG extended sequential of 12 bits, grey or colour, Huffman coded.
//!
//! `jpeg-decoder` has 8 bits only; `libjpeg-turbo-rs` 0.8 gives the same grey, but takes any three components for YCbCr, so that RGB comes
//! out wrong, and reads the first scan alone.
//!
//! Source: ITU-T T.81: A.2 (blocks and interleaving), A.3.3 (inverse DCT), B.2 (markers), F.2.2 (decoding). Colours are not converted and
//! subsampled components are repeated.

use super::bits::{Bits, Stuffing};
use super::huffman::{Huffman, extend};
use super::{Fault, Shape};

const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];
const MIDDLE: f32 = 2048.0;
const LARGEST: f32 = 4095.0;

#[derive(Clone, Default)]
struct Component {
    name: u8,
    /// blocks per unit, across and down
    across: usize,
    down: usize,
    table: usize,
    dc: usize,
    ac: usize,
    before: i32,
    /// values of a whole number of blocks, `stride` per line
    values: Vec<u16>,
    stride: usize,
}

struct Decoder {
    quantisers: [[f32; 64]; 4],
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    components: Vec<Component>,
    restart: usize,
    /// units across and down
    units: (usize, usize),
    cosines: [[f32; 8]; 8],
}

/// `[rows, columns, samples]`.
pub(super) fn decode(stream: &[u8], shape: Shape<'_>) -> Result<Vec<u16>, Fault> {
    let mut decoder = Decoder {
        quantisers: [[0.0; 64]; 4],
        dc: [const { None }; 4],
        ac: [const { None }; 4],
        components: Vec::new(),
        restart: 0,
        units: (0, 0),
        cosines: cosines(),
    };
    let mut at = 2;
    while let Some(&[mark, kind, high, low]) = stream.get(at..at + 4) {
        if mark != 0xFF || kind == 0xFF {
            at += 1;
            continue;
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        let segment = stream.get(at + 4..at + 2 + length).ok_or("a truncated JPEG segment")?;
        at += 2 + length;
        match kind {
            0xDB => decoder.quantisers(segment)?,
            0xC4 => decoder.huffman(segment)?,
            0xDD => decoder.restart = segment.first_chunk().map_or(0, |&b| u16::from_be_bytes(b).into()),
            0xC0 | 0xC1 => decoder.frame(segment, shape)?,
            0xDA => {
                let scan = stream.get(at..).unwrap_or_default();
                decoder.scan(segment, scan, shape)?;
                at += end_of_scan(scan);
            }
            0xD9 => break,
            _ => {}
        }
    }
    decoder.pixels(shape)
}

/// Offset of the marker behind a scan.
fn end_of_scan(scan: &[u8]) -> usize {
    let marker = |pair: &[u8]| pair[0] == 0xFF && pair[1] != 0 && !(0xD0..=0xD7).contains(&pair[1]);
    scan.windows(2).position(marker).unwrap_or(scan.len())
}

impl Decoder {
    fn quantisers(&mut self, mut segment: &[u8]) -> Result<(), Fault> {
        while let Some((&head, rest)) = segment.split_first() {
            let wide = head >> 4 != 0;
            let size = if wide { 128 } else { 64 };
            let (table, rest) = rest.split_at_checked(size).ok_or("a truncated quantisation table")?;
            for (i, &place) in ZIGZAG.iter().enumerate() {
                let value = if wide { u16::from_be_bytes([table[2 * i], table[2 * i + 1]]) } else { table[i].into() };
                self.quantisers[usize::from(head & 3)][place] = value.into();
            }
            segment = rest;
        }
        Ok(())
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Result<(), Fault> {
        while let Some((&head, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or("a truncated Huffman table")?;
            let count = counts.iter().map(|&n| usize::from(n)).sum();
            let (values, rest) = rest.split_at_checked(count).ok_or("a truncated Huffman table")?;
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            tables[usize::from(head & 3)] = Some(Huffman::new(counts, values));
            segment = rest;
        }
        Ok(())
    }

    fn frame(&mut self, segment: &[u8], shape: Shape<'_>) -> Result<(), Fault> {
        let fields = segment.get(6..).unwrap_or_default().as_chunks::<3>().0;
        let whole = |&[name, steps, table]: &[u8; 3]| Component {
            name,
            across: usize::from(steps >> 4),
            down: usize::from(steps & 15),
            table: usize::from(table & 3),
            ..Component::default()
        };
        self.components = fields.iter().take(shape.samples).map(whole).collect();
        let sane = |c: &Component| matches!(c.across, 1 | 2 | 4) && matches!(c.down, 1 | 2 | 4);
        if self.components.len() != shape.samples || !self.components.iter().all(sane) {
            return Err("damaged JPEG components".to_owned());
        }
        let (across, down) = self.most();
        self.units = (shape.columns.div_ceil(8 * across), shape.rows.div_ceil(8 * down));
        for component in &mut self.components {
            component.stride = self.units.0 * component.across * 8;
            component.values = vec![0; component.stride * self.units.1 * component.down * 8];
        }
        Ok(())
    }

    /// The finest sampling.
    fn most(&self) -> (usize, usize) {
        let most = |of: fn(&Component) -> usize| self.components.iter().map(of).max().unwrap_or(1);
        (most(|c| c.across), most(|c| c.down))
    }

    fn scan(&mut self, segment: &[u8], scan: &[u8], shape: Shape<'_>) -> Result<(), Fault> {
        let count = usize::from(segment.first().copied().unwrap_or(0));
        let fields = segment.get(1..1 + 2 * count).ok_or("a truncated JPEG scan")?;
        let mut chosen = Vec::new();
        for &[name, tables] in fields.as_chunks::<2>().0 {
            let index = self.components.iter().position(|c| c.name == name).ok_or("a JPEG scan of no component")?;
            let component = &mut self.components[index];
            (component.dc, component.ac, component.before) = (usize::from(tables >> 4 & 3), usize::from(tables & 3), 0);
            chosen.push(index);
        }
        let (across, down) = self.most();
        // one component alone is not interleaved: its own blocks, without the padding of the units
        let alone = <[usize; 1]>::try_from(chosen.as_slice()).ok();
        let (columns, rows) = match alone {
            Some([index]) => {
                let component = &self.components[index];
                let blocks = |size: usize, of: usize, most: usize| (size * of).div_ceil(most).div_ceil(8);
                (blocks(shape.columns, component.across, across), blocks(shape.rows, component.down, down))
            }
            None => self.units,
        };
        let mut bits = Bits::new(scan, Stuffing::Byte);
        for unit in 0..columns * rows {
            if self.restart > 0 && unit > 0 && unit % self.restart == 0 {
                bits.restart();
                self.components.iter_mut().for_each(|component| component.before = 0);
            }
            let (x, y) = (unit % columns, unit / columns);
            for &index in &chosen {
                let (across, down) = match alone {
                    Some(_) => (1, 1),
                    None => (self.components[index].across, self.components[index].down),
                };
                for block in 0..across * down {
                    self.block(index, x * across + block % across, y * down + block / across, &mut bits)?;
                }
            }
            if bits.exhausted() {
                return Err("the JPEG scan ends too early: truncated".to_owned());
            }
        }
        Ok(())
    }

    fn block(&mut self, index: usize, x: usize, y: usize, bits: &mut Bits<'_>) -> Result<(), Fault> {
        let component = &mut self.components[index];
        let missing = "a JPEG scan without its Huffman table";
        let (dc, ac) = (self.dc[component.dc].as_ref().ok_or(missing)?, self.ac[component.ac].as_ref().ok_or(missing)?);
        let quantisers = &self.quantisers[component.table];
        let mut block = [0f32; 64];
        let size = u32::from(dc.symbol(bits)?).min(16);
        component.before = component.before.wrapping_add(extend(bits, size));
        block[0] = component.before as f32 * quantisers[0];
        let mut k = 1;
        while k < 64 {
            let symbol = ac.symbol(bits)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && run < 15 {
                break;
            }
            k += run;
            let Some(&place) = ZIGZAG.get(k) else { break };
            block[place] = extend(bits, size) as f32 * quantisers[place];
            k += 1;
        }
        let values = inverse(&block, &self.cosines);
        for (line, values) in values.as_chunks::<8>().0.iter().enumerate() {
            let start = (y * 8 + line) * component.stride + x * 8;
            let to = component.values.get_mut(start..start + 8).ok_or("a JPEG block outside of the picture")?;
            let number = |v: f32| (v + MIDDLE).round().clamp(0.0, LARGEST) as u16;
            to.iter_mut().zip(values).for_each(|(to, &v)| *to = number(v));
        }
        Ok(())
    }

    fn pixels(&self, shape: Shape<'_>) -> Result<Vec<u16>, Fault> {
        if self.components.is_empty() {
            return Err("a JPEG stream without a picture".to_owned());
        }
        let (across, down) = self.most();
        let mut pixels = Vec::with_capacity(shape.values());
        for y in 0..shape.rows {
            for x in 0..shape.columns {
                for component in &self.components {
                    let (x, y) = (x * component.across / across, y * component.down / down);
                    pixels.push(component.values[y * component.stride + x]);
                }
            }
        }
        Ok(pixels)
    }
}

/// `cosines[x][u]`: C(u) / 2 * cos((2x + 1) u pi / 16).
fn cosines() -> [[f32; 8]; 8] {
    std::array::from_fn(|x| {
        std::array::from_fn(|u| {
            let scale = if u == 0 { 0.5f64.sqrt() } else { 1.0 };
            (scale / 2.0 * ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos()) as f32
        })
    })
}

fn inverse(block: &[f32; 64], cosines: &[[f32; 8]; 8]) -> [f32; 64] {
    let mut rows = [0f32; 64];
    for v in 0..8 {
        for x in 0..8 {
            rows[8 * v + x] = (0..8).map(|u| cosines[x][u] * block[8 * v + u]).sum();
        }
    }
    let mut values = [0f32; 64];
    for y in 0..8 {
        for x in 0..8 {
            values[8 * y + x] = (0..8).map(|v| cosines[y][v] * rows[8 * v + x]).sum();
        }
    }
    values
}

//! numpy's `.npy` as SlicerNNInteractive 0.3 sends it: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use super::array::{Array, Kind, count};
use super::refusal::{Answer, Refusal};

/// What the head of a file says.
pub struct Head {
    kind: Kind,
    swapped: bool,
    columns_first: bool,
    /// slowest first, as the array is indexed
    pub shape: Vec<usize>,
    /// where the values begin
    pub start: usize,
}

fn wrong(what: &str) -> Refusal {
    Refusal::bad(format!("this is no .npy array that can be read: {what}"))
}

impl Head {
    /// Reads the head. Nothing is taken from it that is not there.
    pub fn read(bytes: &[u8]) -> Answer<Self> {
        let length = match bytes {
            [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, low, high, ..] => {
                (10, usize::from(u16::from_le_bytes([*low, *high])))
            }
            [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => {
                (12, u32::from_le_bytes([*a, *b, *c, *d]) as usize)
            }
            _ => return Err(wrong("it does not begin as one")),
        };
        let start = length.0 + length.1;
        let head = bytes
            .get(length.0..start)
            .filter(|head| head.len() < 1 << 16)
            .ok_or_else(|| wrong("its head is cut off"))?;
        let head = std::str::from_utf8(head).map_err(|_| wrong("its head is no text"))?;
        let after = |key: &str| {
            let rest = head.split_once(key).map(|(_, rest)| rest.trim_start_matches([' ', ':']));
            rest.ok_or_else(|| wrong(&format!("its head has no {key}")))
        };
        let descr = after("'descr'")?.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map(|(descr, _)| descr);
        let (kind, swapped) = kind(descr.unwrap_or_default())?;
        let columns_first = after("'fortran_order'")?.starts_with("True");
        let shape = after("'shape'")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(shape, _)| shape);
        let shape =
            shape.ok_or_else(|| wrong("its shape is missing"))?.split(',').map(str::trim).filter(|n| !n.is_empty());
        let shape: Result<Vec<usize>, _> = shape.map(str::parse).collect();
        let shape =
            shape.ok().filter(|shape| (1..=4).contains(&shape.len())).ok_or_else(|| wrong("its shape is odd"))?;
        Ok(Self { kind, swapped, columns_first, shape, start })
    }

    /// Bytes of the values.
    pub fn size(&self) -> Answer<usize> {
        count(&self.shape)?.checked_mul(self.kind.size()).ok_or_else(|| wrong("its shape is too large"))
    }

    /// The array behind this head; `bytes` is the whole file.
    pub fn array(self, mut bytes: Vec<u8>) -> Answer<Array> {
        let size = self.size()?;
        if bytes.len() - self.start.min(bytes.len()) != size {
            return Err(wrong("it is cut off, or goes on behind its end"));
        }
        let mut values = bytes.split_off(self.start);
        drop(bytes);
        if self.swapped {
            values.chunks_exact_mut(self.kind.size()).for_each(<[u8]>::reverse);
        }
        if self.columns_first {
            values = turned(&values, &self.shape, self.kind.size());
        }
        Array::new(self.kind, self.shape, values)
    }
}

fn kind(descr: &str) -> Answer<(Kind, bool)> {
    let (order, name) = descr.split_at_checked(1).unwrap_or_default();
    let kind = match name {
        "i1" => Kind::I8,
        "i2" => Kind::I16,
        "i4" => Kind::I32,
        "i8" => Kind::I64,
        "u1" | "b1" => Kind::U8,
        "u2" => Kind::U16,
        "u4" => Kind::U32,
        "u8" => Kind::U64,
        "f4" => Kind::F32,
        "f8" => Kind::F64,
        _ => return Err(wrong(&format!("its values are of type {descr:.20}"))),
    };
    match order {
        "<" | "|" | "=" => Ok((kind, false)),
        ">" => Ok((kind, true)),
        _ => Err(wrong(&format!("its values are of type {descr:.20}"))),
    }
}

/// Values whose first dimension runs fastest, brought into the order in which the last one does.
fn turned(values: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut turned = Vec::with_capacity(values.len());
    let mut index = vec![0usize; shape.len()];
    let mut steps = vec![size; shape.len()];
    for at in 1..shape.len() {
        steps[at] = steps[at - 1] * shape[at - 1];
    }
    for _ in 0..values.len() / size.max(1) {
        let from: usize = index.iter().zip(&steps).map(|(at, step)| at * step).sum();
        turned.extend_from_slice(&values[from..from + size]);
        for at in (0..shape.len()).rev() {
            index[at] += 1;
            if index[at] < shape[at] {
                break;
            }
            index[at] = 0;
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(descr: &str, fortran: &str, shape: &str, values: &[u8]) -> Vec<u8> {
        let mut head = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}").into_bytes();
        head.resize(117, b' ');
        head.push(b'\n');
        [&[0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0, 118, 0][..], &head, values].concat()
    }

    fn read(file: Vec<u8>) -> Answer<Array> {
        Head::read(&file)?.array(file)
    }

    #[test]
    fn both_orders() {
        let rows = read(file("|u1", "False", "(2, 3)", &[1, 0, 0, 0, 1, 1])).unwrap();
        assert_eq!(rows.shape, [2, 3]);
        let columns = read(file("|u1", "True", "(2, 3)", &[1, 0, 0, 1, 0, 1])).unwrap();
        assert_eq!(rows.into_drawn(), columns.into_drawn());
    }

    #[test]
    fn damaged_files_are_refused() {
        let whole = file("<i2", "False", "(2, 3)", &[0; 12]);
        for length in 0..whole.len() {
            assert!(read(whole[..length].to_vec()).is_err(), "{length}");
        }
        assert!(read(whole).is_ok());
        for (descr, shape) in
            [("<c8", "(1,)"), ("|O", "(1,)"), ("<i2", "(18446744073709551615, 9)"), ("<i2", "(-1,)"), ("<i2", "()")]
        {
            assert!(read(file(descr, "False", shape, &[0; 2])).is_err(), "{descr} {shape}");
        }
    }
}

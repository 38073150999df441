//! Tensors to a `.safetensors` file, one after another, so that the logits of a long stack never lie in memory together.
//! Format: length of the header (8 bytes, little endian), JSON header, the data in the header's order.

use crate::guard::torch;
use crate::io::atomic_file;
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use tch::{Kind, Tensor};

/// Name, type and shape of a tensor that will be written.
pub struct Entry {
    /// name
    pub name: String,
    /// `F32` or `I64`
    pub dtype: &'static str,
    /// shape
    pub shape: Vec<usize>,
}

impl Entry {
    /// A float32 tensor.
    pub fn f32(name: impl Into<String>, shape: &[usize]) -> Self {
        Self { name: name.into(), dtype: "F32", shape: shape.to_vec() }
    }

    /// An int64 tensor.
    pub fn i64(name: impl Into<String>, shape: &[usize]) -> Self {
        Self { name: name.into(), dtype: "I64", shape: shape.to_vec() }
    }

    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * if self.dtype == "I64" { 8 } else { 4 }
    }
}

/// Takes the data of the entries in their order, in pieces of any size.
pub struct Sink<'a> {
    path: &'a Path,
    file: BufWriter<File>,
}

impl Sink<'_> {
    /// Appends float32 values.
    pub fn floats(&mut self, values: &Tensor) -> Result<()> {
        let values = torch(|| Vec::<f32>::try_from(values.to_kind(Kind::Float).contiguous().flatten(0, -1)))?;
        self.write(values.iter().flat_map(|v| v.to_le_bytes()))
    }

    /// Appends float32 values.
    pub fn float_values(&mut self, values: &[f32]) -> Result<()> {
        self.write(values.iter().flat_map(|v| v.to_le_bytes()))
    }

    /// Appends int64 values.
    pub fn integers(&mut self, values: impl IntoIterator<Item = i64>) -> Result<()> {
        self.write(values.into_iter().flat_map(i64::to_le_bytes))
    }

    fn write(&mut self, bytes: impl Iterator<Item = u8>) -> Result<()> {
        self.file.write_all(&bytes.collect::<Vec<_>>()).map_err(Error::io(self.path))
    }
}

/// Writes a file of `entries`; `fill` gives their data.
pub fn write(path: &Path, entries: &[Entry], fill: impl FnOnce(&mut Sink) -> Result<()>) -> Result<()> {
    let mut header = Map::new();
    let mut end = 0;
    for entry in entries {
        let begin = end;
        end += entry.bytes();
        header.insert(
            entry.name.clone(),
            json!({"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [begin, end]}),
        );
    }
    let mut header = Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let total = 8 + header.len() + end;
    atomic_file(path, |temporary| {
        let file = File::create(temporary).map_err(Error::io(path))?;
        let mut sink = Sink { path, file: BufWriter::new(file) };
        sink.write((header.len() as u64).to_le_bytes().into_iter().chain(header.bytes()))?;
        fill(&mut sink)?;
        let file = sink.file.into_inner().map_err(|error| Error::io(path)(error.into_error()))?;
        match file.metadata().map_err(Error::io(path))?.len() {
            length if length == total as u64 => Ok(()),
            length => Err(Error::format(path, format!("{length} bytes were written instead of {total}"))),
        }
    })
}

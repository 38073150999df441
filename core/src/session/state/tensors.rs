//! The tensors of a saved session: `.safetensors` in memory, one tensor after another.

use super::super::object::{Mask, Output};
use super::super::store::{Slot, Store, bytes_of};
use super::{damaged, unwritable};
use crate::Result;
use crate::guard::{guard, torch};
use crate::model::Model;
use crate::progress::check;
use crate::weights::{dtype_of, kind_of};
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use tch::{Kind, Tensor};

/// where the JSON document lies in the metadata
const DOCUMENT: &str = "session";

enum Part<'a> {
    Slot(&'a Slot),
    Mask(&'a Mask),
}

impl Part<'_> {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Slot(slot) => slot.shape().iter().map(|&n| n as usize).collect(),
            Self::Mask(mask) => vec![mask.rows, mask.columns],
        }
    }

    fn dtype(&self) -> Result<Dtype> {
        let kind = match self {
            Self::Slot(slot) => slot.kind(),
            Self::Mask(_) => Kind::Bool,
        };
        dtype_of(kind).ok_or_else(|| unwritable(format!("there is no name for numbers of type {kind:?}")))
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::Slot(slot) => bytes_of(&slot.get()?),
            Self::Mask(mask) => Ok(mask.pixels.iter().map(|&inside| u8::from(inside)).collect()),
        }
    }
}

/// What will be written, in this order.
#[derive(Default)]
pub(super) struct Parts<'a>(Vec<(String, Part<'a>)>);

impl<'a> Parts<'a> {
    /// The tensors of an answer, under `name`.
    pub fn output(&mut self, name: &str, output: &'a Output) {
        let Output { low_res, obj_ptr, score, iou, .. } = output;
        let parts = [("low_res", low_res), ("obj_ptr", obj_ptr), ("score", score), ("iou", iou)];
        self.0.extend(parts.map(|(part, slot)| (format!("{name}.{part}"), Part::Slot(slot))));
    }

    /// A memory.
    pub fn memory(&mut self, name: String, memory: &'a Slot) {
        self.0.push((name, Part::Slot(memory)));
    }

    /// A mask that the user drew.
    pub fn mask(&mut self, name: String, mask: &'a Mask) {
        self.0.push((name, Part::Mask(mask)));
    }

    /// Everything, behind `prefix` bytes of zero.
    pub fn write(self, prefix: usize, document: String) -> Result<Vec<u8>> {
        let mut infos = Vec::new();
        let mut end = 0;
        for (name, part) in &self.0 {
            let (dtype, shape, begin) = (part.dtype()?, part.shape(), end);
            end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
            infos.push((name.clone(), TensorInfo { dtype, shape, data_offsets: (begin, end) }));
        }
        let document = HashMap::from([(DOCUMENT.to_owned(), document)]);
        let metadata = Metadata::new(Some(document), infos).map_err(unwritable)?;
        let mut header = serde_json::to_string(&metadata).map_err(unwritable)?;
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        let mut bytes = Vec::new();
        let lacking = |_| unwritable(format!("there is not enough memory for its {} MB", end >> 20));
        bytes.try_reserve_exact(prefix + 8 + header.len() + end).map_err(lacking)?;
        bytes.resize(prefix, 0);
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header.as_bytes());
        for (_, part) in &self.0 {
            check()?;
            bytes.extend(part.bytes()?);
        }
        Ok(bytes)
    }
}

/// Takes tensors out again, each with the shape that the model expects.
pub(super) struct Reader<'a> {
    metadata: Metadata,
    data: &'a [u8],
    taken: usize,
    model: &'a Model,
    /// what the model computed in when the session was saved, and computes in now
    pub kinds: [Kind; 2],
    /// what memories were rounded to, and are rounded to now
    pub memory_kinds: [Kind; 2],
}

impl<'a> Reader<'a> {
    /// The reader and the JSON document.
    pub fn new(payload: &'a [u8], model: &'a Model) -> Result<(Self, String)> {
        let (header, metadata) = SafeTensors::read_metadata(payload).map_err(damaged)?;
        let document = metadata.metadata().as_ref().and_then(|metadata| metadata.get(DOCUMENT)).cloned();
        let document = document.ok_or_else(|| damaged("its document is missing"))?;
        let data = payload.get(8 + header..).unwrap_or_default();
        Ok((
            Self { metadata, data, taken: 0, model, kinds: [model.kind(); 2], memory_kinds: [model.kind(); 2] },
            document,
        ))
    }

    /// The answer that was written under `name`.
    pub fn output(&mut self, name: &str, store: &Store) -> Result<Output> {
        let config = self.model.config();
        let width = config.hidden_dim();
        // the decoder's masks, and those that the user drew
        let low_res =
            |shape: &[i64]| [config.low_res_size(), config.image_size / 4].iter().any(|&n| shape == [1, 1, n, n]);
        let low_res = self.tensor(&format!("{name}.low_res"), [Kind::Float; 2], low_res)?;
        let obj_ptr = self.tensor(&format!("{name}.obj_ptr"), self.kinds, |shape| shape == [1, width])?;
        let score = self.tensor(&format!("{name}.score"), [Kind::Float; 2], |shape| shape == [1, 1])?;
        let iou = self.tensor(&format!("{name}.iou"), [Kind::Float; 2], |shape| shape == [1, 1])?;
        guard(|| Output::of([low_res, obj_ptr, score, iou], store))
    }

    /// A memory.
    pub fn memory(&mut self, name: &str, store: &Store) -> Result<Slot> {
        let ([height, width], mem_dim) = (self.model.config().memory_shape(), self.model.config().mem_dim());
        Ok(store.put(self.tensor(name, self.memory_kinds, |shape| shape == [1, mem_dim, height, width])?))
    }

    /// A mask that the user drew.
    pub fn mask(&mut self, name: &str, rows: usize, columns: usize) -> Result<Mask> {
        let (info, bytes) = self.take(name)?;
        if info.dtype != Dtype::BOOL || info.shape != [rows, columns] || bytes.iter().any(|&byte| byte > 1) {
            return Err(damaged(format!("{name} is no mask of {rows} x {columns} pixels")));
        }
        Ok(Mask { rows, columns, pixels: bytes.iter().map(|&byte| byte == 1).collect() })
    }

    fn tensor(&mut self, name: &str, [kind, now]: [Kind; 2], expected: impl Fn(&[i64]) -> bool) -> Result<Tensor> {
        let device = self.model.device();
        let (info, bytes) = self.take(name)?;
        let shape = info.shape.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect::<Vec<_>>();
        if kind_of(info.dtype) != Some(kind) || !expected(&shape) {
            return Err(damaged(format!("{name} has the shape {shape:?} and the type {:?}", info.dtype)));
        }
        torch(|| Tensor::f_from_data_size(bytes, &shape, kind)?.f_to_device(device)?.f_to_kind(now))
    }

    fn take(&mut self, name: &str) -> Result<(&TensorInfo, &'a [u8])> {
        check()?;
        self.taken += 1;
        let missing = || damaged(format!("{name} is missing"));
        let info = self.metadata.info(name).ok_or_else(missing)?;
        let (begin, end) = info.data_offsets;
        Ok((info, self.data.get(begin..end).ok_or_else(missing)?))
    }

    /// Every tensor was taken.
    pub fn finish(self) -> Result<()> {
        let left = self.metadata.tensors().len().abs_diff(self.taken);
        if left == 0 { Ok(()) } else { Err(damaged(format!("it holds {left} tensors that belong to nothing"))) }
    }
}

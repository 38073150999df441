//! Checkpoints for others: `.pt` and `.pth` as `torch.save` writes them (a zip archive with a pickle and the bytes of the tensors, which
//! `torch.load(..., weights_only=True)` reads), and `.safetensors`.

use super::{Tensors, dtype_of};
use crate::guard::torch;
use crate::io::atomic_file;
use crate::progress::checkpoint;
use crate::{Error, Result};
use safetensors::tensor::TensorView;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use tch::{Device, Kind, Tensor};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The numbers of a tensor as they lie in memory, on the CPU and contiguous.
pub(crate) fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = torch(|| tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous())?;
    let mut bytes = vec![0u8; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    torch(|| tensor.f_copy_data_u8(&mut bytes, tensor.numel()))?;
    Ok(bytes)
}

/// Writes tensors with metadata as `.safetensors`, atomically.
pub(crate) fn write_safetensors(path: &Path, tensors: &Tensors, metadata: HashMap<String, String>) -> Result<()> {
    let data: Vec<_> =
        tensors.iter().map(|(name, tensor)| Ok((name, tensor, bytes(tensor)?))).collect::<Result<_>>()?;
    let views = data.iter().map(|(name, tensor, bytes)| {
        let dtype = dtype_of(tensor.kind()).ok_or_else(|| Error::invalid(format!("{name} is {:?}", tensor.kind())))?;
        let shape = tensor.size().into_iter().map(|n| n as usize).collect();
        let view = TensorView::new(dtype, shape, bytes).map_err(|error| Error::invalid(format!("{name}: {error}")))?;
        Ok((name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<Result<_>>()?;
    atomic_file(path, |temporary| {
        safetensors::serialize_to_file(views, Some(metadata), temporary)
            .map_err(|error| Error::format(path, error.to_string()))
    })
}

/// Writes a state dict as PyTorch does, atomically; below `key` (`{"model": ...}`, as official checkpoints have it) where one is given.
pub(crate) fn write_torch(path: &Path, tensors: &Tensors, key: Option<&str>) -> Result<()> {
    let pickle = pickle(tensors, key)?;
    let damaged = |error: &dyn std::fmt::Display| Error::format(path, error.to_string());
    let folder = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    atomic_file(path, |temporary| {
        let file = File::create(temporary).map_err(Error::io(path))?;
        let mut archive = ZipWriter::new(BufWriter::new(file));
        let mut entry = |name: &str, bytes: &[u8]| {
            checkpoint();
            let options = options.large_file(bytes.len() > u32::MAX as usize / 2);
            archive.start_file(format!("{folder}/{name}"), options).map_err(|error| damaged(&error))?;
            archive.write_all(bytes).map_err(Error::io(path))
        };
        entry("data.pkl", &pickle)?;
        entry("byteorder", b"little")?;
        for (at, tensor) in tensors.values().enumerate() {
            entry(&format!("data/{at}"), &bytes(tensor)?)?;
        }
        entry("version", b"3\n")?;
        let mut file = archive.finish().map_err(|error| damaged(&error))?;
        file.flush().map_err(Error::io(path))
    })
}

/// The name of the storage that holds numbers of a kind.
fn storage(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Float => "FloatStorage",
        Kind::Double => "DoubleStorage",
        Kind::Half => "HalfStorage",
        Kind::BFloat16 => "BFloat16Storage",
        Kind::Int64 => "LongStorage",
        Kind::Int => "IntStorage",
        Kind::Int16 => "ShortStorage",
        Kind::Int8 => "CharStorage",
        Kind::Uint8 => "ByteStorage",
        Kind::Bool => "BoolStorage",
        _ => return None,
    })
}

/// `data.pkl`, protocol 2: a dict of names and `torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())`; the storage is
/// a persistent id, `("storage", type, key, "cpu", elements)`.
fn pickle(tensors: &Tensors, key: Option<&str>) -> Result<Vec<u8>> {
    let mut out = Pickle(b"\x80\x02".to_vec());
    if let Some(key) = key {
        out.raw(b"}").text(key);
    }
    out.raw(b"}(");
    for (at, (name, tensor)) in tensors.iter().enumerate() {
        let kind = tensor.kind();
        let storage = storage(kind).ok_or_else(|| Error::invalid(format!("{name}: {kind:?} cannot be written")))?;
        let size = tensor.size();
        let stride: Vec<i64> = (0..size.len()).map(|axis| size[axis + 1..].iter().product()).collect();
        out.text(name).raw(b"ctorch._utils\n_rebuild_tensor_v2\n(");
        out.raw(b"(").text("storage").raw(b"ctorch\n").raw(storage.as_bytes()).raw(b"\n");
        out.text(&at.to_string()).text("cpu").number(tensor.numel() as i64).raw(b"tQ");
        out.number(0).numbers(&size).numbers(&stride).raw(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.raw(b"u");
    if key.is_some() {
        out.raw(b"s");
    }
    out.raw(b".");
    Ok(out.0)
}

/// The instructions that are needed, by name in Python's `pickletools`: `BINUNICODE`, `BININT`, `LONG1`, `MARK`, `TUPLE`.
struct Pickle(Vec<u8>);

impl Pickle {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    fn number(&mut self, number: i64) -> &mut Self {
        match i32::try_from(number) {
            Ok(number) => self.raw(b"J").raw(&number.to_le_bytes()),
            Err(_) => self.raw(b"\x8a\x08").raw(&number.to_le_bytes()),
        }
    }

    fn numbers(&mut self, numbers: &[i64]) -> &mut Self {
        self.raw(b"(");
        numbers.iter().for_each(|&number| {
            self.number(number);
        });
        self.raw(b"t")
    }
}

//! `.safetensors`: a JSON header, then the bytes; its metadata may carry the model's configuration under `config`.

use super::Raw;
use crate::Error;
use crate::guard::torch;
use crate::model::ModelConfig;
use crate::progress::checkpoint;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use tch::{Kind, Tensor};

type Result<T, E = Error> = std::result::Result<T, E>;

const MOST_HEADER: u64 = 16 << 20;

/// The tensors by the names in the file, and the configuration.
pub fn read(mut file: File, path: &Path) -> Result<(Raw, Option<ModelConfig>)> {
    let length = file.metadata().map_err(Error::io(path))?.len();
    let (metadata, start) = header(&mut file, path)?;
    let config = match metadata.metadata().as_ref().and_then(|metadata| metadata.get("config")) {
        Some(text) => Some(ModelConfig::from_text(text).map_err(|e| Error::format(path, format!("its config: {e}")))?),
        None => None,
    };
    let mut infos: Vec<_> = metadata.tensors().into_iter().collect();
    infos.sort_by_key(|(_, info)| info.data_offsets);
    let mut tensors = Vec::with_capacity(infos.len());
    let mut end = 0;
    for (name, info) in infos {
        checkpoint();
        let what = |what: String| Error::format(path, format!("{name}: {what}"));
        let (kind, bytes) = check(info, end, length - start).map_err(what)?;
        end = info.data_offsets.1 as u64;
        file.seek(SeekFrom::Start(start + info.data_offsets.0 as u64)).map_err(Error::io(path))?;
        let mut data = vec![0; bytes];
        file.read_exact(&mut data).map_err(Error::io(path))?;
        let shape: Vec<i64> = info.shape.iter().map(|&n| n as i64).collect();
        let tensor =
            torch(|| Tensor::f_from_data_size(&data, &shape, kind)).map_err(|error| what(error.to_string()))?;
        tensors.push((name, tensor));
    }
    Ok((tensors, config))
}

/// An entry of the metadata of a `.safetensors` file; none where the file is of another kind.
pub fn entry(path: &Path, key: &str) -> Option<String> {
    let (metadata, _) = header(&mut File::open(path).ok()?, path).ok()?;
    metadata.metadata().as_ref()?.get(key).cloned()
}

/// The header, and where the tensors start.
fn header(file: &mut File, path: &Path) -> Result<(Metadata, u64)> {
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(Error::io(path))?;
    let header = u64::from_le_bytes(size);
    let start = header.checked_add(8).filter(|&start| header <= MOST_HEADER && start <= length);
    let start =
        start.ok_or_else(|| Error::format(path, "neither a PyTorch checkpoint (zip) nor a safetensors file"))?;
    let mut json = vec![0; header as usize];
    file.read_exact(&mut json).map_err(Error::io(path))?;
    let metadata = serde_json::from_slice(&json)
        .map_err(|error| Error::format(path, format!("its safetensors header is damaged: {error}")))?;
    Ok((metadata, start))
}

/// Type and bytes of a tensor that lies within the file, behind the one before.
fn check(info: &TensorInfo, after: u64, length: u64) -> Result<(Kind, usize), String> {
    let kind = kind_of(info.dtype).ok_or_else(|| format!("numbers of type {:?} are not understood", info.dtype))?;
    let (start, end) = info.data_offsets;
    let wanted = info.shape.iter().try_fold(kind.elt_size_in_bytes(), |bytes, &n| bytes.checked_mul(n));
    let fits = start as u64 >= after && end as u64 <= length && end.checked_sub(start) == wanted;
    let most = info.shape.iter().all(|&n| i64::try_from(n).is_ok());
    wanted
        .filter(|_| fits && most)
        .map(|bytes| (kind, bytes))
        .ok_or_else(|| "does not lie in the file; it is damaged or cut short".into())
}

/// libtorch's type of numbers in a file; `None` where it has none.
pub(crate) fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}

/// The type in a file for libtorch's numbers; `None` where there is none.
pub(crate) fn dtype_of(kind: Kind) -> Option<Dtype> {
    use Dtype::{BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8};
    [F32, F64, F16, BF16, I64, I32, I16, I8, U8, BOOL].into_iter().find(|&dtype| kind_of(dtype) == Some(kind))
}

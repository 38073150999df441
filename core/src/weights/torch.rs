//! `.pt` and `.pth`: a zip archive with a pickle (`*/data.pkl`) and the bytes of the tensors (`*/data/0`, ...), stored as they are.

use super::Raw;
use super::pickle::{Pickle, StorageRef, TensorRef};
use crate::Error;
use crate::guard::torch;
use crate::progress::checkpoint;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use tch::{Kind, Tensor};
use zip::{CompressionMethod, ZipArchive};

type Result<T, E = Error> = std::result::Result<T, E>;

const MOST_PICKLE: u64 = 16 << 20;
const BUFFER: usize = 64 << 10;

/// The tensors of an archive by the names in the file.
pub fn read(file: File, path: &Path) -> Result<Raw> {
    let length = file.metadata().map_err(Error::io(path))?.len();
    let zip = ZipArchive::new(BufReader::with_capacity(BUFFER, file))
        .map_err(|error| Error::format(path, format!("damaged or cut short ({error}); fetch it again")))?;
    let mut archive = Archive { path, zip, length, prefix: String::new(), storages: HashMap::new() };
    archive.read().map_err(|what| Error::format(path, what))
}

struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
    /// bytes of storage that may still be read: no honest file holds more than its own length
    length: u64,
    prefix: String,
    storages: HashMap<(String, Kind), Tensor>,
}

impl Archive<'_> {
    fn read(&mut self) -> Result<Raw, String> {
        self.prefix = self.find_prefix()?;
        if self.zip.index_for_name(&format!("{}byteorder", self.prefix)).is_some()
            && self.entry("byteorder", 16)? != b"little"
        {
            return Err("written on a big-endian machine, which is not understood".into());
        }
        let bytes = self.entry("data.pkl", MOST_PICKLE)?;
        let pickle = Pickle::parse(&bytes)?;
        let mut tensors = Vec::new();
        for (name, tensor) in pickle.tensors()? {
            checkpoint();
            let tensor = self.tensor(tensor).map_err(|what| format!("{name}: {what}"))?;
            tensors.push((name.to_owned(), tensor));
        }
        Ok(tensors)
    }

    /// `archive/` of `archive/data.pkl`.
    fn find_prefix(&self) -> Result<String, String> {
        let mut found = Vec::new();
        for name in self.zip.file_names() {
            let name = name.map_err(|error| error.to_string())?;
            found.extend(name.strip_suffix("data.pkl").filter(|prefix| prefix.ends_with('/')).map(str::to_owned));
        }
        match &found[..] {
            [prefix] => Ok(prefix.clone()),
            [] => Err("a zip file, but not of PyTorch: there is no data.pkl in it".into()),
            _ => Err("a zip file with several data.pkl: not a PyTorch checkpoint".into()),
        }
    }

    /// The bytes of one entry; its checksum is verified.
    fn entry(&mut self, name: &str, most: u64) -> Result<Vec<u8>, String> {
        let full = format!("{}{name}", self.prefix);
        let damaged = |error: &dyn std::fmt::Display| format!("{name} is damaged ({error}); fetch the file again");
        let mut entry = self.zip.by_name(&full).map_err(|error| damaged(&error))?;
        if entry.compression() != CompressionMethod::Stored {
            return Err(format!("{name} is compressed, which PyTorch does not do"));
        }
        if entry.size() > most {
            return Err(format!("{name} claims {} bytes, more than there can be", entry.size()));
        }
        let mut bytes = Vec::with_capacity(entry.size() as usize);
        entry.read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
        Ok(bytes)
    }

    /// A view of the storage, so that tensors which share one keep sharing it.
    fn tensor(&mut self, tensor: &TensorRef) -> Result<Tensor, String> {
        let storage = self.storage(tensor.storage)?;
        torch(|| storage.f_as_strided(&tensor.size, &tensor.stride, tensor.offset)).map_err(|error| error.to_string())
    }

    fn storage(&mut self, storage: StorageRef) -> Result<Tensor, String> {
        let StorageRef { key, kind, len } = storage;
        let slot = (key.to_owned(), kind);
        if let Some(known) = self.storages.get(&slot) {
            return if known.numel() as i64 == len { Ok(known.shallow_clone()) } else { Err(size_error(key, len)) };
        }
        let wanted = u64::try_from(len).ok().and_then(|n| n.checked_mul(kind.elt_size_in_bytes() as u64));
        let wanted = wanted.filter(|&n| n <= self.length).ok_or_else(|| size_error(key, len))?;
        let bytes = self.entry(&format!("data/{key}"), self.length)?;
        if bytes.len() as u64 != wanted {
            return Err(size_error(key, len));
        }
        self.length -= wanted;
        let tensor = torch(|| Tensor::f_from_data_size(&bytes, &[len], kind))
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        self.storages.insert(slot, tensor.shallow_clone());
        Ok(tensor)
    }
}

fn size_error(key: &str, len: i64) -> String {
    format!("its {len} elements do not match the size of data/{key}; the file is damaged")
}

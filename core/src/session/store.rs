//! Where a session keeps the tensors of every slice: in memory up to a budget in bytes, beyond it in an unnamed temporary file, so that
//! a long stack costs disk and not memory. What comes back is what was stored, bit by bit.

use crate::guard::torch;
use crate::{Error, Result};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::{Device, Kind, Tensor};

/// A place for tensors; clones share it.
#[derive(Clone, Default)]
pub struct Store(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    live_bytes: usize,
    file: Option<File>,
    file_bytes: u64,
    /// places of released tensors in the file, by length
    free: HashMap<u64, Vec<u64>>,
}

/// One stored tensor. Dropping it gives its memory or its place in the file back.
pub struct Slot {
    store: Store,
    place: Place,
    bytes: u64,
}

enum Place {
    Live(Tensor),
    Parked { offset: u64, shape: Vec<i64>, kind: Kind, device: Device },
}

impl Store {
    /// Takes a tensor in.
    pub fn put(&self, tensor: Tensor) -> Slot {
        let bytes = tensor.numel() * tensor.kind().elt_size_in_bytes();
        self.lock().live_bytes += bytes;
        Slot { store: self.clone(), place: Place::Live(tensor), bytes: bytes as u64 }
    }

    /// Bytes of the tensors that are in memory.
    pub fn live_bytes(&self) -> usize {
        self.lock().live_bytes
    }

    /// Bytes of the temporary file.
    pub fn file_bytes(&self) -> u64 {
        self.lock().file_bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self, bytes: &[u8]) -> Result<u64> {
        let length = bytes.len() as u64;
        let mut file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile().map_err(Error::io(std::env::temp_dir()))?,
        };
        let offset = self.free.get_mut(&length).and_then(Vec::pop).unwrap_or(self.file_bytes);
        let written = file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(bytes));
        self.file = Some(file);
        written.map_err(Error::io(std::env::temp_dir()))?;
        self.file_bytes = self.file_bytes.max(offset + length);
        Ok(offset)
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let file = self.file.as_mut().ok_or_else(|| Error::invalid("the session's temporary file is gone"))?;
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(bytes)).map_err(Error::io(std::env::temp_dir()))
    }
}

/// The bytes of a tensor's numbers, one after another.
pub fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>> {
    let host = torch(|| tensor.f_to_device(Device::Cpu)?.f_contiguous())?;
    let mut bytes = vec![0; host.numel() * host.kind().elt_size_in_bytes()];
    torch(|| host.f_copy_data_u8(&mut bytes, host.numel()))?;
    Ok(bytes)
}

impl Slot {
    /// The tensor's shape.
    pub fn shape(&self) -> Vec<i64> {
        match &self.place {
            Place::Live(tensor) => tensor.size(),
            Place::Parked { shape, .. } => shape.clone(),
        }
    }

    /// The tensor's type.
    pub fn kind(&self) -> Kind {
        match &self.place {
            Place::Live(tensor) => tensor.kind(),
            Place::Parked { kind, .. } => *kind,
        }
    }

    /// The tensor, read back from the file where it lies there.
    pub fn get(&self) -> Result<Tensor> {
        match &self.place {
            Place::Live(tensor) => Ok(tensor.shallow_clone()),
            Place::Parked { offset, shape, kind, device } => {
                let mut bytes = vec![0; self.bytes as usize];
                self.store.lock().read(*offset, &mut bytes)?;
                torch(|| Tensor::f_from_data_size(&bytes, shape, *kind)?.f_to_device(*device))
            }
        }
    }

    /// Moves the tensor to the file.
    pub fn park(&mut self) -> Result<()> {
        let Place::Live(tensor) = &self.place else { return Ok(()) };
        let bytes = bytes_of(tensor)?;
        let (shape, kind, device) = (tensor.size(), tensor.kind(), tensor.device());
        let mut inner = self.store.lock();
        let offset = inner.write(&bytes)?;
        inner.live_bytes -= self.bytes as usize;
        drop(inner);
        self.place = Place::Parked { offset, shape, kind, device };
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut inner = self.store.lock();
        match self.place {
            Place::Live(_) => inner.live_bytes -= self.bytes as usize,
            Place::Parked { offset, .. } => inner.free.entry(self.bytes).or_default().push(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parked_tensors_come_back_and_their_place_is_used_again() {
        let store = Store::default();
        let tensor = Tensor::randn([3, 5], (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16);
        let mut slot = store.put(tensor.shallow_clone());
        assert_eq!(store.live_bytes(), 30);
        slot.park().unwrap();
        assert_eq!((store.live_bytes(), store.file_bytes()), (0, 30));
        let back = slot.get().unwrap();
        assert_eq!(back.kind(), Kind::BFloat16);
        assert!(back.equal(&tensor));
        drop(slot);
        store.put(tensor).park().unwrap();
        assert_eq!(store.file_bytes(), 30);
    }
}

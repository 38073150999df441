//! Where a session keeps the tensors of every slice: in memory up to a budget in bytes, beyond it in an unnamed temporary file, so that
//! a long stack costs disk and not memory. What comes back is what was stored, bit by bit. A stored tensor is never changed, so that the
//! states of the history share it.

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
    /// in memory and in the file
    bytes: u64,
    file: Option<File>,
    file_bytes: u64,
    /// places of released tensors in the file, by length
    free: HashMap<u64, Vec<u64>>,
}

/// One stored tensor; clones share it. When the last is dropped, its memory or its place in the file is free again.
#[derive(Clone)]
pub struct Slot(Arc<Kept>);

struct Kept {
    store: Store,
    shape: Vec<i64>,
    kind: Kind,
    bytes: u64,
    place: Mutex<Place>,
}

enum Place {
    Live(Tensor),
    Parked { offset: u64, device: Device },
}

impl Store {
    /// Takes a tensor in.
    pub fn put(&self, tensor: Tensor) -> Slot {
        let bytes = tensor.numel() * tensor.kind().elt_size_in_bytes();
        let mut inner = self.lock();
        inner.live_bytes += bytes;
        inner.bytes += bytes as u64;
        drop(inner);
        let (shape, kind) = (tensor.size(), tensor.kind());
        Slot(Arc::new(Kept {
            store: self.clone(),
            shape,
            kind,
            bytes: bytes as u64,
            place: Mutex::new(Place::Live(tensor)),
        }))
    }

    /// Bytes of the tensors that are in memory.
    pub fn live_bytes(&self) -> usize {
        self.lock().live_bytes
    }

    /// Bytes of all tensors, wherever they are.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
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

/// Gives freed memory back to the system. glibc keeps what lies between the tensors that stay, which adds up over a long stack: 1.7 MB a slice of `tiny`.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes and returns no pointers; any thread may call it at any time
    unsafe {
        libc::malloc_trim(0);
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
    pub fn shape(&self) -> &[i64] {
        &self.0.shape
    }

    /// The tensor's type.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Bytes of the tensor.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Which tensor it is: the same for all clones.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// The tensor, read back from the file where it lies there.
    pub fn get(&self) -> Result<Tensor> {
        let Kept { store, shape, kind, bytes, .. } = &*self.0;
        match &*self.0.place() {
            Place::Live(tensor) => Ok(tensor.shallow_clone()),
            Place::Parked { offset, device } => {
                let mut read = vec![0; *bytes as usize];
                store.lock().read(*offset, &mut read)?;
                torch(|| Tensor::f_from_data_size(&read, shape, *kind)?.f_to_device(*device))
            }
        }
    }

    /// Moves the tensor to the file.
    pub fn park(&self) -> Result<()> {
        let mut place = self.0.place();
        let Place::Live(tensor) = &*place else { return Ok(()) };
        let (bytes, device) = (bytes_of(tensor)?, tensor.device());
        let mut inner = self.0.store.lock();
        let offset = inner.write(&bytes)?;
        inner.live_bytes -= bytes.len();
        drop(inner);
        *place = Place::Parked { offset, device };
        Ok(())
    }
}

impl Kept {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut inner = self.store.lock();
        inner.bytes -= self.bytes;
        match self.place.get_mut().unwrap_or_else(PoisonError::into_inner) {
            Place::Live(_) => inner.live_bytes -= self.bytes as usize,
            Place::Parked { offset, .. } => inner.free.entry(self.bytes).or_default().push(*offset),
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
        let slot = store.put(tensor.shallow_clone());
        let same = slot.clone();
        assert_eq!((store.live_bytes(), store.bytes()), (30, 30));
        slot.park().unwrap();
        assert_eq!((store.live_bytes(), store.file_bytes(), store.bytes()), (0, 30, 30));
        drop(slot);
        let back = same.get().unwrap();
        assert_eq!(back.kind(), Kind::BFloat16);
        assert!(back.equal(&tensor));
        drop(same);
        assert_eq!(store.bytes(), 0);
        store.put(tensor).park().unwrap();
        assert_eq!(store.file_bytes(), 30);
    }
}

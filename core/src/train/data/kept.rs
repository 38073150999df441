//! Which cases of a training stay in memory. Each is read once at the start, so that what is damaged is known before hours of work; as many as a
//! limit allows are kept, the others are read anew for every clip. The numbers of a training do not depend on it.

use super::Case;
use super::sample::LoadedCase;
use crate::Result;
use std::rc::Rc;

/// A case that could be read, and perhaps is in memory.
pub struct KeptCase {
    case: Box<dyn Case>,
    loaded: Option<Rc<LoadedCase>>,
}

impl KeptCase {
    /// For messages and tables.
    pub fn name(&self) -> &str {
        self.case.name()
    }

    /// The case, from memory or from its files.
    pub fn get(&self) -> Result<Rc<LoadedCase>> {
        match &self.loaded {
            Some(loaded) => Ok(loaded.clone()),
            None => LoadedCase::read(self.case.as_ref()).map(Rc::new),
        }
    }
}

/// Decides what stays: the first cases that fit.
pub struct Shelf {
    /// bytes that are still free
    free: u64,
    /// bytes of the largest case that did not stay: it takes them while it is used
    pub largest_outside: u64,
}

impl Shelf {
    /// Room for so many bytes.
    pub fn new(bytes: u64) -> Self {
        Self { free: bytes, largest_outside: 0 }
    }

    /// Reads a case.
    pub fn read(&mut self, case: Box<dyn Case>) -> Result<KeptCase> {
        let loaded = LoadedCase::read(case.as_ref())?;
        let bytes = loaded.bytes();
        if bytes > self.free {
            self.largest_outside = self.largest_outside.max(bytes);
            return Ok(KeptCase { case, loaded: None });
        }
        self.free -= bytes;
        Ok(KeptCase { case, loaded: Some(Rc::new(loaded)) })
    }
}

//! Handles: numbers that stand for something kept here. A handle that was freed, or never was one, is an error and not a crash.

use super::{MaskValue, Work};
use crate::convert;
use crate::script::{ModelValue, ScriptValue, VolumeValue};
use sam_octa2_abi::PluginError;
use std::collections::HashMap;
use std::ptr::without_provenance_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Everything of one sort.
pub struct Registry<T> {
    name: &'static str,
    entries: LazyLock<Mutex<HashMap<usize, Arc<T>>>>,
}

/// volumes
pub static VOLUMES: Registry<VolumeValue> = Registry::new("volume");
/// models
pub static MODELS: Registry<ModelValue> = Registry::new("model");
/// sessions
pub static SESSIONS: Registry<Work> = Registry::new("session");
/// results
pub static MASKS: Registry<MaskValue> = Registry::new("mask");
/// script engines
pub static SCRIPTS: Registry<ScriptValue> = Registry::new("script");

impl<T> Registry<T> {
    const fn new(name: &'static str) -> Self {
        Self { name, entries: LazyLock::new(Mutex::default) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Arc<T>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new handle. No number is given twice, whatever it stands for, and no small one at all: a count or an index
    /// that a host passes by mistake is no handle.
    pub fn add<H>(&self, value: impl Into<Arc<T>>) -> *mut H {
        static NEXT: AtomicUsize = AtomicUsize::new(0x0100_0000);
        let number = NEXT.fetch_add(0x10, Ordering::Relaxed);
        self.lock().insert(number, value.into());
        without_provenance_mut(number)
    }

    /// What a handle stands for.
    pub fn get<H>(&self, handle: *mut H) -> Result<Arc<T>, PluginError> {
        let found = self.lock().get(&handle.addr()).cloned();
        found.ok_or_else(|| {
            let what = if handle.is_null() { "is null" } else { "was freed, or is no handle of this kind" };
            convert::invalid(format!("the {} handle {what}", self.name))
        })
    }

    /// Forgets a handle; what it stood for lives on where it is in use.
    pub fn remove<H>(&self, handle: *mut H) {
        let removed = self.lock().remove(&handle.addr());
        drop(removed); // outside of the lock: a host's `release` may call back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_or_foreign_handle_is_an_error() {
        static NUMBERS: Registry<i32> = Registry::new("number");
        let handle: *mut u8 = NUMBERS.add(7);
        assert_eq!(NUMBERS.get(handle).ok().as_deref(), Some(&7));
        NUMBERS.remove(handle);
        NUMBERS.remove(handle);
        assert!(NUMBERS.get(handle).unwrap_err().message.contains("was freed"));
        assert!(NUMBERS.get(std::ptr::null_mut::<u8>()).unwrap_err().message.contains("is null"));
        assert!(NUMBERS.get(without_provenance_mut::<u8>(0x1234_5678)).is_err());
        assert!(handle.addr() > 0xff_ffff, "small numbers are nobody's");
    }
}

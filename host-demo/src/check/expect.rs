//! What the checks expect of answers: errors with code, sentence and JSON.

use anyhow::{Context, bail, ensure};
use sam_octa2_abi::raw::{ErrorBox, Status, Tables, status};
use sam_octa2_abi::{Flow, HostObserver, PluginError};
use serde_json::Value;
use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

/// The call must have failed in this way, with a text for people and well-formed detail.
pub fn expect_code<T>(result: Result<T, PluginError>, code: &str) -> anyhow::Result<()> {
    let Err(error) = result else { bail!("no error, but `{code}` was expected") };
    ensure!(error.code == code, "expected the error `{code}`, got `{}`: {}", error.code, error.message);
    well_formed(&error)
}

/// The call must have failed, in whatever way, with an error as it should be.
pub fn expect_error<T>(result: Result<T, PluginError>) -> anyhow::Result<()> {
    let Err(error) = result else { bail!("no error, but one was expected") };
    ensure!(error.code != "panic", "the plugin failed inside: {}", error.message);
    well_formed(&error)
}

fn well_formed(error: &PluginError) -> anyhow::Result<()> {
    let (code, message) = (&error.code, error.message.as_str());
    ensure!(!message.trim().is_empty(), "the error `{code}` has no text");
    ensure!(!message.contains('\n'), "the text of the error `{code}` has several lines: {message:?}");
    ensure!(
        serde_json::from_str::<Value>(&error.detail_json).is_ok_and(|detail| detail.is_object()),
        "the detail of the error `{code}` is not a JSON object"
    );
    Ok(())
}

/// Calls a function of the tables; it must fail with this code, and everything about its error must be right.
pub fn raw_error(tables: &Tables, code: &str, call: impl FnOnce(*mut *mut ErrorBox) -> Status) -> anyhow::Result<()> {
    let mut error = null_mut();
    let returned = call(&raw mut error);
    ensure!(returned != 0, "it reports success, but `{code}` was expected");
    ensure!(!error.is_null(), "it returns {returned}, but no error");
    let system = &tables.system;
    let text = |what: &str, read: unsafe extern "C" fn(*const ErrorBox) -> *const c_char| {
        // Safety: an error of the plugin, whose texts live until it is freed.
        let text = unsafe { read(error) };
        ensure!(!text.is_null(), "the {what} of its error is null");
        // Safety: ended by a zero, as the header says.
        let text = unsafe { CStr::from_ptr(text) };
        Ok(text.to_str().with_context(|| format!("the {what} of its error is not UTF-8"))?.to_owned())
    };
    let found = PluginError::new(&text("code", system.error_code)?, text("message", system.error_message)?)
        .with_detail(text("detail", system.error_detail)?);
    // Safety: an error of the plugin, freed once.
    let numbered = unsafe {
        let numbered = (system.error_status)(error);
        (system.error_free)(error);
        numbered
    };
    ensure!(numbered == returned, "it returns {returned}, but the error says {numbered}");
    let named = status::of(&found.code);
    ensure!(named == returned, "it returns {returned}, but the error's name `{}` is {named}", found.code);
    expect_code::<()>(Err(found), code)
}

/// Is something as it should be?
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> anyhow::Result<()> {
    ensure!(found == expected, "{what}: {found:?}, but should be {expected:?}");
    Ok(())
}

/// A reply as JSON.
pub fn json_of(text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).with_context(|| format!("the reply is not JSON: {:?}", text.get(..80).unwrap_or(text)))
}

/// Cancels when it was called so many times.
pub struct CancelAfter {
    calls_left: usize,
    /// how often it was asked after it had cancelled
    pub asked_again: usize,
}

impl CancelAfter {
    pub fn steps(calls_left: usize) -> Self {
        Self { calls_left, asked_again: 0 }
    }
}

impl HostObserver for CancelAfter {
    fn progress(&mut self, _: &str, _: u64, _: u64) -> Flow {
        if self.is_cancelled() { Flow::CANCEL } else { Flow::CONTINUE }
    }

    fn is_cancelled(&mut self) -> bool {
        self.asked_again += usize::from(self.calls_left == 0);
        self.calls_left = self.calls_left.saturating_sub(1);
        self.calls_left == 0
    }
}

/// Numbers that look random and are the same in every run.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.number() >> 32) as u8).collect()
    }
}

//! `sam_octa2.selftest/1`: lets a host see that the boundary holds.

use crate::convert::{self, ToHost};
use crate::guard::guarded;
use sam_octa2_abi::abi_stable::std_types::{RResult, RStr, RString};
use sam_octa2_abi::{HostCalls, PluginError};
use sam_octa2_core::progress::Observer;
use std::time::Duration;

/// Panics on purpose.
#[allow(clippy::panic)]
pub extern "C" fn panic(host: &HostCalls) -> RResult<(), PluginError> {
    guarded(Some(host), || panic!("a panic on purpose"))
}

/// Returns its argument.
pub extern "C" fn echo(text: RStr<'_>) -> RResult<RString, PluginError> {
    guarded(None, || Ok(text.into()))
}

/// Sleeps in steps.
pub extern "C" fn sleep(milliseconds: u64, host: &HostCalls) -> RResult<(), PluginError> {
    const STEP: u64 = 5;
    guarded(Some(host), || {
        let steps = milliseconds.div_ceil(STEP) as usize;
        for done in 0..steps {
            ToHost(host).step("sleep", done, steps).map_err(convert::error)?;
            std::thread::sleep(Duration::from_millis(STEP));
        }
        Ok(())
    })
}

//! `sam_octa2_task`, `_capabilities`, `_set_threads`, `_selftest`.

use super::{Place, entry, long, text};
use crate::convert::{self, ToHost};
use crate::{TORCH_VERSION, task};
use sam_octa2_abi::raw::{ErrorBox, HostStruct, Status};
use sam_octa2_boundary::task::for_c;
use sam_octa2_boundary::watch::set_eager;
use sam_octa2_core::progress::Observer;
use sam_octa2_core::{device, loader};
use serde_json::json;
use std::ffi::c_char;
use std::time::Duration;

pub unsafe extern "C" fn capabilities(reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        let known = loader::list(&[]);
        let problem = known.as_ref().err().map(ToString::to_string); // a damaged list of the user's: the rest is told all the same
        let known = known.or_else(|_| loader::list_built_in()).map_err(convert::error)?;
        let all = json!({
            "torch": TORCH_VERSION,
            "devices": device::available(),
            "no_gpu": device::cuda::gpus().err(),
            "precisions": ["auto", "f32", "bf16", "f16"],
            "threads": device::threads(),
            "models": known,
            "models_problem": problem,
        });
        reply.give_text(&all.to_string());
        Ok(())
    })
}

pub unsafe extern "C" fn task(
    name: *const c_char,
    request: *const c_char,
    host: *const HostStruct,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    // Safety: the header's rules.
    unsafe { for_c(task::dispatch, name, request, host, reply, error) }
}

pub unsafe extern "C" fn set_threads(count: u32, error: *mut *mut ErrorBox) -> Status {
    entry(error, || device::set_threads(count as usize).map_err(convert::error))
}

#[allow(clippy::panic, reason = "on purpose")]
pub unsafe extern "C" fn selftest(what: *const c_char, host: *const HostStruct, error: *mut *mut ErrorBox) -> Status {
    const STEPS: usize = 60_000 / 5;
    // Safety: the header's rules.
    unsafe {
        long(host, error, |calls| match text("what", what)? {
            "panic" => panic!("a panic on purpose"),
            "sleep" => (0..STEPS).try_for_each(|done| {
                std::thread::sleep(Duration::from_millis(5));
                ToHost(calls).step("sleep", done, STEPS).map_err(convert::error)
            }),
            "eager" | "patient" => {
                set_eager(text("what", what)? == "eager");
                Ok(())
            }
            other => Err(convert::invalid(format!(
                "there is no self-test `{other}`; there are panic, sleep, eager and patient"
            ))),
        })
    }
}

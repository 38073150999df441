//! What a host may get wrong: handles, null, sizes of structs, text. All of it is an error, told as the header says.

use super::expect::{raw_error, same};
use super::interfaces::{self, Interface};
use super::lender::{C_ORDER, Lender};
use super::pages::Pages;
use super::{Case, Check};
use anyhow::{Context, ensure};
use sam_octa2_abi::raw::opaque::{Mask, Model, Script, Session, Volume};
use sam_octa2_abi::raw::{ErrorBox, FunctionStruct, HostStruct, Tables, ViewStruct};
use std::ffi::CStr;
use std::ptr::{null, null_mut, without_provenance_mut};

pub const CHECKS: &[Check] = &[
    Check {
        name: "handles",
        title: "null, freed and foreign handles are errors",
        level: 2,
        needs: &["system-layout"],
        run: handles,
    },
    Check { name: "null", title: "null arguments are errors", level: 2, needs: &["system-layout"], run: nulls },
    Check {
        name: "struct-size",
        title: "structs that are too short are refused, longer ones taken",
        level: 2,
        needs: &["system-layout"],
        run: struct_size,
    },
    Check {
        name: "error-text",
        title: "errors have a known name, one line of UTF-8, and JSON",
        level: 2,
        needs: &["system-layout"],
        run: error_text,
    },
];

/// An error is not asked for.
const NONE: *mut *mut ErrorBox = null_mut();
const INVALID: &str = "invalid_argument";

fn handles(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let foreign = [0usize, 0x10_0000_0010, 0x7fff_ffff_fff0, usize::MAX & !0xf, 3];
        foreign.into_iter().try_for_each(|number| {
            refused_everywhere(&interface.tables, number).with_context(|| format!("the handle {number:#x}"))
        })?;
        freed(interface)
    })
}

/// Every sort of handle in one function of its room.
fn refused_everywhere(t: &Tables, number: usize) -> anyhow::Result<()> {
    let (mut reply, mut view) = (null_mut(), ViewStruct::empty());
    let volume: *mut Volume = without_provenance_mut(number);
    let model: *mut Model = without_provenance_mut(number);
    let session: *mut Session = without_provenance_mut(number);
    let mask: *mut Mask = without_provenance_mut(number);
    let script: *mut Script = without_provenance_mut(number);
    // Safety: no handles, which the header says are errors; everything else is as it should be.
    unsafe {
        raw_error(t, INVALID, |error| (t.volume.info)(volume, &raw mut reply, error)).context("volume_info")?;
        raw_error(t, INVALID, |error| (t.volume.frame)(volume, 0, &raw mut view, error)).context("volume_frame")?;
        raw_error(t, INVALID, |error| (t.model.describe)(model, &raw mut reply, error)).context("model_describe")?;
        raw_error(t, INVALID, |error| (t.session.describe)(session, &raw mut reply, error))
            .context("session_describe")?;
        raw_error(t, INVALID, |error| (t.session.reset)(session, error)).context("session_reset")?;
        raw_error(t, INVALID, |error| (t.mask.info)(mask, &raw mut reply, error)).context("mask_info")?;
        raw_error(t, INVALID, |error| {
            (t.script.run)(script, c"{\"source\": \"1\"}".as_ptr(), null(), &raw mut reply, error)
        })
        .context("script_run")?;
        ensure!(reply.is_null() && view.data.is_null(), "a function that failed gave something");
        ensure!((t.mask.retain)(mask).is_null(), "mask_retain makes a handle of it");
        (t.volume.free)(volume);
        (t.model.free)(model);
        (t.session.free)(session);
        (t.mask.free)(mask);
        (t.script.free)(script);
    }
    Ok(())
}

/// Handles that were good once, and handles of another kind.
fn freed(interface: &Interface) -> anyhow::Result<()> {
    let t = &interface.tables;
    let (mut reply, mut volume, mut script) = (null_mut(), null_mut(), null_mut());
    let lender = Lender::counting()?;
    // Safety: used as the header allows.
    unsafe {
        same("lend", (t.volume.lend)(&lender.plain(), &raw mut volume, NONE), 0)?;
        same("script_create", (t.script.create)(&raw mut script, NONE), 0)?;
        raw_error(t, INVALID, |error| (t.mask.info)(volume.cast(), &raw mut reply, error))
            .context("a volume as mask")?;
        raw_error(t, INVALID, |error| (t.volume.info)(script.cast(), &raw mut reply, error))
            .context("a script as volume")?;
        (t.mask.free)(volume.cast());
        same("volume_info", (t.volume.info)(volume, &raw mut reply, NONE), 0).context("freed as a mask")?;
        (t.system.text_free)(reply);
        for _ in 0..2 {
            (t.volume.free)(volume);
            (t.script.free)(script);
        }
        raw_error(t, INVALID, |error| (t.volume.info)(volume, &raw mut reply, error)).context("a freed volume")?;
        raw_error(t, INVALID, |error| (t.script.add_function)(script, c"{}".as_ptr(), &function(0), error))
            .context("a freed script")?;
    }
    same("the memory was released", lender.releases(), 1)
}

/// A function of the host that is never called.
fn function(size: usize) -> FunctionStruct {
    let whole = if size == 0 { size_of::<FunctionStruct>() } else { size };
    FunctionStruct { size: whole, context: null_mut(), call: None, release: None }
}

fn nulls(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let t = &interface.tables;
        // Safety: null everywhere, which the header says is an error.
        unsafe {
            let statuses = [
                ("task", (t.system.task)(null(), null(), null(), NONE.cast(), NONE)),
                ("capabilities", (t.system.capabilities)(null_mut(), NONE)),
                ("selftest", (t.system.selftest)(null(), null(), NONE)),
                ("volume_open", (t.volume.open)(null(), null(), null(), null_mut(), NONE)),
                ("volume_lend", (t.volume.lend)(null(), null_mut(), NONE)),
                ("volume_frame", (t.volume.frame)(null_mut(), 0, null_mut(), NONE)),
                ("volume_to_index", (t.volume.to_index)(null_mut(), null(), null_mut(), NONE)),
                ("model_load", (t.model.load)(null(), null(), null_mut(), NONE)),
                ("session_create", (t.session.create)(null_mut(), null_mut(), null(), null(), null_mut(), NONE)),
                (
                    "session_restore",
                    (t.session.restore)(null_mut(), null_mut(), null(), 0, null(), null(), null_mut(), NONE),
                ),
                ("session_prompt", (t.session.prompt)(null_mut(), null(), null(), null_mut(), NONE)),
                ("session_save", (t.session.save)(null_mut(), null(), null_mut(), NONE)),
                ("mask_view", (t.mask.view)(null_mut(), 0, null_mut(), NONE)),
                ("script_create", (t.script.create)(null_mut(), NONE)),
                ("script_add_function", (t.script.add_function)(null_mut(), null(), null(), NONE)),
                ("script_run", (t.script.run)(null_mut(), null(), null(), null_mut(), NONE)),
            ];
            statuses.into_iter().try_for_each(|(name, status)| same(name, status, -2))?;
            (t.system.text_free)(null_mut());
            (t.system.error_free)(null_mut());
            (t.system.cancel_free)(null_mut());
            (t.system.cancel_trigger)(null());
            same("error_status of null", (t.system.error_status)(null()), 0)?;
            for text in [t.system.error_code, t.system.error_message, t.system.error_detail] {
                ensure!(!text(null()).is_null(), "a text of no error is null");
            }
        }
        // a place that is missing: what was given is released all the same
        let lender = Lender::counting()?;
        // Safety: as above.
        same("volume_lend", unsafe { (t.volume.lend)(&lender.plain(), null_mut(), NONE) }, -2)?;
        same("releases after volume_lend without a place", lender.releases(), 1)
    })
}

fn struct_size(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        short_host(&interface.tables)?;
        short_view(&interface.tables)?;
        short_function(&interface.tables)
    })
}

fn short_host(t: &Tables) -> anyhow::Result<()> {
    let mut reply = null_mut();
    let models = |host: *const HostStruct, reply: *mut _, error| unsafe {
        (t.system.task)(c"models".as_ptr(), c"{}".as_ptr(), host, reply, error)
    };
    let host = |size| HostStruct { size, context: null_mut(), progress: None, log: None, cancel: null() };
    for size in [0, 4, 8, size_of::<HostStruct>() - 1] {
        raw_error(t, INVALID, |error| models(&host(size), &raw mut reply, error)).with_context(|| format!("{size}"))?;
    }
    // a struct of one field, and nothing behind it
    let pages = Pages::new(size_of::<usize>())?;
    let short = pages.last(size_of::<usize>()).cast::<usize>();
    // Safety: room for one number.
    unsafe { short.write(size_of::<usize>()) };
    raw_error(t, INVALID, |error| models(short.cast(), &raw mut reply, error))
        .context("a struct at the end of memory")?;
    same("a longer sam_octa2_host", models(&host(4096), &raw mut reply, NONE), 0)?;
    // Safety: the text of the call before.
    unsafe { (t.system.text_free)(reply) };
    Ok(())
}

fn short_view(t: &Tables) -> anyhow::Result<()> {
    let lender = Lender::counting()?;
    let sized = |size| ViewStruct { size, ..lender.view(0, C_ORDER) };
    let mut volume = null_mut();
    // Safety: structs that say that they are shorter than they are.
    unsafe {
        for size in [0, 8, size_of::<ViewStruct>() - 1] {
            raw_error(t, INVALID, |error| (t.volume.lend)(&sized(size), &raw mut volume, error))
                .with_context(|| format!("a sam_octa2_view of {size} bytes"))?;
        }
        // too short to say who owns the memory
        same("releases of refused views", lender.releases(), 0)?;
        same("a longer sam_octa2_view", (t.volume.lend)(&sized(4096), &raw mut volume, NONE), 0)?;
        let mut place = ViewStruct { size: 8, ..ViewStruct::empty() };
        let refused = raw_error(t, INVALID, |error| (t.volume.frame)(volume, 0, &raw mut place, error));
        (t.volume.free)(volume);
        refused.context("a sam_octa2_view of 8 bytes as the place of a slice")
    }
}

fn short_function(t: &Tables) -> anyhow::Result<()> {
    let (mut script, declaration) = (null_mut(), c"{\"name\": \"f\"}");
    // Safety: as above; the function is never called.
    unsafe {
        same("script_create", (t.script.create)(&raw mut script, NONE), 0)?;
        let refused =
            raw_error(t, INVALID, |error| (t.script.add_function)(script, declaration.as_ptr(), &function(4), error));
        (t.script.free)(script);
        refused.context("a sam_octa2_function of 4 bytes")
    }
}

fn error_text(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let t = &interface.tables;
        let (mut reply, mut volume, mut model, mut script) = (null_mut(), null_mut(), null_mut(), null_mut());
        let mut task = |name: &CStr, request: &CStr, code: &str| {
            raw_error(t, code, |error| unsafe {
                (t.system.task)(name.as_ptr(), request.as_ptr(), null(), &raw mut reply, error)
            })
            .with_context(|| format!("task {name:?} {request:?}"))
        };
        task(c"no such task", c"{}", "not_found")?;
        task(c"\xff\xfe", c"{}", INVALID)?;
        task(c"info", c"{\"input\": \"/no/such/\\nfile.nii\"}", "not_found")?;
        task(c"info", c"\"\xe7\xb6\xb2\xe8\x86\x9c\"", INVALID)?;
        task(c"script", c"{\"source\": \"let x = \"}", "script")?;
        // Safety: as the header allows.
        unsafe {
            raw_error(t, "not_found", |error| {
                (t.volume.open)(c"/no/such/\xe7\xb6\xb2.nii".as_ptr(), null(), null(), &raw mut volume, error)
            })
            .context("volume_open")?;
            raw_error(t, "not_found", |error| {
                (t.model.load)(c"{\"model\": \"no-such-model\"}".as_ptr(), null(), &raw mut model, error)
            })
            .context("model_load")?;
            raw_error(t, INVALID, |error| (t.model.load)(c"{".as_ptr(), null(), &raw mut model, error))
                .context("model_load")?;
            ensure!(volume.is_null() && model.is_null(), "a function that failed gave something");
            same("script_create", (t.script.create)(&raw mut script, NONE), 0)?;
            let thrown = c"{\"source\": \"throw \\\"\xe7\xb6\xb2\\\\n2\\\"\"}";
            raw_error(t, "script", |error| (t.script.run)(script, thrown.as_ptr(), null(), &raw mut reply, error))
                .context("script_run")?;
            (t.script.free)(script);
        }
        Ok(())
    })
}

//! Whatever a host gets wrong is an error with code and sentence, and the plugin goes on.

use super::interfaces::both;
use super::{demo_volume, mini};
use sam_octa2_abi::raw::{HostStruct, PromptStruct, Tables, ViewStruct, opaque};
use sam_octa2_abi::{Form, Plugin, Prompt};
use std::ffi::CStr;
use std::ptr::{null, null_mut, without_provenance_mut};

/// Both interfaces as bare tables.
fn tables() -> [(&'static str, Tables); 2] {
    let plugin = Plugin::load(&super::library()).unwrap();
    let rust = plugin.tables().unwrap();
    [("rust", rust), ("c", super::interfaces::symbols(&super::library()))]
}

#[test]
fn null_freed_and_foreign_handles_are_errors() {
    for (interface, tables) in tables() {
        for handle in [null_mut(), without_provenance_mut(0x10), without_provenance_mut(usize::MAX & !0xf)] {
            unsafe {
                let mut error = null_mut();
                let status = (tables.session.reset)(handle, &raw mut error);
                assert_eq!(status, -2, "{interface}");
                let message = CStr::from_ptr((tables.system.error_message)(error)).to_str().unwrap();
                assert!(message.contains("session handle"), "{interface}: {message}");
                assert_eq!((tables.system.error_status)(error), -2, "{interface}");
                (tables.system.error_free)(error);
                // and without a place for the error
                assert_eq!((tables.session.reset)(handle, null_mut()), -2, "{interface}");
                for verb in [tables.session.undo, tables.session.redo, tables.session.history] {
                    let mut reply = null_mut();
                    assert_eq!(verb(handle, &raw mut reply, null_mut()), -2, "{interface}");
                    assert!(reply.is_null(), "{interface}");
                }
                (tables.session.free)(handle);
                (tables.volume.free)(handle.cast::<opaque::Volume>());
                (tables.mask.free)(handle.cast::<opaque::Mask>());
                assert!((tables.mask.retain)(handle.cast::<opaque::Mask>()).is_null(), "{interface}");
            }
        }
    }
}

#[test]
fn null_arguments_are_errors() {
    for (interface, t) in tables() {
        let none: *mut *mut sam_octa2_abi::raw::ErrorBox = null_mut();
        unsafe {
            let statuses = [
                (t.system.task)(null(), null(), null(), none.cast(), none),
                (t.system.capabilities)(null_mut(), none),
                (t.system.selftest)(null(), null(), none),
                (t.volume.open)(null(), null(), null(), null_mut(), none),
                (t.volume.lend)(null(), null_mut(), none),
                (t.volume.frame)(null_mut(), 0, null_mut(), none),
                (t.volume.to_index)(null_mut(), null(), null_mut(), none),
                (t.model.load)(null(), null(), null_mut(), none),
                (t.session.create)(null_mut(), null_mut(), null(), null(), null_mut(), none),
                (t.session.restore)(null_mut(), null_mut(), null(), 0, null(), null(), null_mut(), none),
                (t.session.prompt)(null_mut(), null(), null(), null_mut(), none),
                (t.mask.view)(null_mut(), 0, null_mut(), none),
                (t.script.add_function)(null_mut(), null(), null(), none),
                (t.script.run)(null_mut(), null(), null(), null_mut(), none),
            ];
            assert!(statuses.iter().all(|&status| status == -2), "{interface}: {statuses:?}");
            (t.system.text_free)(null_mut());
            (t.system.error_free)(null_mut());
            (t.system.cancel_free)(null_mut());
            (t.system.cancel_trigger)(null());
            assert_eq!((t.system.error_status)(null()), 0, "{interface}");
            assert_eq!(CStr::from_ptr((t.system.error_detail)(null())), c"{}", "{interface}");
        }
    }
}

/// Counts its calls in `owner`.
unsafe extern "C" fn released(owner: *mut std::ffi::c_void) {
    unsafe { *owner.cast::<u32>() += 1 }
}

#[test]
fn a_prompts_mask_is_released_whatever_is_wrong() {
    for (interface, t) in tables() {
        let mut count = 0u32;
        let mask = ViewStruct { owner: (&raw mut count).cast(), release: Some(released), ..ViewStruct::empty() };
        let prompt = PromptStruct { object: 1, mask: &raw const mask, ..PromptStruct::empty() };
        let short = HostStruct { size: 4, context: null_mut(), progress: None, log: None, cancel: null() };
        for host in [null(), &raw const short] {
            let status = unsafe { (t.session.prompt)(null_mut(), &raw const prompt, host, null_mut(), null_mut()) };
            assert_eq!(status, -2, "{interface}");
        }
        assert_eq!(count, 2, "{interface}");
    }
}

#[test]
fn a_struct_that_is_too_short_is_refused_and_a_longer_one_taken() {
    for (interface, t) in tables() {
        let host = |size| HostStruct { size, context: null_mut(), progress: None, log: None, cancel: null() };
        let mut reply = null_mut();
        let models = |host: &HostStruct, reply| unsafe {
            (t.system.task)(c"models".as_ptr(), c"{}".as_ptr(), host, reply, null_mut())
        };
        assert_eq!(models(&host(4), &raw mut reply), -2, "{interface}");
        assert_eq!(models(&host(4096), &raw mut reply), 0, "{interface}");
        unsafe { (t.system.text_free)(reply) }
    }
}

#[test]
fn text_that_makes_no_sense_is_refused() {
    for (interface, t) in tables() {
        let load = |request: &CStr| unsafe {
            let (mut model, mut error) = (null_mut(), null_mut());
            let status = (t.model.load)(request.as_ptr(), null(), &raw mut model, &raw mut error);
            let message = CStr::from_ptr((t.system.error_message)(error)).to_str().unwrap().to_owned();
            (t.system.error_free)(error);
            assert!(model.is_null(), "{interface}");
            (status, message)
        };
        assert_eq!(load(c"\xff\xfe").0, -2, "{interface}: not UTF-8");
        assert!(load(c"{").1.contains("`request`"), "{interface}");
        let (status, message) = load(c"{\"model\": \"no-such-model\"}");
        assert!(status == -3 && message.contains("no-such-model"), "{interface}: {message}");
        assert!(!message.contains('\n'), "{interface}: one line");
    }
}

#[test]
fn prompts_that_make_no_sense_are_refused() {
    for (interface, api) in both() {
        let session = api.session(&demo_volume(api), &mini(api), None, &mut ()).unwrap();
        let click = |frame, object, at| Prompt::click(frame, object, at);
        let bad = [
            click(99, 1, [3.0, 3.0]),
            click(-1, 1, [3.0, 3.0]),
            click(0, 0, [3.0, 3.0]),
            click(0, 70_000, [3.0, 3.0]),
            click(0, 1, [f64::NAN, 3.0]),
            click(0, 1, [1e9, 3.0]),
            Prompt { object: 1, ..Prompt::default() },
            Prompt { labels: vec![7], ..click(0, 1, [3.0, 3.0]) },
            Prompt { bounds: vec![9.0, 9.0, 3.0, 3.0], ..click(0, 1, [3.0, 3.0]) },
        ];
        for prompt in bad {
            let error = session.prompt(&prompt, &mut ()).unwrap_err();
            assert_eq!(error.code, "invalid_argument", "{interface}: {prompt:?}: {error}");
        }
        let many = Prompt { points: [30.0, 30.0].repeat(10_000), ..click(0, 1, [0.0, 0.0]) };
        session.prompt(&many, &mut ()).unwrap();
        assert!(session.mask(0, 1).unwrap().view(Form::Dense).is_ok(), "{interface}");
        for options in [r#"{"colour": 1}"#, r#"{"window": "bright"}"#, "[", r#"{"compat": "x"}"#] {
            let error = api.session(&demo_volume(api), &mini(api), Some(options), &mut ()).unwrap_err();
            assert_eq!(error.code, "invalid_argument", "{interface}: {options}: {error}");
        }
    }
}

#[test]
fn a_panic_is_an_error_and_the_plugin_goes_on() {
    for (interface, api) in both() {
        let error = api.selftest("panic", &mut ()).unwrap_err();
        assert!(error.code == "panic" && error.message.contains("report"), "{interface}: {error}");
        assert_eq!(api.selftest("other", &mut ()).unwrap_err().code, "invalid_argument", "{interface}");
        assert!(api.capabilities().is_ok(), "{interface}");
    }
}

//! `sam_octa2_script_...`

use super::{Place, entry, long_as, sized, text};
use crate::convert;
use crate::script::{ScriptValue, Thing};
use crate::service::{MASKS, MaskValue, SCRIPTS, VOLUMES};
use sam_octa2_abi::raw::opaque::{Mask, Script, Volume};
use sam_octa2_abi::raw::{ErrorBox, FunctionStruct, HostStruct, Script1, Status};
use std::ffi::c_char;
use std::sync::Arc;

pub const TABLE: Script1 = Script1 { create, add_function, share_volume, share_labels, volume, labels, run, free };

unsafe extern "C" fn create(script: *mut *mut Script, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        Place::new("script", script)?.give(SCRIPTS.add(ScriptValue::default()));
        Ok(())
    })
}

unsafe extern "C" fn add_function(
    script: *mut Script,
    declaration: *const c_char,
    function: *const FunctionStruct,
    error: *mut *mut ErrorBox,
) -> Status {
    entry(error, || {
        // Safety: the header's rules.
        unsafe {
            let function = sized(function)?;
            let found = SCRIPTS.get(script).and_then(|found| Ok((found, text("declaration", declaration)?)));
            match found {
                Ok((found, declaration)) => found.add(declaration, function),
                // an engine of its own, so that the function is released as ever
                Err(error) => ScriptValue::default().add("{}", function).and(Ok(())).or(Err(error)),
            }
        }
    })
}

unsafe extern "C" fn share_volume(
    script: *mut Script,
    volume: *mut Volume,
    id: *mut u64,
    error: *mut *mut ErrorBox,
) -> Status {
    entry(error, || {
        let place = Place::new("id", id)?;
        let volume = VOLUMES.get(volume)?;
        let (thing, handle) = (Thing::Volume((*volume).clone()), Arc::downgrade(&volume));
        let again = move || handle.upgrade().map(|volume| Thing::Volume((*volume).clone()));
        place.give(SCRIPTS.get(script)?.share(thing, again));
        Ok(())
    })
}

unsafe extern "C" fn share_labels(
    script: *mut Script,
    labels: *mut Mask,
    id: *mut u64,
    error: *mut *mut ErrorBox,
) -> Status {
    entry(error, || {
        let place = Place::new("id", id)?;
        let labels = MASKS.get(labels)?;
        let stack = |mask: &MaskValue| match mask {
            MaskValue::Stack(labels) => Some(Thing::Labels(labels.clone())),
            MaskValue::Slice(_) => None,
        };
        let wrong = || convert::invalid("`labels` is the mask of a slice, not a stack of labels");
        let (thing, handle) = (stack(&labels).ok_or_else(wrong)?, Arc::downgrade(&labels));
        place.give(SCRIPTS.get(script)?.share(thing, move || handle.upgrade().and_then(|mask| stack(&mask))));
        Ok(())
    })
}

unsafe extern "C" fn volume(
    script: *mut Script,
    id: u64,
    volume: *mut *mut Volume,
    error: *mut *mut ErrorBox,
) -> Status {
    entry(error, || {
        let place = Place::new("volume", volume)?;
        match SCRIPTS.get(script)?.shown(id)? {
            Thing::Volume(volume) => place.give(VOLUMES.add(volume)),
            Thing::Labels(_) => {
                return Err(convert::invalid(format!("handle {id} stands for labels, not for a volume")));
            }
        }
        Ok(())
    })
}

unsafe extern "C" fn labels(script: *mut Script, id: u64, labels: *mut *mut Mask, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let place = Place::new("labels", labels)?;
        match SCRIPTS.get(script)?.shown(id)? {
            Thing::Labels(labels) => place.give(MASKS.add(MaskValue::Stack(labels))),
            Thing::Volume(_) => {
                return Err(convert::invalid(format!("handle {id} stands for a volume, not for labels")));
            }
        }
        Ok(())
    })
}

unsafe extern "C" fn run(
    script: *mut Script,
    request: *const c_char,
    host: *const HostStruct,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        long_as("script", host, error, |calls| {
            let place = Place::new("reply", reply)?;
            let answer = SCRIPTS.get(script)?.run_json(text("request", request)?, calls)?;
            place.give_text(&answer["report"].to_string());
            Ok(())
        })
    }
}

unsafe extern "C" fn free(script: *mut Script) {
    entry(std::ptr::null_mut(), || {
        SCRIPTS.remove(script);
        Ok(())
    });
}

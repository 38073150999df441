//! `sam_octa2_script_...`

use super::{Place, entry, long_as, sized, text};
use crate::convert;
use crate::script::{ScriptValue, Thing};
use crate::service::{MASKS, MaskValue, SCRIPTS, VOLUMES};
use sam_octa2_abi::raw::opaque::{Mask, Script, Volume};
use sam_octa2_abi::raw::{Failure, FunctionStruct, Handle, HostStruct, Out, Reply, Status, Text};
use std::sync::Arc;

pub unsafe extern "C" fn create(script: Out<Script>, error: Failure) -> Status {
    entry(error, || {
        Place::new("script", script)?.give(SCRIPTS.add(ScriptValue::default()));
        Ok(())
    })
}

pub unsafe extern "C" fn add_function(
    script: Handle<Script>,
    declaration: Text,
    function: *const FunctionStruct,
    error: Failure,
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

pub unsafe extern "C" fn share_volume(
    script: Handle<Script>,
    volume: Handle<Volume>,
    id: *mut u64,
    error: Failure,
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

pub unsafe extern "C" fn share_labels(
    script: Handle<Script>,
    labels: Handle<Mask>,
    id: *mut u64,
    error: Failure,
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

pub unsafe extern "C" fn volume(script: Handle<Script>, id: u64, volume: Out<Volume>, error: Failure) -> Status {
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

pub unsafe extern "C" fn labels(script: Handle<Script>, id: u64, labels: Out<Mask>, error: Failure) -> Status {
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

pub unsafe extern "C" fn run(
    script: Handle<Script>,
    request: Text,
    host: *const HostStruct,
    reply: Reply,
    error: Failure,
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

pub unsafe extern "C" fn free(script: Handle<Script>) {
    entry(std::ptr::null_mut(), || {
        SCRIPTS.remove(script);
        Ok(())
    });
}

//! `sam_octa2_mask_...`

use super::{Place, entry, long_as, options, text};
use crate::convert;
use crate::service::{MASKS, MaskValue, dlpack, view};
use sam_octa2_abi::PluginError;
use sam_octa2_abi::raw::opaque::{DlTensor, Mask};
use sam_octa2_abi::raw::{Failure, Handle, HostStruct, Reply, Status, Text, ViewStruct};
use std::path::Path;

pub unsafe extern "C" fn info(mask: Handle<Mask>, reply: Reply, error: Failure) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        reply.give_text(&MASKS.get(mask)?.info().to_string());
        Ok(())
    })
}

pub unsafe extern "C" fn view(mask: Handle<Mask>, form: u32, view: *mut ViewStruct, error: Failure) -> Status {
    entry(error, || {
        let place = Place::of_view(view)?;
        place.give_sized(view::share(MASKS.get(mask)?.shared(form)?))
    })
}

pub unsafe extern "C" fn rle(mask: Handle<Mask>, host: *const HostStruct, reply: Reply, error: Failure) -> Status {
    // Safety: the header's rules.
    unsafe {
        long_as("rle", host, error, |_| {
            let reply = Place::new("reply", reply)?;
            reply.give_text(&MASKS.get(mask)?.rle()?.to_string());
            Ok(())
        })
    }
}

pub unsafe extern "C" fn dlpack(mask: Handle<Mask>, form: u32, tensor: *mut *mut DlTensor, error: Failure) -> Status {
    entry(error, || {
        let place = Place::new("tensor", tensor)?;
        place.give(dlpack::export(MASKS.get(mask)?.shared(form)?));
        Ok(())
    })
}

pub unsafe extern "C" fn write(
    mask: Handle<Mask>,
    path: Text,
    option_json: Text,
    host: *const HostStruct,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        long_as("write", host, error, |_| {
            let (path, options) = (Path::new(text("path", path)?), options("options", option_json)?);
            match &*MASKS.get(mask)? {
                MaskValue::Stack(labels) => labels.write(path, &options).map_err(convert::error),
                MaskValue::Slice(_) => Err(PluginError::new(
                    "unsupported",
                    "only a stack of labels can be written (sam_octa2_session_labels), not the mask of a slice",
                )),
            }
        })
    }
}

pub unsafe extern "C" fn retain(mask: Handle<Mask>) -> *mut Mask {
    MASKS.get(mask).map_or(std::ptr::null_mut(), |mask| MASKS.add(mask))
}

pub unsafe extern "C" fn free(mask: Handle<Mask>) {
    entry(std::ptr::null_mut(), || {
        MASKS.remove(mask);
        Ok(())
    });
}

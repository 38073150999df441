//! `sam_octa2_mask_...`

use super::{Place, entry, optional, parse, text};
use crate::convert;
use crate::service::{MASKS, MaskValue, dlpack, view};
use sam_octa2_abi::PluginError;
use sam_octa2_abi::raw::opaque::{DlTensor, Mask};
use sam_octa2_abi::raw::{ErrorBox, Mask1, Status, ViewStruct};
use std::ffi::c_char;
use std::path::Path;

pub const TABLE: Mask1 = Mask1 { info, view: view_of, rle, dlpack: dlpack_of, write, retain, free };

unsafe extern "C" fn info(mask: *mut Mask, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        reply.give_text(&MASKS.get(mask)?.info().to_string());
        Ok(())
    })
}

unsafe extern "C" fn view_of(mask: *mut Mask, form: u32, view: *mut ViewStruct, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let place = Place::of_view(view)?;
        place.give_sized(view::share(MASKS.get(mask)?.shared(form)?))
    })
}

unsafe extern "C" fn rle(mask: *mut Mask, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        reply.give_text(&MASKS.get(mask)?.rle().to_string());
        Ok(())
    })
}

unsafe extern "C" fn dlpack_of(
    mask: *mut Mask,
    form: u32,
    tensor: *mut *mut DlTensor,
    error: *mut *mut ErrorBox,
) -> Status {
    entry(error, || {
        let place = Place::new("tensor", tensor)?;
        place.give(dlpack::export(MASKS.get(mask)?.shared(form)?));
        Ok(())
    })
}

unsafe extern "C" fn write(
    mask: *mut Mask,
    path: *const c_char,
    options: *const c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    entry(error, || {
        // Safety: the header's rules.
        let (path, options) = unsafe { (Path::new(text("path", path)?), optional("options", options)?) };
        match (&*MASKS.get(mask)?, options) {
            (MaskValue::Stack(labels), None) => labels.write(path, &Default::default()).map_err(convert::error),
            (MaskValue::Stack(labels), Some(json)) => {
                labels.write(path, &parse("options", json)?).map_err(convert::error)
            }
            (MaskValue::Slice(_), _) => Err(PluginError::new(
                "unsupported",
                "only a stack of labels can be written (sam_octa2_session_labels), not the mask of a slice",
            )),
        }
    })
}

unsafe extern "C" fn retain(mask: *mut Mask) -> *mut Mask {
    MASKS.get(mask).map_or(std::ptr::null_mut(), |mask| MASKS.add(mask))
}

unsafe extern "C" fn free(mask: *mut Mask) {
    entry(std::ptr::null_mut(), || {
        MASKS.remove(mask);
        Ok(())
    });
}

//! `sam_octa2_model_...`

use super::{Place, entry, long, parse, text};
use crate::convert::{self, ToHost};
use crate::script::ModelValue;
use crate::service::MODELS;
use sam_octa2_abi::raw::opaque::Model;
use sam_octa2_abi::raw::{ErrorBox, HostStruct, Model1, Status};
use sam_octa2_core::loader::ModelRequest;
use serde_json::json;
use std::ffi::c_char;

pub const TABLE: Model1 = Model1 { load, describe, free };

unsafe extern "C" fn load(
    request: *const c_char,
    host: *const HostStruct,
    model: *mut *mut Model,
    error: *mut *mut ErrorBox,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        long(host, error, |calls| {
            let place = Place::new("model", model)?;
            let request: ModelRequest = parse("request", text("request", request)?)?;
            place.give(MODELS.add(ModelValue::of(&request, &mut ToHost(calls)).map_err(convert::error)?));
            Ok(())
        })
    }
}

unsafe extern "C" fn describe(model: *mut Model, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        let loaded = &MODELS.get(model)?.loaded;
        let told = json!({
            "path": loaded.path.to_string_lossy(),
            "device": loaded.device(),
            "precision": loaded.precision(),
            "image_size": loaded.model.config().image_size,
            "memories": loaded.model.config().num_maskmem,
            "fingerprint": loaded.model.fingerprint(),
        });
        reply.give_text(&told.to_string());
        Ok(())
    })
}

unsafe extern "C" fn free(model: *mut Model) {
    entry(std::ptr::null_mut(), || {
        MODELS.remove(model);
        Ok(())
    });
}

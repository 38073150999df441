//! `sam_octa2_model_...`

use super::{Place, entry, long, parse, text};
use crate::convert::{self, ToHost};
use crate::script::ModelValue;
use crate::service::MODELS;
use sam_octa2_abi::raw::opaque::Model;
use sam_octa2_abi::raw::{Failure, Handle, HostStruct, Out, Reply, Status, Text};
use sam_octa2_core::loader::ModelRequest;
use serde_json::json;

pub unsafe extern "C" fn load(request: Text, host: *const HostStruct, model: Out<Model>, error: Failure) -> Status {
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

pub unsafe extern "C" fn describe(model: Handle<Model>, reply: Reply, error: Failure) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        let loaded = &MODELS.get(model)?.loaded;
        let response = json!({
            "path": loaded.path.to_string_lossy(),
            "device": loaded.device(),
            "precision": loaded.precision(),
            "image_size": loaded.model.config().image_size,
            "memories": loaded.model.config().num_maskmem,
            "fingerprint": loaded.model.fingerprint(),
        });
        reply.give_text(&response.to_string());
        Ok(())
    })
}

pub unsafe extern "C" fn free(model: Handle<Model>) {
    entry(std::ptr::null_mut(), || {
        MODELS.remove(model);
        Ok(())
    });
}

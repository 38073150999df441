//! `sam_octa2_volume_...`

use super::{Place, entry, json, long_as, number, options, parse, sized, text};
use crate::convert::{self, ToHost};
use crate::script::VolumeValue;
use crate::service::mask::{Shared, Values, affine};
use crate::service::{VOLUMES, view};
use sam_octa2_abi::raw::opaque::Volume;
use sam_octa2_abi::raw::{Failure, Handle, HostStruct, Out, Reply, Status, Text, ViewStruct};
use sam_octa2_core::io;
use sam_octa2_core::job::InputRequest;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

pub unsafe extern "C" fn open(
    path: Text,
    option_json: Text,
    host: *const HostStruct,
    volume: Out<Volume>,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        long_as("open", host, error, |calls| {
            let place = Place::new("volume", volume)?;
            let request = request(text("path", path)?, options("options", option_json)?)?;
            let opened = VolumeValue::of(request, &mut ToHost(calls)).map_err(convert::error)?;
            place.give(VOLUMES.add(opened));
            Ok(())
        })
    }
}

/// The request that `options` make for `path`.
fn request(path: &str, mut options: Map<String, Value>) -> super::Checked<InputRequest> {
    if options.insert("input".to_owned(), path.into()).is_some() {
        return Err(json::refused("`options`", "unknown key `input`: the path is an argument of its own"));
    }
    parse("options", &Value::from(options).to_string())
}

pub unsafe extern "C" fn lend(view: *const ViewStruct, volume: Out<Volume>, error: Failure) -> Status {
    entry(error, || {
        // Safety: the header's rules.
        let lent = unsafe {
            let owner = view::Owner::of(view); // released whatever happens
            view::lent(&sized(view)?, owner)?
        };
        Place::new("volume", volume)?.give(VOLUMES.add(VolumeValue::lent(lent)));
        Ok(())
    })
}

pub unsafe extern "C" fn info(volume: Handle<Volume>, reply: Reply, error: Failure) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        let opened = VOLUMES.get(volume)?;
        let (volume, geometry) = (&opened.volume, &opened.volume.geometry);
        let keep = if volume.channels > 1 { 4 } else { 3 };
        let response = serde_json::json!({
            "path": opened.source.input.to_string_lossy(),
            "format": volume.format,
            "shape": volume.shape()[..keep],
            "dtype": volume.dtype(),
            "spacing": geometry.spacing,
            "affine": geometry.affine,
            "geometry_known": geometry.known,
            "lazy": volume.is_lazy(),
        });
        reply.give_text(&response.to_string());
        Ok(())
    })
}

pub unsafe extern "C" fn frame(volume: Handle<Volume>, frame: u64, view: *mut ViewStruct, error: Failure) -> Status {
    entry(error, || {
        let place = Place::of_view(view)?;
        let opened = VOLUMES.get(volume)?;
        let voxels = opened.volume.frame(number("frame", frame)?).map_err(convert::error)?;
        let mut shape = vec![opened.volume.rows, opened.volume.columns];
        shape.extend((opened.volume.channels > 1).then_some(opened.volume.channels));
        let mut at = opened.volume.geometry.clone();
        at.affine[..3].iter_mut().for_each(|row| row[3] += row[2] * frame as f64);
        place.give_sized(view::share(Shared { values: Values::Voxels(Arc::new(voxels)), shape, affine: affine(&at) }))
    })
}

pub unsafe extern "C" fn write(volume: Handle<Volume>, path: Text, host: *const HostStruct, error: Failure) -> Status {
    // Safety: the header's rules.
    unsafe {
        long_as("write", host, error, |calls| {
            let (opened, path) = (VOLUMES.get(volume)?, Path::new(text("path", path)?));
            io::check_output(&opened.source.input, path)
                .and_then(|()| io::write_volume(&opened.volume, path, &mut ToHost(calls)))
                .map_err(convert::error)
        })
    }
}

pub unsafe extern "C" fn to_index(
    volume: Handle<Volume>,
    patient: *const f64,
    index: *mut f64,
    error: Failure,
) -> Status {
    entry(error, || {
        let place = Place::new("index", index.cast::<[f64; 3]>())?;
        // Safety: three numbers, as the header says.
        let patient = unsafe { three("patient", patient) }?;
        place.give(VOLUMES.get(volume)?.volume.geometry.to_index(patient).map_err(convert::error)?);
        Ok(())
    })
}

pub unsafe extern "C" fn to_patient(
    volume: Handle<Volume>,
    index: *const f64,
    patient: *mut f64,
    error: Failure,
) -> Status {
    entry(error, || {
        let place = Place::new("patient", patient.cast::<[f64; 3]>())?;
        // Safety: three numbers, as the header says.
        let index = unsafe { three("index", index) }?;
        place.give(VOLUMES.get(volume)?.volume.geometry.to_mm(index));
        Ok(())
    })
}

/// # Safety
/// `numbers` is null or leads to three numbers.
unsafe fn three(name: &str, numbers: *const f64) -> super::Checked<[f64; 3]> {
    // Safety: the caller's promise.
    let numbers = unsafe { numbers.cast::<[f64; 3]>().as_ref() }.copied();
    let numbers = numbers.ok_or_else(|| convert::invalid(format!("`{name}` is null")))?;
    match numbers.iter().all(|number| number.is_finite()) {
        true => Ok(numbers),
        false => Err(convert::invalid(format!("`{name}` {numbers:?} is not finite"))),
    }
}

pub unsafe extern "C" fn free(volume: Handle<Volume>) {
    entry(std::ptr::null_mut(), || {
        VOLUMES.remove(volume);
        Ok(())
    });
}

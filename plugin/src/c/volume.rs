//! Stacks of slices: opened by path, or lent by the host without a copy.

use crate::engine::{forward, forward_or, get, give_back};
use sam_octa2_abi::raw::opaque::Volume;
use sam_octa2_abi::raw::{ErrorBox, HostStruct, Status, ViewStruct, Volume1};
use std::ffi::c_char;

/// `sam_octa2.volume/1`
pub static TABLE: Volume1 = Volume1 {
    open: sam_octa2_volume_open,
    lend: sam_octa2_volume_lend,
    info: sam_octa2_volume_info,
    frame: sam_octa2_volume_frame,
    write: sam_octa2_volume_write,
    to_index: sam_octa2_volume_to_index,
    to_patient: sam_octa2_volume_to_patient,
    free: sam_octa2_volume_free,
};

/// `[any thread; blocks]` Opens a file or folder. `options`: JSON with any of `crop`, `axis`, `series`, `uneven`, `volume`, `channel`, `spacing`
/// (docs/formats.md), or null. Large files stay on disk; their slices are read when needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_volume_open(
    path: *const c_char,
    options: *const c_char,
    host: *const HostStruct,
    volume: *mut *mut Volume,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.volume.open)(path, options, host, volume, error) })
}

/// `[any thread]` A volume of the host's memory, not copied: `view` has 3 or 4 dimensions in the order frames, rows, columns, channels. The
/// memory is only read, and must stay as it is until `view->release` is called: when the volume and all that was made from it are
/// freed. Also where this call fails, `release` is called, once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_volume_lend(
    view: *const ViewStruct,
    volume: *mut *mut Volume,
    error: *mut *mut ErrorBox,
) -> Status {
    forward_or(error, || unsafe { give_back(view) }, |engine| unsafe { (engine.volume.lend)(view, volume, error) })
}

/// `[any thread; blocks]` Shape, type, spacing, affine (RAS+), format, as JSON. Nothing is read for it that was not read before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_volume_info(
    volume: *mut Volume,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.volume.info)(volume, reply, error) })
}

/// `[any thread; blocks]` The values of one slice, rows, columns and channels, in the volume's own type. Release the view when done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_volume_frame(
    volume: *mut Volume,
    frame: u64,
    view: *mut ViewStruct,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.volume.frame)(volume, frame, view, error) })
}

/// `[any thread; blocks]` Writes the volume in the format of the path's ending. The file appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_volume_write(
    volume: *mut Volume,
    path: *const c_char,
    host: *const HostStruct,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.volume.write)(volume, path, host, error) })
}

/// `[any thread]` Millimetres in the patient (RAS+, three numbers) to a voxel index (x = column, y = row, z = frame; fractions stay).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_volume_to_index(
    volume: *mut Volume,
    patient: *const f64,
    index: *mut f64,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.volume.to_index)(volume, patient, index, error) })
}

/// `[any thread]` A voxel index (x, y, z) to millimetres in the patient (RAS+).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_volume_to_patient(
    volume: *mut Volume,
    index: *const f64,
    patient: *mut f64,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.volume.to_patient)(volume, index, patient, error) })
}

/// `[any thread]` Frees a handle; sessions made from it live on. Null does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_volume_free(volume: *mut Volume) {
    if let (false, Ok(engine)) = (volume.is_null(), get()) {
        unsafe { (engine.volume.free)(volume) }
    }
}

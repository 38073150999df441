//! Defects of volumes.

use crate::{defect, real};
use abi_stable::StableAbi;
use sam_octa2_abi::Extension;
use sam_octa2_abi::raw::opaque::Volume;
use sam_octa2_abi::raw::{ErrorBox, Status, ViewStruct, Volume1};
use std::ffi::c_char;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Another table under the id of volumes.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct Other {
    info: extern "C" fn() -> u64,
}

// Safety: it is not, which is the defect.
unsafe impl Extension for Other {
    const ID: &'static str = Volume1::ID;
}

extern "C" fn nothing() -> u64 {
    0
}

pub static OTHER: Other = Other { info: nothing };

pub static TABLE: LazyLock<Volume1> = LazyLock::new(|| {
    let mut table = *real::<Volume1>();
    match () {
        () if defect("panics") => table.info = panics,
        () if defect("exits") => table.to_patient = exits,
        () if defect("hangs") => table.to_index = hangs,
        () if defect("writes") => table.lend = writes,
        () if defect("forgets-release") => table.lend = forgets_release,
        () if defect("releases-twice") => table.lend = releases_twice,
        () if defect("releases-early") => table.lend = releases_early,
        () if defect("swallows-errors") => table.lend = swallows_errors,
        () if defect("reads-after-release") => (table.lend, table.free) = (remembers, reads_after_release),
        () if defect("wrong-slice") => table.frame = wrong_slice,
        () if defect("leaks") => table.frame = leaks,
        () if defect("trusts-handles") => table.info = trusts_handles,
        () => {}
    }
    table
});

type Reply = *mut *mut c_char;
type Error = *mut *mut ErrorBox;
type Place = *mut *mut Volume;

unsafe extern "C" fn panics(_: *mut Volume, _: Reply, _: Error) -> Status {
    panic!("nobody catches this")
}

unsafe extern "C" fn exits(_: *mut Volume, _: *const f64, _: *mut f64, _: Error) -> Status {
    std::process::exit(3)
}

unsafe extern "C" fn hangs(_: *mut Volume, _: *const f64, _: *mut f64, _: Error) -> Status {
    loop {
        std::thread::park();
    }
}

unsafe extern "C" fn writes(view: *const ViewStruct, volume: Place, error: Error) -> Status {
    unsafe {
        let (status, data) = ((real::<Volume1>().lend)(view, volume, error), (*view).data.cast_mut().cast::<u8>());
        if status == 0 {
            data.write_volatile(data.read_volatile());
        }
        status
    }
}

unsafe extern "C" fn forgets_release(view: *const ViewStruct, volume: Place, error: Error) -> Status {
    unsafe { (real::<Volume1>().lend)(&ViewStruct { release: None, ..*view }, volume, error) }
}

unsafe extern "C" fn releases_twice(view: *const ViewStruct, volume: Place, error: Error) -> Status {
    unsafe {
        let status = (real::<Volume1>().lend)(view, volume, error);
        if let (true, Some(release)) = (status != 0 && !view.is_null(), (*view).release) {
            release((*view).owner);
        }
        status
    }
}

unsafe extern "C" fn releases_early(view: *const ViewStruct, volume: Place, error: Error) -> Status {
    unsafe {
        let status = forgets_release(view, volume, error);
        (*view).release.into_iter().for_each(|release| release((*view).owner));
        status
    }
}

unsafe extern "C" fn swallows_errors(view: *const ViewStruct, volume: Place, _: Error) -> Status {
    unsafe { (real::<Volume1>().lend)(view, volume, std::ptr::null_mut()) };
    0
}

static REMEMBERED: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

unsafe extern "C" fn remembers(view: *const ViewStruct, volume: Place, error: Error) -> Status {
    unsafe {
        let status = (real::<Volume1>().lend)(view, volume, error);
        if status == 0 {
            REMEMBERED.store((*view).data.cast_mut().cast(), Ordering::SeqCst);
        }
        status
    }
}

unsafe extern "C" fn reads_after_release(volume: *mut Volume) {
    unsafe {
        (real::<Volume1>().free)(volume);
        let data = REMEMBERED.load(Ordering::SeqCst);
        if !data.is_null() {
            data.read_volatile();
        }
    }
}

unsafe extern "C" fn wrong_slice(volume: *mut Volume, frame: u64, view: *mut ViewStruct, error: Error) -> Status {
    let other = if frame == 1 { 2 } else { frame };
    unsafe { (real::<Volume1>().frame)(volume, other, view, error) }
}

unsafe extern "C" fn leaks(volume: *mut Volume, frame: u64, view: *mut ViewStruct, error: Error) -> Status {
    std::hint::black_box(vec![1u8; 8192].leak());
    unsafe { (real::<Volume1>().frame)(volume, frame, view, error) }
}

unsafe extern "C" fn trusts_handles(volume: *mut Volume, reply: Reply, error: Error) -> Status {
    unsafe {
        if volume.is_null() {
            volume.cast::<u8>().read_volatile();
        }
        (real::<Volume1>().info)(volume, reply, error)
    }
}

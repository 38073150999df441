//! What a call keeps of its promises where there is no engine to keep them: it gives an error, and releases what the host lent.

use sam_octa2_abi::PluginError;
use sam_octa2_abi::raw::opaque::{DlTensor, Mask, Model, Script, Session, Volume};
use sam_octa2_abi::raw::{
    Failure, FunctionStruct, Handle, HostStruct, OnSliceStruct, Out, PromptStruct, Reply, Sized1, Status, Text,
    ViewStruct,
};
use sam_octa2_boundary::c::fail;

/// An argument of a function that cannot be done.
pub trait Argument: Sized {
    /// Releases what is lent; the place of the error gets `reason`, and gives its number.
    ///
    /// # Safety
    /// The header's rules.
    unsafe fn refused(self, _reason: &PluginError) -> Status {
        0
    }
}

macro_rules! nothing_to_do {
    ($($kind:ty),+) => { $(impl Argument for $kind {})+ };
}
nothing_to_do!(u32, u64, usize, Text, *const u8, *const f64, *mut f64, *mut u64);
nothing_to_do!(*const HostStruct, *const OnSliceStruct, *mut ViewStruct, Reply, *mut *mut DlTensor);
nothing_to_do!(Handle<Volume>, Handle<Model>, Handle<Session>, Handle<Mask>, Handle<Script>);
nothing_to_do!(Out<Volume>, Out<Model>, Out<Session>, Out<Mask>, Out<Script>);

impl Argument for Failure {
    unsafe fn refused(self, reason: &PluginError) -> Status {
        fail(self, reason)
    }
}

impl Argument for *const ViewStruct {
    unsafe fn refused(self, _: &PluginError) -> Status {
        // Safety: the caller's promise; the host's function with the host's owner, once.
        unsafe {
            if let Some((view, release)) = lent(self).and_then(|view| Some((view, view.release?))) {
                release(view.owner);
            }
        }
        0
    }
}

impl Argument for *const PromptStruct {
    unsafe fn refused(self, reason: &PluginError) -> Status {
        // Safety: the caller's promise.
        unsafe { lent(self).map_or(0, |prompt| prompt.mask.refused(reason)) }
    }
}

impl Argument for *const FunctionStruct {
    unsafe fn refused(self, _: &PluginError) -> Status {
        // Safety: as for a view.
        unsafe {
            if let Some((function, release)) = lent(self).and_then(|function| Some((function, function.release?))) {
                release(function.context);
            }
        }
        0
    }
}

/// A struct of the host's, if there is one whose size makes sense.
unsafe fn lent<T: Sized1>(from: *const T) -> Option<T> {
    // Safety: the caller's promise.
    if from.is_null() { None } else { unsafe { T::read(from) }.ok() }
}

/// What a function returns.
pub trait Answer {
    /// The answer of a function that cannot be done; `status` is that of its error.
    fn without_engine(status: Option<Status>) -> Self;
}

impl Answer for Status {
    fn without_engine(status: Option<Status>) -> Self {
        status.unwrap_or_default()
    }
}

impl<T> Answer for *mut T {
    fn without_engine(_: Option<Status>) -> Self {
        std::ptr::null_mut()
    }
}

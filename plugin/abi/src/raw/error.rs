//! An error on its way to a C host: made on either side of the engine, read through one set of functions.

use crate::PluginError;
use crate::raw::{Status, status};
use abi_stable::StableAbi;
use abi_stable::std_types::RString;
use std::ffi::c_char;

/// The texts of a [`PluginError`], ended by a zero as C wants them. Its memory goes back to the library that made it.
#[repr(C)]
#[derive(StableAbi, Debug)]
pub struct ErrorBox {
    status: Status,
    code: RString,
    message: RString,
    detail: RString,
    free: extern "C" fn(*mut ErrorBox),
}

impl ErrorBox {
    /// Puts the error on the heap.
    pub fn into_raw(error: &PluginError) -> *mut Self {
        let text = |text: &str| RString::from(format!("{}\0", text.replace('\0', " ")));
        Box::into_raw(Box::new(Self {
            status: status::of(&error.code),
            code: text(&error.code),
            message: text(&error.message),
            detail: text(&error.detail_json),
            free: free_here,
        }))
    }

    /// One of the numbers of [`status`].
    pub fn status(&self) -> Status {
        self.status
    }

    /// The name of the kind, as C text.
    pub fn code(&self) -> *const c_char {
        self.code.as_ptr().cast()
    }

    /// The sentence, as C text.
    pub fn message(&self) -> *const c_char {
        self.message.as_ptr().cast()
    }

    /// The JSON object for programs, as C text.
    pub fn detail(&self) -> *const c_char {
        self.detail.as_ptr().cast()
    }

    /// Gives its memory back.
    ///
    /// # Safety
    /// `error` comes from [`ErrorBox::into_raw`] of any library and is not used again.
    pub unsafe fn free(error: *mut Self) {
        // Safety: the caller's promise.
        let free = unsafe { (*error).free };
        free(error);
    }
}

extern "C" fn free_here(error: *mut ErrorBox) {
    // Safety: `into_raw` of this library made it, and `free` is called once.
    drop(unsafe { Box::from_raw(error) });
}

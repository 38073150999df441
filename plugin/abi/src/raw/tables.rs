//! The function tables behind `sam_octa2.<room>/1`. Each field is the C function of the same name (`Volume1::open` is
//! `sam_octa2_volume_open`), whose text in `plugin/include/sam_octa2.h` holds here too. Published: no table changes; more is `/2`.

use super::opaque::{DlTensor, Mask, Model, Script, Session, Volume};
use super::{Cancel, ErrorBox, FunctionStruct, Handle, HostStruct, OnSliceStruct, PromptStruct, Status, ViewStruct};
use crate::Extension;
use abi_stable::StableAbi;
use std::ffi::c_char;

/// C text in UTF-8, ended by a zero.
type Text = *const c_char;
/// Where a function puts a new handle.
type Out<T> = *mut Handle<T>;

/// The library as a whole: texts, errors, cancelling, whole tasks.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct System1 {
    pub start: unsafe extern "C" fn(error: *mut *mut ErrorBox) -> Status,
    pub capabilities: unsafe extern "C" fn(reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status,
    pub task: unsafe extern "C" fn(
        name: Text,
        request: Text,
        host: *const HostStruct,
        reply: *mut *mut c_char,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub set_threads: unsafe extern "C" fn(count: u32, error: *mut *mut ErrorBox) -> Status,
    pub selftest: unsafe extern "C" fn(what: Text, host: *const HostStruct, error: *mut *mut ErrorBox) -> Status,
    pub text_free: unsafe extern "C" fn(text: *mut c_char),
    pub error_status: unsafe extern "C" fn(error: *const ErrorBox) -> Status,
    pub error_code: unsafe extern "C" fn(error: *const ErrorBox) -> Text,
    pub error_message: unsafe extern "C" fn(error: *const ErrorBox) -> Text,
    pub error_detail: unsafe extern "C" fn(error: *const ErrorBox) -> Text,
    pub error_free: unsafe extern "C" fn(error: *mut ErrorBox),
    pub cancel_new: unsafe extern "C" fn() -> *mut Cancel,
    pub cancel_trigger: unsafe extern "C" fn(cancel: *const Cancel),
    pub cancel_free: unsafe extern "C" fn(cancel: *mut Cancel),
}

/// Stacks of slices.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Volume1 {
    pub open: unsafe extern "C" fn(
        path: Text,
        options: Text,
        host: *const HostStruct,
        volume: Out<Volume>,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub lend: unsafe extern "C" fn(view: *const ViewStruct, volume: Out<Volume>, error: *mut *mut ErrorBox) -> Status,
    pub info:
        unsafe extern "C" fn(volume: Handle<Volume>, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status,
    pub frame: unsafe extern "C" fn(
        volume: Handle<Volume>,
        frame: u64,
        view: *mut ViewStruct,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub write: unsafe extern "C" fn(
        volume: Handle<Volume>,
        path: Text,
        host: *const HostStruct,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub to_index: unsafe extern "C" fn(
        volume: Handle<Volume>,
        patient: *const f64,
        index: *mut f64,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub to_patient: unsafe extern "C" fn(
        volume: Handle<Volume>,
        index: *const f64,
        patient: *mut f64,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub free: unsafe extern "C" fn(volume: Handle<Volume>),
}

/// Networks.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Model1 {
    pub load: unsafe extern "C" fn(
        request: Text,
        host: *const HostStruct,
        model: Out<Model>,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub describe:
        unsafe extern "C" fn(model: Handle<Model>, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status,
    pub free: unsafe extern "C" fn(model: Handle<Model>),
}

/// Prompts, memory, propagation.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Session1 {
    pub create: unsafe extern "C" fn(
        volume: Handle<Volume>,
        model: Handle<Model>,
        options: Text,
        session: Out<Session>,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub restore: unsafe extern "C" fn(
        volume: Handle<Volume>,
        model: Handle<Model>,
        state: *const u8,
        length: usize,
        options: Text,
        session: Out<Session>,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub save:
        unsafe extern "C" fn(session: Handle<Session>, view: *mut ViewStruct, error: *mut *mut ErrorBox) -> Status,
    pub describe:
        unsafe extern "C" fn(session: Handle<Session>, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status,
    pub encode: unsafe extern "C" fn(
        session: Handle<Session>,
        frame: u64,
        host: *const HostStruct,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub prompt: unsafe extern "C" fn(
        session: Handle<Session>,
        prompt: *const PromptStruct,
        host: *const HostStruct,
        mask: Out<Mask>,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub remove_prompt: unsafe extern "C" fn(
        session: Handle<Session>,
        frame: u64,
        object: u32,
        index: u64,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub undo:
        unsafe extern "C" fn(session: Handle<Session>, frame: u64, object: u32, error: *mut *mut ErrorBox) -> Status,
    pub clear_slice:
        unsafe extern "C" fn(session: Handle<Session>, frame: u64, object: u32, error: *mut *mut ErrorBox) -> Status,
    pub remove_object: unsafe extern "C" fn(session: Handle<Session>, object: u32, error: *mut *mut ErrorBox) -> Status,
    pub reset: unsafe extern "C" fn(session: Handle<Session>, error: *mut *mut ErrorBox) -> Status,
    pub propagate: unsafe extern "C" fn(
        session: Handle<Session>,
        range: Text,
        on_slice: *const OnSliceStruct,
        host: *const HostStruct,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub mask: unsafe extern "C" fn(
        session: Handle<Session>,
        frame: u64,
        object: u32,
        mask: Out<Mask>,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub labels: unsafe extern "C" fn(session: Handle<Session>, mask: Out<Mask>, error: *mut *mut ErrorBox) -> Status,
    pub free_caches: unsafe extern "C" fn(session: Handle<Session>, error: *mut *mut ErrorBox) -> Status,
    pub free: unsafe extern "C" fn(session: Handle<Session>),
}

/// Results.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Mask1 {
    pub info: unsafe extern "C" fn(mask: Handle<Mask>, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status,
    pub view:
        unsafe extern "C" fn(mask: Handle<Mask>, form: u32, view: *mut ViewStruct, error: *mut *mut ErrorBox) -> Status,
    pub rle: unsafe extern "C" fn(mask: Handle<Mask>, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status,
    pub dlpack: unsafe extern "C" fn(
        mask: Handle<Mask>,
        form: u32,
        tensor: *mut *mut DlTensor,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub write: unsafe extern "C" fn(mask: Handle<Mask>, path: Text, options: Text, error: *mut *mut ErrorBox) -> Status,
    pub retain: unsafe extern "C" fn(mask: Handle<Mask>) -> Handle<Mask>,
    pub free: unsafe extern "C" fn(mask: Handle<Mask>),
}

/// Scripts with functions of the host.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct Script1 {
    pub create: unsafe extern "C" fn(script: Out<Script>, error: *mut *mut ErrorBox) -> Status,
    pub add_function: unsafe extern "C" fn(
        script: Handle<Script>,
        declaration: Text,
        function: *const FunctionStruct,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub share_volume: unsafe extern "C" fn(
        script: Handle<Script>,
        volume: Handle<Volume>,
        id: *mut u64,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub share_labels: unsafe extern "C" fn(
        script: Handle<Script>,
        labels: Handle<Mask>,
        id: *mut u64,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub volume:
        unsafe extern "C" fn(script: Handle<Script>, id: u64, volume: Out<Volume>, error: *mut *mut ErrorBox) -> Status,
    pub labels:
        unsafe extern "C" fn(script: Handle<Script>, id: u64, labels: Out<Mask>, error: *mut *mut ErrorBox) -> Status,
    pub run: unsafe extern "C" fn(
        script: Handle<Script>,
        request: Text,
        host: *const HostStruct,
        reply: *mut *mut c_char,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub free: unsafe extern "C" fn(script: Handle<Script>),
}

/// What was done to a session.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, Copy)]
#[allow(missing_docs, reason = "documented in the header")]
pub struct History1 {
    pub undo:
        unsafe extern "C" fn(session: Handle<Session>, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status,
    pub redo:
        unsafe extern "C" fn(session: Handle<Session>, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status,
    pub describe:
        unsafe extern "C" fn(session: Handle<Session>, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status,
    pub script:
        unsafe extern "C" fn(session: Handle<Session>, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status,
}

macro_rules! extensions {
    ($($table:ident $id:literal),+) => {$(
        // Safety: repr(C), functions only, published as `/1`.
        unsafe impl Extension for $table {
            const ID: &'static str = $id;
        }
    )+};
}
extensions!(
    System1 "sam_octa2.system/1",
    Volume1 "sam_octa2.volume/1",
    Model1 "sam_octa2.model/1",
    Session1 "sam_octa2.session/1",
    Mask1 "sam_octa2.mask/1",
    Script1 "sam_octa2.script/1",
    History1 "sam_octa2.history/1"
);

/// All of them. What is newer than 1.1 of this interface may be missing.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Tables {
    pub system: System1,
    pub volume: Volume1,
    pub model: Model1,
    pub session: Session1,
    pub mask: Mask1,
    pub script: Script1,
    pub history: Option<History1>,
}

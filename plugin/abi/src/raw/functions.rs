//! Every function of the interface, once: name, signature, text. From this list come the function tables of the Rust interface, the exports of
//! `libsam_octa2.so`, the engine's tables, the lookups of viewers and of `plugin check`, the C header with C++'s list of functions, and Python's.

/// Calls the macro `$each` with every function: `module Table "id" "prefix" { name(arguments) -> result; ... }`. The function's C name is
/// `sam_octa2_`, the prefix, and the name. One that can fail takes the place of its error last and returns a `Status`.
#[macro_export]
macro_rules! functions {
    ($each:ident) => {
        $each! {
            /// The library as a whole: who it is, errors, texts, cancelling, whole tasks.
            system System1 "sam_octa2.system/1" "" {
                /// `[any thread]` The number of this interface, 1. Functions are added under the same number and never changed or removed.
                abi_version() -> u32;
                /// `[any thread]` Who the plugin is, as JSON; the same text as the file `libsam_octa2.json` beside the library. Lives for ever.
                manifest() -> Text;
                /// `[any thread; blocks]` Opens the engine and libtorch now (0.3 s) rather than in the first call that needs them.
                start(error: Failure) -> Status;
                /// `[any thread; blocks]` What this machine offers, as JSON: `devices`, `precisions`, `threads`, `torch`, `models` (those at hand).
                capabilities(reply: Reply, error: Failure) -> Status;
                /// `[any thread; blocks]` Does a whole task: `name` is one of the manifest's `tasks`, request and reply are JSON (docs/abi.md).
                /// Tasks without a model (`info`, `convert`, `phantom`, `vessels`, `measure`, `export_octa500`) open neither engine nor libtorch.
                task(name: Text, request: Text, host: *const HostStruct, reply: Reply, error: Failure) -> Status;
                /// `[any thread]` How many threads one computation may use, for all sessions of the process; 0: one for each core.
                set_threads(count: u32, error: Failure) -> Status;
                /// `[any thread; blocks]` For checks of the boundary. `what`: `panic` (answers SAM_OCTA2_PANIC), `sleep` (a minute with progress), `eager` (from
                /// now on, and until `patient`, calls of this thread report every step of the work, however short, so that a check can count them).
                selftest(what: Text, host: *const HostStruct, error: Failure) -> Status;
                /// `[any thread]` Frees a text that a function put into `reply`. Null does nothing.
                text_free(text: *mut c_char);
                /// `[any thread]` The number of an error, as the failed function returned it.
                error_status(error: *const ErrorBox) -> Status;
                /// `[any thread]` The name of the kind of error: `io`, `format`, `not_found`, ... Lives as long as the error.
                error_code(error: *const ErrorBox) -> Text;
                /// `[any thread]` One sentence for the person at the viewer. Lives as long as the error.
                error_message(error: *const ErrorBox) -> Text;
                /// `[any thread]` More for programs: a JSON object, `{}` if there is nothing to add; of a script: file, line, column. Lives as long as
                /// the error.
                error_detail(error: *const ErrorBox) -> Text;
                /// `[any thread]` Frees an error. Null does nothing.
                error_free(error: *mut ErrorBox);
                /// `[any thread]` A token to stop calls with (`sam_octa2_host.cancel`). It must outlive the calls that got it.
                cancel_new() -> *mut Cancel;
                /// `[any thread, also while calls run]` Stops the calls that got the token, and all that will get it.
                cancel_trigger(cancel: *const Cancel);
                /// `[any thread]` Frees a token. Null does nothing.
                cancel_free(cancel: *mut Cancel);
            }
            /// Stacks of slices: opened by path, or lent by the host without a copy.
            volume Volume1 "sam_octa2.volume/1" "volume_" {
                /// `[any thread; blocks]` Opens a file or folder. `options`: JSON with any of `crop`, `axis`, `series`, `uneven`, `volume`, `channel`, `spacing`
                /// (docs/formats.md), or null. Large files stay on disk; their slices are read when needed.
                open(path: Text, options: Text, host: *const HostStruct, volume: Out<Volume>, error: Failure) -> Status;
                /// `[any thread]` A volume of the host's memory, not copied: `view` has 3 or 4 dimensions in the order frames, rows, columns, channels. The
                /// memory is only read, and must stay as it is until `view->release` is called: when the volume and all that was made from it are
                /// freed. Also where this call fails, `release` is called, once.
                lend(view: *const ViewStruct, volume: Out<Volume>, error: Failure) -> Status;
                /// `[any thread; blocks]` Shape, type, spacing, affine (RAS+), format, as JSON. Nothing is read for it that was not read before.
                info(volume: Handle<Volume>, reply: Reply, error: Failure) -> Status;
                /// `[any thread; blocks]` The values of one slice, rows, columns and channels, in the volume's own type. Release the view when done.
                frame(volume: Handle<Volume>, frame: u64, view: *mut ViewStruct, error: Failure) -> Status;
                /// `[any thread; blocks]` Writes the volume in the format of the path's ending. The file appears whole or not at all.
                write(volume: Handle<Volume>, path: Text, host: *const HostStruct, error: Failure) -> Status;
                /// `[any thread]` Millimetres in the patient (RAS+, three numbers) to a voxel index (x = column, y = row, z = frame; fractions stay).
                to_index(volume: Handle<Volume>, patient: *const f64, index: *mut f64, error: Failure) -> Status;
                /// `[any thread]` A voxel index (x, y, z) to millimetres in the patient (RAS+).
                to_patient(volume: Handle<Volume>, index: *const f64, patient: *mut f64, error: Failure) -> Status;
                /// `[any thread]` Frees a handle; sessions made from it live on. Null does nothing.
                free(volume: Handle<Volume>);
            }
            /// Networks on a device.
            model Model1 "sam_octa2.model/1" "model_" {
                /// `[any thread; blocks]` Loads a model. `request`: JSON `{"model": NAME or FILE, "model_config"?, "device"?, "precision"?, "weights_dirs"?}`.
                /// Several sessions may share one model.
                load(request: Text, host: *const HostStruct, model: Out<Model>, error: Failure) -> Status;
                /// `[any thread]` Its file, device, precision, input size and fingerprint, as JSON.
                describe(model: Handle<Model>, reply: Reply, error: Failure) -> Status;
                /// `[any thread]` Frees a handle; sessions made from it live on. Null does nothing.
                free(model: Handle<Model>);
            }
            /// Prompts, memory and propagation on one volume. One call at a time on a session; another one meanwhile, also from a callback, gets
            /// SAM_OCTA2_BUSY. What changes a session is a step (a prompt, one removed, `clear_slice`, `set_object`, `remove_object`, `reset`, a propagation, also one that was stopped); undo and
            /// redo go back and forth between steps.
            session Session1 "sam_octa2.session/1" "session_" {
                /// `[any thread; blocks]` A session. `options`: JSON with any of `window` (docs/formats.md), `compat` (`"reference"`), `memory_precision`
                /// (`f32`, `bf16`, `f16`: what memories are rounded to), `feature_cache_bytes`, `state_bytes`, `history_bytes` (what only undo needs), `features`
                /// (a folder that keeps features of encoded slices for later sessions), `features_bytes` (what its files may take) and `overlap` (which object
                /// gets a voxel of the labels that several claim: `larger_logit`, `keep` the first, the `later`, `forbid`; a locked object and a prompted
                /// slice come before), or null. Nothing is computed yet.
                create(volume: Handle<Volume>, model: Handle<Model>, options: Text, host: *const HostStruct, session: Out<Session>, error: Failure) -> Status;
                /// `[any thread; blocks]` The session that `sam_octa2_session_save` wrote down; volume and model must be the same. Options as for create.
                restore(volume: Handle<Volume>, model: Handle<Model>, state: *const u8, length: usize, options: Text, host: *const HostStruct, session: Out<Session>, error: Failure) -> Status;
                /// `[any thread; blocks]` Everything that the session knows, as bytes (a view of one dimension). Release the view when done.
                save(session: Handle<Session>, host: *const HostStruct, view: *mut ViewStruct, error: Failure) -> Status;
                /// `[any thread]` Objects, prompts, slices with masks, memory in use, window, as JSON.
                describe(session: Handle<Session>, reply: Reply, error: Failure) -> Status;
                /// `[any thread; blocks]` Computes the features of a slice now, so that the first prompt on it is answered at once.
                encode(session: Handle<Session>, frame: u64, host: *const HostStruct, error: Failure) -> Status;
                /// `[any thread; blocks]` Marks an object on a slice; `mask` (may be null) gets the answer there. An object that is new is added.
                prompt(session: Handle<Session>, prompt: *const PromptStruct, host: *const HostStruct, mask: Out<Mask>, error: Failure) -> Status;
                /// `[any thread; blocks]` What `sam_octa2_session_prompt` would answer, for a pointer that hovers: nothing is changed, no step is done. `masks` has
                /// `room` places: the first gets the answer, the next ones the masks to choose from (`choice` of the prompt, 1 first); `count` gets how
                /// many there are, the answer included: 1 where the model has one mask for a prompt. Those beyond `room` are not given.
                preview(session: Handle<Session>, prompt: *const PromptStruct, host: *const HostStruct, masks: Out<Mask>, room: usize, count: *mut u64, error: Failure) -> Status;
                /// `[any thread; blocks]` Removes one prompt of an object on a slice: `index` counts from 0 in the order given; UINT64_MAX: the last one.
                remove_prompt(session: Handle<Session>, frame: u64, object: u32, index: u64, host: *const HostStruct, error: Failure) -> Status;
                /// `[any thread; blocks]` Takes back all prompts of an object on a slice; what was tracked there comes back.
                clear_slice(session: Handle<Session>, frame: u64, object: u32, host: *const HostStruct, error: Failure) -> Status;
                /// `[any thread]` Names, colours, describes, shows, hides, locks or unlocks an object; one that is new is added. `properties`: JSON with any
                /// of `name` (at most 64 characters), `colour` (`#rrggbb`), `property` (`vessel`, `artery`, `vein`, `capillary`, `faz`, or codes
                /// `SCHEME^VALUE^MEANING`), `visible`, `locked`; what is absent stays, an empty text takes a property back. A step like any other. The
                /// writers of labels say it (docs/formats.md). Nothing changes the masks of a locked object, and it loses no voxel of the labels.
                set_object(session: Handle<Session>, object: u32, properties: Text, error: Failure) -> Status;
                /// `[any thread]` One object as `sam_octa2_session_describe` tells it, as JSON.
                object(session: Handle<Session>, object: u32, reply: Reply, error: Failure) -> Status;
                /// `[any thread]` Removes an object with all its prompts and masks.
                remove_object(session: Handle<Session>, object: u32, error: Failure) -> Status;
                /// `[any thread]` Removes all objects.
                reset(session: Handle<Session>, error: Failure) -> Status;
                /// `[any thread; blocks]` Follows objects through the stack. `range`: JSON with any of `direction` (`forward`, `backward`, `both`), `start`,
                /// `max_frames`, `objects` (numbers; without them all that are not locked), `patience` (an object that was gone on so many slices in a row is
                /// followed no further, up to its next prompted slice) and `threshold` (the presence score up to which it counts as gone), or null.
                /// `on_slice` may be null. Cancelled, what is done stays.
                propagate(session: Handle<Session>, range: Text, on_slice: *const OnSliceStruct, host: *const HostStruct, error: Failure) -> Status;
                /// `[any thread; blocks]` The mask of an object on a slice.
                mask(session: Handle<Session>, frame: u64, object: u32, mask: Out<Mask>, error: Failure) -> Status;
                /// `[any thread; blocks]` All masks as one stack of object numbers, on the grid of the volume as it was opened.
                labels(session: Handle<Session>, host: *const HostStruct, mask: Out<Mask>, error: Failure) -> Status;
                /// `[any thread]` Gives up what can be computed again.
                free_caches(session: Handle<Session>, error: Failure) -> Status;
                /// `[any thread]` Takes the last step back, whatever it was: everything is as it was before, bit for bit. `reply` (may be null) gets the step as
                /// JSON: `op`, what was given, and a `text` to be read. An error where there is nothing to undo, or where the state was given up for
                /// `history_bytes` (an option of the session) or after 500 steps.
                undo(session: Handle<Session>, reply: Reply, error: Failure) -> Status;
                /// `[any thread]` Does the step again that was undone last, without computing it again. A step of another kind since leaves nothing to redo.
                /// `reply` as for undo.
                redo(session: Handle<Session>, reply: Reply, error: Failure) -> Status;
                /// `[any thread]` JSON: `done` (the steps in force), `undo` (how many of them can be undone), `undone` (those that can be redone, the next one
                /// first), `record` (all that was done, in order, undo and redo included).
                history(session: Handle<Session>, reply: Reply, error: Failure) -> Status;
                /// `[any thread; blocks]` The session as the text of a script that does the same again (task `script`), with the fingerprints of volume, model and
                /// labels. Reads the whole volume once.
                script(session: Handle<Session>, host: *const HostStruct, reply: Reply, error: Failure) -> Status;
                /// `[any thread]` Frees a session. A call that is at work in it on another thread still comes to its end. Masks made from it live on. Null does
                /// nothing.
                free(session: Handle<Session>);
            }
            /// Results: one object on one slice (`sam_octa2_session_prompt`, `_mask`, a propagation), or the whole stack of object numbers
            /// (`sam_octa2_session_labels`). A mask never changes.
            mask Mask1 "sam_octa2.mask/1" "mask_" {
                /// `[any thread]` As JSON: of a slice `frame`, `object`, `iou`, `score`, `area`; of a stack `shape`, `objects` and
                /// `decided` (voxels that several objects claim, so that `overlap` decided).
                info(mask: Handle<Mask>, reply: Reply, error: Failure) -> Status;
                /// `[any thread]` The values as shared read-only memory: `form` is one of SAM_OCTA2_FORM_.... Release the view when done.
                view(mask: Handle<Mask>, form: u32, view: *mut ViewStruct, error: Failure) -> Status;
                /// `[any thread; blocks]` COCO run lengths as JSON: of a slice `{"size": [rows, columns], "counts": [...]}`, of a stack a list of these with `frame` and
                /// `object`.
                rle(mask: Handle<Mask>, host: *const HostStruct, reply: Reply, error: Failure) -> Status;
                /// `[any thread]` The same values as a DLPack tensor (`DLManagedTensorVersioned`, CPU, with DLPack's flag for
                /// read-only memory, which some consumers pass over: copy for those): its own deleter frees it.
                dlpack(mask: Handle<Mask>, form: u32, tensor: *mut *mut DlTensor, error: Failure) -> Status;
                /// `[any thread; blocks]` Writes a stack of object numbers in the format of the path's ending. `options`: JSON (docs/formats.md) or null.
                write(mask: Handle<Mask>, path: Text, options: Text, host: *const HostStruct, error: Failure) -> Status;
                /// `[any thread]` Another handle to the same mask, to keep one that was lent to a callback. Null gives null.
                retain(mask: Handle<Mask>) -> Handle<Mask>;
                /// `[any thread]` Frees a handle; views of it live on. Null does nothing.
                free(mask: Handle<Mask>);
            }
            /// Rhai scripts that may call functions of the host, as `viewer::name(...)`.
            script Script1 "sam_octa2.script/1" "script_" {
                /// `[any thread]` A script engine. One run at a time; another one meanwhile gets SAM_OCTA2_BUSY.
                create(script: Out<Script>, error: Failure) -> Status;
                /// `[any thread]` Lets scripts call `viewer::NAME`. `declaration`: JSON `{"name", "doc"?, "parameters"?: [{"name", "optional"?}]}`.
                add_function(script: Handle<Script>, declaration: Text, function: *const FunctionStruct, error: Failure) -> Status;
                /// `[any thread, also from a function of the host]` Lends a volume to scripts: `{"handle": id}` in arguments and results stands for it, until a run
                /// has ended, and afterwards as long as `volume` is not freed.
                share_volume(script: Handle<Script>, volume: Handle<Volume>, id: *mut u64, error: Failure) -> Status;
                /// `[any thread, also from a function of the host]` The same for a stack of object numbers.
                share_labels(script: Handle<Script>, labels: Handle<Mask>, id: *mut u64, error: Failure) -> Status;
                /// `[any thread, also from a function of the host]` The volume that a script gave as `{"handle": id}`.
                volume(script: Handle<Script>, id: u64, volume: Out<Volume>, error: Failure) -> Status;
                /// `[any thread, also from a function of the host]` The labels that a script gave as `{"handle": id}`.
                labels(script: Handle<Script>, id: u64, labels: Out<Mask>, error: Failure) -> Status;
                /// `[any thread; blocks]` Runs a script. `request`: JSON `{"path" or "source", "args"?, "limits"?, "roots"?, "library"?, "keep"?}` (docs/abi.md); the reply is
                /// `{"result": its last value}`. `roots`, `{"read"?: [folders], "write"?: [folders]}`: what it does not name is denied; without it the script reads and
                /// writes whatever the process may. What it shows lives until the next run.
                run(script: Handle<Script>, request: Text, host: *const HostStruct, reply: Reply, error: Failure) -> Status;
                /// `[any thread]` Frees the engine. Null does nothing.
                free(script: Handle<Script>);
            }
        }
    };
}

use super::opaque::{DlTensor, Mask, Model, Script, Session, Volume};
use super::{
    Cancel, ErrorBox, Failure, FunctionStruct, Handle, HostStruct, OnSliceStruct, Out, PromptStruct, Reply, Status,
    Text, ViewStruct,
};
use crate::Extension;
use abi_stable::StableAbi;
use std::ffi::{c_char, c_void};

/// A function in words.
#[derive(Debug)]
pub struct FunctionInfo {
    /// its C name
    pub name: &'static str,
    /// what it does, line by line
    pub doc: &'static [&'static str],
    /// names and types of its arguments
    pub arguments: &'static [(&'static str, &'static str)],
    /// the type of its result; empty: none
    pub result: &'static str,
}

macro_rules! tables {
    ($(
        $(#[doc = $about:literal])+
        $module:ident $table:ident $id:literal $prefix:literal {
            $($(#[doc = $doc:literal])+ $name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)+
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[repr(C)]
            #[derive(StableAbi, Debug, Clone, Copy)]
            pub struct $table {
                $($(#[doc = $doc])+ pub $name: unsafe extern "C" fn($($argument: $kind),*) $(-> $result)?,)+
            }

            // Safety: repr(C), functions only; frozen once it is published.
            unsafe impl Extension for $table {
                const ID: &'static str = $id;
            }
        )+

        /// All tables.
        #[repr(C)]
        #[derive(Debug, Clone, Copy)]
        pub struct Tables {
            $(#[doc = $id] pub $module: $table,)+
        }

        impl Tables {
            /// The functions by their C names. `find` gives the address of one, or why there is none.
            ///
            /// # Safety
            /// Under these names are functions of these signatures, which keep the rules of `sam_octa2.h`.
            pub unsafe fn by_name<E>(
                mut find: impl FnMut(&'static str) -> Result<*const c_void, E>,
            ) -> Result<Self, E> {
                Ok(Self {
                    $($module: $table {
                        $($name: {
                            let address = find(concat!("sam_octa2_", $prefix, stringify!($name)))?;
                            // Safety: the caller's promise.
                            unsafe {
                                std::mem::transmute::<
                                    *const c_void,
                                    unsafe extern "C" fn($($argument: $kind),*) $(-> $result)?,
                                >(address)
                            }
                        },)+
                    },)+
                })
            }
        }

        /// All functions in words.
        pub const FUNCTIONS: &[FunctionInfo] = &[$($(FunctionInfo {
            name: concat!("sam_octa2_", $prefix, stringify!($name)),
            doc: &[$($doc),+],
            arguments: &[$((stringify!($argument), stringify!($kind))),*],
            result: concat!("" $(, stringify!($result))?),
        },)+)+];
    };
}
functions!(tables);

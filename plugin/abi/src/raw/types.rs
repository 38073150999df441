//! Handles and structs that cross the boundary. Published: none of them changes but by growing at its end (`size` tells how far).

use abi_stable::StableAbi;
use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

/// What every fallible function returns: 0, or one of the negative numbers of [`status`].
pub type Status = i32;

/// A pointer to something of the plugin's.
pub type Handle<T> = *mut T;

/// Where a function puts a new handle.
pub type Out<T> = *mut Handle<T>;

/// C text in UTF-8, ended by a zero.
pub type Text = *const c_char;

/// Where a function puts a text of its own.
pub type Reply = *mut *mut c_char;

/// Where a function puts its error.
pub type Failure = *mut *mut super::ErrorBox;

/// What handles point to; only the plugin looks inside.
pub mod opaque {
    use abi_stable::StableAbi;

    macro_rules! opaque {
        ($($(#[$doc:meta])* $name:ident),+) => {$(
            $(#[$doc])*
            #[repr(C)]
            #[derive(StableAbi, Debug)]
            pub struct $name {
                private: [u8; 0],
            }
        )+};
    }
    opaque!(
        /// a stack of slices
        Volume,
        /// a network on a device
        Model,
        /// prompts and memory on one volume
        Session,
        /// a result: one object on one slice, or the whole stack
        Mask,
        /// a script engine with the host's functions
        Script,
        /// a DLPack tensor (`DLManagedTensorVersioned`, DLPack 1.x)
        DlTensor
    );
}

/// The numbers of [`Status`] with the code names of [`PluginError`](crate::PluginError).
pub mod status {
    /// it worked
    pub const OK: i32 = 0;
    /// the host or the user stopped it
    pub const CANCELLED: i32 = -1;
    /// an argument makes no sense
    pub const INVALID_ARGUMENT: i32 = -2;
    /// a file, model or object is not there
    pub const NOT_FOUND: i32 = -3;
    /// the system could not read or write
    pub const IO: i32 = -4;
    /// a file is damaged or of another kind
    pub const FORMAT: i32 = -5;
    /// not offered
    pub const UNSUPPORTED: i32 = -6;
    /// the device is not there or full
    pub const DEVICE: i32 = -7;
    /// libtorch is missing, of another version, or failed
    pub const TORCH: i32 = -8;
    /// a script failed
    pub const SCRIPT: i32 = -9;
    /// the handle is in use by another call
    pub const BUSY: i32 = -10;
    /// the plugin failed inside; please report it
    pub const PANIC: i32 = -11;
    /// any other failure
    pub const FAILED: i32 = -12;

    const NAMES: [(i32, &str); 11] = [
        (CANCELLED, "cancelled"),
        (INVALID_ARGUMENT, "invalid_argument"),
        (NOT_FOUND, "not_found"),
        (IO, "io"),
        (FORMAT, "format"),
        (UNSUPPORTED, "unsupported"),
        (DEVICE, "device"),
        (TORCH, "torch"),
        (SCRIPT, "script"),
        (BUSY, "busy"),
        (PANIC, "panic"),
    ];

    /// The number of a code name.
    pub fn of(code: &str) -> i32 {
        NAMES.iter().find(|(_, name)| *name == code).map_or(FAILED, |(number, _)| *number)
    }
}

/// Stops a long call from outside, on any thread.
#[repr(C)]
#[derive(StableAbi, Debug, Default)]
pub struct Cancel {
    set: AtomicBool,
}

impl Cancel {
    /// Asks the calls that were given this token to stop.
    pub fn trigger(&self) {
        self.set.store(true, Ordering::Relaxed);
    }

    /// Was it triggered?
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }
}

/// What a host gives to a long call. All of it may be null or absent.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct HostStruct {
    /// `sizeof` of this struct
    pub size: usize,
    /// given back to the functions
    pub context: *mut c_void,
    /// `[the calling thread, or one of the plugin's; one call at a time]` A step of `stage` was done; answer 0 to go on, anything else
    /// to cancel. Comes again, with the same numbers, while a step lasts
    pub progress:
        Option<unsafe extern "C" fn(context: *mut c_void, stage: *const c_char, done: u64, total: u64) -> i32>,
    /// `[as progress]` A line for the log: 1 debug, 2 information, 3 warning, 4 error, 16 what a script prints
    pub log: Option<unsafe extern "C" fn(context: *mut c_void, severity: i32, line: *const c_char)>,
    /// stops the call from another thread
    pub cancel: *const Cancel,
}

/// A block of values: lent by the host to the plugin (a volume, a drawn mask), or by the plugin to the host (a result, read-only).
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct ViewStruct {
    /// `sizeof` of this struct
    pub size: usize,
    /// the first value (index 0 in every dimension, also where a stride is negative)
    pub data: *const c_void,
    /// type of the values: DLPack's code (0 int, 1 uint, 2 float, 6 bool) times 256, plus the bits: `0x0108` is uint8, `0x0220`
    /// float32; float16 is read as float32, bool as uint8
    pub dtype: u32,
    /// how many dimensions count: 1 bytes; 2 rows, columns; 3 frames, rows, columns; 4 with channels (1 or 3)
    pub dimensions: u32,
    /// extent of each dimension
    pub shape: [i64; 4],
    /// BYTES from one value to the next in each dimension (numpy's convention, not DLPack's); any order and sign
    pub strides: [i64; 4],
    /// does `affine` mean anything?
    pub has_affine: i32,
    /// voxel index (x = column, y = row, z = frame, 1) to millimetres in the patient, RAS+ as in NIfTI (ITK and DICOM: negate the
    /// first two rows); row-major
    pub affine: [f64; 16],
    /// given to `release`
    pub owner: *mut c_void,
    /// called exactly once, on any thread, when the receiver needs the block no more, also when the call that received it fails; may
    /// be null
    pub release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
}

/// A struct that begins with its size and grows at its end only.
///
/// # Safety
/// `repr(C)`, the first field is `size: usize`, all bytes zero is a value, and `LEAST` bytes were there in its first version.
pub unsafe trait Sized1: Copy {
    /// its name in the header
    const NAME: &'static str;
    /// bytes of its first version
    const LEAST: usize;

    /// What lies at `from`, as far as both sides know it; the rest is zero. The error is the size that was found.
    ///
    /// # Safety
    /// `from` leads to as many bytes as the struct there says.
    unsafe fn read(from: *const Self) -> Result<Self, usize> {
        // Safety: the caller's promise; the size comes first.
        unsafe {
            let size = from.cast::<usize>().read_unaligned();
            if size < Self::LEAST {
                return Err(size);
            }
            let mut copy = std::mem::MaybeUninit::<Self>::zeroed();
            std::ptr::copy_nonoverlapping(from.cast::<u8>(), copy.as_mut_ptr().cast(), size.min(size_of::<Self>()));
            Ok(copy.assume_init())
        }
    }

    /// Puts this at `to`, as far as both sides know it; the size there stays. The error is the size that was found.
    ///
    /// # Safety
    /// `to` leads to as many bytes as the struct there says.
    unsafe fn write(self, to: *mut Self) -> Result<(), usize> {
        const AFTER: usize = size_of::<usize>();
        // Safety: as above.
        unsafe {
            let size = to.cast::<usize>().read_unaligned();
            if size < Self::LEAST {
                return Err(size);
            }
            let from = (&raw const self).cast::<u8>().add(AFTER);
            std::ptr::copy_nonoverlapping(from, to.cast::<u8>().add(AFTER), size.min(size_of::<Self>()) - AFTER);
            Ok(())
        }
    }
}

macro_rules! sized {
    ($($struct:ident $name:literal $least:literal),+) => {$(
        // Safety: plain repr(C) structs of numbers and pointers; the sizes are those of version 1 on 64-bit machines.
        unsafe impl Sized1 for $struct {
            const NAME: &'static str = $name;
            const LEAST: usize = $least;
        }
        const _: () = assert!(size_of::<$struct>() >= $least);
    )+};
}
sized!(
    HostStruct "sam_octa2_host" 40,
    ViewStruct "sam_octa2_view" 240,
    PromptStruct "sam_octa2_prompt" 64,
    OnSliceStruct "sam_octa2_on_slice" 24,
    FunctionStruct "sam_octa2_function" 32
);

impl ViewStruct {
    /// Nothing at all, with the right size.
    pub fn empty() -> Self {
        Self {
            size: size_of::<Self>(),
            data: std::ptr::null(),
            dtype: 0,
            dimensions: 0,
            shape: [0; 4],
            strides: [0; 4],
            has_affine: 0,
            affine: [0.0; 16],
            owner: std::ptr::null_mut(),
            release: None,
        }
    }
}

/// numpy's names of the types of values, and their numbers in [`ViewStruct::dtype`].
pub const DTYPES: [(&str, u32); 12] = [
    ("int8", 0x0008),
    ("int16", 0x0010),
    ("int32", 0x0020),
    ("int64", 0x0040),
    ("uint8", 0x0108),
    ("uint16", 0x0110),
    ("uint32", 0x0120),
    ("uint64", 0x0140),
    ("float32", 0x0220),
    ("float64", 0x0240),
    ("float16", 0x0210),
    ("bool", 0x0608),
];

/// `sam_octa2_prompt.flags`: coordinates are millimetres in the patient, three to a point; the slice is found from them.
pub const PROMPT_PATIENT: u32 = 1;
/// `sam_octa2_prompt.flags`: forget the earlier points and box of the slice.
pub const PROMPT_REPLACE: u32 = 2;

/// What a user gives at once on one slice: points, a box, a drawn mask, or any mixture.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct PromptStruct {
    /// `sizeof` of this struct
    pub size: usize,
    /// the slice, from 0; with `SAM_OCTA2_PROMPT_PATIENT` and points or a box: ignored
    pub frame: i64,
    /// the object, 1 to 65535
    pub object: u32,
    /// sum of `SAM_OCTA2_PROMPT_...`
    pub flags: u32,
    /// x, y (pixels of the slice, right and down) of each point; in millimetres x, y, z
    pub points: *const f64,
    /// 1: on the object, 0: outside; null: all on it
    pub labels: *const i32,
    /// how many points
    pub point_count: usize,
    /// two corners: x0, y0, x1, y1 (in millimetres x, y, z twice), or null
    pub bounds: *const f64,
    /// uint8 `[rows, columns]`, not 0: object; or null
    pub mask: *const ViewStruct,
    /// which of the model's masks of a click is the answer, 1 to 3 (`sam_octa2_session_preview` shows them); 0: the one that it takes
    /// itself
    pub choice: u32,
    /// of `line`: 1: on the object, 0: outside
    pub line_label: u32,
    /// a scribble: the places of a polyline, as of `points`; it becomes clicks along it
    pub line: *const f64,
    /// how many places
    pub line_count: usize,
    /// how wide it was drawn, in pixels: about as far apart are the clicks
    pub line_width: f64,
    /// the corners of a polygon, as of `points`: it is a drawn mask
    pub polygon: *const f64,
    /// how many corners
    pub polygon_count: usize,
}

impl PromptStruct {
    /// Nothing marked, with the right size.
    pub fn empty() -> Self {
        Self {
            size: size_of::<Self>(),
            frame: 0,
            object: 0,
            flags: 0,
            points: std::ptr::null(),
            labels: std::ptr::null(),
            point_count: 0,
            bounds: std::ptr::null(),
            mask: std::ptr::null(),
            choice: 0,
            line_label: 0,
            line: std::ptr::null(),
            line_count: 0,
            line_width: 0.0,
            polygon: std::ptr::null(),
            polygon_count: 0,
        }
    }
}

/// `form` of `sam_octa2_mask_view` and `sam_octa2_mask_dlpack`.
pub mod form {
    /// uint8, 1 where the object is (of a label stack: any object)
    pub const DENSE: u32 = 0;
    /// uint16 object numbers
    pub const LABELS: u32 = 1;
    /// float32, 0 to 1
    pub const PROBABILITY: u32 = 2;
    /// float32, positive where the object is
    pub const LOGITS: u32 = 3;
}

/// Receives the slices of a propagation.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct OnSliceStruct {
    /// `sizeof` of this struct
    pub size: usize,
    /// given back to the function
    pub context: *mut c_void,
    /// `[the calling thread]` The masks of the objects that were followed on this slice, lent for the call (`sam_octa2_mask_retain` keeps
    /// one); answer 0 to go on, anything else to stop: what is done stays
    pub call: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            frame: u64,
            masks: *const *mut opaque::Mask,
            mask_count: usize,
            done: u64,
            total: u64,
        ) -> i32,
    >,
}

/// Takes the answer of a host's function.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct ReplyStruct {
    /// to be given to `call`
    pub to: *mut c_void,
    /// gives the answer, a JSON value; it is copied before the call returns
    pub call: Option<unsafe extern "C" fn(to: *mut c_void, json: *const c_char)>,
}

/// A function of the host for scripts.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct FunctionStruct {
    /// `sizeof` of this struct
    pub size: usize,
    /// given back to the functions
    pub context: *mut c_void,
    /// `[the thread of sam_octa2_script_run]` Gets the arguments as a JSON array; gives its result to `reply->call(reply->to, json)` and
    /// returns 0, or gives a sentence and returns anything else. Volumes and labels are `{"handle": id}`.
    pub call:
        Option<unsafe extern "C" fn(context: *mut c_void, arguments: *const c_char, reply: *const ReplyStruct) -> i32>,
    /// called once when the function is needed no more, also when adding it failed; may be null
    pub release: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

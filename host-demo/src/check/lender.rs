//! A host that lends a small volume of numbers and watches what becomes of it.

use super::pages::{Access, Pages};
use anyhow::ensure;
use sam_octa2_abi::raw::ViewStruct;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

/// slices, rows, columns
pub const SHAPE: [usize; 3] = [3, 4, 5];
/// how many values that is
pub const COUNT: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];
/// strides in bytes of uint16 values in C order
pub const C_ORDER: [i64; 3] = [40, 10, 2];
/// DLPack's number of uint16
pub const UINT16: u32 = 0x0110;

/// uint16 values in pages of their own. Never freed: a plugin that releases them twice finds them still there.
pub struct Lender {
    pages: Pages,
    values: *mut u16,
    count: usize,
    lent: AtomicUsize,
    released: AtomicUsize,
    vanishes: bool,
}

// Safety: counters, and memory that is written only before it is lent.
unsafe impl Sync for Lender {}
unsafe impl Send for Lender {}

impl Lender {
    /// Lends these values.
    pub fn of(values: &[u16], access: Access, vanishes: bool) -> anyhow::Result<&'static Self> {
        let pages = Pages::new(size_of_val(values))?;
        let start = pages.last(size_of_val(values)).cast::<u16>();
        // Safety: room for just these.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), start, values.len()) };
        ensure!(pages.protect(access), "the system does not protect memory");
        let (lent, released) = Default::default();
        Ok(Box::leak(Box::new(Self { pages, values: start, count: values.len(), lent, released, vanishes })))
    }

    /// 3 slices of 4 rows and 5 columns that count up, in C order.
    pub fn counting() -> anyhow::Result<&'static Self> {
        Self::of(&counting(), Access::Write, false)
    }

    /// The same as memory that cannot be written.
    pub fn read_only() -> anyhow::Result<&'static Self> {
        Self::of(&counting(), Access::Read, false)
    }

    /// The same, and when all is released, whoever touches it ends the process.
    pub fn vanishing() -> anyhow::Result<&'static Self> {
        Self::of(&counting(), Access::Read, true)
    }

    /// A view that begins at a value and goes on in strides of bytes. To be lent: it will be released.
    pub fn view(&'static self, start: usize, strides: [i64; 3]) -> ViewStruct {
        self.lent.fetch_add(1, Ordering::SeqCst);
        let [frames, rows, columns] = SHAPE.map(|n| n as i64);
        ViewStruct {
            data: self.values.wrapping_add(start).cast(),
            dtype: UINT16,
            dimensions: 3,
            shape: [frames, rows, columns, 0],
            strides: [strides[0], strides[1], strides[2], 0],
            owner: std::ptr::from_ref(self).cast_mut().cast(),
            release: Some(release),
            ..ViewStruct::empty()
        }
    }

    /// All of it in C order.
    pub fn plain(&'static self) -> ViewStruct {
        self.view(0, C_ORDER)
    }

    /// How often it was released.
    pub fn releases(&self) -> usize {
        self.released.load(Ordering::SeqCst)
    }

    /// Has anybody changed a value?
    pub fn values(&self) -> Vec<u16> {
        // Safety: our values, which may still be read.
        unsafe { std::slice::from_raw_parts(self.values, self.count) }.to_vec()
    }
}

/// 0 to 59.
pub fn counting() -> Vec<u16> {
    (0..COUNT as u16).collect()
}

/// The values of slice 1.
pub fn second_slice() -> Vec<u16> {
    (20..40).collect()
}

unsafe extern "C" fn release(owner: *mut c_void) {
    // Safety: `view` gave it, and it lives for ever.
    let lender = unsafe { &*owner.cast::<Lender>() };
    let released = lender.released.fetch_add(1, Ordering::SeqCst) + 1;
    if lender.vanishes && released == lender.lent.load(Ordering::SeqCst) {
        lender.pages.protect(Access::Nothing);
    }
}

//! Memory in pages of its own, between pages that nobody may touch: whoever reads beyond it, writes to it, or reads it when it is gone
//! ends the process, and the runner tells which check that was.

use anyhow::ensure;

/// Pages that live as long as the process; their protection changes.
pub struct Pages {
    start: *mut u8,
    length: usize,
}

/// What may be done with pages.
#[derive(Clone, Copy)]
pub enum Access {
    Write,
    Read,
    Nothing,
}

#[cfg(unix)]
impl Pages {
    /// Room for `bytes` bytes at the end of the last page.
    pub fn new(bytes: usize) -> anyhow::Result<Self> {
        // Safety: asks the system a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) })?;
        let length = bytes.div_ceil(page).max(1) * page;
        let (flags, whole) = (libc::MAP_PRIVATE | libc::MAP_ANON, length + 2 * page);
        // Safety: new memory, at a place of the system's choice.
        let all = unsafe { libc::mmap(std::ptr::null_mut(), whole, libc::PROT_NONE, flags, -1, 0) };
        ensure!(all != libc::MAP_FAILED, "the system gives no memory: {}", std::io::Error::last_os_error());
        let pages = Self { start: all.cast::<u8>().wrapping_add(page), length };
        ensure!(pages.protect(Access::Write), "the system gives no memory: {}", std::io::Error::last_os_error());
        Ok(pages)
    }

    /// Changes what may be done; tells whether that worked.
    pub fn protect(&self, access: Access) -> bool {
        let protection = match access {
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
            Access::Read => libc::PROT_READ,
            Access::Nothing => libc::PROT_NONE,
        };
        // Safety: our own pages; who still reads them is what is looked for.
        unsafe { libc::mprotect(self.start.cast(), self.length, protection) == 0 }
    }
}

#[cfg(not(unix))]
impl Pages {
    /// Memory without protection.
    pub fn new(bytes: usize) -> anyhow::Result<Self> {
        ensure!(bytes > 0, "no bytes");
        let memory = Box::leak(vec![0u64; bytes.div_ceil(8)].into_boxed_slice());
        Ok(Self { start: memory.as_mut_ptr().cast(), length: memory.len() * 8 })
    }

    /// Nothing can be protected here.
    pub fn protect(&self, _: Access) -> bool {
        true
    }
}

impl Pages {
    /// Where the last `bytes` bytes begin.
    pub fn last(&self, bytes: usize) -> *mut u8 {
        self.start.wrapping_add(self.length - bytes)
    }
}

//! What is asked of the operating system about this process: the one place for it. Where a system does not tell, the answer is `None`.

use std::path::PathBuf;

/// The program or library that the code or data at `address` was loaded from. `None` for a library that was named relative to a working
/// folder that has been left.
#[cfg(unix)]
pub fn file_of(address: *const ()) -> Option<PathBuf> {
    // SAFETY: `dladdr` reads no memory at `address`; a struct of pointers and zeros is valid, and is filled only when it says so
    let info = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        (libc::dladdr(address.cast(), &raw mut info) != 0 && !info.dli_fname.is_null()).then_some(info)
    }?;
    // SAFETY: the loader's own name of the file, which lives as long as it is loaded
    let name = unsafe { std::ffi::CStr::from_ptr(info.dli_fname) };
    let path = PathBuf::from(std::ffi::OsStr::new(name.to_str().ok()?));
    if path.components().count() == 1 {
        return std::env::current_exe().ok(); // the program, named as it was typed
    }
    // links are followed: what lies beside the file itself belongs to it
    path.canonicalize().ok()
}

/// The program or library that the code or data at `address` was loaded from.
#[cfg(not(unix))]
pub fn file_of(_address: *const ()) -> Option<PathBuf> {
    std::env::current_exe().ok()
}

/// The file of a library in this process, by its file name.
#[cfg(target_os = "linux")]
pub fn loaded(name: &str) -> Option<PathBuf> {
    struct Search<'a> {
        name: &'a str,
        found: Option<PathBuf>,
    }

    unsafe extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, search: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the loader hands over its own record, and the search that was given to it below
        let (name, search) = unsafe { ((*info).dlpi_name, &mut *search.cast::<Search<'_>>()) };
        if name.is_null() {
            return 0;
        }
        // SAFETY: a name of the loader
        let path = PathBuf::from(unsafe { std::ffi::CStr::from_ptr(name) }.to_string_lossy().into_owned());
        let same = path.file_name().is_some_and(|file| file == search.name);
        search.found = same.then_some(path);
        i32::from(same)
    }

    let mut search = Search { name, found: None };
    // SAFETY: `each` gets the search, which outlives the call
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut search).cast()) };
    search.found
}

/// The file of a library in this process, by its file name.
#[cfg(not(target_os = "linux"))]
pub fn loaded(_name: &str) -> Option<PathBuf> {
    None
}

/// Bytes of this process that lie in memory.
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split_whitespace().nth(1)?.parse::<u64>().ok()? * page_bytes())
}

#[cfg(unix)]
fn page_bytes() -> u64 {
    // SAFETY: takes a number, returns a number
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(not(unix))]
fn page_bytes() -> u64 {
    4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_program_and_its_libraries_are_found() {
        let own = file_of(page_bytes as *const ()).unwrap();
        assert_eq!(own.canonicalize().unwrap(), std::env::current_exe().unwrap().canonicalize().unwrap());
        let libc = loaded("libc.so.6").unwrap();
        assert_eq!(file_of(libc::malloc as *const ()).unwrap().file_name(), libc.file_name());
        assert_eq!(loaded("libnothing.so"), None);
        assert!(resident_bytes().unwrap() > 1 << 16);
    }
}

//! How the program ends.

/// A process's exit code.
pub type Code = u8;

/// all is well
pub const SUCCESS: Code = 0;
/// something failed
pub const FAILURE: Code = 1;
/// stopped by Ctrl-C
pub const CANCELLED: Code = 130;

/// Ends the process at once. Everything that was written is in its place by now; taking libtorch down again would cost a tenth of a second.
pub fn at_once(code: Code) -> ! {
    #[cfg(unix)]
    // Safety: ends the process without running anything.
    unsafe {
        libc::_exit(code.into())
    }
    #[cfg(not(unix))]
    std::process::exit(code.into())
}

//! How the program ends.

use serde_json::Value;

/// A process's exit code.
pub type Code = u8;

/// all is well
pub const SUCCESS: Code = 0;
/// something failed
pub const FAILURE: Code = 1;
/// what was typed is wrong
pub const USAGE: Code = 2;
/// of many cases some failed
pub const SOME_FAILED: Code = 3;
/// and here all
pub const ALL_FAILED: Code = 4;
/// input that will not be better next time
pub const BAD_DATA: Code = 65;
/// the machine's fault (a full disk): try again
pub const TEMPORARY: Code = 75;
/// stopped by Ctrl-C
pub const CANCELLED: Code = 130;
/// stopped by SIGTERM
pub const TERMINATED: Code = 143;

/// What a script gave to `exit(code)`, if it ended so.
pub fn of_script(report: &Value) -> Option<Code> {
    report["exit"].as_u64().and_then(|code| Code::try_from(code).ok())
}

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

//! Whose fault is an error: the case's, or the machine's? Of the machine's nothing is recorded, and the run ends with 75.

use serde_json::Value;
use std::io;

/// Errors of the system that say nothing about the case: the disk is full or gone, too many files are open, ...
const TEMPORARY: [i32; 8] =
    [libc::ENOSPC, libc::EDQUOT, libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ESTALE, libc::EROFS, libc::EIO];

/// The machine's error in the plugin's answer, if it is one.
pub fn in_answer(detail: &Value, message: &str) -> Option<i32> {
    let reply = detail["os_error"].as_i64().and_then(|number| i32::try_from(number).ok());
    let written = || message.rsplit_once("(os error ")?.1.split(')').next()?.parse().ok();
    reply.or_else(written).filter(|number| TEMPORARY.contains(number))
}

/// Is it the machine's?
pub fn is_temporary(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_temporary_io))
}

/// The same of an error of the system.
pub fn is_temporary_io(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| TEMPORARY.contains(&number))
}

//! Lines for people and programs. A reader that goes away is no error, and never a panic.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// stdout took a line that is lost now; its reader going away is not that
static LOST: AtomicBool = AtomicBool::new(false);

/// A line to stdout.
pub fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}").and_then(|()| io::stdout().flush())
}

/// A line to stdout while work goes on, which does not end for a line: [`finished`] tells how that went.
pub fn line_of_work(text: &str) {
    let written = line(text);
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        note(&format!("error: stdout: {error}: what is printed is lost"));
    }
}

/// Has everything been printed that was to be?
pub fn finished() -> bool {
    match io::stdout().flush() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            if !LOST.load(Ordering::Relaxed) {
                note(&format!("error: stdout: {error}"));
            }
            false
        }
        _ => !LOST.load(Ordering::Relaxed),
    }
}

/// A line to stderr; if that is closed there is nobody to tell.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Did stdout's reader go away?
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

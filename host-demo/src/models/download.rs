//! A download that holds: it goes on after a break, is checked, and comes into its place whole or not at all.

use super::cancelled;
use super::digest::{self, megabytes};
use super::http::{self, Answer, Asked};
use super::part::{Part, Source};
use anyhow::{Context, anyhow, bail};
use sam_octa2_abi::{Flow, HostObserver, Severity};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Bytes from the connection at a time.
const PIECE: usize = 1 << 16;
/// How often the user is asked whether to go on while nothing comes.
const TICK: Duration = Duration::from_millis(200);
/// A connection over which nothing comes for so long is given up.
const SILENCE: Duration = Duration::from_secs(60);
/// A download that breaks off goes on by itself so often, each time with more bytes than before.
const BREAKS: usize = 20;

/// What to download.
pub struct Order {
    /// address
    pub url: String,
    /// name of the file
    pub file: String,
    /// its size, where the list knows it
    pub bytes: Option<u64>,
    /// its SHA-256, where the list knows it
    pub sha256: Option<String>,
}

/// What came.
pub struct Got {
    /// the checkpoint
    pub path: PathBuf,
    bytes: u64,
    sha256: String,
    /// the file was there already
    was_here: bool,
    /// where the digest is kept, which nobody knew before
    learnt: Option<PathBuf>,
}

impl Got {
    /// For programs, with a line for people as `text`.
    pub fn report(&self, name: &str) -> Value {
        let path = self.path.display();
        let text = match (self.was_here, &self.learnt) {
            (true, _) => format!("{name}: is here already and is what it should be: {path}"),
            (false, None) => format!("{name}: {path}, checked"),
            (false, Some(kept)) => format!(
                "{name}: {path}\nThe list knows no SHA-256 of it. What came has {}; that is kept in {} and checked from now on.",
                self.sha256,
                kept.display()
            ),
        };
        json!({
            "name": name, "path": self.path, "bytes": self.bytes, "sha256": self.sha256, "was_here": self.was_here,
            "learnt": self.learnt.is_some(), "text": text,
        })
    }
}

/// Downloads a file into a folder, unless it is there and right.
///
/// # Errors
/// One line: no connection, a server that refuses, a full disk, a file that is not what it should be; what came so far is kept where the same
/// call can go on with it.
pub fn get(order: &Order, folder: &Path, replace: bool, watch: &mut dyn HostObserver) -> anyhow::Result<Got> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} (another folder: --to DIR)", folder.display()))?;
    let target = folder.join(&order.file);
    let expected = match &order.sha256 {
        None => digest::kept(&target)?,
        known => known.clone(),
    };
    if expected.is_none() && order.url.starts_with("http://") {
        watch.log(Severity::WARN, "no SHA-256 is known, and without https:// anybody on the way can change what comes");
    }
    let Some(mut part) = Part::take(&target, replace, watch)? else {
        return here_already(target, expected, watch);
    };
    fetch(order, expected.is_some(), folder, &mut part, watch)?;
    let (bytes, sha256) = (part.bytes()?, digest::of_open_file(part.rewound()?, watch)?);
    if let Some(expected) = expected.as_ref().filter(|expected| **expected != sha256) {
        part.discard();
        let by_whom = match order.sha256 {
            Some(_) => "as the list says".to_owned(),
            None => format!("as was learnt before ({}.sha256: remove it to take the new file)", target.display()),
        };
        bail!(
            "{}: what came has SHA-256 {sha256}, not {expected}, {by_whom}. It was removed; try again, and if it stays so, the file has \
             changed where it is published",
            order.url
        );
    }
    part.finish(&target)?;
    let learnt = if expected.is_none() { Some(digest::keep(&target, &sha256)?) } else { None };
    Ok(Got { path: target, bytes, sha256, was_here: false, learnt })
}

/// A file that was there before.
fn here_already(path: PathBuf, expected: Option<String>, watch: &mut dyn HostObserver) -> anyhow::Result<Got> {
    let sha256 = digest::of_file(&path, watch)?;
    if let Some(expected) = expected.as_ref().filter(|expected| **expected != sha256) {
        bail!("{} is there and has SHA-256 {sha256}, not {expected}: move it away, or --replace it", path.display());
    }
    let bytes = std::fs::metadata(&path).with_context(|| path.display().to_string())?.len();
    let learnt = if expected.is_none() { Some(digest::keep(&path, &sha256)?) } else { None };
    Ok(Got { path, bytes, sha256, was_here: true, learnt })
}

/// All bytes of the file into `part`, over as many connections as it takes.
fn fetch(
    order: &Order,
    checked: bool,
    folder: &Path,
    part: &mut Part,
    watch: &mut dyn HostObserver,
) -> anyhow::Result<()> {
    let have = part.bytes()?;
    if checked && order.bytes == Some(have) && part.source().is_some_and(|source| source.url == order.url) {
        return Ok(()); // all of it, and stopped before it was checked
    }
    for attempt in 0.. {
        let answer = ask(order, checked, part, watch)?;
        let (before, total) = (part.bytes()?, answer.total.or(order.bytes));
        if let (Some(listed), Some(offered)) = (order.bytes, answer.total)
            && listed != offered
        {
            bail!("{}: the server has {offered} bytes, the list says {listed}: the file has changed", order.url);
        }
        room(folder, total.unwrap_or(0).saturating_sub(before))?;
        let broken = receive(answer, total, part, watch);
        let now = part.bytes()?;
        let of = total.map_or_else(String::new, |total| format!(" of {total}"));
        let kept = || format!("{}: {now}{of} bytes are kept, the same command goes on from there", order.url);
        match broken {
            Err(Stop::User) => return Err(cancelled()).with_context(kept),
            Err(Stop::Disk(error)) => return Err(error).with_context(kept),
            Err(Stop::Connection(error)) if now == before || attempt >= BREAKS => return Err(error).with_context(kept),
            Err(Stop::Connection(error)) => {
                watch.log(Severity::WARN, &format!("{error:#} after {now}{of} bytes: going on from there"));
            }
            Ok(()) if total.is_none_or(|total| now == total) => return Ok(()),
            Ok(()) if total.is_some_and(|total| now > total) => {
                part.restart(&Source { url: order.url.clone(), version: None })?;
                bail!("{}: the server sent {now}{of} bytes", order.url);
            }
            Ok(()) if now == before || attempt >= BREAKS => bail!("the connection ended early; {}", kept()),
            Ok(()) => {
                watch.log(Severity::WARN, &format!("the connection ended after {now}{of} bytes: going on from there"))
            }
        }
    }
    Ok(())
}

/// Asks for what is missing. A part that may not be the beginning of the same file is begun anew.
fn ask(order: &Order, checked: bool, part: &mut Part, watch: &mut dyn HostObserver) -> anyhow::Result<Answer> {
    let have = part.bytes()?;
    let source = part.source().filter(|source| source.url == order.url);
    let version = source.as_ref().and_then(|source| source.version.as_deref());
    // without the server's word that it is the same file, a digest has to tell
    let goes_on =
        have > 0 && source.is_some() && (version.is_some() || checked) && order.bytes.is_none_or(|all| have < all);
    let mut asked = http::ask(&order.url, if goes_on { have } else { 0 }, version)?;
    if matches!(asked, Asked::NoSuchRange) {
        asked = http::ask(&order.url, 0, None)?;
    }
    let Asked::Answer(answer) = asked else { bail!("{}: the server does not send the file", order.url) };
    if answer.start == 0 {
        if have > 0 {
            watch.log(Severity::INFO, "what was there of it cannot be gone on with: beginning anew");
        }
        part.restart(&Source { url: order.url.clone(), version: answer.version.clone() })?;
    } else {
        watch.log(Severity::INFO, &format!("going on after {have} bytes"));
    }
    Ok(answer)
}

/// Why no more bytes come.
enum Stop {
    User,
    Disk(anyhow::Error),
    Connection(anyhow::Error),
}

/// Bytes until the connection ends. A thread reads, so that a connection on which nothing comes can be left.
fn receive(answer: Answer, total: Option<u64>, part: &mut Part, watch: &mut dyn HostObserver) -> Result<(), Stop> {
    let pieces = read_on_a_thread(answer.body);
    let (mut done, mut last) = (answer.start, Instant::now());
    loop {
        match pieces.recv_timeout(TICK) {
            Ok(Ok(piece)) => {
                part.append(&piece).map_err(|error| Stop::Disk(disk_error(error)))?;
                (done, last) = (done + piece.len() as u64, Instant::now());
            }
            Ok(Err(error)) => return Err(Stop::Connection(anyhow!("the connection broke: {error}"))),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) if last.elapsed() > SILENCE => {
                return Err(Stop::Connection(anyhow!("nothing came for {} seconds", SILENCE.as_secs())));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if watch.progress("download MB", megabytes(done), megabytes(total.unwrap_or(done))) == Flow::CANCEL {
            return Err(Stop::User);
        }
    }
}

fn read_on_a_thread(mut body: Box<dyn Read + Send>) -> Receiver<std::io::Result<Vec<u8>>> {
    let (send, receive) = sync_channel(16);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE];
            let read = body.read(&mut piece);
            let ends = !matches!(read, Ok(1..));
            let sent = match read {
                Ok(0) => break,
                Ok(read) => {
                    piece.truncate(read);
                    send.send(Ok(piece))
                }
                Err(error) => send.send(Err(error)),
            };
            if ends || sent.is_err() {
                break; // the other side has left
            }
        }
    });
    receive
}

fn disk_error(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => anyhow!("the disk is full ({error})"),
        _ => error.into(),
    }
}

/// Is there room for so many bytes more?
fn room(folder: &Path, needed: u64) -> anyhow::Result<()> {
    match free(folder) {
        Some(free) if free < needed => bail!(
            "{}: the disk is full: {} MB are needed and {} MB are free (another folder: --to DIR)",
            folder.display(),
            megabytes(needed),
            free / 1_000_000
        ),
        _ => Ok(()),
    }
}

/// Bytes that may be written into a folder, where the system tells.
#[cfg(unix)]
#[allow(clippy::unnecessary_cast, reason = "the fields are of different types on different systems")]
fn free(folder: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    // Safety: a path that ends in zero, and memory of the right type.
    let (told, stats) = unsafe {
        let mut stats: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &raw mut stats), stats)
    };
    (told == 0).then(|| (stats.f_bavail as u64).saturating_mul(stats.f_frsize as u64))
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

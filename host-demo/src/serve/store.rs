//! Sessions by id: how many there may be, how long they stay, how much memory their volumes take, and one call at a time on each.

use super::refusal::{Answer, Refusal};
use super::work::{Watch, Work};
use axum::http::StatusCode;
use sam_octa2_abi::CancelToken;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::Semaphore;

/// a session without a volume makes room for another after this time
const EMPTY: Duration = Duration::from_secs(60);
/// caches of a session are given up after this time
const RESTING: Duration = Duration::from_secs(60);

/// Who made a session: an id of one protocol means nothing to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// ITK-SNAP
    ItkSnap,
    /// SlicerNNInteractive 0.3
    Slicer,
    /// nnInteractive 2: a lease, which also ends when its client is silent for this long
    Lease,
    /// MONAI Label
    Monai,
    /// the page
    Page,
}

/// How long a lease lives without any sign of its client.
pub const LIVENESS: Duration = Duration::from_secs(600);

/// What a session holds.
#[derive(Default)]
pub struct Slot {
    /// the volume in work, once there is one
    pub work: Option<Work>,
    /// what the client of a lease knows of the object
    pub delivered: super::masks::Masks,
    /// what the volume is called
    pub name: String,
    /// darkest and brightest value of the volume
    pub range: [f64; 2],
    /// memory of the volume
    pub held: Option<Held>,
}

impl Slot {
    /// The volume in work.
    pub fn work(&mut self) -> Answer<&mut Work> {
        self.work.as_mut().ok_or_else(|| Refusal::new(StatusCode::CONFLICT, "no image was sent to this session yet"))
    }
}

/// A session.
pub struct Entry {
    /// its id, which may stand in addresses
    pub id: String,
    protocol: Protocol,
    slot: Arc<tokio::sync::Mutex<Slot>>,
    times: Mutex<Times>,
    running: Mutex<Option<CancelToken>>,
}

struct Times {
    used: Instant,
    seen: Instant,
    rested: bool,
}

/// All sessions.
pub struct Store {
    entries: Mutex<HashMap<String, Arc<Entry>>>,
    most: usize,
    /// a session that was not used for so long is forgotten
    pub idle: Duration,
    engine: Arc<Semaphore>,
    bytes: Arc<AtomicU64>,
    most_bytes: u64,
}

/// Memory that is counted until this is dropped.
pub struct Held {
    bytes: u64,
    all: Arc<AtomicU64>,
    folder: Option<TempDir>,
}

impl Held {
    /// Keeps the folder in which the volume's file lies for as long.
    pub fn keep(&mut self, folder: TempDir) {
        self.folder = Some(folder);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

/// Stops a call whose client has gone.
struct StopOnDrop(Option<CancelToken>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(token) = &self.0 {
            token.trigger();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An id that cannot be guessed: 128 random bits in hexadecimal digits.
pub fn random_id() -> Answer<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Refusal::inside(format!("the system gives no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Entry {
    /// A sign of life: `used` where the user did something.
    pub fn touch(&self, used: bool) {
        let mut times = lock(&self.times);
        times.seen = Instant::now();
        if used {
            (times.used, times.rested) = (times.seen, false);
        }
    }

    /// Until it is forgotten.
    pub fn remaining(&self, idle: Duration) -> Duration {
        idle.saturating_sub(lock(&self.times).used.elapsed())
    }

    /// Stops the call under way, if there is one.
    pub fn stop(&self) {
        if let Some(token) = &*lock(&self.running) {
            token.trigger();
        }
    }

    fn is_over(&self, idle: Duration) -> bool {
        let times = lock(&self.times);
        times.used.elapsed() > idle || self.protocol == Protocol::Lease && times.seen.elapsed() > LIVENESS
    }

    /// Is there nothing in it, and for a while?
    fn is_left_empty(&self) -> bool {
        lock(&self.times).seen.elapsed() > EMPTY && self.slot.try_lock().is_ok_and(|slot| slot.work.is_none())
    }
}

impl Store {
    /// Room for so many sessions, and for so many bytes of volumes.
    pub fn new(most: usize, idle: Duration, most_bytes: u64) -> Self {
        let calls = std::thread::available_parallelism().map_or(4, |n| n.get().max(4));
        Self {
            entries: Mutex::default(),
            most,
            idle,
            engine: Arc::new(Semaphore::new(calls)),
            bytes: Arc::default(),
            most_bytes,
        }
    }

    /// A new session, empty.
    pub fn create(&self, protocol: Protocol) -> Answer<Arc<Entry>> {
        self.create_as(protocol, random_id()?)
    }

    /// The same under this id, or the one that has it.
    pub fn create_as(&self, protocol: Protocol, id: String) -> Answer<Arc<Entry>> {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.get(&id) {
            return Ok(entry.clone());
        }
        entries.retain(|_, entry| !entry.is_over(self.idle) || entry.slot.try_lock().is_err());
        if entries.len() >= self.most
            && let Some(id) = entries.values().find(|entry| entry.is_left_empty()).map(|entry| entry.id.clone())
        {
            entries.remove(&id);
        }
        if entries.len() >= self.most {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "all {} sessions are in use; close one, wait, or start the server with --max-sessions",
                    self.most
                ),
            ));
        }
        let now = Instant::now();
        let entry = Arc::new(Entry {
            id: id.clone(),
            protocol,
            slot: Arc::default(),
            times: Mutex::new(Times { used: now, seen: now, rested: false }),
            running: Mutex::default(),
        });
        entries.insert(id, entry.clone());
        Ok(entry)
    }

    /// The session with this id.
    pub fn find(&self, protocol: Protocol, id: &str) -> Answer<Arc<Entry>> {
        let entry = lock(&self.entries).get(id).filter(|entry| entry.protocol == protocol).cloned();
        let entry = entry.filter(|entry| !entry.is_over(self.idle));
        entry.ok_or_else(|| {
            Refusal::missing(
                "there is no such session: it was idle too long, or the server was started anew; connect again",
            )
        })
    }

    /// Forgets a session; a call at work in it is stopped.
    pub fn remove(&self, id: &str) {
        let entry = lock(&self.entries).remove(id);
        if let Some(entry) = entry {
            entry.stop();
        }
    }

    /// Sets memory for a volume apart.
    pub fn hold(&self, bytes: u64) -> Answer<Held> {
        let all = self.bytes.fetch_add(bytes, Ordering::SeqCst).saturating_add(bytes);
        let held = Held { bytes, all: self.bytes.clone(), folder: None };
        match all <= self.most_bytes {
            true => Ok(held),
            false => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "the volumes of all sessions would take more than the {} MB that this server gives them (--max-memory); close one",
                    self.most_bytes >> 20
                ),
            )),
        }
    }

    /// Does blocking work in a session. Calls on one session wait for each other; so do calls of all sessions where they are more than the
    /// machine has cores for. Where the client goes away, the work is stopped.
    pub async fn with<T: Send + 'static>(
        &self,
        entry: &Arc<Entry>,
        work: impl FnOnce(&mut Slot, &mut Watch) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let over = |_| Refusal::inside("the server is about to end");
        entry.touch(true);
        let mut slot = entry.slot.clone().lock_owned().await;
        let permit = self.engine.clone().acquire_owned().await.map_err(over)?;
        let mut watch = Watch::default();
        *lock(&entry.running) = Some(watch.0.clone());
        let mut stop = StopOnDrop(Some(watch.0.clone()));
        let here = entry.clone();
        let result = tokio::task::spawn_blocking(move || {
            let result = work(&mut slot, &mut watch);
            *lock(&here.running) = None;
            here.touch(true);
            drop((slot, permit));
            result
        })
        .await;
        stop.0 = None;
        result.unwrap_or_else(|_| {
            self.remove(&entry.id); // what it holds may be half done
            Err(Refusal::inside("the server failed inside; this session is lost, begin a new one"))
        })
    }

    /// Forgets what was idle too long, and gives up what can be computed again of what rests.
    pub fn tidy(&self) {
        let mut over = Vec::new();
        lock(&self.entries).retain(|_, entry| {
            let keep = !entry.is_over(self.idle) || entry.slot.try_lock().is_err();
            if !keep {
                over.push(entry.clone());
            }
            keep
        });
        drop(over); // frees volumes without the lock
        let resting: Vec<_> = lock(&self.entries).values().cloned().collect();
        for entry in resting {
            let Ok(slot) = entry.slot.try_lock() else { continue };
            let mut times = lock(&entry.times);
            if times.rested || times.used.elapsed() < RESTING {
                continue;
            }
            times.rested = true;
            if let Some(work) = &slot.work {
                let _ = work.session().free_caches(); // one that failed inside keeps what it has until it is forgotten
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sessions_are_counted() {
        let store = Store::new(2, Duration::from_secs(60), 100);
        let one = store.create(Protocol::ItkSnap).unwrap();
        let two = store.create(Protocol::Lease).unwrap();
        assert_eq!(store.create(Protocol::Page).map(|_| ()).unwrap_err().status, 503);
        assert!(store.find(Protocol::Lease, &one.id).is_err(), "of another protocol");
        assert!(store.find(Protocol::ItkSnap, &one.id).is_ok() && one.id.len() == 32 && one.id != two.id);
        store.remove(&one.id);
        assert!(store.create(Protocol::Page).is_ok());
    }

    #[test]
    fn memory_is_counted() {
        let store = Store::new(2, Duration::from_secs(60), 100);
        let held = store.hold(80).unwrap();
        assert_eq!(store.hold(21).map(|_| ()).unwrap_err().status, 503);
        assert!(store.hold(20).is_ok());
        drop(held);
        assert!(store.hold(100).is_ok());
        assert!(store.hold(u64::MAX).is_err() && store.hold(100).is_ok());
    }
}

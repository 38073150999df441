//! Unique identifiers under 2.25, the arc of UUIDs (PS3.5 B.2): new ones, or the same ones from the same content.

use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes the identifiers of one file.
pub(super) struct Uids(Sha256);

impl Uids {
    /// The same identifiers whenever the same content is fed.
    pub fn from_content() -> Self {
        Self(Sha256::new_with_prefix(concat!("SAM-OCTA2 ", env!("CARGO_PKG_VERSION"))))
    }

    /// Other identifiers than any call before, on any machine: content and origin, salted with time, process and count.
    pub fn fresh() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut uids = Self::from_content();
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        uids.feed(&nanoseconds.to_le_bytes());
        uids.feed(&std::process::id().to_le_bytes());
        uids.feed(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        uids.feed(&std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0).to_le_bytes());
        uids
    }

    /// Takes a piece of content; its length counts, so that pieces cannot flow into each other.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The identifier for one purpose.
    pub fn of(&self, purpose: &str) -> String {
        let hash = self.0.clone().chain_update(purpose).finalize();
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&hash[..16]);
        // version 8 (made by a rule of one's own), variant 1: RFC 9562
        uuid[6] = uuid[6] & 0x0f | 0x80;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        format!("2.25.{}", u128::from_be_bytes(uuid))
    }
}

//! A data directory with an index and a clock, for the tests of this folder.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::token_files::TokenFiles;
use super::tokens::Tokens;
use crate::index::{Index, IndexPlace};
use optag_core::clock::{Clock, MonoTime, WallTime};

pub(super) const NOW: WallTime = WallTime::from_unix_micros(1_700_000_000_000_000);
pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A clock that is put forward by hand.
#[derive(Default)]
pub(super) struct At(AtomicI64);

impl At {
    pub(super) fn put_forward(&self, hours: i64) {
        self.put_forward_min(60 * hours);
    }

    pub(super) fn put_forward_min(&self, minutes: i64) {
        self.0.fetch_add(minutes * 60_000_000, Ordering::Relaxed);
    }
}

impl Clock for At {
    fn mono(&self) -> MonoTime {
        MonoTime::default()
    }

    fn wall(&self) -> WallTime {
        NOW.plus_micros(self.0.load(Ordering::Relaxed))
    }
}

/// A data directory with its index.
pub(super) struct Site {
    pub dir: tempfile::TempDir,
    pub clock: Arc<At>,
}

impl Site {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: Arc::default() }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn index(&self) -> Index {
        Index::lazy(&IndexPlace::Sqlite(self.file("index.sqlite")), "45").unwrap()
    }

    pub(super) fn open(&self) -> Tokens {
        Tokens::open(self.index(), &self.file("tokens.json"), self.clock.clone()).unwrap()
    }

    /// With an index that does not answer.
    pub(super) fn away(&self) -> Tokens {
        let nobody = IndexPlace::postgres("postgres://optag@127.0.0.1:1/optag").unwrap();
        let index = Index::lazy(&nobody, "45").unwrap();
        Tokens::open(index, &self.file("tokens.json"), self.clock.clone()).unwrap()
    }

    /// Waits until the file of what is known has as many tokens.
    pub(super) async fn knows(&self, tokens: usize) {
        loop {
            let known = TokenFiles::new(&self.file("tokens.json")).read_last_known();
            if known.is_some_and(|known| known.tokens.len() == tokens) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

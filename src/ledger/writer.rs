//! Writes ledger entries of announced calls: from signalling, which must not block, to the index, which may be
//! unavailable. In: entries. Out: rows, written in batches and retried without limit.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::backoff::Backoff;
use crate::index::{Index, Pseudonyms};
use crate::metrics;
use optag_core::call::{AnnouncedCall, RefusedStreams, Unrecorded};
use optag_core::id::CallId;
use optag_core::locked::Secret;

/// Maximum number of entries waiting for the index; beyond it new ones are dropped and counted.
const WAITING: usize = 100_000;
/// Maximum number of entries in one transaction.
const TOGETHER: usize = 500;
/// How long a batch is collected.
const GATHER: Duration = Duration::from_millis(100);

/// Accepts entries of the ledger; clones share it.
#[derive(Clone, Debug)]
pub struct Ledger(mpsc::Sender<Entry>);

/// An entry to be written.
#[derive(Debug)]
enum Entry {
    /// An announced call.
    Announced(AnnouncedCall),
    /// Refused requests of streams to join a call.
    Refused(CallId, RefusedStreams),
}

impl Ledger {
    /// The ledger, and the task that writes it and must be run.
    pub fn new(index: Index, pseudonyms: Pseudonyms) -> (Self, impl Future<Output = ()> + Send) {
        let (to, from) = mpsc::channel(WAITING);
        (Self(to), write(from, index, pseudonyms))
    }

    /// Writes an announced call. Does not wait.
    pub fn keep(&self, call: AnnouncedCall) {
        if let (Some(unrecorded), true) = (call.unrecorded, call.ended_at.is_some()) {
            let (outcome, cause) = Unrecorded::outcome(unrecorded);
            metrics::announced_call_ended(outcome, cause);
        }
        self.hand_in(Entry::Announced(call));
    }

    /// Adds streams that were refused when they asked to join a call. Does not wait.
    pub fn refused(&self, call: CallId, refused: RefusedStreams) {
        self.hand_in(Entry::Refused(call, refused));
    }

    fn hand_in(&self, entry: Entry) {
        if self.0.try_send(entry).is_err() {
            metrics::outcome_row_dropped();
        }
    }

    /// [`Ledger::keep`] as a function, for signalling.
    pub fn sink(&self) -> Arc<dyn Fn(AnnouncedCall) + Send + Sync> {
        let calls = self.clone();
        Arc::new(move |call| calls.keep(call))
    }
}

async fn write(mut from: mpsc::Receiver<Entry>, index: Index, pseudonyms: Pseudonyms) {
    let mut batch = Vec::new();
    let mut backoff = Backoff::default();
    while from.recv_many(&mut batch, TOGETHER).await > 0 {
        tokio::time::sleep(GATHER).await;
        while batch.len() < TOGETHER
            && let Ok(entry) = from.try_recv()
        {
            batch.push(entry);
        }
        let (mut calls, mut refusals) = (Vec::new(), VecDeque::new());
        for entry in batch.drain(..) {
            match entry {
                Entry::Announced(call) => calls.push(call),
                Entry::Refused(call, refused) => refusals.push_back((call, refused)),
            }
        }
        while let Err(error) = index.put_announced_calls(&calls, &pseudonyms).await {
            tracing::warn!(%error, calls = calls.len(), "cannot write ledger entries, will retry");
            tokio::time::sleep(backoff.next(0)).await;
        }
        // The call itself was written before its streams were refused.
        while let Some(&(call, refused)) = refusals.front() {
            match index.add_refused_streams(call, refused).await {
                Ok(()) => drop(refusals.pop_front()),
                Err(error) => {
                    tracing::warn!(%error, "cannot write refused streams to the ledger, will retry");
                    tokio::time::sleep(backoff.next(0)).await;
                }
            }
        }
        backoff.reset();
    }
}

/// Names the key of the ledger's hashes, derived from the master key: nodes that have one master key hash alike.
pub const LABEL: &str = "hashes of the ledger";

/// The hashes under `key`, derived for [`LABEL`]. What an earlier version hashed under a key of this data directory is
/// recognised.
///
/// Errors: that key cannot be read.
pub fn pseudonyms(data_dir: &Path, key: &Secret, country_code: &str) -> anyhow::Result<Pseudonyms> {
    let hashes = Pseudonyms::new(key, country_code);
    let path = data_dir.join("accounts.key");
    let former = match std::fs::read(&path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(hashes),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let former: &[u8; 32] = former.as_slice().try_into().map_err(|_| {
        anyhow::anyhow!(
            "{} is damaged: without it, ledger entries of earlier versions cannot be matched; remove it to continue",
            path.display()
        )
    })?;
    Ok(hashes.recognising(former))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::IndexPlace;
    use optag_core::clock::WallTime;

    #[tokio::test]
    async fn streams_that_are_refused_in_mid_call_are_added_to_the_account_of_whoever_announced_the_call() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&IndexPlace::Sqlite(dir.path().join("i")), "45").await.unwrap();
        let (accounts, task) = Ledger::new(index.clone(), Pseudonyms::new(&[7; 32], "45"));
        let at = WallTime::from_unix_micros(5_000_000);
        let (api, siprec) = (CallId::new_at(at), CallId::new_at(at));
        let announced = |id: &str, client: &str, call: CallId, ended_at: Option<WallTime>| {
            accounts.keep(AnnouncedCall {
                id: id.into(),
                began_at: at,
                ended_at,
                client: client.into(),
                department: "demo".into(),
                caller_number: "1".to_owned().into(),
                called_number: "2".to_owned().into(),
                names: Vec::new(),
                call: Some(call),
                unrecorded: None,
                refused_streams: RefusedStreams { encrypted: 1, ..Default::default() },
            });
        };
        announced("a", "api", api, None);
        announced("b", "192.0.2.1", siprec, None);
        // Another session of the same call does not count them again.
        announced("c", "192.0.2.1", siprec, None);
        for call in [api, siprec] {
            accounts.refused(call, RefusedStreams { no_room: 1, ..Default::default() });
            accounts.refused(call, RefusedStreams { no_codec: 1, ..Default::default() });
        }
        // SIPREC writes what its descriptions were refused once more at the end.
        announced("b", "192.0.2.1", siprec, Some(at));
        drop(accounts);
        task.await;
        let rows = index.announced_calls(at, at.plus_micros(1)).await.unwrap();
        let refused = |id: &str| rows.iter().find(|row| row.id == id).unwrap().refused_streams.causes();
        assert_eq!(refused("a"), [("encrypted", 1), ("no_codec", 1), ("no_room", 1)].into());
        assert_eq!(refused("b"), refused("a"));
        assert_eq!(refused("c"), [("encrypted", 1)].into());
    }

    #[test]
    fn nodes_of_one_master_key_hash_alike_and_recognise_what_their_own_key_hashed_before() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(one.path().join("accounts.key"), [8; 32]).unwrap();
        let hashes = |dir: &Path| pseudonyms(dir, &Secret::copy_of(&[7; 32]), "45").unwrap();
        let (a, b) = (hashes(one.path()), hashes(two.path()));
        assert!(a.number("12345678").is_some() && a.number("12345678") == b.number("+45 12345678"));
        assert_eq!(a.names("ABC@pbx"), b.names("abc@pbx"));
        let before = Pseudonyms::new(&[8; 32], "45");
        assert!(a.all_numbers("12345678").contains(&before.number("12345678").unwrap()));
        assert!(a.all_names("abc").contains(&before.names("abc")[0]) && a.number("x").is_none());
        assert!(!b.all_numbers("12345678").contains(&before.number("12345678").unwrap()));
        std::fs::write(two.path().join("accounts.key"), "half").unwrap();
        assert!(pseudonyms(two.path(), &Secret::copy_of(&[7; 32]), "45").is_err());
    }
}

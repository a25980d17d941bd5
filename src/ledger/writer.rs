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
use optag_core::call::{Account, RefusedStreams, Unrecorded};
use optag_core::id::CallId;
use optag_files::atomic_file::replace;

/// Accounts that may wait for the index. Beyond it the newest is not kept, counted.
const WAITING: usize = 100_000;
/// Accounts that are written together.
const TOGETHER: usize = 500;
/// How long others are waited for, to be written together.
const GATHER: Duration = Duration::from_millis(100);

/// Where accounts are handed in; clones share it.
#[derive(Clone, Debug)]
pub struct Accounts(mpsc::Sender<Entry>);

/// What is to be written.
#[derive(Debug)]
enum Entry {
    Account(Account),
    /// Streams that asked to join a call and were refused.
    Refused(CallId, RefusedStreams),
}

impl Accounts {
    /// The way in, and the task that must be run.
    pub fn new(index: Index, pseudonyms: Pseudonyms) -> (Self, impl Future<Output = ()> + Send) {
        let (to, from) = mpsc::channel(WAITING);
        (Self(to), write(from, index, pseudonyms))
    }

    /// Hands in an account. Does not wait.
    pub fn keep(&self, account: Account) {
        if let (Some(unrecorded), true) = (account.unrecorded, account.ended_at.is_some()) {
            let (outcome, cause) = Unrecorded::outcome(unrecorded);
            metrics::announced_call_ended(outcome, cause);
        }
        self.hand_in(Entry::Account(account));
    }

    /// Adds refused streams to the account of a call that was announced through the API. Does not wait.
    pub fn refused(&self, call: CallId, refused: RefusedStreams) {
        self.hand_in(Entry::Refused(call, refused));
    }

    fn hand_in(&self, entry: Entry) {
        if self.0.try_send(entry).is_err() {
            metrics::outcome_row_dropped();
        }
    }

    /// As a function, for signalling.
    pub fn sink(&self) -> Arc<dyn Fn(Account) + Send + Sync> {
        let accounts = self.clone();
        Arc::new(move |account| accounts.keep(account))
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
        let (mut accounts, mut refusals) = (Vec::new(), VecDeque::new());
        for entry in batch.drain(..) {
            match entry {
                Entry::Account(account) => accounts.push(account),
                Entry::Refused(call, refused) => refusals.push_back((call, refused)),
            }
        }
        while let Err(error) = index.put_accounts(&accounts, &pseudonyms).await {
            tracing::warn!(%error, accounts = accounts.len(), "cannot write ledger entries, will retry");
            tokio::time::sleep(backoff.next(0)).await;
        }
        // A call's account was handed in before its streams were refused.
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

/// The key of the hashes in this data directory, made where there is none.
///
/// Errors: it can be neither read nor made.
pub fn pseudonyms(data_dir: &Path, country_code: &str) -> anyhow::Result<Pseudonyms> {
    let path = data_dir.join("accounts.key");
    let key = match std::fs::read(&path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut fresh = Zeroizing::new(vec![0; 32]);
            aws_lc_rs::rand::fill(&mut fresh).context("no random bytes from the system")?;
            // Whole or not at all: half a key would stop every later start.
            replace(&path, &fresh).with_context(|| path.display().to_string())?;
            fresh
        }
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let key: &[u8; 32] = key.as_slice().try_into().map_err(|_| {
        anyhow::anyhow!(
            "{} is damaged: without it, earlier ledger entries cannot be matched; remove it to continue",
            path.display()
        )
    })?;
    Ok(Pseudonyms::new(key, country_code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::IndexPlace;
    use optag_core::clock::WallTime;

    #[tokio::test]
    async fn streams_that_are_refused_in_mid_call_are_added_to_the_account_of_an_announcement() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&IndexPlace::Sqlite(dir.path().join("i")), "45").await.unwrap();
        let (accounts, task) = Accounts::new(index.clone(), Pseudonyms::new(&[7; 32], "45"));
        let at = WallTime::from_unix_micros(5_000_000);
        let (api, siprec) = (CallId::new_at(at), CallId::new_at(at));
        for (id, client, call) in [("a", "api", api), ("b", "192.0.2.1", siprec)] {
            accounts.keep(Account {
                id: id.into(),
                began_at: at,
                ended_at: None,
                client: client.into(),
                department: "demo".into(),
                caller_number: "1".to_owned().into(),
                called_number: "2".to_owned().into(),
                names: Vec::new(),
                call: Some(call),
                unrecorded: None,
                refused_streams: RefusedStreams { encrypted: 1, ..Default::default() },
            });
        }
        for call in [api, siprec] {
            accounts.refused(call, RefusedStreams { no_room: 1, ..Default::default() });
            accounts.refused(call, RefusedStreams { no_codec: 1, ..Default::default() });
        }
        drop(accounts);
        task.await;
        let rows = index.accounts(at, at.plus_micros(1)).await.unwrap();
        let refused = |id: &str| rows.iter().find(|row| row.id == id).unwrap().refused_streams.causes();
        assert_eq!(refused("a"), [("encrypted", 1), ("no_codec", 1), ("no_room", 1)].into());
        assert_eq!(refused("b"), [("encrypted", 1)].into(), "SIPREC counts its own");
    }

    #[test]
    fn invariant_05_the_key_of_the_accounts_is_there_whole_or_not_at_all() {
        let faults: [&[&str]; 2] = [&["fsync:error=EIO:when=1"], &["fsync:error=EIO:when=2"]];
        optag_testing::faults::holds_under(optag_testing::test_name!(), &faults, |_| {
            let dir = tempfile::tempdir().unwrap();
            assert!(pseudonyms(dir.path(), "45").is_err());
            pseudonyms(dir.path(), "45").expect("the next start makes one");
        });
    }
}

//! Recordings in the store, through their seal. In: an id. Out: its manifest, its audio whole or
//! in part, in plain, with bounded memory; names and recipients for what is delivered. Not here:
//! whether it may be read, and what becomes of it.

mod copies;
mod error;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use super::manifest::Manifest;
use super::seal::SealError;
use super::seal::day_keys::{DayKey, DayKeys, KeyError};
use super::seal::head::{self, HEAD_BYTES};
use super::seal::identity::Recipient;
use super::seal::stream::{CHUNK_BYTES, Opener, covering, plain_bytes};
pub use crate::archive::vault::copies::Escrow;
pub use crate::archive::vault::error::VaultError;
use crate::store::names::{self, Kind};
use crate::store::{Store, StoreError};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// Largest manifest: a 12-hour call's waveform and gaps. Units: bytes.
const MANIFEST_BYTES: u64 = 64 << 20;
/// Largest file of a key. Units: bytes.
const KEY_FILE_BYTES: u64 = 16 << 10;

/// Plain bytes of an object as they come.
pub type Plain = BoxStream<'static, Result<Bytes, VaultError>>;

/// The store with its seal; clones share it.
#[derive(Clone)]
pub struct Vault {
    store: Store,
    keys: Arc<DayKeys>,
    seals: bool,
    escrow: Option<Escrow>,
    copied: Arc<Mutex<HashSet<String>>>,
}

impl Vault {
    /// `seals`: whether what is stored from now on is sealed. What is there is read either way.
    pub fn new(store: Store, keys: Arc<DayKeys>, seals: bool, escrow: Option<Escrow>) -> Self {
        Self { store, keys, seals, escrow, copied: Arc::default() }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The keys of the days.
    pub fn keys(&self) -> &Arc<DayKeys> {
        &self.keys
    }

    /// Whether copies of keys are wanted.
    pub fn has_escrow(&self) -> bool {
        self.escrow.is_some()
    }

    /// Whether what is delivered now is sealed.
    pub fn seals(&self) -> bool {
        self.seals
    }

    /// A recording's manifest.
    ///
    /// Errors: as [`VaultError`].
    pub async fn manifest(&self, id: CallId) -> Result<Manifest, VaultError> {
        let (total, plain) = self.read(id, Kind::Manifest, None).await?;
        if total > MANIFEST_BYTES {
            return Err(VaultError::Damaged("its manifest is too long"));
        }
        let json: Vec<Bytes> = plain.try_collect().await?;
        let manifest = Manifest::read(&json.concat())?;
        if manifest.id() == id { Ok(manifest) } else { Err(VaultError::Damaged("another's manifest")) }
    }

    /// A recording's audio, or a part of it, and the length of the whole. Units: bytes.
    ///
    /// Errors: as [`VaultError`]; also in the stream, which then ends early.
    pub async fn audio(&self, id: CallId, part: Option<Range<u64>>) -> Result<(u64, Plain), VaultError> {
        self.read(id, Kind::Audio, part).await
    }

    /// Whom a recording of that day is sealed for; `None` where nothing is sealed. The copies of
    /// the key that the owner wants exist before this returns.
    ///
    /// Errors: the keys', or a copy could not be made.
    pub async fn recipient(
        &self,
        day: Date,
        needed_until: WallTime,
    ) -> Result<Option<Recipient>, VaultError> {
        if !self.seals {
            return Ok(None);
        }
        let key = self.blocking(move |keys| keys.recipient(day, needed_until)).await?;
        self.copy(&key).await?;
        Ok(Some(key.recipient))
    }

    /// Whom the sealed object of this name is sealed for, if a key of its day opens it, which is kept until then.
    ///
    /// Errors: as [`VaultError`].
    pub async fn sealed_for(
        &self,
        day: Date,
        name: &str,
        needed_until: WallTime,
    ) -> Result<Option<Recipient>, VaultError> {
        let (_, head) = self.store.get(name, Some(0..HEAD_BYTES as u64)).await?;
        let head: Vec<Bytes> = head.try_collect().await?;
        let key = match self.open_head(day, head.concat()).await {
            Ok((key, _)) => key,
            Err(VaultError::NoKey) => return Ok(None),
            Err(error) => return Err(error),
        };
        let key = self.blocking(move |keys| keys.keep(key, needed_until)).await?;
        self.copy(&key).await?;
        Ok(Some(key.recipient))
    }

    /// Ends the keys that no recording needs at `now`, and what is left of their copies. Returns
    /// the names of those that ended.
    ///
    /// Errors: some key or copy may be left; do it again.
    pub async fn destroy_due_keys(&self, now: WallTime) -> Result<Vec<String>, VaultError> {
        let due = self.blocking(move |keys| keys.due(now)).await?;
        let (own, others): (Vec<_>, Vec<_>) = due.into_iter().partition(DayKey::is_own);
        let mut ended = self.destroy(own, now).await?;
        let others = self.still_due(others, now).await?;
        ended.extend(self.destroy(others, now).await?);
        self.remove_copies().await?;
        Ok(ended)
    }

    async fn destroy(&self, due: Vec<DayKey>, now: WallTime) -> Result<Vec<String>, VaultError> {
        let destroy = move |keys: &DayKeys| {
            let mut ended = Vec::new();
            for key in due {
                if keys.destroy(&key, Some(now))? {
                    ended.push(key.name());
                }
            }
            Ok(ended)
        };
        self.blocking(destroy).await
    }

    /// Takes in the keys of a day that other nodes of this master key left in the store.
    /// Returns how many.
    ///
    /// Errors: the store's; or none could be taken in, for the reason of one. One that cannot keeps no other out.
    pub async fn fetch_keys(&self, day: Date) -> Result<usize, VaultError> {
        let known: HashSet<String> =
            self.blocking(move |keys| keys.of(day)).await?.iter().map(DayKey::name).collect();
        let (mut taken, mut failed) = (0, None);
        for (name, copies) in self.copies().await? {
            let object = format!("{}{name}.key", names::KEYS_PREFIX);
            if !name.starts_with(&format!("{day}-")) || known.contains(&name) || !copies.has(&object) {
                continue;
            }
            let file = self.store.get_small(&object, KEY_FILE_BYTES).await?;
            let until = copies.over_at();
            let brought = self.blocking(move |keys| match keys.open_sealed_file(&file)? {
                (of, identity) if of == day => keys.bring_in(day, identity, until),
                _ => Err(SealError::Form.into()),
            });
            match brought.await {
                Ok(_) => taken += 1,
                Err(error) => {
                    tracing::warn!(%error, key = object, "cannot use the copy of a day key");
                    // That there is a newer one says the most.
                    failed = failed.filter(|other: &VaultError| other.newer().is_some()).or(Some(error));
                }
            }
        }
        failed.filter(|_| taken == 0).map_or(Ok(taken), Err)
    }

    async fn read(
        &self,
        id: CallId,
        kind: Kind,
        part: Option<Range<u64>>,
    ) -> Result<(u64, Plain), VaultError> {
        let name = |sealed| names::name(id, id.admitted_at(), kind, sealed);
        // Most are stored as the configuration says now; others are from before it was changed.
        match self.read_as(id, &name(self.seals), self.seals, part.clone()).await {
            Err(VaultError::Missing) => self.read_as(id, &name(!self.seals), !self.seals, part).await,
            read => read,
        }
    }

    async fn read_as(
        &self,
        id: CallId,
        name: &str,
        sealed: bool,
        part: Option<Range<u64>>,
    ) -> Result<(u64, Plain), VaultError> {
        if !sealed {
            let (total, bytes) = self.store.get(name, part).await?;
            return Ok((total, bytes.map_err(VaultError::from).boxed()));
        }
        let (size, head) = self.store.get(name, Some(0..HEAD_BYTES as u64)).await?;
        let total = plain_bytes(size)?;
        let head: Vec<Bytes> = head.try_collect().await?;
        let (_, key) = self.open_head(names::day(id.admitted_at()), head.concat()).await?;
        let part = part.unwrap_or(0..total);
        let part = part.start.min(total)..part.end.min(total);
        let (first, within) = covering(&part, total);
        let (_, sealed) = self.store.get(name, Some(within)).await?;
        let opening = Opening {
            sealed,
            opener: Some(Opener::new(key, first, total)),
            skip: part.start - first * CHUNK_BYTES as u64,
            left: part.end - part.start,
        };
        Ok((total, stream::try_unfold(opening, Opening::next).boxed()))
    }

    /// Tries the keys of a recording's day; where none opens, those that the store has.
    async fn open_head(&self, day: Date, head: Vec<u8>) -> Result<Opened, VaultError> {
        let head = Arc::new(head);
        let tried = |head: Arc<Vec<u8>>| self.blocking(move |keys| opening_key(keys, day, &head));
        if let Some(key) = tried(Arc::clone(&head)).await? {
            return Ok(key);
        }
        if self.fetch_keys(day).await? == 0 {
            return Err(VaultError::NoKey);
        }
        tried(head).await?.ok_or(VaultError::NoKey)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DayKeys) -> Result<T, KeyError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let keys = Arc::clone(&self.keys);
        let done = tokio::task::spawn_blocking(move || work(&keys)).await;
        Ok(done.map_err(|_| KeyError::Seal(SealError::Crypto))??)
    }
}

/// The key of a day that opens an object, and the object's own.
type Opened = (DayKey, aws_lc_rs::aead::LessSafeKey);

/// A part of a sealed object, on its way through the seal.
struct Opening {
    sealed: BoxStream<'static, Result<Bytes, StoreError>>,
    opener: Option<Opener>,
    skip: u64,
    left: u64,
}

impl Opening {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, VaultError> {
        while let Some(mut opener) = self.opener.take() {
            let plain = match self.sealed.try_next().await? {
                Some(bytes) => {
                    let plain = opener.push(&bytes)?;
                    self.opener = Some(opener);
                    plain
                }
                None => opener.finish()?,
            };
            let skipped = self.skip.min(plain.len() as u64);
            self.skip -= skipped;
            let mut plain = Bytes::from(plain).split_off(skipped as usize);
            plain.truncate(self.left.min(plain.len() as u64) as usize);
            self.left -= plain.len() as u64;
            if !plain.is_empty() {
                return Ok(Some((plain, self)));
            }
        }
        if self.left > 0 { Err(VaultError::Damaged("it ends early")) } else { Ok(None) }
    }
}

fn opening_key(keys: &DayKeys, day: Date, head: &[u8]) -> Result<Option<Opened>, KeyError> {
    for key in keys.of(day)?.into_iter().rev() {
        match head::open(head, &keys.identity(&key)?) {
            Err(SealError::OtherKey) => {}
            opened => return Ok(Some((key, opened?))),
        }
    }
    Ok(None)
}

//! Stores an object so that it can be relied on. In: a name and bytes. Out: what was read back.
//!
//! Nothing is overwritten: an existing object is compared. Equal content is accepted, since an earlier attempt may
//! have succeeded without an answer; a prefix of our content is what a faulty store kept of such an attempt, and is
//! removed; any other content needs a person.
//!
//! A long object is uploaded in parts. The store keeps them: a new attempt after an outage or a crash lists the
//! stored parts and sends the rest. The caller learns of an upload before it begins, so that it can be found even if
//! listings omit it.

pub use crate::store::upload::{Begun, PART_BYTES, Part, Verified};

use bytes::Bytes;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions};
use tokio::sync::mpsc;

use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::upload::Sent;

/// The object that has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    Nothing,
    Ours,
    Torn,
    Foreign,
}

impl Store {
    /// Stores an object by one request unless it exists, and reads it back.
    ///
    /// Errors: see [`StoreError`]; nothing can be relied on then.
    pub async fn put_small(&self, name: &str, bytes: Bytes) -> Result<Verified, StoreError> {
        let stored = self.store_small(name, bytes).await;
        self.trouble.note_write(&stored);
        stored
    }

    async fn store_small(&self, name: &str, bytes: Bytes) -> Result<Verified, StoreError> {
        let created = match self.creates().await? {
            true => self.create(name, bytes.clone()).await?,
            false => {
                let free = self.compare(name, &bytes).await?.0 == Existing::Nothing;
                if free {
                    self.objects().put(&Path::from(name), bytes.clone().into()).await?;
                }
                free
            }
        };
        let mut wanted = Sent::default();
        wanted.add(&bytes);
        let wanted = wanted.verified();
        if created {
            return self.verify(name, wanted).await;
        }
        match self.compare(name, &bytes).await? {
            (Existing::Ours, version) => Ok(Verified { version, ..wanted }),
            (existing, _) => Err(self.give_way(name, existing).await),
        }
    }

    /// Stores parts as one object unless it exists, and reads it back.
    ///
    /// Errors: see [`StoreError`]; nothing can be relied on then. The next attempt continues with the stored parts.
    pub async fn put_parts(&self, name: &str, parts: mpsc::Receiver<Part>) -> Result<Verified, StoreError> {
        self.put_parts_noted(name, parts, &|_| std::future::ready(()).boxed()).await
    }

    /// As [`Store::put_parts`]; `begun` is called, and awaited, before any part of a multipart upload is sent.
    ///
    /// Errors: the same.
    pub async fn put_parts_noted(
        &self,
        name: &str,
        parts: mpsc::Receiver<Part>,
        begun: Begun<'_>,
    ) -> Result<Verified, StoreError> {
        let stored = self.store_parts(name, parts, begun).await;
        self.trouble.note_write(&stored);
        stored
    }

    async fn store_parts(
        &self,
        name: &str,
        mut parts: mpsc::Receiver<Part>,
        begun: Begun<'_>,
    ) -> Result<Verified, StoreError> {
        match self.objects().head(&Path::from(name)).await {
            Ok(_) => return self.compare_parts(name, parts).await,
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let wanted = self.backend.upload(name, &mut parts, begun).await?;
        self.verify(name, wanted).await
    }

    /// A create-only request. False: the name is taken.
    pub(crate) async fn create(&self, name: &str, bytes: Bytes) -> Result<bool, StoreError> {
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects().put_opts(&Path::from(name), bytes.into(), create).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                Err(StoreError::Config("it cannot refuse to overwrite".into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads back an object just written. An object that differs is removed, so that the next attempt finds the name
    /// free.
    async fn verify(&self, name: &str, wanted: Verified) -> Result<Verified, StoreError> {
        match self.digest(name).await {
            Ok(found) if found == wanted => Ok(Verified { upload: wanted.upload, ..found }),
            Ok(_) => {
                self.delete_all(name).await?;
                Err(StoreError::Mismatch)
            }
            Err(StoreError::Missing) => {
                Err(StoreError::Transient("an acknowledged object is missing".into()))
            }
            Err(error) => Err(error),
        }
    }

    /// Handles an existing object that is in the way.
    async fn give_way(&self, name: &str, existing: Existing) -> StoreError {
        match existing {
            Existing::Torn => match self.delete_all(name).await {
                Ok(_) => StoreError::Transient("removed an incomplete object of an earlier attempt".into()),
                Err(error) => error,
            },
            Existing::Nothing => StoreError::Transient("the name was taken and is free again".into()),
            Existing::Ours | Existing::Foreign => StoreError::Conflict,
        }
    }

    /// Compares the existing object; also returns its version.
    async fn compare(&self, name: &str, ours: &Bytes) -> Result<(Existing, Option<String>), StoreError> {
        let (meta, mut theirs) = match self.open_object(name, None).await {
            Err(StoreError::Missing) => return Ok((Existing::Nothing, None)),
            got => got?,
        };
        let mut at = 0;
        while let Some(bytes) = theirs.try_next().await? {
            if ours.get(at..at + bytes.len()) != Some(&bytes[..]) {
                return Ok((Existing::Foreign, meta.version));
            }
            at += bytes.len();
        }
        match at {
            read if (read as u64) < meta.size => {
                Err(StoreError::Transient("object shorter than announced".into()))
            }
            read if read < ours.len() => Ok((Existing::Torn, meta.version)),
            _ => Ok((Existing::Ours, meta.version)),
        }
    }

    async fn compare_parts(
        &self,
        name: &str,
        mut parts: mpsc::Receiver<Part>,
    ) -> Result<Verified, StoreError> {
        let (meta, mut theirs) = self.open_object(name, None).await?;
        let (mut sent, mut waiting, mut read) = (Sent::default(), Bytes::new(), 0);
        let mut torn = false;
        while let Some(part) = parts.recv().await {
            let mut ours = part.bytes.clone();
            while !ours.is_empty() && !torn {
                if waiting.is_empty() {
                    let Some(next) = theirs.try_next().await? else {
                        torn = true;
                        break;
                    };
                    read += next.len() as u64;
                    waiting = next;
                    continue;
                }
                let both = ours.len().min(waiting.len());
                if ours.split_to(both) != waiting.split_to(both) {
                    return Err(StoreError::Conflict);
                }
            }
            sent.add(&part.bytes);
        }
        if torn && read < meta.size {
            return Err(StoreError::Transient("object shorter than announced".into()));
        }
        let existing = match (torn, waiting.is_empty() && theirs.try_next().await?.is_none()) {
            (true, _) => Existing::Torn,
            (false, true) => return Ok(Verified { version: meta.version, ..sent.verified() }),
            (false, false) => Existing::Foreign,
        };
        Err(self.give_way(name, existing).await)
    }

    /// Reads an object to its end.
    pub(crate) async fn digest(&self, name: &str) -> Result<Verified, StoreError> {
        let (meta, mut bytes) = self.open_object(name, None).await?;
        let mut read = Sent::default();
        while let Some(part) = bytes.try_next().await? {
            read.add(&part);
        }
        if read.bytes != meta.size {
            return Err(StoreError::Transient("object shorter than announced".into()));
        }
        Ok(Verified { version: meta.version, ..read.verified() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::settings::StoreConfig;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::Local { dir: dir.path().to_owned() }).unwrap();
        (dir, store)
    }

    fn parts(content: &[u8]) -> mpsc::Receiver<Part> {
        let (to, parts) = mpsc::channel(1);
        let pieces: Vec<Bytes> = content.chunks(PART_BYTES).map(Bytes::copy_from_slice).collect();
        tokio::spawn(async move {
            for bytes in pieces {
                let _ = to.send(Part { bytes, room: None }).await;
            }
        });
        parts
    }

    #[tokio::test]
    async fn what_is_stored_twice_is_stored_once_and_nothing_is_overwritten() {
        let (_dir, store) = store();
        let one = store.put_small("recordings/a", Bytes::from_static(b"one")).await.unwrap();
        assert_eq!(store.put_small("recordings/a", Bytes::from_static(b"one")).await.unwrap(), one);
        for other in [&b"two"[..], b"on", b"oneX"] {
            let refused = store.put_small("recordings/a", Bytes::from_static(other)).await;
            // Longer content is foreign; a prefix of ours is torn.
            let torn = other == b"oneX";
            match refused {
                Err(StoreError::Conflict) if !torn => {}
                Err(StoreError::Transient(_)) if torn => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(
            matches!(store.size("recordings/a").await, Err(StoreError::Missing)),
            "a torn object is removed"
        );
    }

    #[tokio::test]
    async fn a_long_object_arrives_in_parts_once_and_is_compared_when_it_comes_again() {
        let (dir, store) = store();
        let content: Vec<u8> = (0..2 * PART_BYTES + 9).map(|n| (n / 1_000) as u8).collect();
        let stored = store.put_parts("recordings/long", parts(&content)).await.unwrap();
        assert_eq!(stored.bytes, content.len() as u64);
        assert_eq!(store.put_parts("recordings/long", parts(&content)).await.unwrap(), stored);
        let (size, part) =
            store.get("recordings/long", Some(PART_BYTES as u64 - 1..PART_BYTES as u64 + 1)).await.unwrap();
        let part: Vec<Bytes> = part.try_collect().await.unwrap();
        assert_eq!((size, &part.concat()[..]), (stored.bytes, &content[PART_BYTES - 1..PART_BYTES + 1]));

        let mut other = content.clone();
        other[PART_BYTES + 5] ^= 1;
        let refused = store.put_parts("recordings/long", parts(&other)).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
        let shorter = store.put_parts("recordings/long", parts(&content[..PART_BYTES])).await;
        assert!(matches!(shorter, Err(StoreError::Conflict)), "{shorter:?}");

        let path = dir.path().join("recordings/long");
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(PART_BYTES as u64 + 3).unwrap();
        let torn = store.put_parts("recordings/long", parts(&content)).await;
        assert!(matches!(torn, Err(StoreError::Transient(_))), "{torn:?}");
        assert_eq!(store.put_parts("recordings/long", parts(&content)).await.unwrap(), stored);
    }
}

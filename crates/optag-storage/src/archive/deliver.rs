//! Delivers one recording: audio first, then its manifest, both read back. Done twice, after a
//! crash between, it finds its own objects and is content.
//!
//! What the manifest, the size and the seal's key are is known only when all records are read. A
//! recording that goes in one request is held until then; a longer one is made again from its
//! records as it goes, so that nothing is held but what is on its way.

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::manifest::{Manifest, ObjectFacts};
use super::seal::SealError;
use super::seal::head::FileKey;
use super::seal::identity::Recipient;
use super::seal::stream::{Sealer, sealed_bytes};
use super::vault::{Vault, VaultError};
use crate::archive::assemble::{AssembleError, Assembler};
use crate::archive::deferred::encoded;
use crate::spool::record::Body;
use crate::store::StoreError;
use crate::store::names::{self, Kind};
use crate::store::remains::{Stored, StoredObject};
use crate::store::verified_put::{PART_BYTES, Part};
use optag_core::hex::unhex;
use optag_core::id::CallId;
use optag_core::locked::Secret;

/// Memory of all uploads together. Units: KiB.
const ROOM_KIB: usize = 60 << 10;

/// A call's records in order, and how many streams join among them: the channels of a file are
/// known before its first byte.
pub struct Records {
    joined: usize,
    bodies: Bodies,
}

/// Bodies of records, one after the other.
pub type Bodies = Box<dyn Iterator<Item = Result<Body, AssembleError>> + Send>;

impl Records {
    /// Records among which `joined` streams join.
    pub fn new(
        joined: usize,
        bodies: impl Iterator<Item = Result<Body, AssembleError>> + Send + 'static,
    ) -> Self {
        Self { joined, bodies: Box::new(bodies) }
    }

    /// How many streams join, and the bodies.
    pub fn into_parts(self) -> (usize, Bodies) {
        (self.joined, self.bodies)
    }
}

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The records make no recording; trying again is no use.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The seal or its keys.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<SealError> for DeliverError {
    fn from(error: SealError) -> Self {
        Self::Vault(error.into())
    }
}

/// What came of one attempt.
enum Attempt {
    Delivered(Box<Manifest>),
    /// Another object of the recording is there, sealed for this key.
    SealedFor(Recipient),
}

/// Where a recording comes from.
#[derive(Clone)]
pub struct Source {
    /// Opens the records, as often as asked.
    pub records: Arc<dyn Fn() -> Result<Records, AssembleError> + Send + Sync>,
    /// A secret that is the call's alone and always the same: the keys of its files come from it.
    pub secret: Secret,
}

/// Keeps which uploads have begun: a process may end before it knows how one ended, and the store's lists
/// may leave it out when the recording is erased.
pub trait UploadNotes: Send + Sync {
    /// An upload of this recording begins, as object `name`. Best effort: the store's lists are the other
    /// way to find it.
    fn begun(&self, id: CallId, name: String, upload: String) -> BoxFuture<'_, ()>;
}

/// Delivers recordings; clones share the memory that it may take.
#[derive(Clone)]
pub struct Deliverer {
    vault: Vault,
    room: Arc<Semaphore>,
    notes: Option<Arc<dyn UploadNotes>>,
}

impl Deliverer {
    /// Delivers to `vault`.
    pub fn new(vault: Vault) -> Self {
        Self { vault, room: Arc::new(Semaphore::new(ROOM_KIB)), notes: None }
    }

    /// The same; `notes` are told of each upload in parts before it is sent.
    pub fn noting(self, notes: Arc<dyn UploadNotes>) -> Self {
        Self { notes: Some(notes), ..self }
    }

    /// Delivers the recording that the source's records hold.
    ///
    /// Errors: as [`DeliverError`]; nothing may be released.
    pub async fn deliver(&self, source: &Source) -> Result<Manifest, DeliverError> {
        let delivered = match self.attempt(source, None).await? {
            // Stored before, by a node or under a key that does not seal today: the same again is the same object.
            Attempt::SealedFor(recipient) => self.attempt(source, Some(recipient)).await?,
            delivered => delivered,
        };
        match delivered {
            Attempt::Delivered(manifest) => Ok(*manifest),
            Attempt::SealedFor(_) => Err(StoreError::Conflict.into()),
        }
    }

    /// `sealed_for`: whom an object that is there already is sealed for.
    async fn attempt(&self, source: &Source, sealed_for: Option<Recipient>) -> Result<Attempt, DeliverError> {
        let room = self.room(2 * PART_BYTES as u64).await?;
        let reading = Arc::clone(&source.records);
        let looked = tokio::task::spawn_blocking(move || look(reading()?));
        let (mut manifest, short) = looked.await.map_err(failed)??;
        let day = names::day(manifest.call.started_at);
        let recipient = match sealed_for {
            Some(recipient) => Some(recipient),
            None => self.vault.recipient(day, manifest.expires_at).await?,
        };
        let hash = unhex(&manifest.audio_sha256).and_then(|hash| hash.try_into().ok());
        let hash: [u8; 32] = hash.ok_or(SealError::Form)?;
        let name = |kind| names::name(manifest.id(), manifest.call.started_at, kind, recipient.is_some());
        let (audio, beside) = (name(Kind::Audio), name(Kind::Manifest));
        let packing = Packing { source: source.clone(), recipient, hash };
        let bytes = recipient.map_or(manifest.audio_bytes, |_| sealed_bytes(manifest.audio_bytes));
        let stored = if let Some(plain) = short.filter(|_| bytes <= PART_BYTES as u64) {
            let whole = tokio::task::spawn_blocking(move || packing.whole(plain)).await.map_err(failed)??;
            let _room = shrunk(room, bytes);
            self.vault.store().put_small(&audio, whole).await
        } else {
            drop(room);
            let (parts, received) = mpsc::channel(1);
            let (room, runtime) = (Arc::clone(&self.room), Handle::current());
            let packed = tokio::task::spawn_blocking(move || packing.parts(&parts, &room, &runtime));
            let id = manifest.id();
            let begun = |upload| match &self.notes {
                Some(notes) => notes.begun(id, audio.clone(), upload),
                None => std::future::ready(()).boxed(),
            };
            let stored = self.vault.store().put_parts_noted(&audio, received, &begun).await;
            // Where the store gave up, so did the packing; where the packing failed, it tells why.
            match (packed.await.map_err(failed)?, stored) {
                (Err(error), Ok(_)) => return Err(error),
                (_, stored) => stored,
            }
        };
        let stored = match stored {
            Err(StoreError::Conflict) if sealed_for.is_none() && recipient.is_some() => {
                let there = self.vault.sealed_for(day, &audio, manifest.expires_at).await?;
                return match there.filter(|there| Some(*there) != recipient) {
                    Some(there) => Ok(Attempt::SealedFor(there)),
                    None => Err(StoreError::Conflict.into()),
                };
            }
            stored => stored?,
        };
        manifest.object = Some(ObjectFacts {
            bytes: stored.bytes,
            sha256: stored.sha256.clone(),
            sealed_for: recipient.map(|recipient| recipient.to_string()),
        });
        let described = self.put_manifest(&beside, &manifest, recipient, source).await?;
        manifest.stored = Stored {
            place: self.vault.store().place(),
            objects: vec![
                StoredObject { name: audio, version: stored.version, upload: stored.upload },
                StoredObject { name: beside, version: described, upload: None },
            ],
        };
        Ok(Attempt::Delivered(Box::new(manifest)))
    }

    /// Returns the version that was stored, where the store keeps versions.
    async fn put_manifest(
        &self,
        name: &str,
        manifest: &Manifest,
        recipient: Option<Recipient>,
        source: &Source,
    ) -> Result<Option<String>, DeliverError> {
        let json = serde_json::to_vec(manifest).map_err(|error| AssembleError::Io(error.to_string()))?;
        let hash = digest::digest(&digest::SHA256, &json);
        let hash = hash.as_ref().try_into().map_err(|_| SealError::Crypto)?;
        let json = Packing { source: source.clone(), recipient, hash }.whole(json)?;
        let _room = self.room(json.len() as u64).await?;
        match self.vault.store().put_small(name, json).await {
            Ok(stored) => Ok(stored.version),
            // Another version of this program may have written the same in other words.
            Err(StoreError::Conflict) => {
                let there = self.vault.manifest(manifest.id()).await?;
                match there.audio_sha256 == manifest.audio_sha256 {
                    true => Ok(None),
                    false => Err(StoreError::Conflict.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn room(&self, bytes: u64) -> Result<OwnedSemaphorePermit, DeliverError> {
        Ok(Arc::clone(&self.room).acquire_many_owned(kib(bytes) as u32).await.map_err(|_| closed())?)
    }
}

fn kib(bytes: u64) -> usize {
    bytes.div_ceil(1 << 10).clamp(1, ROOM_KIB as u64) as usize
}

/// Of the room, what so many bytes take; the rest is given back.
fn shrunk(mut room: OwnedSemaphorePermit, bytes: u64) -> Option<OwnedSemaphorePermit> {
    room.split(kib(bytes))
}

/// One recording, or its manifest, on its way.
struct Packing {
    source: Source,
    recipient: Option<Recipient>,
    hash: [u8; 32],
}

impl Packing {
    /// The whole object, of its plain bytes.
    fn whole(&self, plain: Vec<u8>) -> Result<Bytes, DeliverError> {
        let Some(mut sealer) = self.sealer()? else { return Ok(plain.into()) };
        sealer.push(&plain)?;
        Ok(sealer.finish()?.into())
    }

    fn sealer(&self) -> Result<Option<Sealer>, SealError> {
        let Some(recipient) = &self.recipient else { return Ok(None) };
        Sealer::new(&FileKey::of(&self.source.secret, &self.hash)?, recipient).map(Some)
    }

    /// The object in parts, each only once there is memory for it.
    fn parts(
        &self,
        to: &mpsc::Sender<Part>,
        room: &Arc<Semaphore>,
        runtime: &Handle,
    ) -> Result<(), DeliverError> {
        let acquire = || {
            let kib = (PART_BYTES >> 10) as u32;
            runtime.block_on(Arc::clone(room).acquire_many_owned(kib)).map_err(|_| closed())
        };
        let send = |bytes: Vec<u8>, room| {
            let part = Part { bytes: bytes.into(), room: Some(room) };
            to.blocking_send(part).map_err(|_| AssembleError::Io("the store gave up".into()))
        };
        let mut filling = (Vec::with_capacity(PART_BYTES), acquire()?);
        self.pack(|mut bytes| {
            while !bytes.is_empty() {
                if filling.0.len() == PART_BYTES {
                    let (full, room) = std::mem::replace(&mut filling, (Vec::new(), acquire()?));
                    filling.0.reserve_exact(PART_BYTES);
                    send(full, room)?;
                }
                let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - filling.0.len()));
                filling.0.extend_from_slice(now);
                bytes = later;
            }
            Ok(())
        })?;
        send(filling.0, filling.1)?;
        Ok(())
    }

    /// Makes the recording again and hands on what is to be stored of it, piece by piece.
    fn pack(&self, mut to: impl FnMut(&[u8]) -> Result<(), AssembleError>) -> Result<(), DeliverError> {
        let sealing = |error: SealError| AssembleError::Io(error.to_string());
        let mut sealer = self.sealer()?;
        let made = assemble((self.source.records)()?, |plain| match &mut sealer {
            None => to(plain),
            Some(sealer) => {
                sealer.push(plain).map_err(sealing)?;
                to(&sealer.take())
            }
        })?;
        // A key is for one content alone: what has changed since the first look is not sealed.
        if unhex(&made.audio_sha256).as_deref() != Some(&self.hash) {
            return Err(AssembleError::Io("the records have changed".into()).into());
        }
        if let Some(sealer) = sealer {
            to(&sealer.finish()?)?;
        }
        Ok(())
    }
}

/// What the records make: the manifest and, where it is no longer than [`PART_BYTES`], the recording.
fn look(records: Records) -> Result<(Manifest, Option<Vec<u8>>), AssembleError> {
    let mut short = Some(Vec::new());
    let manifest = assemble(records, |bytes| {
        match &mut short {
            Some(plain) if plain.len() + bytes.len() <= PART_BYTES => plain.extend_from_slice(bytes),
            longer => *longer = None,
        }
        Ok(())
    })?;
    Ok((manifest, short))
}

/// Reads records, and hands on the recording as it becomes ready; what is packed is encoded. Runs where blocking is
/// allowed.
///
/// Errors: the records make no recording, or `to` its own.
pub fn assemble(
    Records { joined, bodies }: Records,
    mut to: impl FnMut(&[u8]) -> Result<(), AssembleError>,
) -> Result<Manifest, AssembleError> {
    let mut bodies = encoded(bodies);
    let first = bodies.next().ok_or(AssembleError::NotOpened)??;
    let mut assembler = Assembler::new(first)?.expect_joining(joined);
    for record in bodies {
        assembler.record(record?)?;
        if assembler.ready_bytes() > 0 {
            to(&assembler.take())?;
        }
    }
    let (last, manifest) = assembler.finish()?;
    to(&last)?;
    Ok(manifest)
}

fn failed(error: tokio::task::JoinError) -> AssembleError {
    AssembleError::Io(error.to_string())
}

fn closed() -> AssembleError {
    AssembleError::Io("the recorder is ending".into())
}

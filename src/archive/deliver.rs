//! Delivers one recording: audio first, then its manifest, both read back. Done twice, after a
//! crash between, it finds its own objects and is content.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::key;
use super::manifest::Manifest;
use super::recording::{AssembleError, Assembler};
use super::store::{PART_BYTES, Store, StoreError};
use crate::spool::record::Body;

/// Parts that may wait for the store.
const PARTS_WAITING: usize = 1;

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The records make no recording; trying again is no use.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Delivers the recording that `records` hold, in order; `joined` streams join in mid-call.
///
/// Errors: as [`DeliverError`]; nothing may be released.
pub async fn deliver<I>(records: I, joined: usize, store: &Store) -> Result<Manifest, DeliverError>
where
    I: Iterator<Item = Result<Body, AssembleError>> + Send + 'static,
{
    let (parts, received) = mpsc::channel::<Bytes>(PARTS_WAITING);
    let (named, name) = tokio::sync::oneshot::channel();
    let making = tokio::task::spawn_blocking(move || make(records, joined, &parts, named));
    // Where the records are no good there is no name, and `making` tells why.
    let stored = match name.await {
        Ok(name) => Some(store.put_verified(&name, received).await),
        Err(_) => None,
    };
    let made = making.await.map_err(|error| AssembleError::Io(error.to_string()))?;
    let manifest = match (made, stored) {
        (Err(AssembleError::Io(_)), Some(Err(error))) => return Err(error.into()),
        (made, stored) => {
            let manifest = made?;
            let stored = stored.ok_or(AssembleError::NoAudio)??;
            if stored.sha256 != manifest.audio_sha256 {
                return Err(StoreError::Mismatch.into());
            }
            manifest
        }
    };
    let json = serde_json::to_vec_pretty(&manifest).map_err(|error| AssembleError::Io(error.to_string()))?;
    store.put_small(&key::manifest(manifest.id(), manifest.call.started_at), json.into()).await?;
    Ok(manifest)
}

/// Reads records, and sends parts as they fill. Runs where blocking is allowed.
fn make(
    mut records: impl Iterator<Item = Result<Body, AssembleError>>,
    joined: usize,
    parts: &mpsc::Sender<Bytes>,
    named: tokio::sync::oneshot::Sender<String>,
) -> Result<Manifest, AssembleError> {
    let first = records.next().ok_or(AssembleError::NotOpened)??;
    let Body::Opened(call) = &first else { return Err(AssembleError::NotOpened) };
    let name = key::audio(call.id, call.started_at);
    let mut assembler = Assembler::new(first)?.expect_joining(joined);
    let mut ready = Vec::new();
    let mut named = Some(named);
    let mut send = |part: Vec<u8>| {
        if let Some(named) = named.take() {
            let _ = named.send(name.clone());
        }
        parts.blocking_send(part.into()).map_err(|_| AssembleError::Io("the store gave up".into()))
    };
    for record in records {
        assembler.record(record?)?;
        if ready.len() + assembler.ready_bytes() >= PART_BYTES {
            ready.extend(assembler.take());
            let rest = ready.split_off(PART_BYTES.min(ready.len()));
            send(std::mem::replace(&mut ready, rest))?;
        }
    }
    let (last, manifest) = assembler.finish()?;
    ready.extend(last);
    send(ready)?;
    Ok(manifest)
}

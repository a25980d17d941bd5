//! Search and playback for the HTTP API: [`Library`] on top of the index, the store and the deletion log.
//! Recordings that are erased, or ordered to be, are not served, whatever index or store still contain.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use crate::delivery::queue::DeliveryQueue;
use crate::erasure::service::EraseService;
use crate::http::access::Departments;
use crate::http::reached::Reached;
use crate::http::recordings::library::{
    Audio, AudioFormat, AudioRequest, ByteRange, Library, LibraryError, Page, RecordingDetail,
    RecordingState, RecordingSummary, SearchQuery, StoredObject, Waveform,
};
use crate::index::{IndexRow, Position, Query};
use crate::metrics;
use crate::recorder::live_calls::LiveCalls;
use crate::recordings::rendering::{self, WavForm};
use crate::recordings::waiting::Waiting;
use crate::stores::Stores;
use optag_core::id::CallId;
use optag_storage::archive::manifest::Manifest;
use optag_storage::archive::vault::VaultError;
use optag_storage::store::StoreError;
use optag_storage::store::names;

/// The recordings.
pub struct Recordings {
    /// Spool, store and index.
    pub stores: Stores,
    /// Erasures, and the recordings that must not be served.
    pub erasure: Arc<EraseService>,
    /// Calls in progress.
    pub live_calls: Arc<LiveCalls>,
    /// Calls to be delivered.
    pub deliveries: Arc<DeliveryQueue>,
}

impl Library for Recordings {
    fn search(&self, query: SearchQuery) -> BoxFuture<'_, Result<Page, LibraryError>> {
        async move {
            self.in_step()?;
            let wanted = Query {
                number: query.number,
                name: query.name,
                department: query.department,
                within: query.within,
                from: query.from,
                to: query.to,
                verdict: query.verdict,
                after: query.after.map(|after| Position { started_at: after.started_at, id: after.id }),
                skip: u64::from(query.page - 1) * u64::from(query.page_size),
                most: u32::from(query.page_size),
            };
            let found = self.stores.index.search(&wanted).await.map_err(|_| LibraryError::IndexDown)?;
            let ids: Vec<CallId> = found.rows.iter().map(|row| row.id).collect();
            let ordered = self.erasure.ordered_among(&ids).await.map_err(|_| LibraryError::IndexDown)?;
            let served = |row: &IndexRow| !ordered.contains(&row.id) && !self.erasure.has_expired(row);
            let listed = found.rows.len();
            let rows: Vec<IndexRow> = found.rows.into_iter().filter(served).collect();
            let hidden = (listed - rows.len()) as u64;
            Ok(Page {
                recordings: rows.into_iter().map(summary).collect(),
                page: query.page,
                page_size: query.page_size,
                total: found.total.saturating_sub(hidden),
                total_is_least: found.more,
                next: found
                    .next
                    .map(|next| crate::http::position::Position { started_at: next.started_at, id: next.id }),
            })
        }
        .boxed()
    }

    fn within(
        &self,
        ids: Vec<CallId>,
        departments: Departments,
    ) -> BoxFuture<'_, Result<Vec<CallId>, LibraryError>> {
        async move {
            let index = &self.stores.index;
            let found = index.within(&ids, &departments).await.map_err(|_| LibraryError::IndexDown)?;
            let (mut covered, known) = (found.covered, found.known);
            let waiting = ids.into_iter().filter(|id| !known.contains(id)).collect();
            covered.extend(self.waiting_within(waiting, departments).await);
            Ok(covered.into_iter().collect())
        }
        .boxed()
    }

    fn get(&self, recording: Reached) -> BoxFuture<'_, Result<RecordingDetail, LibraryError>> {
        async move {
            let id = recording.id();
            let row = match self.row(id).await {
                Err(LibraryError::NotReady) => {
                    let waiting = self.waiting(id).await?;
                    return waiting.map(Waiting::detail).ok_or(LibraryError::NotReady);
                }
                row => row?,
            };
            let manifest = self.manifest(&row).await?;
            let sealed = manifest.object.as_ref().is_some_and(|object| object.sealed_for.is_some());
            let (size_bytes, sha256) = match &manifest.object {
                Some(object) => (object.bytes, object.sha256.clone()),
                None => (manifest.audio_bytes, manifest.audio_sha256.clone()),
            };
            let key = names::name(id, row.started_at, names::Kind::Audio, sealed);
            let object = StoredObject { key, size_bytes, sha256 };
            Ok(RecordingDetail {
                summary: summary(row),
                ended_at: Some(manifest.ended_at),
                ended_by: Some(manifest.ended_by),
                streams: manifest.call.streams,
                counts: manifest.counts,
                consent: manifest.consent,
                gaps: manifest.gaps,
                object: Some(object),
                context: *manifest.call.context,
            })
        }
        .boxed()
    }

    fn waveform(&self, recording: Reached) -> BoxFuture<'_, Result<Waveform, LibraryError>> {
        async move {
            let id = recording.id();
            let channels = match self.row(id).await {
                Err(LibraryError::NotReady) => {
                    self.waiting(id).await?.ok_or(LibraryError::NotReady)?.peaks_100ms()
                }
                row => self.manifest(&row?).await?.peaks_100ms,
            };
            Ok(Waveform { every_ms: 100, channels })
        }
        .boxed()
    }

    fn audio(&self, request: AudioRequest) -> BoxFuture<'_, Result<Audio, LibraryError>> {
        async move {
            let id = request.recording.id();
            let row = match self.row(id).await {
                Err(LibraryError::NotReady) => {
                    let waiting = self.waiting(id).await?.ok_or(LibraryError::NotReady)?;
                    return waiting.audio(request).await;
                }
                row => row?,
            };
            if request.format == AudioFormat::Opus && request.channel.is_none() {
                let part = range(request.range, row.object_bytes)?;
                let audio = self.stores.vault.audio(id, Some(part.clone())).await;
                let (_, bytes) = audio.map_err(from_vault)?;
                let bytes = bytes.map(|chunk| chunk.map_err(from_vault)).boxed();
                return Ok(Audio { total_bytes: row.object_bytes, part, bytes });
            }
            let manifest = self.manifest(&row).await?;
            let streams = manifest.call.streams.len();
            let last = (streams as u8).saturating_sub(1);
            if request.channel.is_some_and(|channel| channel > last) {
                return Err(LibraryError::NoSuchChannel { last });
            }
            let opus = async || {
                let (_, opus) = self.stores.vault.audio(id, None).await.map_err(from_vault)?;
                Ok::<_, LibraryError>(opus)
            };
            if let (AudioFormat::Opus, Some(channel)) = (request.format, request.channel) {
                let total_bytes = rendering::voice_bytes(opus().await?, channel).await?;
                let part = range(request.range, total_bytes)?;
                let bytes = rendering::voice(opus().await?, channel, part.clone()).await?;
                return Ok(Audio { total_bytes, part, bytes });
            }
            let channels = if request.channel.is_some() { 1 } else { streams as u16 };
            let form = WavForm { duration_ms: row.duration_ms, rate_hz: manifest.audio_rate_hz, channels };
            let total_bytes = form.bytes();
            let part = range(request.range, total_bytes)?;
            let bytes = rendering::wav(opus().await?, form, request.channel, part.clone()).await?;
            Ok(Audio { total_bytes, part, bytes })
        }
        .boxed()
    }
}

impl Recordings {
    /// The row of a recording that may be served.
    async fn row(&self, id: CallId) -> Result<IndexRow, LibraryError> {
        self.in_step()?;
        if self.erasure.is_ordered(id).await.map_err(|_| LibraryError::IndexDown)? {
            return Err(LibraryError::Erased);
        }
        match self.stores.index.get(id).await.map_err(|_| LibraryError::IndexDown)? {
            Some(row) if row.erased_at.is_some() || self.erasure.has_expired(&row) => {
                Err(LibraryError::Erased)
            }
            Some(row) => Ok(row),
            None if self.deliveries.contains(id) || self.live_calls.is_live(id) => {
                Err(LibraryError::NotReady)
            }
            None => Err(LibraryError::NotFound),
        }
    }

    /// Nothing is served while the deletion log may be missing erasures.
    pub(super) fn in_step(&self) -> Result<(), LibraryError> {
        match self.erasure.guard.in_step() {
            true => Ok(()),
            false => Err(LibraryError::OutOfStep),
        }
    }

    /// It has expired, whether or not the sweeper has reached it, and is not held.
    async fn manifest(&self, row: &IndexRow) -> Result<Manifest, LibraryError> {
        self.stores.vault.manifest(row.id).await.map_err(from_vault)
    }
}

pub(super) fn range(
    asked: Option<ByteRange>,
    total_bytes: u64,
) -> Result<std::ops::Range<u64>, LibraryError> {
    asked.map_or(Ok(0..total_bytes), |range| range.resolve(total_bytes))
}

fn from_vault(error: VaultError) -> LibraryError {
    if let Some(what) = error.newer() {
        metrics::newer_format(what);
        tracing::error!(%error, "cannot read a recording that a newer program stored");
        return LibraryError::Newer;
    }
    match error {
        VaultError::Missing => LibraryError::NotFound,
        VaultError::NoKey => LibraryError::Sealed,
        VaultError::Damaged(_) | VaultError::Newer(_) => LibraryError::Damaged,
        VaultError::Store(StoreError::Mismatch | StoreError::Conflict) => LibraryError::Damaged,
        VaultError::Store(_) => LibraryError::StoreDown,
        VaultError::Keys(error) => {
            tracing::error!(%error, "cannot use day keys");
            LibraryError::Sealed
        }
    }
}

/// A row as shown in a list.
pub(crate) fn summary(row: IndexRow) -> RecordingSummary {
    RecordingSummary {
        id: row.id,
        department: row.department,
        started_at: row.started_at,
        recording_started_at: row.recording_started_at,
        duration_ms: row.duration_ms,
        caller_number: row.caller_number.unwrap_or_default(),
        called_number: row.called_number.unwrap_or_default(),
        caller_name: row.caller_name,
        external_id: row.external_id,
        expires_at: row.expires_at,
        size_bytes: row.object_bytes,
        state: RecordingState::Stored,
        verdicts: row.verdicts,
    }
}

#[cfg(test)]
mod tests;

//! Recordings that wait in the spool with audio that is not encoded: described and played from there, until the store has
//! them. Those of other calls are in the store within seconds and are waited for.

use std::collections::HashSet;
use std::sync::Arc;

use futures::StreamExt;

use crate::delivery::source;
use crate::http::access::Departments;
use crate::http::recordings::library::{
    Audio, AudioFormat, AudioRequest, LibraryError, RecordingDetail, RecordingState, RecordingSummary,
};
use crate::recordings::playback::{Recordings, range};
use crate::recordings::rendering::{self, RecordsOf, WavForm};
use optag_core::id::CallId;
use optag_storage::archive::assemble::AssembleError;
use optag_storage::archive::deliver::assemble;
use optag_storage::archive::manifest::Manifest;
use optag_storage::archive::unencoded::outline;
use optag_storage::archive::vault::Plain;
use optag_storage::spool::record::Body;

/// A recording that waits.
pub(super) struct Waiting {
    records: RecordsOf,
    outline: Manifest,
}

impl Recordings {
    /// The recording, if it waits and may be served.
    pub(super) async fn waiting(&self, id: CallId) -> Result<Option<Waiting>, LibraryError> {
        self.in_step()?;
        let Some(closing) = self.deliveries.packed(id) else { return Ok(None) };
        if self.erasure.is_ordered(id).await.map_err(|_| LibraryError::IndexDown)? {
            return Err(LibraryError::Erased);
        }
        if !closing.ended.outcome.is_recorded() {
            return Ok(None);
        }
        // Delivered just now: the store has it.
        let Ok(source) = source(&self.stores.spool, id) else { return Ok(None) };
        let records = source.records;
        let reading = Arc::clone(&records);
        let outline = blocking(move || outline(reading()?)).await?;
        let now = self.erasure.clock.wall();
        if outline.expires_at <= now && self.erasure.guard.holds.standing(id, now).is_none() {
            return Err(LibraryError::Erased);
        }
        Ok(Some(Waiting { records, outline }))
    }
}

impl Recordings {
    /// Of these calls, those of the departments that are in progress or not delivered, by what they were announced with.
    pub(super) async fn waiting_within(&self, ids: Vec<CallId>, departments: Departments) -> Vec<CallId> {
        if ids.is_empty() {
            return Vec::new();
        }
        let spool = self.stores.spool.clone();
        let read = move || {
            let here: HashSet<CallId> = spool.calls().into_iter().collect();
            let of_them = |id: &CallId| match spool.read(*id).ok()?.next()? {
                Ok(Body::Opened(facts)) => departments.cover(&facts.department).then_some(*id),
                _ => None,
            };
            ids.into_iter().filter(|id| here.contains(id)).filter_map(|id| of_them(&id)).collect()
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }
}

impl Waiting {
    /// What is known of it.
    pub(super) fn detail(self) -> RecordingDetail {
        let Manifest { call, consent, gaps, counts, verdicts, .. } = self.outline;
        RecordingDetail {
            summary: RecordingSummary {
                id: call.id,
                department: call.department,
                started_at: call.started_at,
                recording_started_at: self.outline.recording_started_at,
                duration_ms: self.outline.duration_ms,
                caller_number: call.caller_number,
                called_number: call.called_number,
                caller_name: call.caller_name,
                external_id: call.external_id,
                expires_at: self.outline.expires_at,
                size_bytes: 0,
                state: RecordingState::Spooled,
                verdicts,
            },
            ended_at: Some(self.outline.ended_at),
            ended_by: Some(self.outline.ended_by),
            streams: call.streams,
            counts,
            consent,
            gaps,
            object: None,
            context: *call.context,
        }
    }

    /// The loudest sample of each 100 ms, in channel order.
    pub(super) fn peaks_100ms(self) -> Vec<Vec<u8>> {
        self.outline.peaks_100ms
    }

    /// Its audio: WAV as it came, Opus as it will be stored.
    pub(super) async fn audio(self, request: AudioRequest) -> Result<Audio, LibraryError> {
        let streams = self.outline.call.streams.len();
        let last = (streams as u8).saturating_sub(1);
        if request.channel.is_some_and(|channel| channel > last) {
            return Err(LibraryError::NoSuchChannel { last });
        }
        match (request.format, request.channel) {
            (AudioFormat::Wav, channel) => {
                let channels = if channel.is_some() { 1 } else { streams as u16 };
                let (duration_ms, rate_hz) = (self.outline.duration_ms, self.outline.audio_rate_hz);
                let form = WavForm { duration_ms, rate_hz, channels };
                let total_bytes = form.bytes();
                let part = range(request.range, total_bytes)?;
                let (records, outline) = (self.records, &self.outline);
                let bytes = rendering::unencoded_wav(records, outline, form, channel, part.clone()).await?;
                Ok(Audio { total_bytes, part, bytes })
            }
            (AudioFormat::Opus, None) => {
                let reading = Arc::clone(&self.records);
                let counted = blocking(move || assemble(reading()?, |_| Ok(()))).await?;
                let total_bytes = counted.audio_bytes;
                let part = range(request.range, total_bytes)?;
                let bytes = rendering::encoded(self.records, part.clone()).await?;
                Ok(Audio { total_bytes, part, bytes })
            }
            (AudioFormat::Opus, Some(channel)) => {
                let total_bytes = rendering::voice_bytes(self.opus().await?, channel).await?;
                let part = range(request.range, total_bytes)?;
                let bytes = rendering::voice(self.opus().await?, channel, part.clone()).await?;
                Ok(Audio { total_bytes, part, bytes })
            }
        }
    }

    /// The whole file, encoded as it is read.
    async fn opus(&self) -> Result<Plain, LibraryError> {
        let blocks = rendering::encoded(Arc::clone(&self.records), 0..u64::MAX).await?;
        Ok(blocks.map(|block| block.map_err(|_| optag_storage::store::StoreError::Mismatch.into())).boxed())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AssembleError> + Send + 'static,
) -> Result<T, LibraryError> {
    let done = tokio::task::spawn_blocking(work).await;
    match done {
        Ok(Ok(done)) => Ok(done),
        // Its key was destroyed while it was read: it is delivered, or erased.
        Ok(Err(AssembleError::Io(_))) => Err(LibraryError::NotReady),
        Ok(Err(_)) | Err(_) => Err(LibraryError::Damaged),
    }
}

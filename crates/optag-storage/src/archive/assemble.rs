//! From spool records to a recording. In: a call's records in order. Out: the Ogg Opus bytes,
//! part by part, and the manifest. The same records always make the same bytes.
//!
//! Refuses to make anything of audio for which the records hold no consent.

use aws_lc_rs::digest;

use crate::archive::manifest::{Manifest, VERSION, coalesce};
use crate::archive::ogg::{OggError, OggOpusWriter, Tags};
use crate::archive::stream_verdict::judge;
use crate::spool::record::Body;
use optag_core::call::consent::standing;
use optag_core::call::{CallFacts, ConsentRecord, ConsentState, StreamFacts, StreamRole};
use optag_core::hex::hex;
use optag_core::limit;
use optag_media::fact::{Ended, Form, Gap, GapReason, MediaBlock, StreamIndex};
use optag_media::opus::encoder::{PRE_SKIP_48K, silence_packet};
use optag_media::opus::packet::audio_hz;
use optag_media::timebase::FRAME_MS;

/// Frames of one waveform value: 100 ms.
const PEAK_FRAMES: u32 = 5;

/// Why no recording can be made.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The records do not begin with the call's admission.
    #[error("the records do not begin with the call's admission")]
    NotOpened,
    /// There is audio, yet no consent before it; or it was withdrawn.
    #[error("there is no valid consent for this audio")]
    NoConsent,
    /// The call's end is missing.
    #[error("the records have no end")]
    NotClosed,
    /// No audio at all.
    #[error("the records hold no audio")]
    NoAudio,
    /// A block does not fit the call, or is not encoded.
    #[error("a media record does not fit the call's streams")]
    BadBlock,
    /// The file cannot be written.
    #[error(transparent)]
    Ogg(#[from] OggError),
    /// Reading the records, or handing on a part, failed.
    #[error("{0}")]
    Io(String),
}

/// Builds a recording.
pub struct Assembler {
    call: CallFacts,
    consent: Vec<ConsentRecord>,
    gaps: Vec<Gap>,
    peaks: Vec<Vec<u8>>,
    channels: usize,
    named: usize,
    writer: Option<OggOpusWriter>,
    sha256: digest::Context,
    bytes: u64,
    ended: Option<Ended>,
    audio_rate_hz: u32,
}

impl Assembler {
    /// Starts with the call's first record.
    ///
    /// Errors: it is another.
    pub fn new(first: Body) -> Result<Self, AssembleError> {
        let Body::Opened(call) = first else { return Err(AssembleError::NotOpened) };
        Ok(Self {
            peaks: vec![Vec::new(); call.streams.len()],
            channels: call.streams.len(),
            named: call.streams.len(),
            call,
            consent: Vec::new(),
            gaps: Vec::new(),
            writer: None,
            sha256: digest::Context::new(&digest::SHA256),
            bytes: 0,
            ended: None,
            audio_rate_hz: 8_000,
        })
    }

    /// So many streams join in mid-call: their channels are in the file from its beginning,
    /// silent until they do.
    pub fn expect_joining(mut self, streams: usize) -> Self {
        self.channels = (self.channels + streams).min(limit::STREAMS_PER_CALL);
        self.peaks.resize(self.channels, Vec::new());
        for number in self.call.streams.len() + 1..=self.channels {
            // Where the record that names it is damaged, this stands for it.
            let label = format!("stream {number}");
            self.call.streams.push(StreamFacts { label, role: StreamRole::Other });
        }
        self
    }

    /// Takes the next record.
    ///
    /// Errors: as [`AssembleError`].
    pub fn record(&mut self, body: Body) -> Result<(), AssembleError> {
        match body {
            Body::Opened(_) | Body::CallState(_) | Body::DialogState(_) => {}
            Body::Consent(record) => self.consent.push(record),
            Body::Gap(gap) => self.gaps.push(gap),
            Body::Closed(ended) => self.ended = Some(ended),
            Body::Described(context) => self.call.learn(*context),
            Body::Media(block) => self.media(&block)?,
            Body::Joined(facts) => {
                if let Some(stream) = self.call.streams.get_mut(self.named) {
                    *stream = facts;
                    self.named += 1;
                }
            }
        }
        Ok(())
    }

    /// Bytes that are ready to be stored.
    pub fn ready_bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, OggOpusWriter::ready_bytes)
    }

    /// Takes the bytes that are ready.
    pub fn take(&mut self) -> Vec<u8> {
        let part = self.writer.as_mut().map(OggOpusWriter::take).unwrap_or_default();
        self.sha256.update(&part);
        self.bytes += part.len() as u64;
        part
    }

    /// Ends the recording: its last bytes and the manifest.
    ///
    /// Errors: as [`AssembleError`].
    pub fn finish(mut self) -> Result<(Vec<u8>, Manifest), AssembleError> {
        let granted = self.granted()?.clone();
        let ended = self.ended.take().ok_or(AssembleError::NotClosed)?;
        let streams = self.channels;
        let writer = self.writer.as_mut().ok_or(AssembleError::NoAudio)?;
        while writer.frames() < ended.frames {
            writer.frame(vec![silence_packet(); streams].into_iter())?;
        }
        writer.finish(vec![silence_packet(); streams].into_iter())?;
        let frames = writer.frames();
        let last = self.take();
        // A call that went through several departments lives as long as the strictest allows.
        let yes = self.consent.iter().filter(|record| record.state == ConsentState::Granted);
        let days = yes.filter_map(|record| Some(record.terms.as_ref()?.retention_days));
        let days = days.fold(self.call.retention_days.min(limit::RETENTION_DAYS), u8::min);
        let gaps = coalesce(self.gaps);
        let loudest = |stream: usize| self.peaks[stream].iter().copied().max().unwrap_or_default();
        let verdicts = (0..streams)
            .map(|n| judge(StreamIndex(n as u8), frames, &gaps, ended.streams.get(n), loudest(n)))
            .collect();
        let manifest = Manifest {
            verdicts,
            version: VERSION,
            recording_started_at: granted.at,
            ended_at: ended.at,
            ended_by: ended.by,
            duration_ms: u64::from(frames) * u64::from(FRAME_MS),
            expires_at: self.call.started_at.plus_days(i64::from(days)),
            consent: self.consent,
            gaps,
            counts: ended.streams,
            peaks_100ms: self.peaks,
            audio_rate_hz: self.audio_rate_hz,
            audio_bytes: self.bytes,
            audio_sha256: hex(self.sha256.finish().as_ref()),
            object: None,
            stored: Default::default(),
            written_by: concat!("optag ", env!("CARGO_PKG_VERSION")).into(),
            call: self.call,
        };
        Ok((last, manifest))
    }

    /// The grant, if it stands.
    fn granted(&self) -> Result<&ConsentRecord, AssembleError> {
        standing(&self.consent).ok_or(AssembleError::NoConsent)
    }

    fn media(&mut self, block: &MediaBlock) -> Result<(), AssembleError> {
        let granted_at = self.granted()?.at;
        let (streams, came) = (self.channels, usize::from(block.streams));
        let is_encoded = block.form == Form::Opus;
        if !is_encoded || came > streams || came == 0 || block.lengths.len() != block.peaks.len() {
            return Err(AssembleError::BadBlock);
        }
        if self.writer.is_none() {
            let id = self.call.id;
            let serial = u32::from_be_bytes(*id.to_bytes().last_chunk().expect("an id has 16 bytes"));
            let comments =
                vec![format!("OPTAG_RECORDING={id}"), format!("OPTAG_CONSENT_GRANTED_AT={granted_at}")];
            self.writer = Some(OggOpusWriter::new(streams as u8, PRE_SKIP_48K, &Tags { serial, comments })?);
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let from = writer.frames();
        if block.first_frame > from {
            // Audio that never reached the spool: silence keeps the time axis.
            for _ in from..block.first_frame {
                writer.frame(vec![silence_packet(); streams].into_iter())?;
            }
            for stream in (0..streams as u8).map(StreamIndex) {
                // Of that, what fell into a restart says so already.
                let said = self.gaps.iter().filter(|gap| {
                    gap.stream == stream && gap.reason == GapReason::Restart && gap.to_frame > from
                });
                let from_frame =
                    said.fold(from, |from, gap| if gap.from_frame <= from { gap.to_frame } else { from });
                if from_frame < block.first_frame {
                    let gap =
                        Gap { stream, from_frame, to_frame: block.first_frame, reason: GapReason::Spool };
                    self.gaps.push(gap);
                }
            }
        }
        if came < streams {
            let gap = |stream| Gap {
                stream: StreamIndex(stream as u8),
                from_frame: block.first_frame,
                to_frame: block.first_frame + block.frames(),
                reason: GapReason::NoMedia,
            };
            self.gaps.extend((came..streams).map(gap));
        }
        let packets: Vec<&[u8]> = block.packets().collect();
        for (n, frame) in packets.chunks_exact(came).enumerate() {
            let index = block.first_frame + n as u32;
            if index < writer.frames() {
                continue;
            }
            writer.frame((0..streams).map(|n| frame.get(n).copied().unwrap_or(silence_packet())))?;
            let rates = frame.iter().filter_map(|packet| packet.first()).map(|&toc| audio_hz(toc));
            self.audio_rate_hz = rates.fold(self.audio_rate_hz, u32::max);
            for (stream, peaks) in self.peaks.iter_mut().enumerate() {
                let slot = (index / PEAK_FRAMES) as usize;
                peaks.resize(peaks.len().max(slot + 1), 0);
                let peak = if stream < came { block.peaks[n * came + stream] } else { 0 };
                peaks[slot] = peaks[slot].max(peak);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_core::call::{ConsentHow, Evidence, Outcome};
    use optag_core::clock::WallTime;
    use optag_core::id::CallId;
    use optag_media::fact::EndedBy;

    fn opened() -> Body {
        let stream = |label: &str, role| StreamFacts { label: label.into(), role };
        Body::Opened(CallFacts {
            id: CallId::from_bytes([7; 16]),
            department: "demo".into(),
            started_at: WallTime::from_unix_micros(1_700_000_000_000_000),
            retention_days: 200,
            caller_number: String::new().into(),
            called_number: String::new().into(),
            caller_name: None,
            external_id: None,
            streams: vec![stream("a", StreamRole::Caller), stream("b", StreamRole::Employee)],
            context: Default::default(),
        })
    }

    fn consent(state: ConsentState) -> Body {
        let at = WallTime::from_unix_micros(1_700_000_005_000_000);
        Body::Consent(ConsentRecord {
            state,
            how: ConsentHow::Key,
            at,
            prompt_version: None,
            evidence: Evidence::Clock,
            terms: None,
        })
    }

    fn media(first_frame: u32) -> Body {
        let packet = silence_packet();
        let bytes = packet.repeat(10);
        let lengths = vec![packet.len() as u16; 10];
        Body::Media(MediaBlock {
            first_frame,
            form: Default::default(),
            streams: 2,
            lengths,
            peaks: vec![first_frame as u8; 10],
            bytes,
        })
    }

    fn closed(frames: u32) -> Body {
        let at = WallTime::from_unix_micros(1_700_000_009_000_000);
        Body::Closed(Ended { at, by: EndedBy::Feed, outcome: Outcome::Recorded, frames, streams: vec![] })
    }

    fn assemble(bodies: Vec<Body>) -> Result<(Vec<u8>, Manifest), AssembleError> {
        let mut bodies = bodies.into_iter();
        let mut assembler = Assembler::new(bodies.next().unwrap())?;
        bodies.try_for_each(|body| assembler.record(body))?;
        assembler.finish()
    }

    #[test]
    fn invariant_02_audio_without_a_valid_consent_makes_no_recording() {
        let asked = || vec![opened(), media(0), closed(5)];
        assert!(matches!(assemble(asked()), Err(AssembleError::NoConsent)));
        for state in [ConsentState::Refused, ConsentState::Withdrawn, ConsentState::Asked] {
            let bodies = vec![opened(), consent(state), media(0), closed(5)];
            assert!(matches!(assemble(bodies), Err(AssembleError::NoConsent)), "{state:?}");
        }
        let late = vec![opened(), media(0), consent(ConsentState::Granted), closed(5)];
        assert!(matches!(assemble(late), Err(AssembleError::NoConsent)));
        let taken_back = vec![
            opened(),
            consent(ConsentState::Granted),
            media(0),
            consent(ConsentState::Withdrawn),
            closed(5),
        ];
        assert!(matches!(assemble(taken_back), Err(AssembleError::NoConsent)));
    }

    #[test]
    fn the_same_records_make_the_same_bytes_and_never_outlive_the_limit() {
        let bodies = || vec![opened(), consent(ConsentState::Granted), media(0), media(5), closed(10)];
        let (one, manifest) = assemble(bodies()).unwrap();
        assert_eq!(assemble(bodies()).unwrap(), (one, manifest.clone()));
        assert_eq!(manifest.duration_ms, 200);
        assert_eq!(manifest.consent.len(), 1);
        assert_eq!(manifest.expires_at, manifest.call.started_at.plus_days(90));
    }

    #[test]
    fn a_stream_that_joins_late_is_silent_and_marked_until_then() {
        let joined = Body::Joined(StreamFacts { label: "c".into(), role: StreamRole::Other });
        let of_three = Body::Media(MediaBlock {
            first_frame: 5,
            form: Default::default(),
            streams: 3,
            lengths: vec![silence_packet().len() as u16; 15],
            peaks: vec![50; 15],
            bytes: silence_packet().repeat(15),
        });
        let make = |named: Option<Body>| {
            let mut assembler = Assembler::new(opened()).unwrap().expect_joining(1);
            for body in [consent(ConsentState::Granted), media(0)].into_iter().chain(named) {
                assembler.record(body).unwrap();
            }
            assembler.record(of_three.clone()).unwrap();
            assembler.record(closed(10)).unwrap();
            assembler.finish().unwrap()
        };
        let (bytes, manifest) = make(Some(joined));
        assert_eq!(bytes[28..28 + 10], *b"OpusHead\x01\x03", "three channels from the beginning");
        assert_eq!(manifest.call.streams[2].label, "c");
        assert_eq!(manifest.duration_ms, 200);
        let gap = Gap { stream: StreamIndex(2), from_frame: 0, to_frame: 5, reason: GapReason::NoMedia };
        assert_eq!(manifest.gaps, [gap]);
        assert_eq!(manifest.peaks_100ms[2], [0, 50]);
        let (_, unnamed) = make(None);
        assert_eq!(unnamed.call.streams[2].label, "stream 3", "its record was damaged");
    }

    #[test]
    fn what_is_missing_is_silence_and_marked_and_what_comes_twice_is_once() {
        let bodies = vec![
            opened(),
            consent(ConsentState::Granted),
            media(0),
            media(20),
            media(20),
            media(15),
            closed(30),
        ];
        let (_, manifest) = assemble(bodies).unwrap();
        assert_eq!(manifest.duration_ms, 600);
        let gap = |n| Gap { stream: StreamIndex(n), from_frame: 5, to_frame: 20, reason: GapReason::Spool };
        assert_eq!(manifest.gaps, [gap(0), gap(1)]);
    }
}

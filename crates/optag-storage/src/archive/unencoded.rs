//! A recording that waits in the spool, played before it is an object. In: a call's records in order.
//! Out: what its manifest will say, and its samples. What is packed is not encoded for that.

use std::ops::Range;

use opus::{Channels, Decoder};

use crate::archive::assemble::{AssembleError, Assembler};
use crate::archive::deliver::{Bodies, Records};
use crate::archive::manifest::Manifest;
use crate::archive::render::{RenderError, Samples};
use crate::archive::resample::{Resampler, lag};
use crate::spool::record::Body;
use optag_core::limit;
use optag_media::fact::{Form, MediaBlock};
use optag_media::opus::encoder::PRE_SKIP_48K;
use optag_media::spill::packed_frame::{self, Content, Given, unpack};
use optag_media::timebase::{FRAME_MS, LONGEST_FRAME, frame_samples};

/// Packets in place of those that packed frames will become: nothing but the tables of contents of speech
/// at 8, 16, 24 and 48 kHz, in frames of 20 ms, and a byte. Source: RFC 6716, table 2.
const IN_PLACE: [[u8; 2]; 4] = [[1 << 3, 0], [9 << 3, 0], [13 << 3, 0], [15 << 3, 0]];

/// What the manifest will say, but for the object: its bytes and hashes are those of no file.
///
/// Errors: the records make no recording.
pub fn outline(records: Records) -> Result<Manifest, AssembleError> {
    let (joined, mut bodies) = records.into_parts();
    let first = bodies.next().ok_or(AssembleError::NotOpened)??;
    let mut assembler = Assembler::new(first)?.expect_joining(joined);
    for body in bodies {
        assembler.record(match body? {
            Body::Media(block) => Body::Media(in_place(block)),
            other => other,
        })?;
        assembler.take();
    }
    Ok(assembler.finish()?.1)
}

fn in_place(block: MediaBlock) -> MediaBlock {
    if block.form == Form::Opus {
        return block;
    }
    let mut bytes = Vec::with_capacity(2 * block.lengths.len());
    let mut lengths = Vec::with_capacity(block.lengths.len());
    for packed in block.packets() {
        let rate = packed_frame::rate_hz(packed);
        let rate = rate.and_then(|hz| packed_frame::RATES_HZ.iter().position(|&known| known == hz));
        let packet = match (rate, packed) {
            (None, [_, packet @ ..]) if !packet.is_empty() => packet,
            (rate, _) => &IN_PLACE[rate.unwrap_or(0)],
        };
        lengths.push(packet.len() as u16);
        bytes.extend_from_slice(packet);
    }
    MediaBlock { form: Form::Opus, lengths, bytes, ..block }
}

/// Plays a call's records, frame by frame.
pub struct Player {
    bodies: Bodies,
    rate_hz: u32,
    channels: Vec<Channel>,
    block: MediaBlock,
    /// Where each packet of the block begins, and where the last one ends.
    offsets: Vec<usize>,
    /// Frames played, and all there are. One more gives the end of the last.
    played: u32,
    frames: u32,
    samples: Vec<i16>,
}

impl Player {
    /// Plays the records of which `outline` tells, at its rate.
    pub fn new(records: Records, outline: &Manifest) -> Self {
        let rate_hz = outline.audio_rate_hz;
        let channels = outline.call.streams.len().clamp(1, limit::STREAMS_PER_CALL);
        Self {
            bodies: records.into_parts().1,
            rate_hz,
            channels: (0..channels).map(|_| Channel::new(rate_hz)).collect(),
            block: MediaBlock::default(),
            offsets: Vec::new(),
            played: 0,
            frames: (outline.duration_ms / u64::from(FRAME_MS)) as u32,
            samples: Vec::new(),
        }
    }

    /// Reads on to the block that holds the next frame, or begins after it.
    fn read_on(&mut self) -> Result<(), RenderError> {
        while self.block.first_frame.saturating_add(self.block.frames()) <= self.played {
            match self.bodies.next() {
                None => break,
                Some(Ok(Body::Media(block))) => {
                    let mut end = 0;
                    let ends = block.lengths.iter().map(|&length| {
                        end += usize::from(length);
                        end
                    });
                    self.offsets = std::iter::once(0).chain(ends).collect();
                    self.block = block;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(RenderError::Records(error)),
            }
        }
        Ok(())
    }

    /// Where a stream's packet of the next frame is in the block, if there is one.
    fn packet(&self, stream: usize) -> Option<Range<usize>> {
        let (frame, streams) = (self.played.checked_sub(self.block.first_frame)?, self.block.streams.into());
        let at = (frame as usize).checked_mul(streams)?.checked_add(stream)?;
        let range = *self.offsets.get(at)?..*self.offsets.get(at + 1)?;
        (stream < streams && range.end <= self.block.bytes.len()).then_some(range)
    }
}

impl Samples for Player {
    fn channels(&self) -> usize {
        self.channels.len()
    }

    fn next_block(&mut self) -> Result<Option<&[i16]>, RenderError> {
        let (length, delay) = (frame_samples(self.rate_hz), delay(self.rate_hz));
        if self.played > self.frames {
            return Ok(None);
        }
        self.read_on()?;
        let every = self.channels.len();
        self.samples.clear();
        self.samples.resize(length * every, 0);
        for n in 0..every {
            let packet = self.packet(n).map(|range| &self.block.bytes[range]);
            let played = self.channels[n].play(self.block.form, packet)?;
            for (to, &sample) in self.samples[n..].iter_mut().step_by(every).zip(played) {
                *to = sample;
            }
        }
        let from = if self.played == 0 { delay } else { 0 };
        let to = if self.played == self.frames { delay } else { length };
        self.played += 1;
        Ok(Some(&self.samples[from * every..to * every]))
    }
}

/// How far Opus packets play behind the frames that they were made of. Units: samples.
fn delay(rate_hz: u32) -> usize {
    usize::from(PRE_SKIP_48K) / (48_000 / rate_hz) as usize
}

/// One stream. What is packed is delayed as Opus is, so that all channels keep step.
struct Channel {
    rate_hz: u32,
    decoder: Option<Decoder>,
    resampler: Option<Resampler>,
    resampled: Vec<i16>,
    unpacked: Box<[i16; LONGEST_FRAME]>,
    /// The end of the last frame that was not Opus.
    tail: Vec<i16>,
    frame: Vec<i16>,
}

impl Channel {
    fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz,
            decoder: None,
            resampler: None,
            resampled: Vec::new(),
            unpacked: Box::new([0; LONGEST_FRAME]),
            tail: vec![0; delay(rate_hz)],
            frame: vec![0; frame_samples(rate_hz)],
        }
    }

    /// The samples of the next frame.
    fn play(&mut self, form: Form, packet: Option<&[u8]>) -> Result<&[i16], RenderError> {
        let given = match (form, packet) {
            (_, None) => None,
            (Form::Opus, Some(packet)) => Some(Given::Opus(packet)),
            // What is no frame is silent here, and will be in the recording.
            (Form::Packed(_), Some(packed)) => unpack(packed, &mut self.unpacked),
        };
        match given {
            Some(Given::Opus(packet)) => {
                let fresh = || Decoder::new(self.rate_hz, Channels::Mono);
                let decoder = match &mut self.decoder {
                    Some(decoder) => decoder,
                    none => none.insert(fresh().map_err(opus)?),
                };
                self.resampler = None;
                let length = decoder.decode(packet, &mut self.frame, false).map_err(opus)?;
                self.frame[length..].fill(0);
                // What came before has its end here.
                if self.tail.iter().any(|&sample| sample != 0) {
                    self.frame[..self.tail.len()].copy_from_slice(&self.tail);
                    self.tail.fill(0);
                }
                return Ok(&self.frame);
            }
            Some(Given::Coded { rate_hz, content: Content::Samples(samples, ..), .. }) => {
                if rate_hz == self.rate_hz {
                    self.resampler = None;
                    self.frame.copy_from_slice(samples);
                    self.lag_by(delay(self.rate_hz));
                } else {
                    let known = self.resampler.take().filter(|known| known.input_hz() == rate_hz);
                    let known = known.unwrap_or_else(|| Resampler::delayed(rate_hz, self.rate_hz));
                    let resampler = self.resampler.insert(known);
                    resample(resampler, samples, &mut self.resampled, &mut self.frame);
                    self.lag_by(delay(self.rate_hz) - lag(rate_hz, self.rate_hz));
                }
            }
            // The end of the last sound may still come.
            Some(Given::Coded { .. }) | None => match &mut self.resampler {
                Some(resampler) => {
                    let silence = &[0; LONGEST_FRAME][..frame_samples(resampler.input_hz())];
                    resample(resampler, silence, &mut self.resampled, &mut self.frame);
                }
                None => self.frame.fill(0),
            },
        }
        // The first samples of this frame come behind the last of the one before.
        let delay = self.tail.len();
        self.frame.rotate_right(delay);
        self.frame[..delay].swap_with_slice(&mut self.tail);
        Ok(&self.frame)
    }

    /// Plays so many samples behind from here on.
    fn lag_by(&mut self, delay: usize) {
        while self.tail.len() < delay {
            self.tail.insert(0, 0);
        }
        self.tail.drain(..self.tail.len() - delay);
    }
}

/// Makes a frame of samples at another rate.
fn resample(resampler: &mut Resampler, samples: &[i16], resampled: &mut Vec<i16>, frame: &mut [i16]) {
    resampled.clear();
    resampler.push(samples, resampled);
    frame.fill(0);
    frame.iter_mut().zip(resampled).for_each(|(to, &mut sample)| *to = sample);
}

fn opus(error: opus::Error) -> RenderError {
    RenderError::Opus(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::archive::deferred::encoded;
    use crate::archive::render::Renderer;
    use optag_core::call::{CallFacts, Outcome, StreamFacts, StreamRole};
    use optag_core::clock::WallTime;
    use optag_core::id::CallId;
    use optag_media::fact::{Ended, EndedBy};
    use optag_media::opus::encoder::silence_packet;
    use optag_media::opus::noise_classifier::{Loudness, Sound};
    use optag_media::spill::DeferredSettings;
    use optag_media::spill::packed_frame::pack;
    use optag_testing::fixtures;

    const FRAMES: u32 = 50;

    fn tone(rate_hz: u32, frame: u32) -> Vec<i16> {
        let length = rate_hz / 50;
        let at = |n: u32| f64::from(frame * length + n) / f64::from(rate_hz);
        (0..length).map(|n| ((at(n) * 440.0 * std::f64::consts::TAU).sin() * 8_000.0) as i16).collect()
    }

    /// Two streams of these rates, of which the first is Opus silence in between, as a channel of no track is.
    fn bodies(rates_hz: [u32; 2]) -> Vec<Body> {
        let id = CallId::from_bytes([7; 16]);
        let at = WallTime::from_unix_micros(1_700_000_005_000_000);
        let stream = |label: &str| StreamFacts { label: label.into(), role: StreamRole::Other };
        let opened = CallFacts { streams: vec![stream("a"), stream("b")], ..fixtures::call_facts(id, at) };
        let granted = fixtures::granted(at);
        let mut bodies = vec![Body::Opened(opened), Body::Consent(granted)];
        for first_frame in (0..FRAMES).step_by(5) {
            let (mut lengths, mut bytes) = (Vec::new(), Vec::new());
            for frame in first_frame..first_frame + 5 {
                for (stream, rate_hz) in rates_hz.into_iter().enumerate() {
                    let samples = tone(rate_hz, frame);
                    let content = Content::Samples(&samples, Sound::Talk, Loudness::Loud);
                    let from = bytes.len();
                    pack(
                        match (stream, frame) {
                            (0, 20..25) => Given::Opus(silence_packet()),
                            _ => Given::Coded { rate_hz, fresh: frame == 0, content },
                        },
                        &mut bytes,
                    );
                    lengths.push((bytes.len() - from) as u16);
                }
            }
            let settings =
                DeferredSettings { bitrate_bps: 16_000, wideband_bitrate_bps: 24_000, complexity: 5 };
            let (form, peaks) = (Form::Packed(settings), vec![60; lengths.len()]);
            // A record in the middle is lost.
            if first_frame != 35 {
                bodies.push(Body::Media(MediaBlock { first_frame, form, streams: 2, lengths, peaks, bytes }));
            }
        }
        let (by, outcome) = (EndedBy::Feed, Outcome::Recorded);
        bodies.push(Body::Closed(Ended { at, by, outcome, frames: FRAMES + 2, streams: vec![] }));
        bodies
    }

    fn records(bodies: &[Body]) -> Records {
        let owned = bodies.to_vec();
        Records::new(0, owned.into_iter().map(Ok))
    }

    fn played(samples: &mut impl Samples) -> Vec<i16> {
        let mut all = Vec::new();
        while let Some(block) = samples.next_block().unwrap() {
            all.extend_from_slice(block);
        }
        all
    }

    #[test]
    fn a_recording_that_waits_plays_as_long_and_in_step_with_the_object_that_it_becomes() {
        for rates_hz in [[8_000, 8_000], [8_000, 16_000], [48_000, 16_000]] {
            let bodies = bodies(rates_hz);
            let outline = outline(records(&bodies)).unwrap();
            let rate_hz = rates_hz[0].max(rates_hz[1]);
            assert_eq!((outline.audio_rate_hz, outline.duration_ms), (rate_hz, 1_040));
            let raw = played(&mut Player::new(records(&bodies), &outline));

            let mut all = encoded(bodies.into_iter().map(Ok));
            let mut assembler = Assembler::new(all.next().unwrap().unwrap()).unwrap();
            all.for_each(|body| assembler.record(body.unwrap()).unwrap());
            let mut file = assembler.take();
            let (last, manifest) = assembler.finish().unwrap();
            file.extend(last);
            assert_eq!((manifest.gaps, manifest.peaks_100ms), (outline.gaps, outline.peaks_100ms));
            let coded = played(&mut Renderer::new(Cursor::new(file), rate_hz).unwrap());

            assert_eq!((raw.len(), coded.len()), (2 * 52 * rate_hz as usize / 50, raw.len()));
            let length = 2 * rate_hz as usize / 50;
            for stream in 0..2 {
                let channel = |samples: &[i16], frames: Range<usize>| -> Vec<f64> {
                    let part = &samples[frames.start * length..frames.end * length];
                    part[stream..].iter().step_by(2).map(|&sample| f64::from(sample)).collect()
                };
                let (one, other) = (channel(&raw, 5..20), channel(&coded, 5..20));
                let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let alike = product(&one, &other) / (product(&one, &one) * product(&other, &other)).sqrt();
                assert!(alike > 0.9, "{rates_hz:?}, stream {stream}: {alike}");
                let silent = [37..39, 51..52].into_iter().chain((stream == 0).then_some(21..24));
                for frames in silent {
                    assert!(channel(&raw, frames).iter().all(|sample| sample.abs() < 30.0));
                }
                if rates_hz == [8_000; 2] {
                    let sent: Vec<f64> = (5..20).flat_map(|n| tone(8_000, n)).map(f64::from).collect();
                    assert_eq!(one, sent, "without any loss");
                }
            }
        }
    }

    #[test]
    fn invariant_02_what_waits_is_not_played_without_a_valid_consent() {
        let mut bodies = bodies([8_000; 2]);
        bodies.remove(1);
        assert!(matches!(outline(records(&bodies)), Err(AssembleError::NoConsent)));
    }
}

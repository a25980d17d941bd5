//! Encodes what a call's records hold packed. In: bodies in order. Out: the same, every block of Opus
//! packets: those that the call would have had if it had been encoded at once. The same records always
//! make the same packets.

use std::collections::VecDeque;

use crate::archive::assemble::AssembleError;
use crate::spool::record::Body;
use optag_media::fact::{Form, Gap, GapReason, MediaBlock, StreamIndex};
use optag_media::opus::encoder::silence_packet;
use optag_media::spill::DeferredSettings;
use optag_media::spill::deferred_encoder::DeferredEncoder;

/// Bodies of which every block is encoded.
pub struct Encoded<I> {
    bodies: I,
    encoders: Vec<DeferredEncoder>,
    /// The frame after the last one that was encoded.
    next_frame: u32,
    /// What follows on the last block.
    waiting: VecDeque<Body>,
}

/// Encodes what `bodies` hold packed, an encoder a stream.
pub fn encoded<I: Iterator<Item = Result<Body, AssembleError>>>(bodies: I) -> Encoded<I> {
    Encoded { bodies, encoders: Vec::new(), next_frame: 0, waiting: VecDeque::new() }
}

impl<I: Iterator<Item = Result<Body, AssembleError>>> Iterator for Encoded<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        if let Some(body) = self.waiting.pop_front() {
            return Some(Ok(body));
        }
        Some(self.bodies.next()?.map(|body| match body {
            Body::Media(block) => Body::Media(self.block(block)),
            other => other,
        }))
    }
}

impl<I> Encoded<I> {
    fn block(&mut self, block: MediaBlock) -> MediaBlock {
        let Form::Packed(settings) = block.form else { return block };
        let streams = usize::from(block.streams).max(1);
        if self.encoders.len() < streams {
            self.encoders.resize_with(streams, DeferredEncoder::default);
        }
        let (mut lengths, mut bytes) = (Vec::with_capacity(block.lengths.len()), Vec::new());
        for (n, packed) in block.packets().enumerate() {
            let frame = block.first_frame.saturating_add((n / streams) as u32);
            let packet = self.frame(frame, n % streams, packed, settings);
            lengths.push(packet.len() as u16);
            bytes.extend_from_slice(packet);
        }
        self.next_frame = self.next_frame.max(block.first_frame.saturating_add(block.frames()));
        MediaBlock { form: Form::Opus, lengths, bytes, ..block }
    }

    fn frame<'a>(
        &'a mut self,
        frame: u32,
        stream: usize,
        packed: &'a [u8],
        settings: DeferredSettings,
    ) -> &'a [u8] {
        // What comes again was encoded, and is left out of the recording.
        if frame < self.next_frame {
            return silence_packet();
        }
        let Self { encoders, waiting, .. } = self;
        encoders[stream].encode(packed, settings).unwrap_or_else(|| {
            let (stream, to_frame) = (StreamIndex(stream as u8), frame.saturating_add(1));
            waiting.push_back(Body::Gap(Gap {
                stream,
                from_frame: frame,
                to_frame,
                reason: GapReason::Spool,
            }));
            silence_packet()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_media::spill::packed_frame::{Content, Given, pack};

    const SETTINGS: DeferredSettings =
        DeferredSettings { bitrate_bps: 16_000, wideband_bitrate_bps: 24_000, complexity: 5 };

    fn packed(given: Given<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        pack(given, &mut bytes);
        bytes
    }

    fn block(first_frame: u32, streams: u8, frames: &[Vec<u8>]) -> Body {
        Body::Media(MediaBlock {
            first_frame,
            form: Form::Packed(SETTINGS),
            streams,
            lengths: frames.iter().map(|frame| frame.len() as u16).collect(),
            peaks: vec![1; frames.len()],
            bytes: frames.concat(),
        })
    }

    #[test]
    fn what_is_no_packed_frame_is_silent_and_marked_and_the_rest_is_encoded() {
        let silence = Given::Coded { rate_hz: 8_000, fresh: true, content: Content::Silence(false) };
        let frames = [packed(silence), vec![7, 7, 7], packed(Given::Opus(&[8, 1, 2])), packed(silence)];
        let bodies = vec![Ok(block(10, 2, &frames)), Ok(block(10, 2, &frames))];
        let encoded: Vec<Body> = encoded(bodies.into_iter()).map(Result::unwrap).collect();
        let Body::Media(first) = &encoded[0] else { panic!("{encoded:?}") };
        assert_eq!((first.form, first.first_frame, first.frames()), (Form::Opus, 10, 2));
        let packets: Vec<&[u8]> = first.packets().collect();
        assert_eq!((packets[1], packets[2]), (silence_packet(), &[8, 1, 2][..]));
        let gap = Gap { stream: StreamIndex(1), from_frame: 10, to_frame: 11, reason: GapReason::Spool };
        assert_eq!(encoded[1], Body::Gap(gap));
        let Body::Media(again) = &encoded[2] else { panic!("{encoded:?}") };
        assert!(again.packets().all(|packet| packet == silence_packet()), "it was encoded already");
        assert_eq!(encoded.len(), 3);
    }
}

//! Joins the packets of a call's streams frame by frame. In: what each stream's capture made.
//! Out: one [`MediaBlock`].

use crate::fact::MediaBlock;
use crate::stream::Stream;
use optag_core::limit;

/// Frames of a tick, and the bytes of their packets at a usual rate: more grow the lists.
const TICK_FRAMES: usize = 16;
const TICK_BYTES: usize = 768;

/// Encoded frames of a stream that wait for the tick's end.
#[derive(Debug)]
pub struct Encoded {
    /// Length of each packet.
    pub lengths: Vec<u16>,
    /// Loudest sample of each frame, `|sample| >> 7`.
    pub peaks: Vec<u8>,
    /// The packets.
    pub bytes: Vec<u8>,
}

impl Encoded {
    /// Lists that need not grow in a tick of a usual stream.
    pub fn new() -> Self {
        Self {
            lengths: Vec::with_capacity(TICK_FRAMES),
            peaks: Vec::with_capacity(TICK_FRAMES),
            bytes: Vec::with_capacity(TICK_BYTES),
        }
    }
}

/// Takes `frames` frames of every stream that is captured; each has as many.
pub fn take(legs: &mut [Stream], frames: usize, first_frame: u32) -> MediaBlock {
    let streams = legs.len();
    let captures = || legs.iter().filter_map(|leg| leg.capture.as_ref());
    let size: usize = captures().map(|capture| capture.encoded.bytes.len()).sum();
    let mut block = MediaBlock {
        first_frame,
        streams: streams as u8,
        lengths: Vec::with_capacity(frames * streams),
        peaks: Vec::with_capacity(frames * streams),
        bytes: Vec::with_capacity(size),
    };
    let mut read = [0usize; limit::STREAMS_PER_CALL];
    for frame in 0..frames {
        for (leg, read) in legs.iter().zip(&mut read) {
            let Some(capture) = &leg.capture else { continue };
            let length = capture.encoded.lengths[frame];
            let packet = &capture.encoded.bytes[*read..][..usize::from(length)];
            *read += packet.len();
            block.lengths.push(length);
            block.peaks.push(capture.encoded.peaks[frame]);
            block.bytes.extend_from_slice(packet);
        }
    }
    for (leg, read) in legs.iter_mut().zip(read) {
        let Some(capture) = &mut leg.capture else { continue };
        capture.encoded.lengths.drain(..frames);
        capture.encoded.peaks.drain(..frames);
        capture.encoded.bytes.drain(..read);
    }
    block
}

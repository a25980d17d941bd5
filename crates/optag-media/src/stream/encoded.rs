//! The encoded frames of one stream that have not been handed out yet.

use crate::spill::packed_frame::{Given, pack};

/// Frames per tick, and the bytes of their packets at a usual rate: beyond that the lists grow.
const TICK_FRAMES: usize = 16;
const TICK_BYTES: usize = 768;

/// Encoded frames of a stream until the end of the tick.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Length of each packet.
    pub lengths: Vec<u16>,
    /// Peak sample of each frame, `|sample| >> 7`.
    pub peaks: Vec<u8>,
    /// The packets.
    pub bytes: Vec<u8>,
}

impl Encoded {
    /// Adds a frame. `wraps`: it is an Opus packet among frames that are packed.
    pub(crate) fn push(&mut self, packet: &[u8], peak: u8, wraps: bool) {
        let from = self.bytes.len();
        match wraps {
            true => pack(Given::Opus(packet), &mut self.bytes),
            false => self.bytes.extend_from_slice(packet),
        }
        self.lengths.push((self.bytes.len() - from) as u16);
        self.peaks.push(peak);
    }

    /// Lists that need not grow in a tick of a usual stream.
    pub(crate) fn new() -> Self {
        Self {
            lengths: Vec::with_capacity(TICK_FRAMES),
            peaks: Vec::with_capacity(TICK_FRAMES),
            bytes: Vec::with_capacity(TICK_BYTES),
        }
    }
}

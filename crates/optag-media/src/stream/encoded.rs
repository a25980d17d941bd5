//! The encoded frames of one stream that have not been handed out yet.

/// Frames per tick, and the bytes of their packets at a usual rate: beyond that the lists grow.
const TICK_FRAMES: usize = 16;
const TICK_BYTES: usize = 768;

/// Encoded frames of a stream until the end of the tick.
#[derive(Debug)]
pub struct Encoded {
    /// Length of each packet.
    pub lengths: Vec<u16>,
    /// Peak sample of each frame, `|sample| >> 7`.
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

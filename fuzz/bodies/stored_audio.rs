//! What must hold for any bytes that lie in the place of a recording: they are played in bounded steps, or
//! refused.

use std::io::Cursor;

use optag_storage::archive::render::{Renderer, Samples, one_channel};

/// Longest packet of Opus: 120 ms. Units: samples at 48 kHz.
const LONGEST_PACKET: usize = 5_760;

/// Plays a file at a rate, and takes each of its channels out.
pub(super) fn run(data: &[u8]) {
    let Some((&mode, file)) = data.split_first() else { return };
    let rate_hz = [8_000, 16_000, 24_000, 48_000][usize::from(mode & 3)];
    if let Ok(mut renderer) = Renderer::new(Cursor::new(file), rate_hz) {
        let channels = renderer.channels();
        assert!(channels > 0);
        let (mut blocks, longest) = (0, LONGEST_PACKET / (48_000 / rate_hz as usize));
        while let Ok(Some(block)) = renderer.next_block() {
            blocks += 1;
            assert!(!block.is_empty() && block.len().is_multiple_of(channels));
            assert!(block.len() <= longest * channels);
            assert!(blocks <= file.len(), "more packets than bytes");
        }
    }
    let mut written = 0;
    let channel = mode >> 2 & 7;
    let _ = one_channel(Cursor::new(file), channel, |bytes| {
        written += bytes.len();
        mode & 128 == 0
    });
    // A page has a head of 27 bytes and at most 255 lacing values; a packet of one stream is no longer than all.
    assert!(written <= 64 * file.len() + 1_024, "{written} bytes of {}", file.len());
}

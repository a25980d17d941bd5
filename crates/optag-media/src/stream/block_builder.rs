//! Interleaves the packets of a call's streams frame by frame. In: the output of each stream's capture.
//! Out: one [`MediaBlock`].

use crate::fact::{Form, MediaBlock};
use crate::stream::Stream;
use optag_core::limit;

/// Takes `frames` frames of every captured stream; all have that many.
pub(crate) fn take(streams: &mut [Stream], frames: usize, first_frame: u32, form: Form) -> MediaBlock {
    let count = streams.len();
    let captures = || streams.iter().filter_map(|stream| stream.capture.as_ref());
    let size: usize = captures().map(|capture| capture.encoded.bytes.len()).sum();
    let mut block = MediaBlock {
        first_frame,
        form,
        streams: count as u8,
        lengths: Vec::with_capacity(frames * count),
        peaks: Vec::with_capacity(frames * count),
        bytes: Vec::with_capacity(size),
    };
    let mut read = [0usize; limit::STREAMS_PER_CALL];
    for frame in 0..frames {
        for (stream, read) in streams.iter().zip(&mut read) {
            let Some(capture) = &stream.capture else { continue };
            let length = capture.encoded.lengths[frame];
            let packet = &capture.encoded.bytes[*read..][..usize::from(length)];
            *read += packet.len();
            block.lengths.push(length);
            block.peaks.push(capture.encoded.peaks[frame]);
            block.bytes.extend_from_slice(packet);
        }
    }
    for (stream, read) in streams.iter_mut().zip(read) {
        let Some(capture) = &mut stream.capture else { continue };
        capture.encoded.lengths.drain(..frames);
        capture.encoded.peaks.drain(..frames);
        capture.encoded.bytes.drain(..read);
    }
    block
}

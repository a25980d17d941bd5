//! AMR as simulated telephones send it, by the system's opencore-amr: 12.2 kbit/s, without pauses. In: samples
//! at 8 kHz. Out: payloads of RFC 4867.

use std::ffi::c_void;
use std::ptr::NonNull;

use super::{Band, FRAME_BYTES};

/// Samples of a frame.
const FRAME_SAMPLES: usize = 160;
/// The mode of 12.2 kbit/s. Source: opencore-amrnb/interf_enc.h, `MR122`.
const MODE: i32 = 7;

// Source: opencore-amrnb/interf_enc.h, version 0.1.6.
#[link(name = "opencore-amrnb")]
unsafe extern "C" {
    pub(super) fn Encoder_Interface_init(dtx: i32) -> *mut c_void;
    pub(super) fn Encoder_Interface_exit(state: *mut c_void);
    pub(super) fn Encoder_Interface_Encode(
        state: *mut c_void,
        mode: i32,
        speech: *const i16,
        out: *mut u8,
        force_speech: i32,
    ) -> i32;
}

struct AmrEncoder(NonNull<c_void>);

impl AmrEncoder {
    /// Encodes a frame: the type byte, then the bits.
    fn frame(&mut self, samples: &[i16; FRAME_SAMPLES]) -> [u8; FRAME_BYTES] {
        let mut frame = [0; FRAME_BYTES];
        // SAFETY: the encoder is open. It reads a frame of samples, and writes at most 32 bytes for this mode, for
        // which `frame` has space.
        unsafe { Encoder_Interface_Encode(self.0.as_ptr(), MODE, samples.as_ptr(), frame.as_mut_ptr(), 0) };
        frame
    }
}

impl Drop for AmrEncoder {
    fn drop(&mut self) {
        // SAFETY: the encoder is not used afterwards.
        unsafe { Encoder_Interface_exit(self.0.as_ptr()) }
    }
}

/// Payloads of so many frames each. A remainder is dropped.
///
/// Panics: out of memory.
pub fn payloads(samples: &[i16], aligned: bool, frames: usize) -> Vec<Vec<u8>> {
    // SAFETY: no pointers; the result is checked.
    let state = unsafe { Encoder_Interface_init(0) };
    let mut encoder = AmrEncoder(NonNull::new(state).expect("memory for an AMR encoder"));
    let (whole, _) = samples.as_chunks::<FRAME_SAMPLES>();
    let coded: Vec<[u8; FRAME_BYTES]> = whole.iter().map(|samples| encoder.frame(samples)).collect();
    super::payloads(Band::Narrow, aligned, frames, &coded)
}

//! AMR-WB as simulated telephones send it, by the system's vo-amrwbenc: 12.65 kbit/s, without pauses. In: samples at
//! 16 kHz. Out: payloads of RFC 4867.

use std::ffi::c_void;
use std::ptr::NonNull;

use super::{Band, FRAME_BYTES};

/// Samples of a frame.
const FRAME_SAMPLES: usize = 320;
/// The mode of 12.65 kbit/s. Source: vo-amrwbenc/enc_if.h; 3GPP TS 26.201, table 1a.
const MODE: i32 = 2;

// Source: vo-amrwbenc/enc_if.h, version 0.1.3.
#[link(name = "vo-amrwbenc")]
unsafe extern "C" {
    fn E_IF_init() -> *mut c_void;
    fn E_IF_exit(state: *mut c_void);
    fn E_IF_encode(state: *mut c_void, mode: i32, speech: *const i16, out: *mut u8, dtx: i32) -> i32;
}

struct WideEncoder(NonNull<c_void>);

impl WideEncoder {
    /// Encodes a frame: the type byte, then the bits.
    fn frame(&mut self, samples: &[i16; FRAME_SAMPLES]) -> [u8; FRAME_BYTES] {
        let mut frame = [0; FRAME_BYTES];
        // SAFETY: the encoder is open. It reads a frame of samples, and writes at most 61 bytes, for which `frame` has
        // space.
        unsafe { E_IF_encode(self.0.as_ptr(), MODE, samples.as_ptr(), frame.as_mut_ptr(), 0) };
        frame
    }
}

impl Drop for WideEncoder {
    fn drop(&mut self) {
        // SAFETY: the encoder is not used afterwards.
        unsafe { E_IF_exit(self.0.as_ptr()) }
    }
}

/// Payloads of so many frames each. A remainder is dropped.
///
/// Panics: out of memory.
pub fn payloads(samples: &[i16], aligned: bool, frames: usize) -> Vec<Vec<u8>> {
    // SAFETY: no pointers; the result is checked.
    let state = unsafe { E_IF_init() };
    let mut encoder = WideEncoder(NonNull::new(state).expect("memory for an AMR-WB encoder"));
    let (whole, _) = samples.as_chunks::<FRAME_SAMPLES>();
    let coded: Vec<[u8; FRAME_BYTES]> = whole.iter().map(|samples| encoder.frame(samples)).collect();
    super::payloads(Band::Wide, aligned, frames, &coded)
}

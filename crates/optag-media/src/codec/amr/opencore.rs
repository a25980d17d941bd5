//! AMR and AMR-WB by the system's opencore-amr. In: payloads of RFC 4867. Out: samples at 8 or 16 kHz.
//!
//! Built only with the feature `amr`. The library is under the Apache License 2.0; the codecs themselves
//! are covered by patents in some countries (see `docs/guide/feeding.md`).

use std::ffi::c_void;
use std::ptr::NonNull;

use super::{Band, FRAME_BYTES, Payload};
use crate::codec::decoder::Decode;

// Source: opencore-amrnb/interf_dec.h and opencore-amrwb/dec_if.h, version 0.1.6.
#[link(name = "opencore-amrnb")]
unsafe extern "C" {
    fn Decoder_Interface_init() -> *mut c_void;
    fn Decoder_Interface_exit(state: *mut c_void);
    fn Decoder_Interface_Decode(state: *mut c_void, frame: *const u8, out: *mut i16, bad_frame: i32);
}

#[link(name = "opencore-amrwb")]
unsafe extern "C" {
    fn D_IF_init() -> *mut c_void;
    fn D_IF_exit(state: *mut c_void);
    fn D_IF_decode(state: *mut c_void, frame: *const u8, out: *mut i16, bad_frame: i32);
}

/// The decoder of one stream.
pub struct AmrDecoder {
    band: Band,
    aligned: bool,
    state: NonNull<c_void>,
}

// SAFETY: all of the library's state is behind the pointer, and it uses no threads; the pointer is used only
// through `&mut`.
unsafe impl Send for AmrDecoder {}

impl AmrDecoder {
    /// A decoder in its initial state.
    ///
    /// Panics: out of memory.
    pub fn new(band: Band, aligned: bool) -> Self {
        // SAFETY: no arguments; the results are checked.
        let state = unsafe {
            match band {
                Band::Narrow => Decoder_Interface_init(),
                Band::Wide => D_IF_init(),
            }
        };
        Self { band, aligned, state: NonNull::new(state).expect("memory for an AMR decoder") }
    }

    const fn frame_samples(&self) -> usize {
        match self.band {
            Band::Narrow => 160,
            Band::Wide => 320,
        }
    }

    /// Decodes a frame into `out`, which has space for one.
    fn frame(&mut self, frame: &[u8; FRAME_BYTES], out: &mut [i16]) {
        assert_eq!(out.len(), self.frame_samples());
        let (state, frame, out) = (self.state.as_ptr(), frame.as_ptr(), out.as_mut_ptr());
        // SAFETY: the decoder is open. The library reads the type byte of a frame and the bytes of that type, at
        // most 60, and `frame` has 61; unknown types were rejected before. It writes one frame of samples, for
        // which `out` has space.
        unsafe {
            match self.band {
                Band::Narrow => Decoder_Interface_Decode(state, frame, out, 0),
                Band::Wide => D_IF_decode(state, frame, out, 0),
            }
        }
    }
}

impl Decode for AmrDecoder {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let Some(payload) = Payload::parse(self.band, self.aligned, payload) else { return 0 };
        let mut places = out.chunks_exact_mut(self.frame_samples());
        let mut written = 0;
        payload.frames(|frame| {
            if let Some(place) = places.next() {
                self.frame(frame, place);
                written += place.len();
            }
        });
        written
    }
}

impl Drop for AmrDecoder {
    fn drop(&mut self) {
        // SAFETY: the decoder is not used afterwards.
        unsafe {
            match self.band {
                Band::Narrow => Decoder_Interface_exit(self.state.as_ptr()),
                Band::Wide => D_IF_exit(self.state.as_ptr()),
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! The encoder of libopus, with the functions caught that [`crate::Lanes`] runs. The same functions as
//! those of `opusic_sys`, which see for what they take; their states are not to be mixed with those.
//!
//! [`opus_encode`] may run other tasks of [`crate::Lanes::run`] before it returns.

pub use opusic_sys::{
    OPUS_APPLICATION_AUDIO, OPUS_APPLICATION_RESTRICTED_LOWDELAY, OPUS_APPLICATION_VOIP,
    OPUS_GET_LOOKAHEAD_REQUEST, OPUS_OK, OPUS_RESET_STATE, OPUS_SET_BITRATE_REQUEST,
    OPUS_SET_COMPLEXITY_REQUEST, OPUS_SET_SIGNAL_REQUEST, OPUS_SET_VBR_REQUEST, OPUS_SIGNAL_VOICE,
    OpusEncoder,
};

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub use opusic_sys::{
    opus_encode, opus_encoder_ctl, opus_encoder_get_size, opus_encoder_init, opus_get_version_string,
};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
unsafe extern "C" {
    /// Bytes of a state of so many channels.
    #[link_name = "opus_lanes_opus_encoder_get_size"]
    pub fn opus_encoder_get_size(channels: i32) -> i32;
    /// Initialises a state in memory of the caller's.
    #[link_name = "opus_lanes_opus_encoder_init"]
    pub fn opus_encoder_init(state: *mut OpusEncoder, rate_hz: i32, channels: i32, application: i32) -> i32;
    /// Encodes a frame; returns the bytes of the packet, or an error below 0.
    #[link_name = "opus_lanes_opus_encode"]
    pub fn opus_encode(
        state: *mut OpusEncoder,
        pcm: *const i16,
        samples: i32,
        packet: *mut u8,
        packet_bytes: i32,
    ) -> i32;
    /// Asks something of a state (opus_defines.h).
    #[link_name = "opus_lanes_opus_encoder_ctl"]
    pub fn opus_encoder_ctl(state: *mut OpusEncoder, request: i32, ...) -> i32;
    /// The version that was compiled.
    #[link_name = "opus_lanes_opus_get_version_string"]
    pub fn opus_get_version_string() -> *const std::ffi::c_char;
}

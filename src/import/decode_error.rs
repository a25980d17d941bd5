//! Why an audio file is not decoded, and the supported range of parameters.

use optag_core::limit;

/// Lowest supported sample rate. Units: Hz.
pub const LEAST_RATE_HZ: u32 = 4_000;
/// Highest supported sample rate. Units: Hz.
pub const MOST_RATE_HZ: u32 = 192_000;

/// Why a file cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Read error.
    #[error("cannot read: {0}")]
    Io(#[from] std::io::Error),
    /// Unknown format, or damaged.
    #[error("cannot decode: {0}")]
    Form(String),
    /// Unsupported number of channels.
    #[error("{0} channels; 1 to 8 are supported")]
    Channels(usize),
    /// Unsupported sample rate.
    #[error("{0} Hz; {LEAST_RATE_HZ} to {MOST_RATE_HZ} Hz are supported")]
    Rate(u32),
    /// Longer than any call may be.
    #[error("longer than 12 hours")]
    TooLong,
    /// Its tables refer to the same bytes repeatedly.
    #[error("declares more audio than the file contains")]
    Overlaps,
    /// Rate or channels change within the file.
    #[error("sample rate or channel count changes within the file")]
    Changes,
}

/// Checks the number of channels.
///
/// Errors: [`DecodeError::Channels`].
pub(super) fn check_channels(channels: usize) -> Result<(), DecodeError> {
    let fits = (1..=limit::STREAMS_PER_CALL).contains(&channels);
    if fits { Ok(()) } else { Err(DecodeError::Channels(channels)) }
}

/// Checks the sample rate.
///
/// Errors: [`DecodeError::Rate`].
pub(super) fn check_rate(rate_hz: u32) -> Result<(), DecodeError> {
    let fits = (LEAST_RATE_HZ..=MOST_RATE_HZ).contains(&rate_hz);
    if fits { Ok(()) } else { Err(DecodeError::Rate(rate_hz)) }
}

//! Why a file of audio is not decoded, and the bounds of what is.

use optag_core::limit;

/// Slowest rate of samples that is taken. Units: Hz.
pub const LEAST_RATE_HZ: u32 = 4_000;
/// Fastest rate of samples that is taken. Units: Hz.
pub const MOST_RATE_HZ: u32 = 192_000;

/// Why a file gives no samples.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It cannot be read.
    #[error("cannot read: {0}")]
    Io(#[from] std::io::Error),
    /// No known form of audio, or damaged.
    #[error("cannot decode: {0}")]
    Form(String),
    /// Fewer or more channels than a recording has.
    #[error("{0} channels; 1 to 8 are supported")]
    Channels(usize),
    /// A rate that no recording of speech has.
    #[error("{0} Hz; {LEAST_RATE_HZ} to {MOST_RATE_HZ} Hz are supported")]
    Rate(u32),
    /// It is longer than any call may be.
    #[error("longer than 12 hours")]
    TooLong,
    /// Its tables name the same bytes again and again.
    #[error("declares more audio than the file contains")]
    Overlaps,
    /// Rate or channels change inside.
    #[error("sample rate or channel count changes within the file")]
    Changes,
}

/// Whether a recording can have so many channels.
///
/// Errors: [`DecodeError::Channels`].
pub(super) fn check_channels(channels: usize) -> Result<(), DecodeError> {
    let fits = (1..=limit::STREAMS_PER_CALL).contains(&channels);
    if fits { Ok(()) } else { Err(DecodeError::Channels(channels)) }
}

/// Whether speech is recorded at that rate.
///
/// Errors: [`DecodeError::Rate`].
pub(super) fn check_rate(rate_hz: u32) -> Result<(), DecodeError> {
    let fits = (LEAST_RATE_HZ..=MOST_RATE_HZ).contains(&rate_hz);
    if fits { Ok(()) } else { Err(DecodeError::Rate(rate_hz)) }
}

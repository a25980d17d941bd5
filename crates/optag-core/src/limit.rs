//! Hard limits, each with its unit. Limits that an owner may change are configuration keys.

/// Streams per call, one channel each: as many as mapping family 1 has. Source: RFC 7845 §5.1.1.2.
pub const STREAMS_PER_CALL: usize = 8;

/// Maximum size of a UDP datagram; longer ones count as oversized. Units: bytes.
pub const DATAGRAM_BYTES: usize = 2_048;

/// Maximum size of a JSON request body. Units: bytes.
pub const REQUEST_BODY_BYTES: usize = 64 * 1024;

/// Maximum length of a caller's or employee's name, a label, an external id, a reason. Units: characters.
pub const TEXT_CHARS: usize = 200;

/// Maximum digits of a telephone number; E.164 allows 15, some private plans more.
pub const NUMBER_CHARS: usize = 32;

/// Maximum retention of any recording in days. The owner's policy, not a default: no setting exceeds it.
pub const RETENTION_DAYS: u8 = 90;

/// Maximum duration of a call, whatever its streams do. Units: hours.
pub const CALL_HOURS: u64 = 12;

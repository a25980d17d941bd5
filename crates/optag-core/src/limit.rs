//! Hard caps, each with its unit. What an owner may change is a configuration key instead.

/// Streams of one call; RFC 7845 §5.1.1.2 allows 255, one channel each, browsers play 8.
pub const STREAMS_PER_CALL: usize = 8;

/// Bytes of one UDP datagram that are looked at; more marks it as oversized.
pub const DATAGRAM_BYTES: usize = 2_048;

/// Bytes of a JSON request body.
pub const REQUEST_BODY_BYTES: usize = 64 * 1024;

/// Characters of a caller's or employee's name, a label, an external id, a reason.
pub const TEXT_CHARS: usize = 200;

/// Digits of a telephone number; E.164 has 15, some private plans more.
pub const NUMBER_CHARS: usize = 32;

/// Days that any recording may live. The owner's policy, not a default: no setting exceeds it.
pub const RETENTION_DAYS: u8 = 90;

/// Hours after which a call is ended whatever its streams say.
pub const CALL_HOURS: u64 = 12;

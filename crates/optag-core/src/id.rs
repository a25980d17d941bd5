//! Identifiers as distinct types, so that one cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::WallTime;

/// Identifies a call and, if it was recorded, its recording: one id from admission to erasure.
///
/// A UUID version 7, so that ids sort by the time of admission.
/// Source: RFC 9562 §5.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(Uuid);

impl CallId {
    /// A new id whose time part is `now`.
    pub fn new_at(now: WallTime) -> Self {
        let micros = now.as_unix_micros().max(0) as u64;
        let stamp =
            uuid::Timestamp::from_unix_time(micros / 1_000_000, (micros % 1_000_000) as u32 * 1_000, 0, 0);
        Self(Uuid::new_v7(stamp))
    }

    /// The same, with the number of the node that admits the call in its last two bytes, so that the id alone says
    /// whom to ask. 0: the node has no number, and the bytes are random.
    ///
    /// Source: RFC 9562 §6.4, Node IDs.
    pub fn new_on(node: u16, now: WallTime) -> Self {
        let mut bytes = Self::new_at(now).to_bytes();
        if node > 0 {
            bytes[14..].copy_from_slice(&node.to_be_bytes());
        }
        Self::from_bytes(bytes)
    }

    /// The number of the node that admitted the call; any number where that node had none.
    pub const fn node(self) -> u16 {
        let bytes = self.to_bytes();
        u16::from_be_bytes([bytes[14], bytes[15]])
    }

    /// The id of a call recorded by another system at `at`: deterministic in `digest`, of which the first 10
    /// bytes are used.
    pub fn derived(at: WallTime, digest: &[u8]) -> Self {
        let millis = (at.as_unix_micros().max(0) / 1_000) as u64;
        let mut random = [0; 10];
        random.iter_mut().zip(digest).for_each(|(byte, &from)| *byte = from);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// When the call was admitted, to the millisecond, from the id itself.
    pub fn admitted_at(self) -> WallTime {
        let (secs, nanos) = self.0.get_timestamp().map_or((0, 0), |stamp| stamp.to_unix());
        WallTime::from_unix_micros(secs as i64 * 1_000_000 + i64::from(nanos / 1_000))
    }

    /// From its 16 bytes, as stored in the spool.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes, most significant first.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text was not a UUID.
#[derive(Debug, thiserror::Error)]
#[error("not a call id: expected a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")]
pub struct BadCallId;

impl FromStr for CallId {
    type Err = BadCallId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self).map_err(|_| BadCallId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_tells_its_time_and_is_the_same_for_the_same_digest() {
        let at = WallTime::from_unix_micros(1_700_000_000_123_456);
        let one = CallId::derived(at, &[7; 32]);
        assert_eq!(one, CallId::derived(at, &[7; 32]));
        assert_ne!(one, CallId::derived(at, &[8; 32]));
        assert_eq!(one.admitted_at(), WallTime::from_unix_micros(1_700_000_000_123_000));
    }

    #[test]
    fn an_id_tells_its_node_and_is_a_uuid_of_its_time_all_the_same() {
        let at = WallTime::from_unix_micros(1_700_000_000_123_000);
        for node in [1, 300, u16::MAX] {
            let id = CallId::new_on(node, at);
            assert_eq!((id.node(), id.admitted_at()), (node, at));
            assert_ne!(id, CallId::new_on(node, at));
            let text = id.to_string();
            assert_eq!((&text[14..15], text.parse::<CallId>().unwrap()), ("7", id));
        }
        let tails: std::collections::HashSet<_> = (0..50).map(|_| CallId::new_on(0, at).node()).collect();
        assert!(tails.len() > 1, "a node without a number says none");
    }

    #[test]
    fn ids_sort_by_time_and_survive_text_and_bytes() {
        let early = CallId::new_at(WallTime::from_unix_micros(1_700_000_000_000_000));
        let late = CallId::new_at(WallTime::from_unix_micros(1_700_000_001_000_000));
        assert!(early < late);
        assert_eq!(late.admitted_at(), WallTime::from_unix_micros(1_700_000_001_000_000));
        assert_eq!(early.to_string().parse::<CallId>().unwrap(), early);
        assert_eq!(CallId::from_bytes(late.to_bytes()), late);
    }
}

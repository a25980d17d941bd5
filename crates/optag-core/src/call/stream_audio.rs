//! How much audio each stream owed and brought, and which streams were refused: what an account of a
//! day adds up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::StreamRole;

/// What a stream of a recording owed, and what of that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAudio {
    /// Who speaks in it.
    pub role: StreamRole,
    /// Time in which it sent, or should have been recorded: without pauses, cut-out keys, and time in
    /// which nothing was sent. Units: ms.
    pub owed_ms: u64,
    /// Of that, what the recording has. Units: ms.
    pub kept_ms: u64,
}

/// Audio streams that a call was offered and that are not recorded, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedStreams {
    /// Encrypted without a usable key.
    pub encrypted: u32,
    /// No supported codec.
    pub no_codec: u32,
    /// Sent to a multicast group.
    pub multicast: u32,
    /// Beyond the limits of a call, a client or the ports.
    pub no_room: u32,
}

impl StreamRole {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Caller, Self::Employee, Self::Mixed, Self::Other];

    /// Its name in the API, the index and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Employee => "employee",
            Self::Mixed => "mixed",
            Self::Other => "other",
        }
    }
}

impl StreamAudio {
    /// Streams in channel order as one text: `caller:1200:1180 other:400:0`.
    pub fn to_text(streams: &[Self]) -> String {
        let one = |stream: &Self| format!("{}:{}:{}", stream.role.name(), stream.owed_ms, stream.kept_ms);
        streams.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// The streams of such a text; what is none is left out.
    pub fn from_text(text: &str) -> Vec<Self> {
        let one = |text: &str| {
            let mut parts = text.split(':');
            let name = parts.next()?;
            let role = StreamRole::ALL.into_iter().find(|role| role.name() == name)?;
            let (owed_ms, kept_ms) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Some(Self { role, owed_ms, kept_ms })
        };
        text.split_ascii_whitespace().filter_map(one).collect()
    }
}

impl RefusedStreams {
    /// These and others together.
    pub const fn and(self, others: Self) -> Self {
        Self {
            encrypted: self.encrypted.saturating_add(others.encrypted),
            no_codec: self.no_codec.saturating_add(others.no_codec),
            multicast: self.multicast.saturating_add(others.multicast),
            no_room: self.no_room.saturating_add(others.no_room),
        }
    }

    /// The causes that there are, with their counts.
    pub fn causes(self) -> BTreeMap<&'static str, u32> {
        let all = [
            ("encrypted", self.encrypted),
            ("no_codec", self.no_codec),
            ("multicast", self.multicast),
            ("no_room", self.no_room),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// As one text: `encrypted:1 no_codec:2`.
    pub fn to_text(self) -> String {
        let one = |(cause, count)| format!("{cause}:{count}");
        self.causes().into_iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// What such a text says; what is unknown is left out.
    pub fn from_text(text: &str) -> Self {
        let mut refused = Self::default();
        for (cause, count) in text.split_ascii_whitespace().filter_map(|one| one.split_once(':')) {
            let count = count.parse().unwrap_or(0);
            match cause {
                "encrypted" => refused.encrypted = count,
                "no_codec" => refused.no_codec = count,
                "multicast" => refused.multicast = count,
                "no_room" => refused.no_room = count,
                _ => {}
            }
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_refusals_are_read_as_they_are_written() {
        let all: Vec<StreamAudio> = StreamRole::ALL
            .into_iter()
            .map(|role| StreamAudio { role, owed_ms: 1_200, kept_ms: 20 })
            .collect();
        let text = StreamAudio::to_text(&all);
        assert!(text.starts_with("caller:1200:20 employee:"), "{text}");
        assert_eq!(StreamAudio::from_text(&text), all);
        assert_eq!(StreamAudio::from_text("caller:1 x:1:1 other:2:x other:3:1").len(), 1);
        for role in StreamRole::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        let refused = RefusedStreams { no_codec: 2, no_room: 1, ..RefusedStreams::default() };
        assert_eq!(refused.to_text(), "no_codec:2 no_room:1");
        assert_eq!(RefusedStreams::from_text(&refused.to_text()), refused);
        assert_eq!(RefusedStreams::from_text("later:4 no_codec"), RefusedStreams::default());
    }
}

//! What became of one stream of a recording, in a word.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The verdict on one stream. *Partly*: of a part of what was owed; else of all or nearly all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamVerdict {
    /// What was owed is there.
    Ok,
    /// Its packets came too late to be placed.
    Late,
    /// Its packets were refused: source rule, SRTP authentication, form.
    Refused,
    /// Its packets had a payload type that was not negotiated.
    UnknownType,
    /// Nothing came from this side while the recording ran.
    OneWay,
    /// Packets came and held silence only.
    SilentChannel,
    /// A part came too late.
    PartlyLate,
    /// A part was refused.
    PartlyRefused,
    /// A part had an unknown payload type.
    PartlyUnknownType,
    /// A part was lost on the network.
    PartlyLost,
    /// A part was not recorded: restart, full spool, or a fault.
    PartlyUnrecorded,
}

impl StreamVerdict {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::Late,
        Self::Refused,
        Self::UnknownType,
        Self::OneWay,
        Self::SilentChannel,
        Self::PartlyLate,
        Self::PartlyRefused,
        Self::PartlyUnknownType,
        Self::PartlyLost,
        Self::PartlyUnrecorded,
    ];

    /// Stable name for the API, the index and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::UnknownType => "unknown_type",
            Self::OneWay => "one_way",
            Self::SilentChannel => "silent_channel",
            Self::PartlyLate => "partly_late",
            Self::PartlyRefused => "partly_refused",
            Self::PartlyUnknownType => "partly_unknown_type",
            Self::PartlyLost => "partly_lost",
            Self::PartlyUnrecorded => "partly_unrecorded",
        }
    }

    /// The verdict of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

/// Which verdicts are looked for: a verdict's name, or `fault` for any that is not `ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictWanted {
    /// A stream has this one; for `ok`, every stream.
    Is(StreamVerdict),
    /// A stream has one that is not `ok`.
    AnyFault,
}

impl VerdictWanted {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Is(verdict) => verdict.name(),
            Self::AnyFault => "fault",
        }
    }
}

impl FromStr for VerdictWanted {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "fault" => Ok(Self::AnyFault),
            name => StreamVerdict::of(name).map(Self::Is).ok_or(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_verdicts_own_and_what_it_is_stored_under() {
        for verdict in StreamVerdict::ALL {
            assert_eq!(StreamVerdict::of(verdict.name()), Some(verdict));
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.name());
            assert_eq!(verdict.name().parse(), Ok(VerdictWanted::Is(verdict)));
        }
        assert_eq!("fault".parse(), Ok(VerdictWanted::AnyFault));
        assert_eq!("fine".parse::<VerdictWanted>(), Err(()));
    }
}

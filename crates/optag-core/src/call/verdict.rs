//! The verdict on one stream of a recording.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! verdicts {
    ($($(#[$doc:meta])* $verdict:ident = $name:literal,)*) => {
        /// The verdict on one stream. *Partly*: part of the audio is affected; otherwise all or nearly all of
        /// it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum StreamVerdict {
            $($(#[$doc])* #[serde(rename = $name)] $verdict,)*
        }

        impl StreamVerdict {
            /// All verdicts.
            pub const ALL: &'static [Self] = &[$(Self::$verdict,)*];

            /// Their names, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// Stable name for the API, the index and metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$verdict => $name,)*
                }
            }
        }
    };
}

verdicts! {
    /// Complete.
    Ok = "ok",
    /// Its packets arrived too late.
    Late = "late",
    /// Its packets were refused: source rule, SRTP authentication, format.
    Refused = "refused",
    /// Its packets had a payload type that was not negotiated.
    UnknownType = "unknown_type",
    /// Nothing was received from this side during the recording.
    OneWay = "one_way",
    /// Its packets contained only silence.
    SilentChannel = "silent_channel",
    /// Part of it arrived too late.
    PartlyLate = "partly_late",
    /// Part of it was refused.
    PartlyRefused = "partly_refused",
    /// Part of it had an unknown payload type.
    PartlyUnknownType = "partly_unknown_type",
    /// Part of it was lost on the network.
    PartlyLost = "partly_lost",
    /// Part of it was not recorded: restart, full spool, or a fault.
    PartlyUnrecorded = "partly_unrecorded",
}

impl StreamVerdict {
    /// The verdict with this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verdict| verdict.name() == name)
    }
}

/// A search criterion: a verdict's name, or `fault` for any that is not `ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictWanted {
    /// A stream has this verdict; for `ok`, every stream.
    Is(StreamVerdict),
    /// A stream has a verdict other than `ok`.
    AnyFault,
}

impl VerdictWanted {
    /// The accepted words, for descriptions.
    pub fn words() -> String {
        format!(
            "{}; or {}: any but {}",
            StreamVerdict::NAMES.join(", "),
            Self::AnyFault.name(),
            StreamVerdict::Ok.name()
        )
    }

    /// Its name.
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
        for &verdict in StreamVerdict::ALL {
            assert_eq!(StreamVerdict::of(verdict.name()), Some(verdict));
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.name());
            assert_eq!(verdict.name().parse(), Ok(VerdictWanted::Is(verdict)));
        }
        assert_eq!("fault".parse(), Ok(VerdictWanted::AnyFault));
        assert_eq!("fine".parse::<VerdictWanted>(), Err(()));
    }
}

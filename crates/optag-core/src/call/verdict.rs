//! What became of one stream of a recording, in a word.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! verdicts {
    ($($(#[$doc:meta])* $verdict:ident = $name:literal,)*) => {
        /// The verdict on one stream. *Partly*: of a part of what was owed; else of all or nearly all.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum StreamVerdict {
            $($(#[$doc])* #[serde(rename = $name)] $verdict,)*
        }

        impl StreamVerdict {
            /// All of them.
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
    /// What was owed is there.
    Ok = "ok",
    /// Its packets came too late to be placed.
    Late = "late",
    /// Its packets were refused: source rule, SRTP authentication, form.
    Refused = "refused",
    /// Its packets had a payload type that was not negotiated.
    UnknownType = "unknown_type",
    /// Nothing came from this side while the recording ran.
    OneWay = "one_way",
    /// Packets came and held silence only.
    SilentChannel = "silent_channel",
    /// A part came too late.
    PartlyLate = "partly_late",
    /// A part was refused.
    PartlyRefused = "partly_refused",
    /// A part had an unknown payload type.
    PartlyUnknownType = "partly_unknown_type",
    /// A part was lost on the network.
    PartlyLost = "partly_lost",
    /// A part was not recorded: restart, full spool, or a fault.
    PartlyUnrecorded = "partly_unrecorded",
}

impl StreamVerdict {
    /// The verdict of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verdict| verdict.name() == name)
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
    /// What may be written, for descriptions.
    pub fn words() -> String {
        format!(
            "{}; or {}: any but {}",
            StreamVerdict::NAMES.join(", "),
            Self::AnyFault.name(),
            StreamVerdict::Ok.name()
        )
    }

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
        for &verdict in StreamVerdict::ALL {
            assert_eq!(StreamVerdict::of(verdict.name()), Some(verdict));
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.name());
            assert_eq!(verdict.name().parse(), Ok(VerdictWanted::Is(verdict)));
        }
        assert_eq!("fault".parse(), Ok(VerdictWanted::AnyFault));
        assert_eq!("fine".parse::<VerdictWanted>(), Err(()));
    }
}

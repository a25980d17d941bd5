//! A case: what it says while it is being answered, and what stays. In: rows of the index. Out: values, and rows again.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cases::state::State;
use crate::index::CaseRow;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;

/// Longest number of a case. Units: characters.
const NUMBER_CHARS: usize = 16;

/// Year and running number: `2026-0042`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaseNumber(String);

impl FromStr for CaseNumber {
    type Err = BadCaseNumber;

    fn from_str(text: &str) -> Result<Self, BadCaseNumber> {
        let digits =
            |part: &str, least: usize| part.len() >= least && part.bytes().all(|b| b.is_ascii_digit());
        match text.split_once('-') {
            Some((year, number)) if year.len() == 4 && digits(year, 4) && digits(number, 4) => {
                if text.len() > NUMBER_CHARS { Err(BadCaseNumber) } else { Ok(Self(text.to_owned())) }
            }
            _ => Err(BadCaseNumber),
        }
    }
}

impl fmt::Display for CaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is no number of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a case has a number such as 2026-0042")]
pub struct BadCaseNumber;

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// That the recording is erased. Source: GDPR Article 17 (1) (b).
    Erase,
    /// A copy of the recording as an audio file. Source: GDPR Article 15 (3).
    HandOut,
    /// What is known, without a copy. Source: GDPR Article 15 (1).
    Access,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The chosen recordings are erased.
    Erase,
    /// The chosen recordings are handed out.
    HandOut,
    /// Nothing is done, and the caller is told why.
    Refuse,
}

/// Why a request is refused, in a word that may stay after the case is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// There is no such recording.
    NotFound,
    /// The caller's identity could not be confirmed. Source: GDPR Article 12 (2), (6).
    NotIdentified,
    /// The recording is under a legal hold. Source: GDPR Article 17 (3) (e).
    Held,
    /// The caller took the request back.
    TakenBack,
    /// Another one, which the reason tells.
    Other,
}

/// How a caller's identity was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityCheck {
    /// Called back on the number of the recorded call.
    CalledBack,
    /// By what only the caller can know of the call.
    KnowsTheCall,
    /// By a national sign-in or a secure post box.
    DigitalId,
    /// In person, with a document.
    InPerson,
    /// Otherwise; the note tells how.
    Other,
}

macro_rules! named {
    ($($kind:ident { $($variant:ident = $name:literal),* })*) => {$(
        impl $kind {
            /// Every value with its name.
            pub const ALL: &[(&str, $kind)] = &[$(($name, $kind::$variant)),*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $($kind::$variant => $name),* }
            }

            /// The value with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
            }
        }
    )*};
}

named! {
    Asked { Erase = "erase", HandOut = "hand_out", Access = "access" }
    Decision { Erase = "erase", HandOut = "hand_out", Refuse = "refuse" }
    Ground {
        NotFound = "not_found", NotIdentified = "not_identified", Held = "held", TakenBack = "taken_back",
        Other = "other"
    }
    IdentityCheck {
        CalledBack = "called_back", KnowsTheCall = "knows_the_call", DigitalId = "digital_id",
        InPerson = "in_person", Other = "other"
    }
}

/// What a caller said. Unknown data are omitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Number called from, in any format.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Private<String>>,
    /// Number called, in any format.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_number: Option<Private<String>>,
    /// The caller's name.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Private<String>>,
    /// Day of the call.
    #[schema(value_type = Option<String>, format = Date)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Date>,
    /// Time of day, with the day.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// How far off the time may be, otherwise 15 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance_min: Option<i64>,
    /// Where to answer, and what else was told.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Private<String>>,
}

/// That and how identity was checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// How.
    pub how: IdentityCheck,
    /// What else is to be known of it.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Private<String>>,
    /// Who checked it.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: WallTime,
}

/// A recording that is meant, with what a letter tells of it after it is erased.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Chosen {
    /// The recording.
    #[schema(value_type = String, format = Uuid)]
    pub id: CallId,
    /// Department id.
    pub department: String,
    /// When the call was admitted.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: WallTime,
    /// Length of the audio.
    pub duration_ms: u64,
    /// What was done with it; none: nothing so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Done>,
}

/// What was done with a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// What.
    pub outcome: Outcome,
    /// When that was seen.
    #[schema(value_type = String, format = DateTime)]
    pub at: WallTime,
    /// Reason, end of a hold or of a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// SHA-256 of the link's token, in hexadecimal.
    #[schema(ignore)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Done {
    /// This outcome, seen now.
    pub fn new(outcome: Outcome, at: WallTime) -> Self {
        Self { outcome, at, detail: None, link: None }
    }

    /// The same with a detail.
    pub fn because(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// What became of a recording, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every copy was verified as deleted.
    Erased,
    /// The erasure is ordered: nothing is served any more, and copies that could not be reached are deleted later.
    Erasing,
    /// A legal hold keeps it.
    Held,
    /// It had expired or was erased before.
    Gone,
    /// A file was handed out completely.
    HandedOut,
    /// A hand-out began, and it is not known yet whether it was completed.
    HandingOut,
    /// A hand-out was interrupted.
    BrokenOff,
    /// A link was made and not used so far.
    LinkOpen,
    /// A link ended unused.
    LinkExpired,
    /// It failed; the detail says why.
    Failed,
}

impl Outcome {
    /// Whether nothing more is to come, so that the case may be closed.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Erased | Self::Held | Self::Gone | Self::HandedOut | Self::LinkExpired)
    }

    /// Whether doing it once more may help.
    pub const fn may_be_repeated(self) -> bool {
        matches!(self, Self::Failed | Self::Held | Self::Erasing)
    }
}

/// What a case says until it is closed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// What the caller said.
    pub told: Told,
    /// How identity was checked.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// The recordings that are meant.
    #[serde(default)]
    pub chosen: Vec<Chosen>,
    /// Why the time limit was extended.
    #[serde(default)]
    pub extension_reason: Option<Private<String>>,
    /// Why a request is refused.
    #[serde(default)]
    pub reason: Option<Private<String>>,
}

/// A case as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The columns.
    pub row: CaseRow,
    /// Its state.
    pub state: State,
    /// What the caller said and what was done; none once it is closed.
    pub content: Option<Content>,
}

/// A row of the index that this program cannot read.
#[derive(Debug, thiserror::Error)]
#[error("case {0} cannot be read: a later version may have written it")]
pub struct Unreadable(pub String);

impl Case {
    /// The case of a row.
    ///
    /// Errors: a later version wrote it.
    pub fn of(row: CaseRow) -> Result<Self, Unreadable> {
        let unreadable = || Unreadable(row.number.clone());
        let state: State = row.state.parse().map_err(|()| unreadable())?;
        let content = match row.content.reveal().as_str() {
            "" => None,
            text => Some(serde_json::from_str(text).map_err(|_| unreadable())?),
        };
        Ok(Self { state, content, row })
    }

    /// A chosen recording.
    pub fn chosen(&self, id: CallId) -> Option<&Chosen> {
        self.content.as_ref()?.chosen.iter().find(|one| one.id == id)
    }

    /// The chosen recordings.
    pub fn all_chosen(&self) -> &[Chosen] {
        self.content.as_ref().map_or(&[], |content| &content.chosen)
    }

    /// What was decided.
    pub fn decision(&self) -> Option<Decision> {
        self.row.decision.as_deref().and_then(Decision::from_name)
    }

    /// How many recordings came to which outcome; of a closed case, as it was then.
    pub fn counts(&self) -> BTreeMap<Outcome, u64> {
        if self.content.is_none() {
            return serde_json::from_str(&self.row.counts).unwrap_or_default();
        }
        let mut counts = BTreeMap::new();
        for done in self.all_chosen().iter().filter_map(|one| one.result.as_ref()) {
            *counts.entry(done.outcome).or_default() += 1;
        }
        counts
    }

    /// The row that says the same, with the counts of now.
    pub(super) fn into_row(self) -> Result<CaseRow, serde_json::Error> {
        let counts = serde_json::to_string(&self.counts())?;
        let content = self.content.as_ref().map(serde_json::to_string).transpose()?.unwrap_or_default();
        Ok(CaseRow { state: self.state.name().to_owned(), counts, content: content.into(), ..self.row })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_cases_are_told_from_other_texts() {
        for text in ["2026-0042", "2026-123456"] {
            assert_eq!(text.parse::<CaseNumber>().unwrap().to_string(), text);
        }
        for text in
            ["", "2026", "2026-", "2026-42", "26-0042", "2026-00x2", "2026-0042-", "2026-123456789012345"]
        {
            assert_eq!(text.parse::<CaseNumber>(), Err(BadCaseNumber), "{text}");
        }
    }

    #[test]
    fn names_of_values_are_those_of_the_api() {
        let json = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        for (name, value) in Asked::ALL {
            assert_eq!(json(serde_json::to_value(value).unwrap()), *name);
        }
        for (name, value) in Decision::ALL {
            assert_eq!(json(serde_json::to_value(value).unwrap()), *name);
        }
        for (name, value) in Ground::ALL {
            assert_eq!(json(serde_json::to_value(value).unwrap()), *name);
        }
        for (name, value) in IdentityCheck::ALL {
            assert_eq!(json(serde_json::to_value(value).unwrap()), *name);
        }
    }
}

//! Who calls, who is called, and which department that is.
//!
//! In: header fields of an INVITE, the metadata [`View`], the owner's order of [`Source`]s.
//! Out: numbers, a name, a department, and the role of each stream. Guesses are marked as
//! such and never stop a recording. Not here: whether a department is recorded (`Feed`).

pub(crate) mod asked_party;
pub mod departments;
pub mod transfer;

#[cfg(test)]
mod tests;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sip::header::param;
use crate::sip::message::Request;
use crate::sip::uri::NameAddr;
use crate::siprec::metadata::merged::View;
use crate::siprec::parties::asked_party::{calling_member, user_of_view};
pub use crate::siprec::parties::departments::Departments;
use crate::siprec::parties::departments::user_of;
use optag_core::call::StreamRole;
use optag_core::private::Private;

/// One place where a number may stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// A vendor's metadata extension that names it.
    Vendor,
    /// The metadata's participants.
    Participants,
    /// The place that the number called from was found in; for names alone.
    Caller,
    /// The Request-URI's user part.
    RequestUri,
    /// A header field, by its lower-case name.
    Header(String),
    /// A parameter of a header field.
    Parameter(String, String),
}

/// Where to look, in order: the first place that has a number wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PartyRules {
    /// For the number called from.
    pub caller: Vec<Source>,
    /// For the number called.
    pub called: Vec<Source>,
    /// For the caller's name.
    pub name: Vec<Source>,
    /// For the department: all places are tried until one is a department's id or number.
    pub department: Vec<Source>,
}

/// What an INVITE says of the parties, kept for the life of the session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints(Vec<(String, Private<String>)>);

/// The parties of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    /// Number called from; empty where nothing tells.
    pub caller_number: String,
    /// Number called; empty where nothing tells.
    pub called_number: String,
    /// The caller's name.
    pub caller_name: Option<String>,
    /// The department's id.
    pub department: Option<String>,
    /// The participant who is asked: the one who calls, or whom the recorded user has called.
    pub caller: Option<usize>,
    /// Whether that participant is only likely.
    pub guessed: bool,
}

impl Default for PartyRules {
    fn default() -> Self {
        let read = |texts: &[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect();
        Self {
            caller: read(&[
                "vendor",
                "participants",
                "header:from;x-farendaddr",
                "header:x-cisco-recording-participant",
                "header:p-asserted-identity",
                "header:from",
            ]),
            called: read(&[
                "vendor",
                "participants",
                "header:from;x-nearendaddr",
                "header:x-cisco-recording-participant",
                "header:diversion",
                "header:history-info",
                "header:p-called-party-id",
                "header:to",
                "request-uri",
            ]),
            name: read(&["participants", "caller"]),
            department: read(&[
                "request-uri",
                "header:diversion",
                "header:history-info",
                "header:p-called-party-id",
                "vendor",
                "participants",
                "header:x-cisco-recording-participant",
                "header:from;x-nearendaddr",
                "header:to",
            ]),
        }
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        match lower.as_str() {
            "vendor" => Ok(Source::Vendor),
            "participants" => Ok(Source::Participants),
            "caller" => Ok(Source::Caller),
            "request-uri" => Ok(Source::RequestUri),
            _ => match lower.strip_prefix("header:").map(|rest| rest.split_once(';').unwrap_or((rest, ""))) {
                Some((name, "")) if !name.is_empty() => Ok(Source::Header(name.to_owned())),
                Some((name, param)) if !name.is_empty() => {
                    Ok(Source::Parameter(name.to_owned(), param.to_owned()))
                }
                _ => Err(format!(
                    "`{text}` is none of vendor, participants, caller, request-uri, header:NAME, header:NAME;PARAMETER"
                )),
            },
        }
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> String {
        match source {
            Source::Vendor => "vendor".to_owned(),
            Source::Participants => "participants".to_owned(),
            Source::Caller => "caller".to_owned(),
            Source::RequestUri => "request-uri".to_owned(),
            Source::Header(name) => format!("header:{name}"),
            Source::Parameter(name, param) => format!("header:{name};{param}"),
        }
    }
}

impl Hints {
    /// What `rules` may ask of this request.
    pub fn of(request: &Request, rules: &PartyRules) -> Self {
        let mut kept = vec![("request-uri".to_owned(), request.uri.text.clone().into())];
        let sources = rules.caller.iter().chain(&rules.called).chain(&rules.name).chain(&rules.department);
        for source in sources {
            let (Source::Header(name) | Source::Parameter(name, _)) = source else { continue };
            if kept.iter().any(|(known, _)| known == name) {
                continue;
            }
            let values = request.headers.list(name).into_iter().take(16);
            kept.extend(values.map(|value| (name.clone(), value.into())));
        }
        Self(kept)
    }

    /// Takes over what a later request of the dialog says anew. From and To name the same two ends
    /// throughout; a field that is not repeated stays.
    pub fn renew(&mut self, request: &Request, rules: &PartyRules) {
        let later = Self::of(request, rules);
        let fixed = ["request-uri", "from", "to"];
        let renewed = |name: &str| !fixed.contains(&name) && later.0.iter().any(|(n, _)| n == name);
        self.0.retain(|(name, _)| !renewed(name));
        self.0.extend(later.0.iter().filter(|(name, _)| renewed(name)).cloned());
    }

    /// The values of a header field.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.reveal().as_str())
    }
}

/// Finds the parties. `known` is the id of the participant who was the caller so far.
pub fn resolve(
    view: &View,
    hints: &Hints,
    rules: &PartyRules,
    departments: &Departments,
    known: Option<&str>,
) -> Parties {
    let (asked, guessed) = calling_member(view, hints, departments, known);
    // Of a call that the recorded user made, the user's number is the one called from.
    let user = || user_of_view(view, departments).filter(|user| Some(*user) != asked);
    let caller = if view.outgoing == Some(true) { user().or(asked) } else { asked };
    let find = |sources: &[Source], calling: bool| {
        sources.iter().find_map(|source| {
            let texts = texts_of(source, view, hints, caller, calling);
            texts.into_iter().find(|text| !user_of(text).is_empty())
        })
    };
    let caller_text = find(&rules.caller, true).unwrap_or_default();
    let called_text = find(&rules.called, false).unwrap_or_default();
    let number = user_of(&caller_text);
    let named = |name: &String| !name.trim().is_empty() && *name != number;
    let shown = |text: &str| NameAddr::parse(text).map(|read| read.display);
    let caller_name = rules.name.iter().find_map(|source| {
        let names: Vec<String> = match source {
            Source::Participants => {
                let member = caller.and_then(|at| view.participants[at].name.as_ref());
                member.map(|name| name.reveal().clone()).into_iter().collect()
            }
            Source::Caller => shown(&caller_text).into_iter().collect(),
            // A parameter is a name by itself, an address has one beside it.
            Source::Parameter(..) => texts_of(source, view, hints, caller, true),
            Source::Vendor | Source::RequestUri | Source::Header(_) => {
                texts_of(source, view, hints, caller, true).iter().filter_map(|text| shown(text)).collect()
            }
        };
        names.into_iter().find(named)
    });
    let candidates = rules.department.iter().flat_map(|source| {
        let mut texts = texts_of(source, view, hints, caller, false);
        texts.extend(texts_of(source, view, hints, caller, true));
        texts
    });
    let department = candidates.into_iter().find_map(|text| departments.named(&text));
    Parties {
        caller_name,
        caller_number: number,
        called_number: user_of(&called_text),
        department: department.map(|d| d.id.clone()).or_else(|| departments.otherwise.clone()),
        caller: asked,
        guessed,
    }
}

/// Who speaks in the stream `label`, the `at`th of `count` audio streams.
pub fn role(
    view: &View,
    hints: &Hints,
    parties: &Parties,
    label: &str,
    at: usize,
    count: usize,
) -> StreamRole {
    match view.speakers(label)[..] {
        [one] if Some(one) == parties.caller => StreamRole::Caller,
        [one] => {
            let others = || (0..view.participants.len()).filter(|p| Some(*p) != parties.caller);
            let first = others().find(|p| view.participants[*p].is_here()).or_else(|| others().next());
            if Some(one) == first { StreamRole::Employee } else { StreamRole::Other }
        }
        [_, _, ..] if count == 1 => StreamRole::Mixed,
        [_, _, ..] => StreamRole::Other,
        [] => {
            // A phone that forks its own media names the end that each copy comes from.
            let from = hints.all("from").next().unwrap_or_default();
            let fork = |name: &str| from.to_ascii_lowercase().split([';', '>']).any(|p| p.trim() == name);
            match (at, count) {
                (0, 1) if fork("x-nearend") => StreamRole::Employee,
                (0, 1) if fork("x-farend") => StreamRole::Caller,
                (0, 1) => StreamRole::Mixed,
                (0, _) if view.streams.is_empty() || view.participants.is_empty() => StreamRole::Caller,
                (1, _) if view.streams.is_empty() || view.participants.is_empty() => StreamRole::Employee,
                _ => StreamRole::Other,
            }
        }
    }
}

/// The texts that a source has for the calling or the called side.
fn texts_of(
    source: &Source,
    view: &View,
    hints: &Hints,
    caller: Option<usize>,
    calling: bool,
) -> Vec<String> {
    match source {
        Source::Vendor => {
            let texts = if calling { [&view.caller, &None] } else { [&view.called, &view.queue] };
            texts.into_iter().flatten().map(|text| text.reveal().clone()).collect()
        }
        Source::Participants => {
            let wanted = |at: &usize| (Some(*at) == caller) == calling;
            let mut members: Vec<_> =
                (0..view.participants.len()).filter(wanted).map(|at| &view.participants[at]).collect();
            // Who has handed the call over is no longer the one called.
            members.sort_by_key(|member| member.left_at.is_some());
            members.into_iter().flat_map(|m| m.aors.iter().map(|aor| aor.reveal().clone())).collect()
        }
        Source::Caller => Vec::new(),
        Source::RequestUri => hints.all("request-uri").map(str::to_owned).collect(),
        // One field each participant, the calling one first.
        Source::Header(name) if name == "x-cisco-recording-participant" => {
            let all = hints.all(name).map(str::to_owned);
            if calling { all.take(1).collect() } else { all.skip(1).collect() }
        }
        Source::Header(name) => hints.all(name).map(str::to_owned).collect(),
        Source::Parameter(name, key) => hints.all(name).filter_map(|value| parameter(value, key)).collect(),
    }
}

/// A parameter of the URI inside `<…>` or of the field itself.
fn parameter(value: &str, key: &str) -> Option<String> {
    let inner = value.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(uri, _)| uri);
    let found = inner.and_then(|uri| param(uri, key)).or_else(|| param(value, key))?;
    (!found.is_empty()).then(|| found.to_owned())
}

//! Who calls, who is called, and which department that is.
//!
//! In: header fields of an INVITE, the metadata [`View`], the owner's order of [`Source`]s.
//! Out: numbers, a name, a department, and the role of each stream. Guesses are marked as
//! such and never stop a recording. Not here: whether a department is recorded (`Feed`).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::view::View;
use crate::base::private::Private;
use crate::call::{Department, StreamRole, number::normalise};
use crate::signalling::sip::header::{param, split_list};
use crate::signalling::sip::message::Request;
use crate::signalling::sip::uri::{NameAddr, Uri};

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

/// The departments, found by the numbers that reach them.
#[derive(Clone, Debug, Default)]
pub struct Departments {
    /// All of them.
    pub all: Vec<Department>,
    /// The country whose numbers are written without a code, for example `45`.
    pub country_code: String,
    /// Takes calls that no number decides; `None` leaves them unrecorded.
    pub otherwise: Option<String>,
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
    /// The calling participant.
    pub caller: Option<usize>,
    /// Whether the calling participant is only likely.
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

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.reveal().as_str())
    }
}

impl Departments {
    /// The department that `text`, a number, address or id, stands for.
    fn named(&self, text: &str) -> Option<&Department> {
        let user = user_of(text);
        self.all.iter().find(|d| d.id == user).or_else(|| {
            let number = normalise(&user, &self.country_code)?;
            let same = |n: &String| normalise(n, &self.country_code).as_ref() == Some(&number);
            self.all.iter().find(|d| d.numbers.iter().any(same))
        })
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
    let (caller, guessed) = calling_member(view, hints, departments, known);
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
        caller,
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
            let first_other = (0..view.participants.len()).find(|p| Some(*p) != parties.caller);
            if Some(one) == first_other { StreamRole::Employee } else { StreamRole::Other }
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

/// The participant who calls: as a vendor says; else the one known so far; else the one whose
/// number the vendor's call data or From has; else the one who is no department; else the
/// first. The second value is whether that is a guess.
fn calling_member(
    view: &View,
    hints: &Hints,
    departments: &Departments,
    known: Option<&str>,
) -> (Option<usize>, bool) {
    let members = &view.participants;
    let mut all: Vec<usize> = (0..members.len()).filter(|at| members[*at].left_at.is_none()).collect();
    if let Some(at) = all.iter().copied().find(|at| members[*at].calls == Some(true)) {
        return (Some(at), false);
    }
    if let Some(at) = known.and_then(|id| stands_for(view, id)) {
        return (Some(at), false);
    }
    if all.is_empty() {
        all = (0..members.len()).collect();
    }
    let find = |test: &dyn Fn(usize) -> bool| all.iter().copied().find(|at| test(*at));
    if let Some(callee) = find(&|at| members[at].calls == Some(false)) {
        return (find(&|at| at != callee), false);
    }
    let has_number = |at: usize, number: &str| {
        !number.is_empty() && members[at].aors.iter().any(|aor| user_of(aor.reveal()) == number)
    };
    let told =
        |text: &Option<Private<String>>| text.as_ref().map(|t| user_of(t.reveal())).unwrap_or_default();
    let (caller, called) = (told(&view.caller), told(&view.called));
    if let Some(at) = find(&|at| has_number(at, &caller)) {
        return (Some(at), false);
    }
    if let Some(callee) = find(&|at| has_number(at, &called)) {
        return (find(&|at| at != callee), false);
    }
    let from = hints.all("from").next().map(user_of).unwrap_or_default();
    if let Some(at) = find(&|at| has_number(at, &from)) {
        return (Some(at), false);
    }
    let is_department =
        |at: usize| members[at].aors.iter().any(|aor| departments.named(aor.reveal()).is_some());
    match find(&is_department) {
        Some(_) => (find(&|at| !is_department(at)), false),
        None => (find(&|_| true), !members.is_empty()),
    }
}

/// Who is the caller now, if `id` was so far: the same one, even after having left; but one
/// who took over the same stream; and nobody for sure, if `id` left without ever having one.
fn stands_for(view: &View, id: &str) -> Option<usize> {
    let at = view.participants.iter().position(|member| member.id == id)?;
    let was = &view.participants[at];
    if was.left_at.is_none() {
        return Some(at);
    }
    let shares =
        |m: &super::view::Member| m.left_at.is_none() && m.sends.iter().any(|s| was.sends.contains(s));
    let heir = view.participants.iter().position(shares);
    heir.or_else(|| (!was.sends.is_empty()).then_some(at))
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
            let text = if calling { &view.caller } else { &view.called };
            text.iter().map(|text| text.reveal().clone()).collect()
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

/// The number or user in an address of any form.
fn user_of(text: &str) -> String {
    let text = split_list(text).into_iter().next().unwrap_or_default();
    if let Some(uri) = Uri::parse(text).filter(Uri::is_telephony) {
        return uri.user_text();
    }
    if let Some(read) = NameAddr::parse(text)
        && (read.uri.is_telephony() || !read.uri.user.is_empty())
    {
        return read.uri.user_text();
    }
    let bare = text.trim_matches(['<', '>', ' ', '"']);
    bare.split(['@', ';', '?']).next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
#[path = "parties_tests.rs"]
mod tests;

//! Which department has the call, by what signalling tells in its course.
//!
//! In: who takes part now, the numbers called, whether there is a yes to protect. Out: the department to
//! tell the feed, or that nobody knows. It fails closed: once a caller has said yes, a call that
//! goes to someone of whom no department is known is paused until it is known again, unless the owner says
//! otherwise ([`UnknownParty`]).
//!
//! An address belongs to a department if the configuration lists it, or if it took part when the
//! question was put: a yes is given to whoever is there. Not here: whether the yes named a
//! department (`call::consent`), who of the participants is the caller (`callers`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::siprec::metadata::merged::{KEPT, Member, View};
use crate::siprec::parties::departments::Departments;
use crate::siprec::parties::{Hints, Parties, PartyRules, Source};
use crate::siprec::settings::UnknownParty;
use optag_core::private::Private;

/// Header fields of Cisco's that name the parties where there is no metadata.
const CISCO: &str = "x-cisco-recording-participant";

/// Who takes part and which numbers were called, as one moment's signalling has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Everyone on the organisation's side.
    parties: Vec<Party>,
    /// The caller.
    caller: Option<Party>,
    /// Places that name a number called, with its key and its department.
    called: Vec<(String, String, Option<String>)>,
    /// Whether the caller is only a guess.
    guessed: bool,
}

/// One party.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Party {
    keys: Vec<String>,
    listed: Option<String>,
    /// Sends nothing while others do: some clients name a dummy until someone answers.
    dummy: bool,
}

/// What is known of who has the call, kept for the life of the session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfers {
    /// The department that has the call, as the feed was told last; `None` before there is one.
    department: Option<String>,
    /// Departments that a yes covers, as the feed has said.
    covered: Vec<String>,
    /// Addresses that count as a department's, beside those that its configuration lists.
    members: Vec<(Private<String>, String)>,
    /// Addresses of the caller.
    callers: Vec<Private<String>>,
    /// Numbers called, by their places, when the question was put.
    called: Vec<(String, Private<String>)>,
    /// Whether the caller was only a guess then.
    guessed: bool,
    /// Whether anything was received of which nothing could be read.
    doubtful: bool,
    /// Whether nobody knows which department has the call.
    unknown: bool,
    /// Whether anyone was ever named on the organisation's side.
    accompanied: bool,
    /// Whether the feed has not taken the last transfer yet.
    telling: bool,
}

impl Seen {
    /// What signalling tells now.
    pub fn of(
        view: &View,
        hints: &Hints,
        parties: &Parties,
        rules: &PartyRules,
        departments: &Departments,
    ) -> Self {
        let sends = view.participants.iter().any(|member| member.is_here() && !member.sends.is_empty());
        let party = |member: &Member| {
            let texts: Vec<&str> = member.latest.iter().map(|aor| aor.reveal().as_str()).collect();
            let dummy = sends && member.sends.is_empty();
            Party { dummy, ..Party::of(&texts, departments) }
        };
        let mut seen = Self { guessed: parties.guessed, ..Self::default() };
        for (at, member) in view.participants.iter().enumerate() {
            if Some(at) == parties.caller {
                seen.caller = Some(party(member));
            } else if member.is_here() && !member.quiet {
                seen.parties.push(party(member));
            }
        }
        if view.participants.is_empty() {
            // The calling one comes first.
            let mut all = hints.all(CISCO).map(|text| Party::of(&[text], departments));
            seen.caller = all.next();
            seen.parties.extend(all);
        }
        for (place, text) in [("called", &view.called), ("queue", &view.queue)] {
            seen.called.extend(text.iter().map(|text| called(place, text.reveal(), departments)));
        }
        for source in rules.department.iter().chain(&rules.called) {
            let (Source::Header(name) | Source::Parameter(name, _)) = source else { continue };
            let new = !seen.called.iter().any(|(place, _, _)| place == name);
            if new && !["from", "to", CISCO].contains(&name.as_str()) {
                seen.called.extend(hints.all(name).map(|text| called(name, text, departments)));
            }
        }
        seen.called.retain(|(_, key, _)| !key.is_empty());
        seen
    }
}

fn called(place: &str, text: &str, departments: &Departments) -> (String, String, Option<String>) {
    (place.to_owned(), departments.key(text), departments.named(text).map(|d| d.id.clone()))
}

impl Party {
    fn of(texts: &[&str], departments: &Departments) -> Self {
        let mut keys: Vec<String> = texts.iter().map(|text| departments.key(text)).collect();
        keys.retain(|key| !key.is_empty());
        let listed = texts.iter().find_map(|text| departments.named(text)).map(|d| d.id.clone());
        Self { keys, listed, dummy: false }
    }
}

impl Transfers {
    /// Whether nobody knows which department has the call.
    pub const fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// The department that has the call, as far as was told.
    pub fn department(&self) -> Option<&str> {
        self.department.as_deref()
    }

    /// `department` has the call, with everyone who takes part now: at its beginning, and when the
    /// feed learned it in another way.
    pub fn begin(&mut self, department: &str, seen: &Seen) {
        self.department = Some(department.to_owned());
        self.called.clear();
        for (place, key, _) in &seen.called {
            self.called.push((place.clone(), key.clone().into()));
        }
        self.guessed = seen.guessed;
        (self.doubtful, self.unknown) = (false, false);
        self.accompanied |= seen.parties.iter().any(|party| !party.dummy);
        self.remember_caller(seen);
        // Where a place that comes before the participants decided, their own numbers do not.
        let agrees = seen.parties.iter().any(|party| party.listed.as_deref() == Some(department));
        for party in &seen.parties {
            if party.listed.is_none() || !agrees {
                self.adopt(party, department);
            }
        }
    }

    /// A transfer that the feed was told of and has not taken yet.
    pub fn untold(&self) -> Option<String> {
        self.department.clone().filter(|_| self.telling)
    }

    /// The feed has taken the last transfer, or could not.
    pub fn told(&mut self, taken: bool) {
        self.telling = false;
        // Where it stands instead is not known.
        self.doubtful |= !taken;
    }

    /// A yes covers this department, as the feed says.
    pub fn covers(&mut self, department: &str) {
        if self.covered.len() < KEPT && !self.covered.iter().any(|known| known == department) {
            self.covered.push(department.to_owned());
        }
    }

    /// Something was received that could not be read.
    pub fn doubt(&mut self) {
        // Where metadata never said who takes part, it says nothing of transfers either.
        self.doubtful |= self.accompanied || !self.called.is_empty() || !self.callers.is_empty();
    }

    /// A whole document says who takes part: what was not readable before it is made good.
    pub fn resolved(&mut self) {
        self.doubtful = false;
    }

    /// Follows what signalling tells now. `consented`: the department that has the call is allowed to
    /// record. The department that the feed is to be told, if it is another one.
    pub fn follow(&mut self, seen: &Seen, consented: bool, unknown: UnknownParty) -> Option<String> {
        let now = self.department.clone()?;
        if consented {
            self.covers(&now);
        }
        let protected = self.covered.contains(&now);
        let (present, strangers) = self.present(seen);
        let missing = self.called_elsewhere(seen);
        // Someone took part, and none of them does now.
        let replaced = present.is_empty() && self.accompanied
            || self.guessed && strangers > 0 && !self.everyone_stayed(seen);
        let strange = (missing || replaced) && unknown == UnknownParty::Pause;
        // What could not be read may have named a department that the yes did not.
        self.unknown = protected && (self.doubtful || strange);
        let to = match self.unknown {
            true => None,
            false => self.choose(&now, &present),
        };
        let to = to.filter(|to| *to != now);
        if let Some(to) = &to {
            self.department = Some(to.clone());
            self.telling = true;
        }
        let now = to.clone().unwrap_or(now);
        // Whoever is there when the question is put is part of what is asked.
        if !self.unknown && (!self.covered.contains(&now) || !self.accompanied) {
            self.take_in(&now, seen);
        }
        self.accompanied |= seen.parties.iter().any(|party| !party.dummy);
        to
    }

    /// The departments that are there, and how many of whom none is known.
    fn present(&self, seen: &Seen) -> (BTreeSet<String>, usize) {
        let (mut present, mut strangers) = (BTreeSet::new(), 0);
        for party in &seen.parties {
            match self.member(party).or(party.listed.as_deref()) {
                Some(department) => drop(present.insert(department.to_owned())),
                None => strangers += usize::from(!party.dummy),
            }
        }
        // Someone else on the caller's stream may be a department all the same.
        let caller = seen.caller.as_ref().filter(|caller| !self.is_caller(caller));
        present.extend(caller.and_then(|caller| caller.listed.clone()));
        for (place, key, department) in &seen.called {
            let same = self.called.iter().any(|(known, was)| known == place && was.reveal() == key);
            present.extend(department.clone().filter(|_| !same));
        }
        (present, strangers)
    }

    /// Whether the number called has become one of which no department is known.
    fn called_elsewhere(&self, seen: &Seen) -> bool {
        seen.called.iter().any(|(place, key, department)| {
            let vendors = matches!(place.as_str(), "called" | "queue");
            let was: Vec<_> = self.called.iter().filter(|(known, _)| known == place).collect();
            let same = was.iter().any(|(_, was)| was.reveal() == key);
            let members = self.members.iter().any(|(known, _)| known.reveal() == key);
            let takes_part = |party: &Party| party.keys.contains(key) && party.listed.is_some();
            let callers = self.callers.iter().any(|known| known.reveal() == key);
            let known = same || members || callers || seen.parties.iter().any(takes_part);
            vendors && !was.is_empty() && department.is_none() && !known
        })
    }

    /// The department to tell: one that no yes covers before any other, so that the call is closed
    /// while it takes part.
    fn choose(&mut self, now: &str, present: &BTreeSet<String>) -> Option<String> {
        let open: Vec<&String> =
            present.iter().filter(|d| d.as_str() != now && !self.covered.contains(d)).collect();
        let here = present.contains(now);
        match open[..] {
            [] if here => None,
            [] => present.first().cloned(),
            [one] if !here || self.covered.iter().any(|d| d == now) => Some(one.clone()),
            // Two that the caller has not said yes to, and one question at a time.
            _ => {
                self.unknown = true;
                None
            }
        }
    }

    fn take_in(&mut self, department: &str, seen: &Seen) {
        if seen.caller.as_ref().is_some_and(|caller| caller.listed.is_none()) {
            self.remember_caller(seen);
        }
        for party in seen.parties.iter().filter(|party| !party.dummy) {
            if party.listed.is_none() && self.member(party).is_none() {
                self.adopt(party, department);
            }
        }
        for (place, key, department) in &seen.called {
            let known = self.called.iter().any(|(known, was)| known == place && was.reveal() == key);
            if department.is_none() && !known && self.called.len() < KEPT {
                self.called.push((place.clone(), key.clone().into()));
            }
        }
    }

    fn adopt(&mut self, party: &Party, department: &str) {
        for key in party.keys.iter().filter(|_| !party.dummy) {
            let known = self.members.iter().any(|(known, of)| known.reveal() == key && of == department);
            if !known && self.members.len() < KEPT {
                self.members.retain(|(known, _)| known.reveal() != key);
                self.members.push((key.clone().into(), department.to_owned()));
            }
        }
    }

    fn member(&self, party: &Party) -> Option<&str> {
        let known = |key: &String| self.members.iter().find(|(member, _)| member.reveal() == key);
        party.keys.iter().find_map(known).map(|(_, department)| department.as_str())
    }

    fn is_caller(&self, party: &Party) -> bool {
        party.keys.iter().any(|key| self.callers.iter().any(|known| known.reveal() == key))
    }

    fn everyone_stayed(&self, seen: &Seen) -> bool {
        let here = seen.parties.iter().chain(&seen.caller).flat_map(|party| &party.keys);
        let here: BTreeSet<&String> = here.collect();
        let mut all = self.members.iter().map(|(key, _)| key).chain(&self.callers);
        all.all(|key| here.contains(key.reveal()))
    }

    fn remember_caller(&mut self, seen: &Seen) {
        for key in seen.caller.iter().flat_map(|caller| &caller.keys) {
            if self.callers.len() < KEPT && !self.callers.iter().any(|known| known.reveal() == key) {
                self.callers.push(key.clone().into());
            }
        }
    }
}

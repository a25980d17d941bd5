//! Employees who object to being recorded.
//!
//! In: the owner's list, who takes part in a call. Out: the streams of which nothing is kept. A caller is not looked for
//! in the list: whoever calls answers by a key. Not here: how a stream is kept out of the recording (engine).

use optag_core::call::{Participant, StreamRole};

use crate::siprec::parties::departments::{Departments, is_pattern_of, user_of};

/// What of a call is kept in which such an employee takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnObjection {
    /// The others' streams.
    #[default]
    OthersOnly,
    /// Nothing, while the employee takes part.
    NotRecorded,
}

/// The list. Its names are not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Objections {
    /// As written: numbers, patterns such as `81xx`, user names, agent ids, names.
    who: Vec<String>,
    /// Compares spellings of addresses; it has no departments.
    addresses: Departments,
    /// What is kept.
    then: OnObjection,
}

/// What a call's participants mean for its streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objecting {
    /// Labels of the streams that carry the voice of somebody who objects.
    labels: Vec<String>,
    /// Somebody objects, and it is not known in which stream.
    somewhere: bool,
}

impl std::fmt::Debug for Objections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objections").field("entries", &self.who.len()).finish_non_exhaustive()
    }
}

impl Objecting {
    /// Somebody else speaks in a stream.
    pub fn forget(&mut self, label: &str) {
        self.labels.retain(|one| one != label);
    }

    /// These object as well.
    pub fn join(&mut self, others: Self) {
        self.labels.extend(others.labels);
        self.somewhere |= others.somewhere;
    }
}

impl Objections {
    /// The list, and the country whose numbers are written without a code.
    pub fn new(who: Vec<String>, country_code: &str, then: OnObjection) -> Self {
        let addresses = Departments { country_code: country_code.to_owned(), ..Departments::default() };
        Self { who, addresses, then }
    }

    /// Who objects among the participants of a call. `streams`: label and role of each. Where no participant is known, it
    /// is whoever has the called number.
    pub fn among<'a>(
        &self,
        participants: &[Participant],
        called_number: &str,
        streams: impl Iterator<Item = (&'a str, StreamRole)> + Clone,
    ) -> Objecting {
        let mut found = Objecting::default();
        if self.who.is_empty() {
            return found;
        }
        let here = participants.iter().filter(|participant| participant.left_at.is_none());
        for participant in here {
            let theirs =
                || streams.clone().filter(|(label, _)| participant.labels.iter().any(|one| one == label));
            let calls = theirs().any(|(_, role)| role == StreamRole::Caller);
            let names = participant.addresses.iter().chain(&participant.name);
            if calls || !names.into_iter().any(|name| self.lists(name.reveal())) {
                continue;
            }
            found.somewhere |= theirs().next().is_none();
            // Streams that join later have a label as well.
            found.labels.extend(participant.labels.iter().cloned());
        }
        found.somewhere |= participants.is_empty() && self.lists(called_number);
        found
    }

    /// Whether nothing of a stream is kept.
    pub fn withholds(&self, objecting: &Objecting, label: &str, role: StreamRole) -> bool {
        let any = objecting.somewhere || !objecting.labels.is_empty();
        match self.then {
            OnObjection::NotRecorded => any,
            OnObjection::OthersOnly => {
                objecting.labels.iter().any(|one| one == label)
                    || objecting.somewhere && role != StreamRole::Caller
            }
        }
    }

    /// Whether a number, an address or a name is in the list.
    fn lists(&self, text: &str) -> bool {
        let (key, user) = (self.addresses.key(text), user_of(text));
        let name = folded(text);
        self.who.iter().any(|one| {
            !key.is_empty() && self.addresses.key(one) == key
                || is_pattern_of(one, &user)
                || !name.is_empty() && folded(one) == name
        })
    }
}

/// A name without case and superfluous spaces.
fn folded(name: &str) -> String {
    name.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use optag_core::clock::WallTime;

    use super::*;

    const STREAMS: [(&str, StreamRole); 2] = [("1", StreamRole::Caller), ("2", StreamRole::Employee)];

    fn participant(address: &str, name: &str, labels: &[&str]) -> Participant {
        Participant {
            addresses: vec![address.to_owned().into()],
            name: Some(name.to_owned().into()),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            joined_at: WallTime::default(),
            left_at: None,
            held: Vec::new(),
        }
    }

    fn withheld(written: &str, then: OnObjection, participants: &[Participant], called: &str) -> [bool; 2] {
        let who = written.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
        let objections = Objections::new(who, "45", then);
        let objecting = objections.among(participants, called, STREAMS.into_iter());
        STREAMS.map(|(label, role)| objections.withholds(&objecting, label, role))
    }

    #[test]
    fn an_employee_is_found_by_number_user_agent_id_or_name_in_every_spelling() {
        let caller = participant("sip:+4520304050@sbc", "Anna  Hansen", &["1"]);
        for written in ["+45 70 10 20 30", "70102030", "anna hansen", "ANNA HANSEN", "81xx,70102030"] {
            let employee = participant("<sip:70102030@pbx;user=phone>", "Anna Hansen", &["2"]);
            let all = [caller.clone(), employee];
            assert_eq!(withheld(written, OnObjection::OthersOnly, &all, ""), [false, true], "{written}");
            assert_eq!(withheld(written, OnObjection::NotRecorded, &all, ""), [true, true], "{written}");
        }
        for (written, address) in [("agent7", "sip:Agent7@pbx"), ("81xx", "sip:8142@pbx"), ("8142", "8142")] {
            let all = [caller.clone(), participant(address, "", &["2"])];
            assert_eq!(withheld(written, OnObjection::OthersOnly, &all, ""), [false, true], "{written}");
        }
        for written in ["", "7010203", "agent77", "Anna", "+46 70 10 20 30", "20304050"] {
            let employee = participant("sip:70102030@pbx", "Bo", &["2"]);
            let all = [caller.clone(), employee];
            assert_eq!(withheld(written, OnObjection::NotRecorded, &all, "1"), [false, false], "{written}");
        }
    }

    #[test]
    fn who_is_in_no_known_stream_closes_all_but_the_callers() {
        let caller = participant("sip:20304050@sbc", "Bo", &["1"]);
        let all = [caller.clone(), participant("sip:70102030@pbx", "", &[])];
        assert_eq!(withheld("70102030", OnObjection::OthersOnly, &all, ""), [false, true]);
        assert_eq!(withheld("70102030", OnObjection::OthersOnly, &[], "+4570102030"), [false, true]);
        let left = Participant { left_at: Some(WallTime::default()), ..all[1].clone() };
        assert_eq!(withheld("70102030", OnObjection::OthersOnly, &[caller, left], ""), [false, false]);
    }
}

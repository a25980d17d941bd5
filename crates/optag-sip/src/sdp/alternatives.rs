//! Lines of an offer of which one is meant: the same stream with and without encryption, over IPv4 or
//! IPv6, or sent twice.
//!
//! In: an [`Offer`]. Out: which lines belong together, the preferred one first. Not here: which of
//! them is taken (`siprec::media`). Capabilities (`a=tcap`, `a=acap`, `a=pcfg`) are passed over: the
//! line then means what it says itself.
//!
//! Source: RFC 4091 §3 (ANAT), RFC 7104 §3 (DUP), RFC 5939 §3.6.2 (an answerer that knows nothing of
//! capabilities); the two lines of one leg and label are what telephones with optional SRTP send.

use super::{Media, Offer};

/// Kinds of groups whose lines are alternatives.
const KINDS: [&str; 3] = ["ANAT", "ALT", "DUP"];

impl Offer {
    /// Sets of lines of which one is to be taken, each in the order of preference.
    pub fn alternatives(&self) -> Vec<Vec<usize>> {
        let mut sets: Vec<Vec<usize>> = Vec::new();
        for (kind, mids) in &self.groups {
            if KINDS.iter().any(|known| kind.eq_ignore_ascii_case(known)) {
                let of = |mid: &String| self.media.iter().position(|media| media.mid.as_ref() == Some(mid));
                add(&mut sets, mids.iter().filter_map(of).collect());
            }
        }
        for (at, media) in self.media.iter().enumerate() {
            let same = |other: &usize| self.media[*other].is_alternative_of(media);
            if let Some(first) = (0..at).find(same) {
                add(&mut sets, vec![first, at]);
            }
        }
        sets
    }

    /// The other lines that stand for the same stream as this one.
    pub fn others_of(&self, line: usize) -> Vec<usize> {
        let sets = self.alternatives().into_iter().filter(|set| set.contains(&line));
        sets.flatten().filter(|other| *other != line).collect()
    }
}

impl Media {
    /// Whether both describe one leg: the same label, or none at all, and either the same port or one
    /// encrypted and one not.
    fn is_alternative_of(&self, other: &Media) -> bool {
        let secure = self.is_secure() != other.is_secure();
        let port = self.port == other.port && self.address == other.address && self.port != 0;
        let labelled = self.label.is_some() && (secure || port);
        self.kind.eq_ignore_ascii_case(&other.kind)
            && self.label == other.label
            && (labelled || secure && port)
    }
}

/// Adds a set, or to one that has a line of it.
fn add(sets: &mut Vec<Vec<usize>>, set: Vec<usize>) {
    match sets.iter_mut().find(|known| known.iter().any(|line| set.contains(line))) {
        Some(known) => {
            let new: Vec<usize> = set.into_iter().filter(|line| !known.contains(line)).collect();
            known.extend(new);
        }
        None if set.len() > 1 => sets.push(set),
        None => {}
    }
}

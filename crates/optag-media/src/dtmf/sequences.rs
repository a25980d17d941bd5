//! Matching of key presses to a department's sequences. In: one key at a time. Out: what the caller means. A
//! key that cannot be part of a sequence is forgotten at once: it may belong to a card number and must not
//! reach any record or log line.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use optag_core::call::ConsentKeys;
use optag_core::clock::MonoTime;

/// Previous departments whose withdrawal sequence is remembered beside the current one's.
const EARLIER: usize = 16;
/// Longest pause within a sequence.
const INTER_KEY: Duration = Duration::from_secs(3);

/// What a sequence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Record.
    Yes,
    /// Do not record.
    No,
    /// Withdraw the yes.
    Withdraw,
}

/// The matcher of one call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyMatcher {
    keys: ConsentKeys,
    /// Withdrawal sequences announced earlier, by other departments.
    earlier: Vec<String>,
    typed: String,
    last_at: MonoTime,
    /// Whether some of the keys arrived in a way that was not negotiated.
    #[serde(default)]
    doubted: bool,
}

impl KeyMatcher {
    /// A matcher for a department's sequences.
    pub fn new(keys: ConsentKeys) -> Self {
        Self { keys, earlier: Vec::new(), typed: String::new(), last_at: MonoTime::default(), doubted: false }
    }

    /// Sets the sequences announced from now on; earlier withdrawal sequences stay valid.
    pub fn hear(&mut self, keys: ConsentKeys) {
        let before = std::mem::replace(&mut self.keys, keys).withdraw;
        if before != self.keys.withdraw && !self.earlier.contains(&before) && self.earlier.len() < EARLIER {
            self.earlier.push(before);
        }
    }

    /// Handles a key; `asked` means that the caller's answer is still pending. Otherwise only the withdrawal
    /// is matched: a later `1` or `2` belongs to another menu. Returns the meaning and its sequence.
    pub fn press(&mut self, now: MonoTime, key: char, asked: bool) -> Option<(Meaning, String)> {
        self.take(now, key, asked, false)
    }

    /// The same for a key that arrived in a way that was not negotiated: no sequence containing it is a yes.
    pub fn press_unnamed(&mut self, now: MonoTime, key: char, asked: bool) -> Option<(Meaning, String)> {
        self.take(now, key, asked, true)
    }

    fn take(&mut self, now: MonoTime, key: char, asked: bool, unnamed: bool) -> Option<(Meaning, String)> {
        if now.since(self.last_at) > INTER_KEY {
            self.typed.clear();
        }
        self.doubted = unnamed || (self.doubted && !self.typed.is_empty());
        self.last_at = now;
        self.typed.push(key);
        let now = [
            (Meaning::Withdraw, &self.keys.withdraw, true),
            (Meaning::No, &self.keys.no, asked),
            (Meaning::Yes, &self.keys.yes, asked),
        ];
        // If one department's sequence means something else at the next, withdrawal takes precedence.
        let earlier = self.earlier.iter().map(|keys| (Meaning::Withdraw, keys, true));
        let wanted: Vec<_> = earlier.chain(now).collect();
        while !self.typed.is_empty() {
            let mut open = wanted.iter().filter(|(_, keys, active)| *active && keys.starts_with(&self.typed));
            match open.next() {
                Some((meaning, keys, _)) if **keys == self.typed => {
                    let matched = (*meaning, std::mem::take(&mut self.typed));
                    let counts = matched.0 != Meaning::Yes || !self.doubted;
                    return counts.then_some(matched);
                }
                Some(_) => return None,
                None => drop(self.typed.remove(0)),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str, asked: bool) -> Vec<Meaning> {
        let mut matcher = KeyMatcher::new(ConsentKeys::default());
        keys.chars()
            .enumerate()
            .filter_map(|(n, key)| matcher.press(MonoTime::from_nanos(n as u64 * 1_000_000_000), key, asked))
            .map(|(meaning, _)| meaning)
            .collect()
    }

    #[test]
    fn sequences_are_found_among_other_keys() {
        assert_eq!(typed("1", true), [Meaning::Yes]);
        assert_eq!(typed("572", true), [Meaning::No]);
        assert_eq!(typed("**9", true), [Meaning::Withdraw]);
        assert_eq!(typed("*1", true), [Meaning::Yes]);
    }

    #[test]
    fn after_the_answer_only_the_withdrawal_is_heard() {
        assert_eq!(typed("1212", false), []);
        assert_eq!(typed("12*39*9", false), [Meaning::Withdraw]);
    }

    #[test]
    fn keys_that_match_nothing_are_not_kept() {
        let mut matcher = KeyMatcher::new(ConsentKeys::default());
        for (n, key) in "4929123412341234".chars().enumerate() {
            matcher.press(MonoTime::from_nanos(n as u64), key, false);
            assert!(matcher.typed.is_empty());
        }
    }

    #[test]
    fn the_first_departments_way_to_take_a_yes_back_stays_valid() {
        let mut matcher = KeyMatcher::new(ConsentKeys::default());
        matcher.hear(ConsentKeys { yes: "*1".into(), no: "*2".into(), withdraw: "#".into() });
        let at = MonoTime::from_nanos;
        assert_eq!(matcher.press(at(1), '*', true), None);
        assert_eq!(matcher.press(at(2), '9', true).map(|(meaning, _)| meaning), Some(Meaning::Withdraw));
        assert_eq!(matcher.press(at(3), '#', true).map(|(meaning, _)| meaning), Some(Meaning::Withdraw));
        assert_eq!(matcher.press(at(4), '*', true), None);
        assert_eq!(matcher.press(at(5), '1', true).map(|(meaning, _)| meaning), Some(Meaning::Yes));
    }

    #[test]
    fn no_yes_is_made_of_keys_that_came_in_a_way_nobody_named() {
        let at = MonoTime::from_nanos;
        let keys = ConsentKeys { yes: "12".into(), no: "3".into(), withdraw: "*9".into() };
        let mut matcher = KeyMatcher::new(keys);
        assert_eq!(matcher.press_unnamed(at(1), '1', true), None);
        assert_eq!(matcher.press(at(2), '2', true), None, "one of its keys is doubtful");
        assert_eq!(matcher.press(at(3), '1', true), None);
        assert_eq!(matcher.press(at(4), '2', true).map(|(meaning, _)| meaning), Some(Meaning::Yes));
        assert_eq!(matcher.press_unnamed(at(5), '3', true).map(|(meaning, _)| meaning), Some(Meaning::No));
        matcher.press_unnamed(at(6), '*', false);
        let withdrawn = matcher.press_unnamed(at(7), '9', false);
        assert_eq!(withdrawn.map(|(meaning, _)| meaning), Some(Meaning::Withdraw));
    }

    #[test]
    fn a_long_pause_breaks_a_sequence() {
        let mut matcher = KeyMatcher::new(ConsentKeys::default());
        assert_eq!(matcher.press(MonoTime::from_nanos(0), '*', false), None);
        assert_eq!(matcher.press(MonoTime::from_nanos(4_000_000_000), '9', false), None);
    }
}

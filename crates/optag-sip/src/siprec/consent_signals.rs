//! Answers of the caller that signalling brings: in a header field, a metadata element, or as
//! relayed keys. In: their texts. Out: controls. Not here: keys in the streams (`media`).

use crate::feed::Control;
use crate::siprec::session::Session;
use crate::siprec::settings::ConsentSignal;
use optag_core::call::text::clean;
use optag_core::call::{Answer, ConsentHow, ConsentKeys, ConsentState, Evidence};
use optag_core::limit::TEXT_CHARS;

impl Session {
    /// Whether signalling has said yes.
    pub fn said_yes(&self) -> bool {
        self.signalled_answer == Some(Answer::Yes)
    }

    /// Takes an answer to the prompt that signalling carries, as `yes` or `yes;prompt=7-da`. It
    /// counts once.
    pub fn signalled(&mut self, signal: &ConsentSignal, value: &str, from: &str) {
        let mut parts = value.split(';').map(str::trim);
        let value = parts.next().unwrap_or_default().to_ascii_lowercase();
        let version = parts.find_map(|part| {
            let (name, version) = part.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("prompt")
                .then(|| clean(version.trim().trim_matches('"'), TEXT_CHARS))
        });
        let says = |list: &[String]| list.contains(&value);
        let answer = match (says(&signal.yes), says(&signal.no)) {
            (true, false) => Answer::Yes,
            (false, true) => Answer::No,
            _ => return,
        };
        if self.signalled_answer == Some(answer) {
            return;
        }
        self.signalled_answer = Some(answer);
        self.control(Control::Answer {
            answer,
            how: ConsentHow::System,
            prompt_version: version.filter(|version| !version.is_empty()),
            evidence: Evidence::Actor { name: from.to_owned(), staff: None },
        });
    }

    /// Takes a key that the client relays. Only keys of the answer are kept, and no longer
    /// than it takes to complete one.
    pub fn key(&mut self, key: char) {
        let keys = self.saved.keys.clone();
        let longest = [&keys.yes, &keys.no, &keys.withdraw].iter().map(|k| k.len()).max().unwrap_or(0);
        self.pressed.push(key);
        while self.pressed.len() > longest {
            self.pressed.remove(0);
        }
        let evidence = Evidence::Actor { name: "sip info".to_owned(), staff: None };
        let matches = |keys: &str| !keys.is_empty() && self.pressed.ends_with(keys);
        let asked = self.consent == ConsentState::Asked;
        let how = ConsentHow::Key;
        let control = if matches(&keys.withdraw) {
            Control::Withdraw { how, evidence }
        } else if asked && matches(&keys.yes) {
            Control::Answer { answer: Answer::Yes, how, prompt_version: None, evidence }
        } else if asked && matches(&keys.no) {
            Control::Answer { answer: Answer::No, how, prompt_version: None, evidence }
        } else {
            return;
        };
        self.pressed.clear();
        self.control(control);
    }

    /// Another department has the call: keys that are relayed from now on answer its prompt.
    pub fn takes_keys(&mut self, keys: &ConsentKeys) {
        if self.saved.keys != *keys {
            self.saved.keys = keys.clone();
            self.pressed.clear();
        }
    }
}

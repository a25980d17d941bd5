//! The caller's answer as carried by signalling: a header field, a metadata element, or relayed
//! key presses.
//!
//! In: their text. Out: controls. Not here: tones and telephone events in the streams (`optag-media`).

use crate::feed::Control;
use crate::siprec::session::Session;
use crate::siprec::settings::ConsentSignal;
use optag_core::call::text::clean;
use optag_core::call::{Answer, ConsentHow, ConsentKeys, ConsentState, Department, Evidence};
use optag_core::limit::TEXT_CHARS;

/// The keys that count when signalling relays them. Callers who are asked before their calls come give no yes
/// by a key in the call.
pub(super) fn relayed_keys(department: &Department) -> ConsentKeys {
    let keys = department.default_keys().clone();
    if department.asked_before { ConsentKeys { yes: String::new(), ..keys } } else { keys }
}

impl Session {
    /// Whether signalling has carried a yes.
    pub fn said_yes(&self) -> bool {
        self.signalled.answer == Some(Answer::Yes)
    }

    /// Handles an answer to the prompt, such as `yes` or `yes;prompt=7-da`. A repeated answer is
    /// ignored.
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
        if self.signalled.answer == Some(answer) {
            return;
        }
        self.signalled.answer = Some(answer);
        self.control(Control::Answer {
            answer,
            how: ConsentHow::System,
            prompt_version: version.filter(|version| !version.is_empty()),
            evidence: Evidence::Actor { name: from.to_owned(), staff: None },
        });
    }

    /// Handles a relayed key press. Only as many keys are kept as the longest answer has.
    pub fn key(&mut self, key: char) {
        let keys = self.saved.keys.clone();
        let longest = [&keys.yes, &keys.no, &keys.withdraw].iter().map(|k| k.len()).max().unwrap_or(0);
        self.signalled.keys.push(key);
        while self.signalled.keys.len() > longest {
            self.signalled.keys.remove(0);
        }
        let evidence = Evidence::Actor { name: "sip info".to_owned(), staff: None };
        let matches = |keys: &str| !keys.is_empty() && self.signalled.keys.ends_with(keys);
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
        self.signalled.keys.clear();
        self.control(control);
    }

    /// Sets the answer keys of the department that now has the call.
    pub fn takes_keys(&mut self, keys: &ConsentKeys) {
        if self.saved.keys != *keys {
            self.saved.keys = keys.clone();
            self.signalled.keys.clear();
        }
    }
}

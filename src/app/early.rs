//! Answers to the consent prompt that come before their call does: an IVR asks first, and the
//! recording session begins after. In: answers by a name of the call. Out: the answer, once,
//! to the call that has this name. Kept for a while, up to a number.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::MonoTime;
use crate::signalling::feed::Control;

/// Answers that wait at once. Beyond it, a new one is refused.
const WAITING: usize = 10_000;

/// The answers that wait.
#[derive(Debug)]
pub struct EarlyAnswers {
    kept_for: Duration,
    by_name: Mutex<HashMap<String, (MonoTime, Control)>>,
}

impl EarlyAnswers {
    /// Keeps answers for so long.
    pub fn new(kept_for: Duration) -> Self {
        Self { kept_for, by_name: Mutex::default() }
    }

    /// Keeps an answer for a call of this name; a later one replaces it. False: there are too
    /// many.
    pub fn keep(&self, now: MonoTime, name: String, answer: Control) -> bool {
        let mut all = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WAITING && !all.contains_key(&name) {
            all.retain(|_, (until, _)| *until > now);
            if all.len() >= WAITING {
                return false;
            }
        }
        all.insert(name, (now + self.kept_for, answer));
        true
    }

    /// Takes the answer for a call that has these names.
    pub fn take(&self, now: MonoTime, names: &[String]) -> Option<Control> {
        let mut all = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let found: Vec<(MonoTime, Control)> = names.iter().filter_map(|name| all.remove(name)).collect();
        found.into_iter().find(|(until, _)| *until > now).map(|(_, answer)| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn an_early_answer_is_given_once_and_in_time() {
        let early = EarlyAnswers::new(Duration::from_secs(10));
        assert!(early.keep(at(0), "a".into(), Control::Pause));
        assert!(early.keep(at(0), "b".into(), Control::Resume));
        let names = ["x".to_owned(), "a".to_owned()];
        assert!(matches!(early.take(at(9), &names), Some(Control::Pause)));
        assert!(early.take(at(9), &names).is_none(), "once");
        assert!(early.take(at(11), &["b".to_owned()]).is_none(), "too late");
    }

    #[test]
    fn there_is_an_end_to_what_is_kept_and_room_comes_back_with_time() {
        let early = EarlyAnswers::new(Duration::from_secs(10));
        for n in 0..WAITING {
            assert!(early.keep(at(0), n.to_string(), Control::Pause));
        }
        assert!(!early.keep(at(1), "one more".into(), Control::Pause));
        assert!(early.keep(at(1), "7".into(), Control::Pause), "a replacement needs no room");
        assert!(early.keep(at(20), "one more".into(), Control::Pause));
    }
}

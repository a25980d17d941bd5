//! A sign-in that is under way: what the browser keeps, sealed, while the person is at the provider. In: a new attempt, or a
//! sealed one that comes back. Out: the same, if it is ours, is for this answer and is not over.

use serde::{Deserialize, Serialize};

use crate::auth::sealing::SealKey;
use crate::auth::sign_ins::{NotSignedIn, random};
use optag_core::clock::WallTime;

/// How long somebody may take at the provider. Units: s.
pub const ATTEMPT_S: i64 = 600;
/// What a sealed attempt belongs to.
const BELONGS_TO: &str = "attempt";
/// Beginning of the names of cookies; each attempt has its own, so that two windows do not disturb each other.
const COOKIE: &str = "optag_attempt_";
/// Characters of the state in the cookie's name.
const NAMED_BY: usize = 12;

/// What is known of an attempt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Comes back with the answer. Source: RFC 6749 §10.12.
    pub state: String,
    /// Comes back in the ID token. Source: OpenID Connect Core 1.0 §15.5.2.
    pub nonce: String,
    /// Proves that the code is asked for by who began. Source: RFC 7636.
    pub verifier: String,
    /// The reader's language.
    pub language: String,
    /// When it is over.
    until_us: i64,
}

impl Attempt {
    /// A new one.
    ///
    /// Errors: no random numbers.
    pub(super) fn new(verifier: String, language: &str, now: WallTime) -> Result<Self, NotSignedIn> {
        Ok(Self {
            state: random::<32>()?,
            nonce: random::<32>()?,
            verifier,
            language: language.to_owned(),
            until_us: now.plus_micros(ATTEMPT_S * 1_000_000).as_unix_micros(),
        })
    }

    /// As the browser keeps it.
    ///
    /// Errors: no random numbers.
    pub(super) fn sealed(&self, key: &SealKey) -> Option<String> {
        key.seal(BELONGS_TO, &serde_json::to_vec(self).ok()?).ok()
    }

    /// The attempt that an answer with `state` belongs to.
    pub(super) fn opened(sealed: &str, state: &str, key: &SealKey, now: WallTime) -> Option<Self> {
        let opened = key.open(BELONGS_TO, sealed).ok()?;
        let attempt: Self = serde_json::from_slice(&opened).ok()?;
        let same =
            aws_lc_rs::constant_time::verify_slices_are_equal(attempt.state.as_bytes(), state.as_bytes());
        let over = attempt.until_us <= now.as_unix_micros();
        (same.is_ok() && !over).then_some(attempt)
    }
}

/// Name of the cookie of an attempt, by its state. `None`: nothing that we sent out.
pub fn cookie_of(state: &str) -> Option<String> {
    let named_by = state.get(..NAMED_BY)?;
    named_by.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| format!("{COOKIE}{named_by}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime::from_unix_micros(1_700_000_000_000_000);

    #[test]
    fn an_attempt_comes_back_to_its_own_answer_in_time_and_from_this_installation() {
        let key = SealKey::new(&[7; 32]).unwrap();
        let attempt = Attempt::new("verifier".into(), "da", NOW).unwrap();
        let sealed = attempt.sealed(&key).unwrap();
        for secret in [&attempt.state, &attempt.nonce, "verifier"] {
            assert!(!sealed.contains(secret));
        }
        let last = NOW.plus_micros(ATTEMPT_S * 1_000_000 - 1);
        assert!(Attempt::opened(&sealed, &attempt.state, &key, last) == Some(attempt.clone()));
        assert!(Attempt::opened(&sealed, &attempt.state, &key, last.plus_micros(1)).is_none(), "over");
        let other = Attempt::new("verifier".into(), "da", NOW).unwrap();
        assert!(Attempt::opened(&sealed, &other.state, &key, NOW).is_none(), "another's answer");
        assert!(Attempt::opened(&sealed, "", &key, NOW).is_none());
        let strange = SealKey::new(&[8; 32]).unwrap();
        assert!(Attempt::opened(&sealed, &attempt.state, &strange, NOW).is_none());
        assert!(Attempt::opened("", "", &key, NOW).is_none());
        // What else is sealed with the key is no attempt.
        let token = key.seal("id token", &serde_json::to_vec(&attempt).unwrap()).unwrap();
        assert!(Attempt::opened(&token, &attempt.state, &key, NOW).is_none());
    }

    #[test]
    fn each_attempt_has_a_cookie_of_its_own() {
        let names: Vec<_> = ["0123456789abcdef", "ffffffffffffffff"].map(cookie_of).into_iter().collect();
        assert_eq!(names[0].as_deref(), Some("optag_attempt_0123456789ab"));
        assert_ne!(names[0], names[1]);
        for strange in ["", "0123", "0123456789a; ", "../../../../../", "æøåæøåæøå"] {
            assert_eq!(cookie_of(strange), None, "{strange}");
        }
    }
}

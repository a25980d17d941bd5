//! Digest authentication of clients, for owners who want more than an address list.
//!
//! In: the Authorization field of a request. Out: yes, no, or a challenge. Nonces carry
//! their own time and proof, so nothing is remembered for a peer that never comes back. Not
//! here: which requests need it.
//!
//! Source: RFC 3261 §22, RFC 7616, RFC 8760.

use std::time::Duration;

use aws_lc_rs::{constant_time, digest, hmac};
use md5::{Digest as _, Md5};

use super::header::{split_list, unquote};
use crate::base::clock::MonoTime;
use crate::base::hex::hex;
use crate::base::private::Private;

/// How long a nonce is good. Units: time since it was made.
pub const NONCE_LIFE: Duration = Duration::from_secs(300);

/// Who may authenticate.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Shown in the challenge.
    pub realm: String,
    /// User names and passwords.
    pub users: Vec<(String, Private<String>)>,
    /// What is offered, the preferred one first: RFC 8760 lets clients take the first that
    /// they know, and clients older than it look at the first alone.
    pub algorithms: Vec<Algorithm>,
}

/// Checks answers to challenges.
#[derive(Debug)]
pub struct Digest {
    credentials: Credentials,
    key: hmac::Key,
}

/// What an Authorization field is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It proves a user.
    Good,
    /// It would, but its nonce is too old: challenge again, marked stale.
    Stale,
    /// It is missing or proves nothing.
    Bad,
}

/// The hash of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// For clients older than RFC 8760.
    Md5,
    /// SHA-256.
    Sha256,
}

impl Digest {
    /// A checker whose nonces are bound to `secret`.
    pub fn new(credentials: Credentials, secret: &[u8; 32]) -> Self {
        Self { credentials, key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// The WWW-Authenticate fields, in the order of preference.
    pub fn challenges(&self, now: MonoTime, stale: bool) -> Vec<String> {
        self.credentials.algorithms.iter().map(|algorithm| self.challenge(now, *algorithm, stale)).collect()
    }

    fn challenge(&self, now: MonoTime, algorithm: Algorithm, stale: bool) -> String {
        let stale = if stale { ",stale=true" } else { "" };
        let (realm, nonce) = (&self.credentials.realm, self.nonce(now));
        format!(
            "Digest realm=\"{realm}\",nonce=\"{nonce}\",qop=\"auth\",algorithm={}{stale}",
            algorithm.name()
        )
    }

    /// Checks the `authorization` of a request with this method.
    pub fn check(&self, now: MonoTime, method: &str, authorization: &str) -> Verdict {
        self.verify(now, method, authorization).unwrap_or(Verdict::Bad)
    }

    fn verify(&self, now: MonoTime, method: &str, authorization: &str) -> Option<Verdict> {
        let (scheme, rest) = authorization.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let fields: Vec<(&str, &str)> = split_list(rest)
            .into_iter()
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), unquote(value.trim())))
            .collect();
        let field = |name: &str| {
            fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
        };
        let algorithm = Algorithm::named(field("algorithm").unwrap_or("MD5"))?;
        let (user, nonce, response) = (field("username")?, field("nonce")?, field("response")?);
        let (_, password) = self.credentials.users.iter().find(|(name, _)| name == user)?;
        let realm = &self.credentials.realm;
        let ha1 = algorithm.hex(&format!("{user}:{realm}:{}", password.reveal()));
        let ha2 = algorithm.hex(&format!("{method}:{}", field("uri")?));
        let expected = match field("qop") {
            Some("auth") => {
                let (count, client) = (field("nc")?, field("cnonce")?);
                algorithm.hex(&format!("{ha1}:{nonce}:{count}:{client}:auth:{ha2}"))
            }
            Some(_) => return None,
            None => algorithm.hex(&format!("{ha1}:{nonce}:{ha2}")),
        };
        let given = response.to_ascii_lowercase();
        constant_time::verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).ok()?;
        let age = self.age(now, nonce)?;
        Some(if age <= NONCE_LIFE { Verdict::Good } else { Verdict::Stale })
    }

    /// The time and its proof.
    fn nonce(&self, now: MonoTime) -> String {
        let stamp = format!("{:016x}", now.as_nanos());
        let proof = hmac::sign(&self.key, stamp.as_bytes());
        format!("{stamp}{}", hex(&proof.as_ref()[..16]))
    }

    /// How old one of our nonces is; `None` where it is none of ours.
    fn age(&self, now: MonoTime, nonce: &str) -> Option<Duration> {
        let stamp = u64::from_str_radix(nonce.get(..16)?, 16).ok()?;
        let made = MonoTime::from_nanos(stamp);
        let same = constant_time::verify_slices_are_equal(self.nonce(made).as_bytes(), nonce.as_bytes());
        same.ok().map(|()| now.since(made))
    }
}

impl Algorithm {
    /// Its name in header fields.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256].into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    fn hex(self, text: &str) -> String {
        match self {
            Algorithm::Md5 => hex(&Md5::digest(text.as_bytes())),
            Algorithm::Sha256 => hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> MonoTime {
        MonoTime::from_nanos(secs * 1_000_000_000)
    }

    fn checker() -> Digest {
        let users = vec![("src".to_owned(), Private::new("secret".to_owned()))];
        let algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
        Digest::new(Credentials { realm: "optag".into(), users, algorithms }, &[7; 32])
    }

    fn authorization(digest: &Digest, made: MonoTime, algorithm: Algorithm, password: &str) -> String {
        let nonce = digest.nonce(made);
        let ha1 = algorithm.hex(&format!("src:optag:{password}"));
        let ha2 = algorithm.hex("INVITE:sip:srs@r");
        let response = algorithm.hex(&format!("{ha1}:{nonce}:00000001:c:auth:{ha2}"));
        format!(
            "Digest username=\"src\", realm=\"optag\", nonce=\"{nonce}\", uri=\"sip:srs@r\", qop=auth, \
             nc=00000001, cnonce=\"c\", algorithm={}, response=\"{response}\"",
            algorithm.name()
        )
    }

    #[test]
    fn both_hashes_prove_a_user_and_nothing_else_does() {
        let digest = checker();
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let good = authorization(&digest, at(10), algorithm, "secret");
            assert_eq!(digest.check(at(20), "INVITE", &good), Verdict::Good);
            assert_eq!(digest.check(at(20), "BYE", &good), Verdict::Bad);
            assert_eq!(digest.check(at(400), "INVITE", &good), Verdict::Stale);
            let wrong = authorization(&digest, at(10), algorithm, "Secret");
            assert_eq!(digest.check(at(20), "INVITE", &wrong), Verdict::Bad);
        }
        for junk in ["", "Digest", "NoOneKnowsThisScheme opaque-data=here", "Digest username=\"src\""] {
            assert_eq!(digest.check(at(1), "INVITE", junk), Verdict::Bad);
        }
    }

    #[test]
    fn a_nonce_of_another_recorder_is_none() {
        let other = Digest::new(checker().credentials, &[8; 32]);
        let forged = authorization(&other, at(10), Algorithm::Md5, "secret");
        assert_eq!(checker().check(at(11), "INVITE", &forged), Verdict::Bad);
    }

    #[test]
    fn the_example_of_rfc_7616_comes_out() {
        let ha1 = Algorithm::Md5.hex("Mufasa:http-auth@example.org:Circle of Life");
        let ha2 = Algorithm::Md5.hex("GET:/dir/index.html");
        let text = format!(
            "{ha1}:7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v:00000001:\
             f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ:auth:{ha2}"
        );
        assert_eq!(Algorithm::Md5.hex(&text), "8ca523f5e9506fed4657c9700eebdbec");
    }
}

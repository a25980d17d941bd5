//! Digest authentication of clients, in addition to the address allow list.
//!
//! In: the Authorization field of a request, and its method and URI. Out: a verdict, or a challenge.
//! A nonce carries its own timestamp and MAC, so no state is kept for a peer that never returns;
//! used nonce counts and failed attempts are kept (`digest_attempts`). Not here: which requests
//! need authentication.
//!
//! Source: RFC 3261 §22, RFC 7616, RFC 8760.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::{constant_time, digest, hmac};
use md5::{Digest as _, Md5};

use super::header::{split_list, unquote};
use super::message::Request;
use super::uri::Uri;
use crate::sip::digest_attempts::{Counts, Guesses};
use optag_core::clock::MonoTime;
use optag_core::hex::hex;
use optag_core::private::Private;

/// Lifetime of a nonce. Units: time since it was made.
pub const NONCE_LIFE: Duration = Duration::from_secs(300);

/// Authorization fields examined per request.
const FIELDS: usize = 4;

/// Accepted credentials.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Realm of the challenge.
    pub realm: String,
    /// User names and passwords.
    pub users: Vec<(String, Private<String>)>,
    /// Offered algorithms, preferred first: RFC 8760 lets clients use the first one they support;
    /// older clients look only at the first.
    pub algorithms: Vec<Algorithm>,
}

/// Checks answers to challenges.
#[derive(Debug)]
pub struct Digest {
    credentials: Credentials,
    key: hmac::Key,
    made: u32,
    counts: Counts,
    guesses: Guesses,
}

/// The verdict on a request's Authorization fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Valid credentials.
    Good,
    /// Valid, but the nonce expired or its count was used before: challenge again with stale=true.
    Stale,
    /// Missing or invalid.
    Bad,
    /// Not checked: too many failures from this address.
    Slowed,
}

/// Digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5, for clients older than RFC 8760.
    Md5,
    /// SHA-256.
    Sha256,
}

impl Digest {
    /// A checker whose nonces are bound to `secret`.
    pub fn new(credentials: Credentials, secret: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self { credentials, key, made: 0, counts: Counts::default(), guesses: Guesses::default() }
    }

    /// WWW-Authenticate field values for `address`, in order of preference.
    pub fn challenges(&mut self, now: MonoTime, address: IpAddr, stale: bool) -> Vec<String> {
        self.made = self.made.wrapping_add(1);
        let nonce = self.nonce(now, self.made, address);
        let all = self.credentials.algorithms.iter();
        all.map(|algorithm| self.challenge(&nonce, *algorithm, stale)).collect()
    }

    fn challenge(&self, nonce: &str, algorithm: Algorithm, stale: bool) -> String {
        let stale = if stale { ",stale=true" } else { "" };
        let (realm, name) = (&self.credentials.realm, algorithm.name());
        format!("Digest realm=\"{realm}\",nonce=\"{nonce}\",qop=\"auth\",algorithm={name}{stale}")
    }

    /// Checks the credentials that a request from `address` carries.
    pub fn check(&mut self, now: MonoTime, address: IpAddr, request: &Request) -> Verdict {
        let fields: Vec<String> = request
            .headers
            .all("authorization")
            .take(FIELDS)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect();
        if fields.is_empty() {
            return Verdict::Bad;
        }
        if self.guesses.must_wait(now, address) {
            return Verdict::Slowed;
        }
        let verdicts: Vec<Verdict> =
            fields.iter().filter_map(|field| self.verify(now, address, request, field)).collect();
        let has = |verdict| verdicts.contains(&verdict);
        if has(Verdict::Good) {
            self.guesses.succeeded(address);
            return Verdict::Good;
        }
        for _ in verdicts.iter().filter(|verdict| **verdict == Verdict::Bad) {
            self.guesses.failed(now, address);
        }
        if has(Verdict::Stale) { Verdict::Stale } else { Verdict::Bad }
    }

    /// Checks one field. `None`: it answers no challenge of ours, so it reveals nothing about a
    /// password and does not count as an attempt. A sender with a forged source never received a
    /// nonce for that address, so it cannot use up the attempts of that address.
    fn verify(
        &mut self,
        now: MonoTime,
        address: IpAddr,
        request: &Request,
        authorization: &str,
    ) -> Option<Verdict> {
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
        let (made, name, theirs) = self.made(field("nonce")?, address)?;
        if !theirs {
            return Some(Verdict::Stale);
        }
        let Some(count) = self.proved(request, &field) else { return Some(Verdict::Bad) };
        let fresh = now.since(made) <= NONCE_LIFE && self.counts.take(name, made, count);
        Some(if fresh { Verdict::Good } else { Verdict::Stale })
    }

    /// The nonce count with which the field authenticates a user, if it does.
    fn proved<'a>(&self, request: &Request, field: &impl Fn(&str) -> Option<&'a str>) -> Option<u32> {
        let algorithm = Algorithm::named(field("algorithm").unwrap_or("MD5"))?;
        let (user, nonce, response) = (field("username")?, field("nonce")?, field("response")?);
        let (_, password) = self.credentials.users.iter().find(|(name, _)| name == user)?;
        let realm = &self.credentials.realm;
        let ha1 = algorithm.hash(&format!("{user}:{realm}:{}", password.reveal()));
        let uri = field("uri")?;
        if !means(uri, request) {
            return None;
        }
        let ha2 = algorithm.hash(&format!("{}:{uri}", request.method));
        let (expected, count) = match field("qop") {
            Some("auth") => {
                let (count, client) = (field("nc")?, field("cnonce")?);
                let text = format!("{ha1}:{nonce}:{count}:{client}:auth:{ha2}");
                (algorithm.hash(&text), u32::from_str_radix(count, 16).ok()?)
            }
            Some(_) => return None,
            // Without a count, a nonce can be used once.
            None => (algorithm.hash(&format!("{ha1}:{nonce}:{ha2}")), 1),
        };
        let given = response.to_ascii_lowercase();
        constant_time::verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).ok()?;
        Some(count)
    }

    /// A nonce: timestamp, number, address mark, and the MAC over the three.
    fn nonce(&self, now: MonoTime, number: u32, address: IpAddr) -> String {
        let stamp = format!("{:016x}{number:08x}", now.as_nanos());
        let mark = hmac::sign(&self.key, format!("{stamp} {}", address.to_canonical()).as_bytes());
        let text = format!("{stamp}{}", hex(&mark.as_ref()[..8]));
        format!("{text}{}", self.proof(&text))
    }

    fn proof(&self, text: &str) -> String {
        hex(&hmac::sign(&self.key, text.as_bytes()).as_ref()[..16])
    }

    /// The time and number of a nonce of ours, and whether it was issued to `address`; `None` if
    /// the nonce is not ours.
    fn made(&self, nonce: &str, address: IpAddr) -> Option<(MonoTime, u128, bool)> {
        let (text, proof) = nonce.split_at_checked(40)?;
        let ours = self.proof(text);
        constant_time::verify_slices_are_equal(ours.as_bytes(), proof.as_bytes()).ok()?;
        let stamp = u64::from_str_radix(text.get(..16)?, 16).ok()?;
        let number = u32::from_str_radix(text.get(16..24)?, 16).ok()?;
        let made = MonoTime::from_nanos(stamp);
        let theirs = self.nonce(made, number, address) == nonce;
        Some((made, u128::from(stamp) << 32 | u128::from(number), theirs))
    }
}

/// Whether the URI of a digest matches its request. Proxies rewrite the Request-URI; the original
/// one is in To. Ports, parameters and the case of the host may differ, and some clients omit the
/// user part.
///
/// Source: RFC 3261 §22.4; RFC 7616 §3.4.6.
fn means(uri: &str, request: &Request) -> bool {
    let Some(uri) = Uri::parse(uri) else { return false };
    let same = |other: &Uri| {
        let host = |uri: &Uri| match uri.host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host.to_ascii_lowercase(),
            _ => uri.host.to_ascii_lowercase(),
        };
        let user = uri.user_text();
        (user.is_empty() || user == other.user_text()) && host(&uri) == host(other)
    };
    same(&request.uri) || request.to().is_some_and(|to| same(&to.uri))
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

    /// The hash of a text, in hexadecimal.
    pub fn hash(self, text: &str) -> String {
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

    fn authorization(nonce: &str, count: u32, algorithm: Algorithm, password: &str, uri: &str) -> String {
        let ha1 = algorithm.hash(&format!("src:optag:{password}"));
        let ha2 = algorithm.hash(&format!("INVITE:{uri}"));
        let response = algorithm.hash(&format!("{ha1}:{nonce}:{count:08x}:c:auth:{ha2}"));
        format!(
            "Digest username=\"src\", realm=\"optag\", nonce=\"{nonce}\", uri=\"{uri}\", qop=auth, \
             nc={count:08x}, cnonce=\"c\", algorithm={}, response=\"{response}\"",
            algorithm.name()
        )
    }

    fn request(method: &str, authorization: &str) -> Request {
        use crate::sip::parse::{Framing, Parsed, parse};
        let text = format!(
            "{method} sip:srs@r:5060;transport=udp SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\n\
             From: <sip:x@y>;tag=1\r\nTo: <sip:recorder@first>\r\nCall-ID: i\r\nCSeq: 1 {method}\r\n\
             Authorization: {authorization}\r\n\r\n"
        );
        match parse(text.as_bytes(), Framing::Datagram) {
            Ok(Parsed::Request(request)) => *request,
            other => panic!("{other:?}"),
        }
    }

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn both_hashes_prove_a_user_and_nothing_else_does() {
        let mut digest = checker();
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let made = digest.nonce(at(10), algorithm as u32, PEER);
            let with = |count, password: &str| authorization(&made, count, algorithm, password, "sip:srs@r");
            let mut check =
                |secs, method: &str, text: &str| digest.check(at(secs), PEER, &request(method, text));
            assert_eq!(check(20, "INVITE", &with(1, "secret")), Verdict::Good);
            assert_eq!(check(20, "BYE", &with(2, "secret")), Verdict::Bad, "made for another method");
            assert_eq!(check(20, "INVITE", &with(2, "Secret")), Verdict::Bad);
            assert_eq!(check(20, "INVITE", &with(2, "secret")), Verdict::Good);
            assert_eq!(check(400, "INVITE", &with(3, "secret")), Verdict::Stale);
        }
        for junk in ["", "Digest", "NoOneKnowsThisScheme opaque-data=here", "Digest username=\"src\""] {
            assert_eq!(checker().check(at(1), PEER, &request("INVITE", junk)), Verdict::Bad);
        }
    }

    #[test]
    fn credentials_are_good_for_one_request_and_its_own_target() {
        let mut digest = checker();
        let nonce = digest.nonce(at(10), 1, PEER);
        let with = |count, uri: &str| authorization(&nonce, count, Algorithm::Sha256, "secret", uri);
        let mut check = |text: &str| digest.check(at(11), PEER, &request("INVITE", text));
        assert_eq!(check(&with(1, "sip:srs@r")), Verdict::Good);
        assert_eq!(check(&with(1, "sip:srs@r")), Verdict::Stale, "a replay is challenged anew");
        assert_eq!(check(&with(3, "sip:srs@R:5060;x=y")), Verdict::Good);
        assert_eq!(check(&with(2, "sip:recorder@first")), Verdict::Good, "behind a proxy; and overtaken");
        for uri in ["sip:other@r", "sip:srs@other", "srs", ""] {
            assert_eq!(check(&with(4, uri)), Verdict::Bad, "{uri}");
        }
        // Without a count, as clients of RFC 2069 write it.
        let ha1 = Algorithm::Md5.hash("src:optag:secret");
        let nonce = digest.nonce(at(10), 2, PEER);
        let ha2 = Algorithm::Md5.hash("INVITE:sip:srs@r");
        let old = format!(
            "Digest username=\"src\", nonce=\"{nonce}\", uri=\"sip:srs@r\", response=\"{}\"",
            Algorithm::Md5.hash(&format!("{ha1}:{nonce}:{ha2}"))
        );
        for expect in [Verdict::Good, Verdict::Stale] {
            assert_eq!(digest.check(at(11), PEER, &request("INVITE", &old)), expect);
        }
    }

    #[test]
    fn guessing_is_slowed_and_a_right_guess_in_the_pause_is_not_looked_at() {
        let mut digest = checker();
        let nonce = digest.nonce(at(10), 1, PEER);
        let with = |password: &str| authorization(&nonce, 1, Algorithm::Md5, password, "sip:srs@r");
        let mut verdicts = Vec::new();
        for n in 0..1_000 {
            verdicts.push(digest.check(at(10), PEER, &request("INVITE", &with(&format!("guess {n}")))));
        }
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Bad).count(), 6);
        assert_eq!(digest.check(at(10), PEER, &request("INVITE", &with("secret"))), Verdict::Slowed);
        let other = "192.0.2.1".parse().unwrap();
        let theirs = digest.nonce(at(10), 2, other);
        let good = authorization(&theirs, 1, Algorithm::Md5, "secret", "sip:srs@r");
        assert_eq!(digest.check(at(10), other, &request("INVITE", &good)), Verdict::Good);
        let again = digest.nonce(at(70), 1, PEER);
        let good = authorization(&again, 1, Algorithm::Md5, "secret", "sip:srs@r");
        assert_eq!(digest.check(at(80), PEER, &request("INVITE", &good)), Verdict::Good);
    }

    #[test]
    fn nobody_under_a_forged_source_slows_the_client_at_that_address() {
        let mut digest = checker();
        let own = digest.nonce(at(10), 1, "192.0.2.1".parse().unwrap());
        for n in 0..1_000 {
            for nonce in [own.as_str(), "", "0", &"0".repeat(72), &"\u{e6}".repeat(36)] {
                let guess = authorization(nonce, n, Algorithm::Md5, "guess", "sip:srs@r");
                let right = authorization(nonce, n, Algorithm::Md5, "secret", "sip:srs@r");
                let verdict = digest.check(at(10), PEER, &request("INVITE", &guess));
                assert!(matches!(verdict, Verdict::Bad | Verdict::Stale));
                let same = digest.check(at(10), PEER, &request("INVITE", &right));
                assert_eq!(same, verdict, "nothing is learnt about the password");
            }
        }
        let nonce = digest.nonce(at(10), 2, PEER);
        let good = authorization(&nonce, 1, Algorithm::Md5, "secret", "sip:srs@r");
        assert_eq!(digest.check(at(10), PEER, &request("INVITE", &good)), Verdict::Good);
    }

    #[test]
    fn a_nonce_of_another_recorder_is_none() {
        let other = Digest::new(checker().credentials, &[8; 32]);
        let forged = authorization(&other.nonce(at(10), 1, PEER), 1, Algorithm::Md5, "secret", "sip:srs@r");
        assert_eq!(checker().check(at(11), PEER, &request("INVITE", &forged)), Verdict::Bad);
    }

    #[test]
    fn the_example_of_rfc_7616_comes_out() {
        let ha1 = Algorithm::Md5.hash("Mufasa:http-auth@example.org:Circle of Life");
        let ha2 = Algorithm::Md5.hash("GET:/dir/index.html");
        let text = format!(
            "{ha1}:7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v:00000001:\
             f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ:auth:{ha2}"
        );
        assert_eq!(Algorithm::Md5.hash(&text), "8ca523f5e9506fed4657c9700eebdbec");
    }
}

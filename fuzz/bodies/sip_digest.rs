//! What must hold for any credentials: only whoever knows the password is believed, once for each use of a
//! nonce, for the request that was signed and from the address that was challenged.
//!
//! The bytes choose who answers which challenge how, and how much of it is wrong. The truth is kept apart
//! from what is tested.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use optag_core::clock::MonoTime;
use optag_core::private::Private;
use optag_sip::sip::digest::{Algorithm, Credentials, Digest, NONCE_LIFE, Verdict};
use optag_sip::sip::parse::{Framing, Parsed, parse};

const USERS: [(&str, &str); 2] = [("src", "secret"), ("other", "word")];
const METHODS: [&str; 2] = ["INVITE", "BYE"];
const STEPS: usize = 200;
/// Failures after which an address may have to wait.
const FREE: usize = 5;

struct Nonce {
    text: String,
    address: IpAddr,
    made: MonoTime,
    used: BTreeSet<u32>,
}

fn addresses() -> [IpAddr; 3] {
    ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|text| text.parse().expect("an address"))
}

/// Plays a sequence of requests with credentials.
pub(super) fn run(data: &[u8]) {
    let algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
    let users = USERS.map(|(user, password)| (user.to_owned(), Private::new(password.to_owned()))).to_vec();
    let mut digest = Digest::new(Credentials { realm: "optag".into(), users, algorithms }, &[7; 32]);
    let (mut now, mut nonces, mut failures) = (MonoTime::from_nanos(1), Vec::<Nonce>::new(), [0; 3]);
    let mut rest = data;
    let next = |rest: &mut &[u8]| {
        let (first, after) = rest.split_first().map_or((0, &[][..]), |(first, after)| (*first, after));
        *rest = after;
        first
    };
    for _ in 0..STEPS {
        if rest.is_empty() {
            return;
        }
        let choice = next(&mut rest);
        let at = usize::from(choice >> 3) % 3;
        let address = addresses()[at];
        match choice & 7 {
            0 => now = now + Duration::from_millis(u64::from(next(&mut rest)) * 1_500),
            1 | 2 => {
                let challenges = digest.challenges(now, address, choice & 0x80 != 0);
                assert_eq!(challenges.len(), 2);
                let text = challenges[0].split("nonce=\"").nth(1).expect("a nonce");
                let text = text.split('"').next().expect("its end").to_owned();
                assert!(nonces.iter().all(|nonce| nonce.text != text), "a nonce came twice");
                nonces.push(Nonce { text, address, made: now, used: BTreeSet::new() });
            }
            3 => {
                // Whatever the bytes say; none of them knows the password.
                let length = usize::from(next(&mut rest)).min(rest.len());
                let (field, after) = rest.split_at(length);
                rest = after;
                let verdict = check(&mut digest, now, address, "INVITE", &String::from_utf8_lossy(field));
                assert!(verdict != Some(Verdict::Good), "believed without a password");
                failures[at] += usize::from(verdict == Some(Verdict::Bad));
            }
            _ => {
                let (which, count, wrong) = (next(&mut rest), next(&mut rest), next(&mut rest));
                let last = nonces.len().max(1) - 1;
                let Some(nonce) = nonces.get_mut(last.saturating_sub(usize::from(which >> 2))) else {
                    continue;
                };
                let algorithm = if which & 1 == 0 { Algorithm::Md5 } else { Algorithm::Sha256 };
                let method = METHODS[usize::from(which >> 1 & 1)];
                let count = u32::from(count) * if wrong & 0x80 != 0 { 0x0100_0000 } else { 1 };
                let field = credentials(nonce, algorithm, method, count, wrong & 0x7f);
                let verdict = check(&mut digest, now, address, method, &field);
                let right = wrong & 0x7f == 0
                    && nonce.address == address
                    && now.since(nonce.made) <= NONCE_LIFE
                    && count > 0
                    && !nonce.used.contains(&count);
                match verdict {
                    Some(Verdict::Good) => {
                        assert!(right, "believed: wrong {wrong:#x}, count {count}");
                        failures[at] = 0;
                        nonce.used.insert(count);
                    }
                    Some(Verdict::Bad) => {
                        assert!(!right, "a right answer is no guess");
                        failures[at] += 1;
                    }
                    Some(Verdict::Slowed) => assert!(failures[at] >= FREE, "slowed without a reason"),
                    Some(Verdict::Stale) => {
                        // Of counts far behind the highest nothing is remembered.
                        let behind =
                            nonce.used.last().is_some_and(|highest| highest - count.min(*highest) >= 64);
                        let forgotten = nonces.len() > 1_000;
                        assert!(!right || behind || forgotten, "a fresh use of a nonce is not taken");
                    }
                    None => {}
                }
            }
        }
    }
}

/// The field of somebody who knows the password, but for what is made wrong.
fn credentials(nonce: &Nonce, algorithm: Algorithm, method: &str, count: u32, wrong: u8) -> String {
    let bit = |n: u8| wrong >> n & 1 == 1;
    let (user, password) = USERS[usize::from(bit(6))];
    let (user, password) = if bit(6) { (user, "secret") } else { (user, password) };
    let password = if bit(0) { "Secret" } else { password };
    let user = if bit(1) { "nobody" } else { user };
    let uri = if bit(2) { "sip:other@192.0.2.200" } else { "sip:srs@192.0.2.200" };
    let signed = if bit(3) { "OPTIONS" } else { method };
    let ha1 = algorithm.hash(&format!("{user}:optag:{password}"));
    let ha2 = algorithm.hash(&format!("{signed}:{uri}"));
    let told = if bit(4) { count.wrapping_add(1) } else { count };
    let response = algorithm.hash(&format!("{ha1}:{}:{count:08x}:c:auth:{ha2}", nonce.text));
    let response = if bit(5) { response.replace('0', "1") + "0" } else { response };
    format!(
        "Digest username=\"{user}\", realm=\"optag\", nonce=\"{}\", uri=\"{uri}\", qop=auth, nc={told:08x}, \
         cnonce=\"c\", algorithm={}, response=\"{response}\"",
        nonce.text,
        algorithm.name()
    )
}

/// `None`: that field makes no request.
fn check(digest: &mut Digest, now: MonoTime, address: IpAddr, method: &str, field: &str) -> Option<Verdict> {
    let text = format!(
        "{method} sip:srs@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nFrom: <sip:x@y>;tag=1\r\n\
         To: <sip:recorder@first>\r\nCall-ID: i\r\nCSeq: 1 {method}\r\nAuthorization: {field}\r\n\r\n"
    );
    match parse(text.as_bytes(), Framing::Datagram) {
        Ok(Parsed::Request(request)) => Some(digest.check(now, address, &request)),
        _ => None,
    }
}

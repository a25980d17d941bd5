//! `a=crypto`: keys of SRTP streams, given in the description.
//!
//! In: the attribute's value. Out: tag, suite and keys; our own answer to it. Not here:
//! decryption (`media::rtp::srtp`).
//!
//! Source: RFC 4568 §4, §6.1, §6.3, §9.1; RFC 6188 §4; RFC 7714 §14.1.

use serde::{Deserialize, Serialize};

use optag_core::base64;
use optag_media::rtp::srtp::{SrtpKey, Suite};

/// Keys of one line that are looked at.
const KEYS_OF_LINE: usize = 4;

/// One offered line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Repeated in the answer.
    pub tag: u32,
    /// How packets are protected.
    pub suite: Suite,
    /// The suite's name as it was written, for the answer.
    pub name: String,
    /// Its master keys, at least one. Several are told apart by their identifiers.
    pub keys: Vec<SrtpKey>,
}

/// What a line asks for beside its keys.
#[derive(Clone, Copy, Default)]
struct Session {
    unencrypted_rtcp: bool,
}

impl Crypto {
    /// Reads `1 AES_CM_128_HMAC_SHA1_80 inline:…|2^31|1:4`; `None` where suite, keys or a session
    /// parameter are of no use, or RTP would not be both encrypted and authenticated. How many
    /// packets a key is good for is the sender's concern: what it sends later is taken too.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let (tag, suite, keys) = (words.next()?, words.next()?, words.next()?);
        let tag = Some(tag).filter(|tag| tag.len() <= 9)?.parse().ok()?;
        let name = suite.to_owned();
        let suite = suite_named(suite)?;
        let session = words.try_fold(Session::default(), Session::read)?;
        let keys: Option<Vec<SrtpKey>> =
            keys.split(';').take(KEYS_OF_LINE).map(|key| read_key(suite, key, session)).collect();
        let keys = keys?;
        // Without identifiers nobody could tell several keys apart.
        let told_apart = keys.len() == 1 || keys.iter().all(|key| !key.mki().is_empty());
        told_apart.then_some(Self { tag, suite, name, keys })
    }
}

/// The suite of that name. Before RFC 6188 was published, its suites went by names with the words in
/// another order, and some equipment still writes them.
fn suite_named(name: &str) -> Option<Suite> {
    let upper = name.to_ascii_uppercase();
    let published = upper.strip_prefix("AES_CM_256_").map(|rest| format!("AES_256_CM_{rest}"));
    Suite::named(published.as_deref().unwrap_or(&upper))
}

impl Session {
    fn read(self, word: &str) -> Option<Self> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name.to_ascii_uppercase().as_str() {
            "UNENCRYPTED_SRTCP" => Some(Self { unencrypted_rtcp: true }),
            // Keys that are derived anew while packets flow are not supported.
            "KDR" if value == "0" => Some(self),
            // How far packets are reordered, and where error correction comes, changes nothing here.
            "WSH" | "FEC_ORDER" => Some(self),
            // A dash says that the parameter may be passed over.
            _ if word.starts_with('-') => Some(self),
            _ => None,
        }
    }
}

/// Reads `inline:` with key and salt, lifetime and identifier, the last two in either order.
fn read_key(suite: Suite, text: &str, session: Session) -> Option<SrtpKey> {
    let head = text.get(..7).filter(|head| head.eq_ignore_ascii_case("inline:"))?;
    let mut fields = text[head.len()..].split('|');
    let secret = base64::decode(fields.next()?)?;
    let mut mki = Vec::new();
    for field in fields {
        match field.split_once(':') {
            Some((value, length)) => mki = read_mki(value, length)?,
            None => is_lifetime(field).then_some(())?,
        }
    }
    let mut key = SrtpKey::new(suite, secret, mki).ok()?;
    key.unencrypted_rtcp = session.unencrypted_rtcp;
    Some(key)
}

/// The identifier as it is on the wire: a number in so many bytes.
fn read_mki(value: &str, length: &str) -> Option<Vec<u8>> {
    let length = length.parse::<usize>().ok().filter(|length| (1..=128).contains(length))?;
    let value = value.parse::<u128>().ok()?.to_be_bytes();
    let (lead, tail) = value.split_at(value.len() - length.min(value.len()));
    let fits = lead.iter().all(|&byte| byte == 0);
    fits.then(|| [vec![0; length - tail.len()], tail.to_vec()].concat())
}

fn is_lifetime(text: &str) -> bool {
    match text.strip_prefix("2^") {
        Some(power) => power.parse::<u8>().is_ok_and(|power| power <= 48),
        None => text.parse::<u64>().is_ok_and(|packets| (1..=1 << 48).contains(&packets)),
    }
}

/// Our answer to an offered line: its tag, and a key of our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    tag: u32,
    /// The suite's name as the client writes it.
    #[serde(default)]
    name: String,
    key: SrtpKey,
}

impl Answered {
    /// An answer to `offered`. A key of ours that still fits stays: only its sender changes it.
    /// `None` where the system has no randomness.
    pub fn to(offered: &Crypto, before: Option<Self>) -> Option<Self> {
        let unencrypted_rtcp = offered.keys.first().is_some_and(|key| key.unencrypted_rtcp);
        let fits = |key: &SrtpKey| key.suite() == offered.suite && key.unencrypted_rtcp == unencrypted_rtcp;
        let key = before.map(|before| before.key).filter(fits);
        let key = match key {
            Some(key) => key,
            None => {
                let mut secret = vec![0; offered.suite.secret_bytes()];
                aws_lc_rs::rand::fill(&mut secret).ok()?;
                let mut key = SrtpKey::new(offered.suite, secret, Vec::new()).ok()?;
                key.unencrypted_rtcp = unencrypted_rtcp;
                key
            }
        };
        Some(Self { tag: offered.tag, name: offered.name.clone(), key })
    }

    /// The key of what we send.
    pub fn key(&self) -> &SrtpKey {
        &self.key
    }

    /// The attribute's value.
    pub fn text(&self) -> String {
        let session = if self.key.unencrypted_rtcp { " UNENCRYPTED_SRTCP" } else { "" };
        let secret = base64::encode(self.key.secret().reveal());
        let name = if self.name.is_empty() { self.key.suite().name() } else { &self.name };
        format!("{} {name} inline:{secret}{session}", self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn keys_of_every_form_are_read_and_never_shown() {
        let line =
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4 FEC_ORDER=FEC_SRTP WSH=64 -vnd=1");
        let plain = Crypto::parse(&line).unwrap();
        assert_eq!((plain.tag, plain.suite.name()), (1, "AES_CM_128_HMAC_SHA1_80"));
        assert_eq!(plain.keys[0].mki(), [0, 0, 0, 1]);
        assert_eq!(plain.keys[0].secret().reveal(), b"YS___semctl () {\t220;}\n}\nunles");
        assert!(!format!("{plain:?}").contains("89"), "the key is not shown");
        let long = Crypto::parse(&format!("7 aes_cm_128_hmac_sha1_32 INLINE:{KEY}|1:20|1048576")).unwrap();
        assert_eq!((long.tag, long.keys[0].mki().len(), long.keys[0].mki()[19]), (7, 20, 1));
        let two = format!("2 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31|1:1;inline:{KEY}|2^31|2:1");
        let two = Crypto::parse(&two).unwrap();
        assert_eq!(two.keys.iter().map(|key| key.mki()[0]).collect::<Vec<_>>(), [1, 2]);
        let rtcp = Crypto::parse(&format!("3 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTCP KDR=0"));
        assert!(rtcp.unwrap().keys[0].unencrypted_rtcp);
    }

    #[test]
    fn lines_that_are_of_no_use_are_passed_over() {
        for junk in [
            "".to_owned(),
            format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"),
            "1 AES_CM_128_HMAC_SHA1_80 inline:short".to_owned(),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNAUTHENTICATED_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=8"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} MUST_KNOW=1"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^99"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|300:1"),
            format!("x AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}"),
            "1 AEAD_AES_128_GCM inline:!!!".to_owned(),
        ] {
            assert_eq!(Crypto::parse(&junk), None, "{junk}");
        }
    }

    #[test]
    fn older_names_of_suites_are_understood_and_answered_as_they_were_written() {
        let secret = base64::encode(&[7; 46]);
        for (name, suite) in [
            ("AES_CM_256_HMAC_SHA1_80", Suite::AesCm256Sha1Tag80),
            ("aes_cm_256_hmac_sha1_32", Suite::AesCm256Sha1Tag32),
            ("AES_256_CM_HMAC_SHA1_80", Suite::AesCm256Sha1Tag80),
        ] {
            let offered = Crypto::parse(&format!("2 {name} inline:{secret}|2^48")).unwrap();
            assert_eq!(offered.suite, suite, "{name}");
            let answer = Answered::to(&offered, None).unwrap().text();
            assert!(answer.starts_with(&format!("2 {name} inline:")), "{answer}");
        }
        for name in
            ["AES_CM_192_HMAC_SHA1_80", "AES_192_CM_HMAC_SHA1_80", "AES_CM_256_", "AES_CM_256_HMAC_SHA2_80"]
        {
            assert_eq!(Crypto::parse(&format!("2 {name} inline:{secret}")), None, "{name}");
        }
    }

    #[test]
    fn our_own_key_stays_while_the_suite_does_and_no_two_are_alike() {
        let offer = |tag: u32| {
            let line = format!("{tag} AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTCP");
            Crypto::parse(&line).unwrap()
        };
        let first = Answered::to(&offer(1), None).unwrap();
        let again = Answered::to(&offer(4), Some(first.clone())).unwrap();
        assert_eq!(first.key(), again.key());
        assert!(again.text().starts_with("4 AES_CM_128_HMAC_SHA1_80 inline:"), "{}", again.text());
        assert!(again.text().ends_with(" UNENCRYPTED_SRTCP"));
        assert_ne!(Answered::to(&offer(1), None).unwrap().key(), first.key());
        assert_eq!(
            Crypto::parse(&first.text()).unwrap().keys[0],
            *first.key(),
            "our text is one of the form"
        );
    }
}

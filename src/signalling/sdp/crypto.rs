//! `a=crypto`: keys of SRTP streams, given in the description.
//!
//! In: the attribute's value. Out: tag, suite and key. Not here: decryption.
//!
//! Source: RFC 4568 §9.1, RFC 7714 §14.2.

use crate::base::private::Private;

/// One offered key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Repeated in the answer.
    pub tag: u32,
    /// How packets are protected.
    pub suite: Suite,
    /// Master key and salt, one after the other.
    pub key_and_salt: Private<Vec<u8>>,
    /// Master key identifier and its length in bytes.
    pub mki: Option<(u32, u8)>,
}

/// A crypto suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`
    AesCm128Sha1Tag80,
    /// `AES_CM_128_HMAC_SHA1_32`
    AesCm128Sha1Tag32,
    /// `AES_256_CM_HMAC_SHA1_80`
    AesCm256Sha1Tag80,
    /// `AES_256_CM_HMAC_SHA1_32`
    AesCm256Sha1Tag32,
    /// `AEAD_AES_128_GCM`
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM`
    AeadAes256Gcm,
}

/// Every suite with its name and the length of key and salt. Units: bytes.
const SUITES: [(Suite, &str, usize); 6] = [
    (Suite::AesCm128Sha1Tag80, "AES_CM_128_HMAC_SHA1_80", 30),
    (Suite::AesCm128Sha1Tag32, "AES_CM_128_HMAC_SHA1_32", 30),
    (Suite::AesCm256Sha1Tag80, "AES_256_CM_HMAC_SHA1_80", 46),
    (Suite::AesCm256Sha1Tag32, "AES_256_CM_HMAC_SHA1_32", 46),
    (Suite::AeadAes128Gcm, "AEAD_AES_128_GCM", 28),
    (Suite::AeadAes256Gcm, "AEAD_AES_256_GCM", 44),
];

impl Crypto {
    /// Reads `1 AES_CM_128_HMAC_SHA1_80 inline:…|2^31|1:4`; `None` where suite or key are of
    /// no use, or packets would not be both encrypted and authenticated.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let (tag, suite, keys) = (words.next()?, words.next()?, words.next()?);
        let weak = ["UNENCRYPTED_SRTP", "UNAUTHENTICATED_SRTP"];
        if words.any(|word| weak.iter().any(|w| word.eq_ignore_ascii_case(w))) {
            return None;
        }
        let (suite, _, length) = SUITES.into_iter().find(|(_, name, _)| suite.eq_ignore_ascii_case(name))?;
        let first = keys.split(';').next()?;
        let inline = first.get(..7).filter(|head| head.eq_ignore_ascii_case("inline:"))?;
        let mut fields = first[inline.len()..].split('|');
        let key_and_salt = base64(fields.next()?)?;
        let mki = fields.find_map(|field| field.split_once(':')).and_then(|(value, length)| {
            Some((value.parse().ok()?, length.parse().ok().filter(|n| (1..=128).contains(n))?))
        });
        (key_and_salt.len() == length).then(|| Self {
            tag: tag.parse().unwrap_or_default(),
            suite,
            key_and_salt: key_and_salt.into(),
            mki,
        })
    }
}

impl Suite {
    /// Its name in descriptions.
    pub fn name(self) -> &'static str {
        SUITES.iter().find(|(suite, ..)| *suite == self).map_or("", |(_, name, _)| name)
    }
}

/// Standard base64, with or without its padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut held) = (Vec::with_capacity(text.len()), 0_u32, 0_u32);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xFFFF;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_form_are_read_and_never_shown() {
        let plain = Crypto::parse(
            "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP",
        )
        .unwrap();
        assert_eq!((plain.tag, plain.suite.name(), plain.mki), (1, "AES_CM_128_HMAC_SHA1_80", Some((1, 4))));
        assert_eq!(plain.key_and_salt.reveal(), b"YS___semctl () {\t220;}\n}\nunles");
        assert!(!format!("{plain:?}").contains("89"), "the key is not shown");
        for junk in [
            "",
            "1 F8_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
            "1 AES_CM_128_HMAC_SHA1_80 inline:short",
            "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz UNENCRYPTED_SRTP",
            "1 AEAD_AES_128_GCM inline:!!!",
        ] {
            assert_eq!(Crypto::parse(junk), None, "{junk}");
        }
    }
}

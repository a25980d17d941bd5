//! The second thing that a user has besides the password: codes of a telephone (TOTP), or a recovery code. In: what was
//! typed. Out: the time step whose code it is, or the hash of a recovery code.
//!
//! Secrets are sealed in the index with a key that is derived from the master key, so that a copy of the database signs
//! nobody in. The secret of a link's user follows from the link, so that the page may be loaded again.

use std::net::IpAddr;

use aws_lc_rs::hmac;
use totp_rs::{Builder, Totp};

use super::sealing::SealKey;
use super::token::hash;
use optag_core::clock::WallTime;
use optag_core::hex::hex;
use optag_core::locked::Secret;
use optag_core::owner::owner;

/// Names the derived key.
pub const LABEL: &str = "second factors of users";
/// Length of a secret. Source: RFC 4226 §4, R6 recommends 160 bits.
const SECRET_BYTES: usize = 20;
/// Recovery codes of a user.
const RECOVERY_CODES: usize = 10;
/// Random bits of a recovery code: no table of hashes can be made of all of them. Units: bytes.
const RECOVERY_BYTES: usize = 10;
/// Letters and digits that are not taken for each other. Source: Crockford's Base 32, in lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Seals secrets, and hashes what must not be read in a copy of the database.
#[derive(Clone)]
pub struct FactorKey {
    seal: SealKey,
    hash: hmac::Key,
}

/// A key that cannot be made, or a sealed secret that it does not open.
#[derive(Debug, thiserror::Error)]
#[error("cryptographic operation failed")]
pub struct FactorError;

impl FactorKey {
    /// Under `key`, derived from the master key for [`LABEL`].
    ///
    /// Errors: none that can be provoked.
    pub fn new(key: &Secret) -> Result<Self, FactorError> {
        let hash = hmac::Key::new(hmac::HMAC_SHA256, &**key);
        let seal = hmac::sign(&hash, b"seal");
        let seal = SealKey::new(seal.as_ref()).map_err(|_| FactorError)?;
        Ok(Self { seal, hash })
    }

    /// The secret of whoever uses a link.
    pub(super) fn secret_of_link(&self, link: &str) -> [u8; SECRET_BYTES] {
        let tag = hmac::sign(&self.hash, format!("link {link}").as_bytes());
        let mut secret = [0; SECRET_BYTES];
        secret.copy_from_slice(&tag.as_ref()[..SECRET_BYTES]);
        secret
    }

    /// An address of a user as it is stored.
    pub(super) fn address(&self, user_id: &str, address: IpAddr) -> String {
        let tag = hmac::sign(&self.hash, format!("address {user_id} {}", owner(address)).as_bytes());
        hex(&tag.as_ref()[..16])
    }

    /// Seals a secret for a user.
    ///
    /// Errors: no random numbers.
    pub(super) fn seal(&self, user_id: &str, secret: &[u8]) -> Result<String, FactorError> {
        self.seal.seal(user_id, secret).map_err(|_| FactorError)
    }

    /// Opens what was sealed for the user.
    ///
    /// Errors: it was not, or by another installation.
    pub(super) fn open(&self, user_id: &str, sealed: &str) -> Result<Vec<u8>, FactorError> {
        self.seal.open(user_id, sealed).map_err(|_| FactorError)
    }
}

impl std::fmt::Debug for FactorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FactorKey(‹private›)")
    }
}

/// Codes of 6 digits that change every 30 s. Source: RFC 6238, with the parameters that every app knows.
pub(super) fn totp(secret: &[u8], name: &str) -> Totp {
    // A colon ends the issuer in the label.
    let name = name.replace(':', "");
    let account = if name.is_empty() { "optag" } else { name.as_str() };
    let builder = Builder::new().with_secret(secret).with_account_name(account).with_issuer(Some("optag"));
    builder.build_noncompliant()
}

/// The time step of a code, if it is one of this moment or of the step before or after. Source: RFC 6238 §5.2.
pub(super) fn step_of(totp: &Totp, code: &str, now: WallTime) -> Option<i64> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let now_s = u64::try_from(now.as_unix_micros() / 1_000_000).ok()?;
    totp.check(&code, now_s).and_then(|step| i64::try_from(step).ok())
}

/// New recovery codes.
///
/// Errors: no random numbers.
pub(super) fn recovery_codes() -> Result<Vec<String>, FactorError> {
    (0..RECOVERY_CODES).map(|_| recovery_code()).collect()
}

fn recovery_code() -> Result<String, FactorError> {
    let mut bytes = [0; RECOVERY_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| FactorError)?;
    let bits = bytes.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let letters = (0..RECOVERY_BYTES * 8 / 5).map(|at| ALPHABET[(bits >> (5 * at) & 31) as usize] as char);
    let letters: Vec<char> = letters.collect();
    Ok(letters.chunks(4).map(|part| part.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

/// The hash of a recovery code, however it is written. `None`: it is none.
pub(super) fn recovery_sha256(code: &str) -> Option<String> {
    let plain = |c: char| match c.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        c => c,
    };
    let bare: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').map(plain).collect();
    (bare.len() == RECOVERY_BYTES * 8 / 5).then(|| hash(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> FactorKey {
        FactorKey::new(&Secret::copy_of(&[byte; 32])).unwrap()
    }

    fn at(seconds: i64) -> WallTime {
        WallTime::from_unix_micros(seconds * 1_000_000)
    }

    /// RFC 6238, appendix B, with the last 6 of its 8 digits.
    #[test]
    fn codes_are_those_of_the_standard_and_hold_for_three_steps() {
        let totp = totp(b"12345678901234567890", "ada");
        for (now, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(step_of(&totp, code, at(now)), Some(now / 30), "{now}");
            assert_eq!(step_of(&totp, code, at(now + 30)), Some(now / 30));
            assert_eq!(step_of(&totp, code, at(now - 30)), Some(now / 30));
            assert_eq!(step_of(&totp, code, at(now + 61)), None);
        }
        assert_eq!(step_of(&totp, " 287 082 ", at(59)), Some(1));
        for wrong in ["", "287083", "28708", "2870820", "abcdef", "２８７０８２"] {
            assert_eq!(step_of(&totp, wrong, at(59)), None, "{wrong}");
        }
        let url = totp.to_url().unwrap();
        assert!(url.starts_with("otpauth://totp/optag:ada?secret=GEZDGNBV"), "{url}");
    }

    #[test]
    fn a_sealed_secret_is_opened_for_its_user_by_its_installation_alone() {
        let sealed = key(1).seal("u1", b"secret").unwrap();
        assert_eq!(key(1).open("u1", &sealed).unwrap(), b"secret");
        assert!(key(1).open("u2", &sealed).is_err() && key(2).open("u1", &sealed).is_err());
        assert!(key(1).open("u1", &sealed[2..]).is_err() && key(1).open("u1", "").is_err());
        assert_ne!(sealed, key(1).seal("u1", b"secret").unwrap());
        assert_eq!(key(1).secret_of_link("a"), key(1).secret_of_link("a"));
        assert_ne!(key(1).secret_of_link("a"), key(1).secret_of_link("b"));
        let address = |text: &str| key(1).address("u1", text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::2"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }

    #[test]
    fn a_recovery_code_is_known_however_it_is_written() {
        let codes = recovery_codes().unwrap();
        let distinct: std::collections::HashSet<_> = codes.iter().collect();
        assert_eq!((codes.len(), distinct.len(), codes[0].len()), (10, 10, 19));
        let code = "0123-4567-89ab-cdef";
        for same in ["o123-4567-89ab-cdef", "0L23 4567 89AB CDEF", "0i23456789abcdef"] {
            assert_eq!(recovery_sha256(same), recovery_sha256(code), "{same}");
        }
        assert!(recovery_sha256("123456").is_none() && recovery_sha256("").is_none());
    }
}

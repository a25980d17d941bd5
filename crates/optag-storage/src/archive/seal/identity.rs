//! A key pair: the recipient that anyone may know, and the identity that opens.
//!
//! Source: age.md, "X25519 recipient stanza": bech32 of 32 bytes with the prefixes `age` and
//! `AGE-SECRET-KEY-`; RFC 7748 §5 for X25519.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::rand;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use zeroize::Zeroizing;

use super::SealError;
use optag_core::locked::Secret;

const RECIPIENT: &str = "age";
const IDENTITY: &str = "age-secret-key-";

/// Whom a file is sealed for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Recipient([u8; 32]);

impl Recipient {
    /// The public key.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = bech32::encode::<Bech32>(Hrp::parse_unchecked(RECIPIENT), &self.0);
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Recipient {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        Ok(Self(*decode(text, RECIPIENT)?))
    }
}

/// What opens files sealed for its recipient. Its bytes lie in locked memory.
pub struct Identity(Secret);

impl Identity {
    /// Draws a new one.
    ///
    /// Errors: no randomness.
    pub fn draw() -> Result<Self, SealError> {
        let mut bytes = Secret::zeroed();
        rand::fill(&mut *bytes).map_err(|_| SealError::Crypto)?;
        Ok(Self(bytes))
    }

    /// The one with these bytes.
    pub fn from_bytes(bytes: Secret) -> Self {
        Self(bytes)
    }

    /// Where its bytes lie.
    #[cfg(test)]
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// Its bytes, for sealing them under another key.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As `age-keygen` writes it: `AGE-SECRET-KEY-1…`.
    pub fn reveal(&self) -> Zeroizing<String> {
        let text = bech32::encode_upper::<Bech32>(Hrp::parse_unchecked(IDENTITY), &*self.0);
        Zeroizing::new(text.unwrap_or_default())
    }

    /// The recipient whose files it opens.
    ///
    /// Errors: the system's cryptography.
    pub fn recipient(&self) -> Result<Recipient, SealError> {
        let public = self.private()?.compute_public_key().map_err(|_| SealError::Crypto)?;
        public.as_ref().try_into().map(Recipient).map_err(|_| SealError::Crypto)
    }

    /// The secret shared with the holder of the other key.
    ///
    /// Errors: the other key is none.
    pub(super) fn agree(&self, other: &[u8; 32]) -> Result<Secret, SealError> {
        agree(&self.private()?, UnparsedPublicKey::new(&X25519, other), SealError::Form, |shared| {
            Ok(Secret::copy_of(shared.try_into().map_err(|_| SealError::Crypto)?))
        })
    }

    fn private(&self) -> Result<PrivateKey, SealError> {
        PrivateKey::from_private_key(&X25519, &*self.0).map_err(|_| SealError::Crypto)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(‹private›)")
    }
}

impl FromStr for Identity {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        decode(text, IDENTITY).map(Self)
    }
}

fn decode(text: &str, prefix: &str) -> Result<Secret, SealError> {
    let checked = CheckedHrpstring::new::<Bech32>(text.trim()).map_err(|_| SealError::Key)?;
    if checked.hrp() != Hrp::parse_unchecked(prefix) {
        return Err(SealError::Key);
    }
    let mut bytes = Secret::zeroed();
    let mut read = checked.byte_iter();
    for byte in bytes.iter_mut() {
        *byte = read.next().ok_or(SealError::Key)?;
    }
    if read.next().is_some() { Err(SealError::Key) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_their_texts_and_nothing_prints_a_secret() {
        let identity = Identity::draw().unwrap();
        let recipient = identity.recipient().unwrap();
        let secret = identity.reveal();
        assert!(secret.starts_with("AGE-SECRET-KEY-1") && recipient.to_string().starts_with("age1"));
        assert_eq!(secret.parse::<Identity>().unwrap().recipient().unwrap(), recipient);
        assert_eq!(recipient.to_string().parse::<Recipient>().unwrap(), recipient);
        assert!(!format!("{identity:?}").contains(secret.as_str()));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let identity = Identity::draw().unwrap();
        let mut wrong = identity.recipient().unwrap().to_string();
        let last = wrong.pop();
        wrong.push(if last == Some('q') { 'p' } else { 'q' });
        for text in ["", "age1", "AGE-SECRET-KEY-1", identity.reveal().as_str(), wrong.as_str()] {
            assert_eq!(text.parse::<Recipient>().err(), Some(SealError::Key), "{text}");
        }
    }
}

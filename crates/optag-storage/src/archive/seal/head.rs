//! The head of a sealed file: the file's key, wrapped for one recipient.
//!
//! Source: age.md, "Header", "X25519 recipient stanza", "Payload".

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::identity::{Identity, Recipient};
use super::{SealError, derive};
use optag_core::locked::Secret;

/// Length of a head with its nonce. Units: bytes.
pub const HEAD_BYTES: usize = 184;

const TEXT_BYTES: usize = HEAD_BYTES - NONCE_BYTES;
const NONCE_BYTES: usize = 16;
const KEY_BYTES: usize = 16;
const INTRO: &str = "age-encryption.org/v1\n-> X25519 ";
const LABEL: &[u8] = b"age-encryption.org/v1/X25519";

/// The secrets of one file, before it is sealed.
pub struct FileKey {
    key: Zeroizing<[u8; KEY_BYTES]>,
    share: Identity,
    nonce: [u8; NONCE_BYTES],
}

impl FileKey {
    /// The key for content with this hash, from a secret of 32 bytes. The same of both give the
    /// same file; for other content, everything is other.
    ///
    /// Errors: the system's cryptography.
    pub fn of(secret: &[u8; 32], sha256: &[u8; 32]) -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        derive(secret, sha256, &[b"optag file key"], key.as_mut())?;
        let mut share = Secret::zeroed();
        derive(secret, sha256, &[b"optag share"], &mut *share)?;
        let mut nonce = [0; NONCE_BYTES];
        derive(secret, sha256, &[b"optag nonce"], &mut nonce)?;
        Ok(Self { key, share: Identity::from_bytes(share), nonce })
    }

    /// A key that nobody has had.
    ///
    /// Errors: no randomness.
    pub fn draw() -> Result<Self, SealError> {
        let mut secret = Secret::zeroed();
        rand::fill(&mut *secret).map_err(|_| SealError::Crypto)?;
        Self::of(&secret, &[0; 32])
    }

    /// The head for one recipient, and the key of what follows it.
    ///
    /// Errors: the recipient is none.
    pub fn head(&self, recipient: &Recipient) -> Result<([u8; HEAD_BYTES], LessSafeKey), SealError> {
        let share = *self.share.recipient()?.bytes();
        let wrapping = wrapping_key(&*self.share.agree(recipient.bytes())?, &share, recipient)?;
        let mut wrapped = Zeroizing::new(Vec::with_capacity(KEY_BYTES + CHACHA20_POLY1305.tag_len()));
        wrapped.extend_from_slice(&*self.key);
        wrapping
            .seal_in_place_append_tag(zero_nonce(), Aad::empty(), &mut *wrapped)
            .map_err(|_| SealError::Crypto)?;
        let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        let mut text = format!("{INTRO}{}\n{}\n---", encode(&share), encode(&wrapped));
        let mac = hmac::sign(&mac_key(&self.key)?, text.as_bytes());
        text.push(' ');
        text.push_str(&encode(mac.as_ref()));
        text.push('\n');
        let mut head = [0; HEAD_BYTES];
        head[..TEXT_BYTES].copy_from_slice(text.as_bytes());
        head[TEXT_BYTES..].copy_from_slice(&self.nonce);
        Ok((head, payload_key(&self.key, &self.nonce)?))
    }
}

/// Reads a head: the key of what follows it.
///
/// Errors: it has another form, was made for another key, or was changed.
pub fn open(head: &[u8], identity: &Identity) -> Result<LessSafeKey, SealError> {
    let (text, nonce) = head.split_at_checked(TEXT_BYTES).ok_or(SealError::Form)?;
    let text = std::str::from_utf8(text).map_err(|_| SealError::Form)?;
    let (signed, mac) = text.rsplit_once(' ').ok_or(SealError::Form)?;
    let mut lines = signed.strip_prefix(INTRO).ok_or(SealError::Form)?.split('\n');
    let mut next = || lines.next().ok_or(SealError::Form);
    let share: [u8; 32] = decode(next()?)?.try_into().map_err(|_| SealError::Form)?;
    let mut wrapped = Zeroizing::new(decode(next()?)?);
    if (next()?, lines.next()) != ("---", None) {
        return Err(SealError::Form);
    }
    let recipient = identity.recipient()?;
    let wrapping = wrapping_key(&*identity.agree(&share)?, &share, &recipient)?;
    let key =
        wrapping.open_in_place(zero_nonce(), Aad::empty(), &mut wrapped).map_err(|_| SealError::OtherKey)?;
    let key: &[u8; KEY_BYTES] = (&*key).try_into().map_err(|_| SealError::Form)?;
    let mac = decode(mac.strip_suffix('\n').ok_or(SealError::Form)?)?;
    hmac::verify(&mac_key(key)?, signed.as_bytes(), &mac).map_err(|_| SealError::Damaged)?;
    payload_key(key, nonce.get(..NONCE_BYTES).ok_or(SealError::Form)?)
}

fn wrapping_key(shared: &[u8; 32], share: &[u8; 32], to: &Recipient) -> Result<LessSafeKey, SealError> {
    let mut key = Secret::zeroed();
    derive(shared, &[&share[..], to.bytes()].concat(), &[LABEL], &mut *key)?;
    cipher(&key)
}

fn payload_key(key: &[u8; KEY_BYTES], nonce: &[u8]) -> Result<LessSafeKey, SealError> {
    let mut payload = Secret::zeroed();
    derive(key, nonce, &[b"payload"], &mut *payload)?;
    cipher(&payload)
}

fn mac_key(key: &[u8; KEY_BYTES]) -> Result<hmac::Key, SealError> {
    let mut mac = Secret::zeroed();
    derive(key, &[], &[b"header"], &mut *mac)?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &*mac))
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new).map_err(|_| SealError::Crypto)
}

/// Each wrapping key wraps one file key.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn decode(text: &str) -> Result<Vec<u8>, SealError> {
    STANDARD_NO_PAD.decode(text).map_err(|_| SealError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_opens_for_its_recipient_alone_and_no_byte_of_it_may_change() {
        let (one, two) = (Identity::draw().unwrap(), Identity::draw().unwrap());
        let (head, _) = FileKey::draw().unwrap().head(&one.recipient().unwrap()).unwrap();
        assert!(open(&head, &one).is_ok());
        assert_eq!(open(&head, &two).err(), Some(SealError::OtherKey));
        for at in 0..TEXT_BYTES {
            let mut changed = head;
            changed[at] ^= 1;
            assert!(open(&changed, &one).is_err(), "byte {at}");
        }
        assert_eq!(open(&head[..HEAD_BYTES - 1], &one).err(), Some(SealError::Form));
    }

    #[test]
    fn the_same_secret_and_content_make_the_same_head_and_other_content_another() {
        let to = Identity::draw().unwrap().recipient().unwrap();
        let head = |secret, content| FileKey::of(&[secret; 32], &[content; 32]).unwrap().head(&to).unwrap().0;
        assert_eq!(head(1, 1), head(1, 1));
        assert!(head(1, 1) != head(1, 2) && head(1, 1) != head(2, 1));
    }
}

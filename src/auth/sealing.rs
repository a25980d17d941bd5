//! Seals small texts with a key that is derived from the master key. In: bytes, and what they belong to. Out: a text that
//! only this installation opens, and only for what it belongs to.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use optag_core::hex::{hex, unhex};

/// A key that cannot be made, or a sealed text that it does not open.
#[derive(Debug, thiserror::Error)]
#[error("cryptographic operation failed")]
pub struct SealError;

/// Seals and opens.
#[derive(Clone)]
pub struct SealKey(Arc<LessSafeKey>);

impl SealKey {
    /// Under a key of 32 bytes that is used for nothing else.
    ///
    /// Errors: it has another length.
    pub fn new(key: &[u8]) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealError)?;
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }

    /// Seals bytes for what they belong to. Text: hexadecimal.
    ///
    /// Errors: no random numbers.
    pub(super) fn seal(&self, belongs_to: &str, bytes: &[u8]) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError)?;
        let mut sealed = bytes.to_vec();
        let aad = Aad::from(belongs_to.as_bytes());
        let done = self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed);
        done.map_err(|_| SealError)?;
        Ok(hex(&[nonce.as_slice(), &sealed].concat()))
    }

    /// Opens what was sealed for this.
    ///
    /// Errors: it was not, or by another installation.
    pub(super) fn open(&self, belongs_to: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let bytes = unhex(sealed).filter(|bytes| bytes.len() > NONCE_LEN).ok_or(SealError)?;
        let (nonce, sealed) = bytes.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
        let mut bytes = sealed.to_vec();
        let aad = Aad::from(belongs_to.as_bytes());
        let opened = self.0.open_in_place(nonce, aad, &mut bytes).map_err(|_| SealError)?;
        Ok(opened.to_vec())
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(‹private›)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened_for_what_it_belongs_to_and_by_this_installation_alone() {
        let (key, other) = (SealKey::new(&[7; 32]).unwrap(), SealKey::new(&[8; 32]).unwrap());
        let sealed = key.seal("ada", b"secret").unwrap();
        assert_eq!(key.open("ada", &sealed).unwrap(), b"secret");
        assert!(key.open("ole", &sealed).is_err() && other.open("ada", &sealed).is_err());
        assert_ne!(key.seal("ada", b"secret").unwrap(), sealed);
        let mut changed = sealed.clone();
        changed.replace_range(30..31, if &sealed[30..31] == "0" { "1" } else { "0" });
        for wrong in ["", "00", "zz", changed.as_str()] {
            assert!(key.open("ada", wrong).is_err(), "{wrong}");
        }
    }
}

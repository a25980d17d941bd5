//! Keyed hashes of the identifiers of calls, alike on all nodes that have one master key. In: identifiers. Out: hashes
//! under a key derived from the master key, so that the database tells nobody what a call was called.

use aws_lc_rs::hmac;

use optag_core::call::context::name_keys;
use optag_core::hex::hex;
use optag_core::locked::Secret;

/// Names the derived key.
pub const LABEL: &str = "names of live calls";
/// Bytes of a hash: an identifier must never be taken for another one.
const HASH_BYTES: usize = 16;
/// Bytes that tell a key from another one.
const CHECK_BYTES: usize = 8;

/// Makes the hashes.
#[derive(Clone, Debug)]
pub struct NameHashes(hmac::Key);

impl NameHashes {
    /// Under `key`, derived from the master key for [`LABEL`].
    pub fn new(key: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &**key))
    }

    /// Of an identifier as it was given: one for each of its [`name_keys`].
    pub fn of(&self, name: &str) -> Vec<String> {
        self.of_keys(&name_keys(name))
    }

    /// Of identifiers that are [`name_keys`] already.
    pub fn of_keys(&self, keys: &[String]) -> Vec<String> {
        keys.iter().map(|key| self.hash("name", key, HASH_BYTES)).collect()
    }

    /// Tells this key from others, and nothing of it.
    pub fn check(&self) -> String {
        self.hash("check", "", CHECK_BYTES)
    }

    fn hash(&self, kind: &str, text: &str, bytes: usize) -> String {
        let tag = hmac::sign(&self.0, format!("{kind} {text}").as_bytes());
        hex(&tag.as_ref()[..bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_one_key_hash_alike_and_others_know_that_they_do_not() {
        let hashes = |byte| NameHashes::new(&Secret::copy_of(&[byte; 32]));
        assert_eq!(hashes(1).of(" ABC@pbx"), hashes(1).of_keys(&["abc@pbx".into()]));
        assert_eq!(hashes(1).check(), hashes(1).check());
        assert_ne!(hashes(1).of("abc"), hashes(2).of("abc"));
        assert_ne!(hashes(1).check(), hashes(2).check());
        assert_eq!(hashes(1).of("aa;remote=bb").len(), 2);
    }
}

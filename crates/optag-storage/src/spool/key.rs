//! Keys: the node's master key, and one data key per call, sealed with the master key.
//!
//! In: 32 bytes of randomness or of a file. Out: sealed and opened bytes. Not here: storage of sealed data keys
//! (`keyring`).
//!
//! Other uses get keys derived from a call's key (for example that of its stored file), never the key itself.
//!
//! Keys are kept in locked memory. The library keeps the cipher's key schedule on the heap; it is created for a
//! single operation and erased by the library afterwards, which takes less than a microsecond, little beside a disk
//! write.
//!
//! AES-256-GCM throughout; HKDF-SHA-256 (RFC 5869) for derived keys. Source: NIST SP 800-38D §8.2.1 for the
//! deterministic nonce of a record (incarnation ‖ sequence), §8.2.2 for the random nonce of a key file.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;

use super::error::SpoolError;
use optag_core::id::CallId;
use optag_core::locked::{SECRET_BYTES as KEY_BYTES, Secret};

/// Bytes added by sealing.
pub const TAG_BYTES: usize = 16;

/// Length of a key file: mark 4, version 1, zero 3, call 16, nonce 12, sealed key 48, CRC32C 4.
pub const KEY_FILE_BYTES: usize = 88;

/// Length of a 32-byte secret sealed with the master key: nonce, ciphertext, tag.
pub const SEALED_SECRET_BYTES: usize = NONCE_LEN + KEY_BYTES + TAG_BYTES;

const MARK: [u8; 4] = *b"okey";
const VERSION: u8 = 1;

/// Key of a node; seals the data keys of its calls.
pub struct MasterKey(Secret);

impl MasterKey {
    /// Copies the key; the caller has to erase its own copy.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Result<Self, SpoolError> {
        Ok(Self(Secret::copy_of(bytes)))
    }

    /// Seals another key of the node, bound to `context`.
    ///
    /// Errors: no randomness.
    pub fn seal(
        &self,
        context: &[u8],
        secret: &[u8; KEY_BYTES],
    ) -> Result<[u8; SEALED_SECRET_BYTES], SpoolError> {
        let mut sealed = [0; SEALED_SECRET_BYTES];
        let (nonce, rest) = sealed.split_at_mut(NONCE_LEN);
        rand::fill(nonce).map_err(|_| SpoolError::Crypto)?;
        let unique = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SpoolError::Crypto)?;
        let (body, tag) = rest.split_at_mut(KEY_BYTES);
        body.copy_from_slice(secret);
        let made = cipher(&self.0)?
            .seal_in_place_separate_tag(unique, Aad::from(context), body)
            .map_err(|_| SpoolError::Crypto)?;
        tag.copy_from_slice(made.as_ref());
        Ok(sealed)
    }

    /// Opens the result of [`MasterKey::seal`]; `None` if sealed with another key or for another context.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Secret> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
        let (body, tag) = body.split_at_checked(KEY_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = Secret::zeroed();
        let key = cipher(&self.0).ok()?;
        key.open_separate_gather(nonce, Aad::from(context), body, tag, &mut *opened).ok()?;
        Some(opened)
    }

    /// The key's memory.
    #[cfg(test)]
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(‹private›)")
    }
}

/// Key of one call.
pub struct DataKey(Secret);

impl DataKey {
    /// Draws a new key for `call`. Returns it with the contents of its key file.
    ///
    /// Errors: no randomness.
    pub fn draw(master: &MasterKey, call: CallId) -> Result<(Self, [u8; KEY_FILE_BYTES]), SpoolError> {
        let mut key = Secret::zeroed();
        rand::fill(&mut *key).map_err(|_| SpoolError::Crypto)?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SpoolError::Crypto)?;

        let mut file = [0; KEY_FILE_BYTES];
        file[..4].copy_from_slice(&MARK);
        file[4] = VERSION;
        file[8..24].copy_from_slice(&call.to_bytes());
        file[24..36].copy_from_slice(&nonce);
        let mut sealed = Secret::copy_of(&key);
        let tag = cipher(&master.0)?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(call.to_bytes()),
                &mut *sealed,
            )
            .map_err(|_| SpoolError::Crypto)?;
        file[36..68].copy_from_slice(&*sealed);
        file[68..84].copy_from_slice(tag.as_ref());
        let crc = crc32c::crc32c(&file[..84]);
        file[84..].copy_from_slice(&crc.to_le_bytes());
        Ok((Self(key), file))
    }

    /// Reads a key file.
    pub fn read(master: &MasterKey, call: CallId, file: &[u8]) -> Result<Self, KeyFault> {
        // A crash may interrupt the overwriting; no sealed key contains that many zeros.
        let zeros = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
        if file.first_chunk::<4>().is_none_or(|mark| zeros(mark))
            || file.get(24..).unwrap_or_default().windows(12).any(zeros)
        {
            return Err(KeyFault::Destroyed);
        }
        let intact = file.len() == KEY_FILE_BYTES
            && file[..4] == MARK
            && file[4] == VERSION
            && file[8..24] == call.to_bytes()
            && file[84..] == crc32c::crc32c(&file[..84]).to_le_bytes();
        if !intact {
            return Err(KeyFault::Damaged);
        }
        let nonce = Nonce::try_assume_unique_for_key(&file[24..36]).map_err(|_| KeyFault::Damaged)?;
        let mut key = Secret::zeroed();
        cipher(&master.0)
            .map_err(|_| KeyFault::Damaged)?
            .open_separate_gather(nonce, Aad::from(call.to_bytes()), &file[36..68], &file[68..84], &mut *key)
            .map_err(|_| KeyFault::WrongMaster)?;
        Ok(Self(key))
    }

    /// Derives a secret for another purpose, always the same for one label; the key cannot be computed from it.
    ///
    /// Errors: cryptography failure.
    pub fn derive(&self, label: &[u8]) -> Result<Secret, SpoolError> {
        let mut secret = Secret::zeroed();
        Salt::new(HKDF_SHA256, b"optag call key")
            .extract(&*self.0)
            .expand(&[label], HKDF_SHA256)
            .and_then(|expanded| expanded.fill(&mut *secret))
            .map_err(|_| SpoolError::Crypto)?;
        Ok(secret)
    }

    /// The key's memory.
    #[cfg(test)]
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// Seals `bytes` in place and returns the tag. The nonce must not have been used with this key.
    pub fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        bytes: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], SpoolError> {
        let tag = cipher(&self.0)?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), bytes)
            .map_err(|_| SpoolError::Crypto)?;
        tag.as_ref().try_into().map_err(|_| SpoolError::Crypto)
    }

    /// Opens sealed bytes with their tag at the end, in place.
    ///
    /// Errors: not sealed with this key, nonce and header.
    pub fn open<'a>(&self, nonce: [u8; NONCE_LEN], aad: &[u8], sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        cipher(&self.0).ok()?.open_in_place(nonce, Aad::from(aad), sealed).ok().map(|opened| &*opened)
    }
}

/// Why a key file has no usable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Overwritten: the call is erased.
    Destroyed,
    /// Damaged.
    Damaged,
    /// Intact, but sealed with another master key.
    WrongMaster,
}

/// For a single operation: its key schedule is outside locked memory.
fn cipher(key: &Secret) -> Result<LessSafeKey, SpoolError> {
    UnboundKey::new(&AES_256_GCM, &**key).map(LessSafeKey::new).map_err(|_| SpoolError::Crypto)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(n: u8) -> CallId {
        CallId::from_bytes([n; 16])
    }

    #[test]
    fn a_key_file_opens_only_for_its_call_and_its_master() {
        let master = MasterKey::from_bytes(&[7; 32]).unwrap();
        let (key, file) = DataKey::draw(&master, call(1)).unwrap();
        let mut sealed = b"speech".to_vec();
        let tag = key.seal([1; 12], b"head", &mut sealed).unwrap();
        sealed.extend(tag);
        let again = DataKey::read(&master, call(1), &file).unwrap();
        assert_eq!(again.open([1; 12], b"head", &mut sealed.clone()), Some(&b"speech"[..]));
        assert_eq!(again.open([1; 12], b"heaD", &mut sealed.clone()), None);

        assert_eq!(DataKey::read(&master, call(2), &file).err(), Some(KeyFault::Damaged));
        let other = MasterKey::from_bytes(&[8; 32]).unwrap();
        assert_eq!(DataKey::read(&other, call(1), &file).err(), Some(KeyFault::WrongMaster));
        assert_eq!(DataKey::read(&master, call(1), &[0; 88]).err(), Some(KeyFault::Destroyed));
        assert_eq!(DataKey::read(&master, call(1), &[]).err(), Some(KeyFault::Destroyed));
        let half = [&[0; 64], &file[64..]].concat();
        assert_eq!(DataKey::read(&master, call(1), &half).err(), Some(KeyFault::Destroyed));
    }

    #[test]
    fn the_master_key_opens_what_it_sealed_under_its_name_alone() {
        let master = MasterKey::from_bytes(&[7; 32]).unwrap();
        let sealed = master.seal(b"day", &[9; 32]).unwrap();
        assert_eq!(master.open(b"day", &sealed).as_deref(), Some(&[9; 32]));
        assert!(master.open(b"Day", &sealed).is_none());
        assert!(MasterKey::from_bytes(&[8; 32]).unwrap().open(b"day", &sealed).is_none());
        assert!(master.open(b"day", &sealed[..20]).is_none() && master.open(b"day", &[]).is_none());
    }

    #[test]
    fn what_a_call_key_derives_survives_its_file_and_differs_by_label() {
        let master = MasterKey::from_bytes(&[7; 32]).unwrap();
        let (key, file) = DataKey::draw(&master, call(1)).unwrap();
        let again = DataKey::read(&master, call(1), &file).unwrap();
        let derived = |key: &DataKey, label: &[u8]| *key.derive(label).unwrap();
        assert_eq!(derived(&key, b"a"), derived(&again, b"a"));
        assert!(derived(&key, b"a") != derived(&key, b"b"));
    }

    #[test]
    fn every_flipped_bit_of_a_key_file_is_noticed() {
        let master = MasterKey::from_bytes(&[7; 32]).unwrap();
        let (_, file) = DataKey::draw(&master, call(1)).unwrap();
        for bit in 0..KEY_FILE_BYTES * 8 {
            let mut bad = file;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(DataKey::read(&master, call(1), &bad).err(), Some(KeyFault::Damaged), "bit {bit}");
        }
    }
}

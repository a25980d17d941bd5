//! Keys derived from a master key, and the protection of single packets with them. In: packets with their
//! index. Out: packets. Stateless and without allocation.
//!
//! Source: RFC 3711 §3.1, §3.4, §4.1–4.3; RFC 7714 §8, §9, §11.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::{constant_time, hmac, iv::FixedLength};
use zeroize::{Zeroize, Zeroizing};

use super::key::{SrtpKey, Suite};

/// The E flag of the SRTCP index word.
const ENCRYPTED: u32 = 1 << 31;
/// Bytes of an RTCP packet that are never encrypted: header and sender.
pub(super) const RTCP_CLEAR_BYTES: usize = 8;
/// Bytes of the SRTCP index word.
const INDEX_BYTES: usize = 4;

/// The keys of a session, for RTP and for RTCP.
pub(super) struct Session {
    suite: Suite,
    mki: Vec<u8>,
    encrypts_rtcp: bool,
    rtp: Cipher,
    rtcp: Cipher,
}

/// One direction's key, salt and authentication.
enum Cipher {
    Counter { key: Box<EncryptingKey>, salt: [u8; 14], auth: Box<hmac::Key> },
    Gcm { key: Box<LessSafeKey>, salt: [u8; 12] },
}

impl Session {
    /// Derives all keys. The key derivation rate is zero: once.
    pub(super) fn new(key: &SrtpKey) -> Self {
        Self {
            suite: key.suite(),
            mki: key.mki().to_vec(),
            encrypts_rtcp: !key.unencrypted_rtcp,
            rtp: Cipher::derive(key, 0),
            rtcp: Cipher::derive(key, 3),
        }
    }

    /// A session with given session keys, for test vectors.
    #[cfg(test)]
    pub(super) fn of_session_keys(suite: Suite, key: &[u8], salt: &[u8]) -> Self {
        let cipher = || Cipher::gcm(key, salt.try_into().expect("12 bytes"));
        Self { suite, mki: Vec::new(), encrypts_rtcp: true, rtp: cipher(), rtcp: cipher() }
    }

    /// Whether a packet may be under this key: it has the key's MKI, if there is one.
    pub(super) fn may_be(&self, packet: &[u8], rtcp: bool) -> bool {
        let behind = if self.suite.is_aead() {
            0
        } else if rtcp {
            self.suite.rtcp_tag_bytes()
        } else {
            self.suite.tag_bytes()
        };
        packet.len().checked_sub(behind).is_some_and(|end| packet[..end].ends_with(&self.mki))
    }

    /// Authenticates and decrypts an RTP packet. `header` is the length of the part that is never encrypted.
    /// Returns the length; `None` if authentication fails.
    pub(super) fn open(
        &self,
        packet: &[u8],
        header: usize,
        ssrc: u32,
        index: u64,
        out: &mut [u8],
    ) -> Option<usize> {
        let roc = (index >> 16) as u32;
        match &self.rtp {
            Cipher::Counter { key, salt, auth } => {
                let (rest, tag) = split_end(packet, self.suite.tag_bytes())?;
                let (body, _) = split_end(rest, self.mki.len())?;
                body.len().checked_sub(header)?;
                verify(auth, &[body, &roc.to_be_bytes()], tag)?;
                let out = out.get_mut(..body.len())?;
                out.copy_from_slice(body);
                counter(key, salt, ssrc, index, &mut out[header..])?;
                Some(body.len())
            }
            Cipher::Gcm { key, salt } => {
                let (rest, _) = split_end(packet, self.mki.len())?;
                let (body, tag) = split_end(rest, self.suite.tag_bytes())?;
                let (clear, coded) = body.split_at_checked(header)?;
                let out = out.get_mut(..body.len())?;
                out[..header].copy_from_slice(clear);
                let nonce = gcm_nonce(salt, ssrc, index);
                key.open_separate_gather(nonce, Aad::from(clear), coded, tag, &mut out[header..]).ok()?;
                Some(body.len())
            }
        }
    }

    /// Protects an RTP packet. Returns the length; `None` if `out` is too short.
    pub(super) fn seal(
        &self,
        packet: &[u8],
        header: usize,
        ssrc: u32,
        index: u64,
        out: &mut [u8],
    ) -> Option<usize> {
        let roc = (index >> 16) as u32;
        let length = packet.len();
        out.get_mut(..length)?.copy_from_slice(packet);
        match &self.rtp {
            Cipher::Counter { key, salt, auth } => {
                counter(key, salt, ssrc, index, &mut out[header..length])?;
                let tag = sign(auth, &[&out[..length], &roc.to_be_bytes()]);
                let end = append(out, length, &self.mki)?;
                append(out, end, &tag.as_ref()[..self.suite.tag_bytes()])
            }
            Cipher::Gcm { key, salt } => {
                let (clear, coded) = out[..length].split_at_mut(header);
                let nonce = gcm_nonce(salt, ssrc, index);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*clear), coded).ok()?;
                let end = append(out, length, tag.as_ref())?;
                append(out, end, &self.mki)
            }
        }
    }

    /// Authenticates and decrypts an RTCP packet. Returns its length and index; `None` if authentication
    /// fails.
    pub(super) fn open_rtcp(&self, packet: &[u8], out: &mut [u8]) -> Option<(usize, u32)> {
        let word_of = |word: &[u8]| Some(u32::from_be_bytes(*word.first_chunk()?));
        let ssrc = u32::from_be_bytes(*packet.get(4..)?.first_chunk()?);
        match &self.rtcp {
            Cipher::Counter { key, salt, auth } => {
                let (rest, tag) = split_end(packet, self.suite.rtcp_tag_bytes())?;
                let (signed, _) = split_end(rest, self.mki.len())?;
                let (body, word) = split_end(signed, INDEX_BYTES)?;
                body.len().checked_sub(RTCP_CLEAR_BYTES)?;
                verify(auth, &[signed], tag)?;
                let word = word_of(word)?;
                let out = out.get_mut(..body.len())?;
                out.copy_from_slice(body);
                if word & ENCRYPTED != 0 {
                    counter(key, salt, ssrc, u64::from(word & !ENCRYPTED), &mut out[RTCP_CLEAR_BYTES..])?;
                }
                Some((body.len(), word & !ENCRYPTED))
            }
            Cipher::Gcm { key, salt } => {
                let (rest, _) = split_end(packet, self.mki.len())?;
                let (sealed, word_bytes) = split_end(rest, INDEX_BYTES)?;
                let word = word_of(word_bytes)?;
                let (body, tag) = split_end(sealed, self.suite.rtcp_tag_bytes())?;
                body.len().checked_sub(RTCP_CLEAR_BYTES)?;
                let clear = if word & ENCRYPTED != 0 { RTCP_CLEAR_BYTES } else { body.len() };
                let (clear, coded) = body.split_at(clear);
                let mut extra = [0; super::RTCP_BYTES + INDEX_BYTES];
                let aad = joined(&mut extra, clear, word_bytes)?;
                let out = out.get_mut(..body.len())?;
                out[..clear.len()].copy_from_slice(clear);
                let nonce = gcm_rtcp_nonce(salt, ssrc, word & !ENCRYPTED);
                key.open_separate_gather(nonce, Aad::from(aad), coded, tag, &mut out[clear.len()..]).ok()?;
                Some((body.len(), word & !ENCRYPTED))
            }
        }
    }

    /// Protects an RTCP packet. Returns the length; `None` if `out` is too short.
    pub(super) fn seal_rtcp(&self, packet: &[u8], index: u32, out: &mut [u8]) -> Option<usize> {
        let ssrc = u32::from_be_bytes(*packet.get(4..)?.first_chunk()?);
        let word = (index & !ENCRYPTED | if self.encrypts_rtcp { ENCRYPTED } else { 0 }).to_be_bytes();
        let length = packet.len();
        out.get_mut(..length)?.copy_from_slice(packet);
        let clear = if self.encrypts_rtcp { RTCP_CLEAR_BYTES } else { length };
        match &self.rtcp {
            Cipher::Counter { key, salt, auth } => {
                counter(key, salt, ssrc, u64::from(index), &mut out[clear..length])?;
                let end = append(out, length, &word)?;
                let tag = sign(auth, &[&out[..end]]);
                let end = append(out, end, &self.mki)?;
                append(out, end, &tag.as_ref()[..self.suite.rtcp_tag_bytes()])
            }
            Cipher::Gcm { key, salt } => {
                let mut extra = [0; super::RTCP_BYTES + INDEX_BYTES];
                let (clear, coded) = out[..length].split_at_mut(clear);
                let aad = joined(&mut extra, clear, &word)?;
                let nonce = gcm_rtcp_nonce(salt, ssrc, index & !ENCRYPTED);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), coded).ok()?;
                let end = append(out, length, tag.as_ref())?;
                let end = append(out, end, &word)?;
                append(out, end, &self.mki)
            }
        }
    }
}

impl Cipher {
    /// Derives the keys with labels from `first` on. Source: RFC 3711 §4.3.1, §4.3.2.
    fn derive(master: &SrtpKey, first: u8) -> Self {
        let suite = master.suite();
        let mut key = Zeroizing::new([0; 32]);
        let key = &mut key[..suite.key_bytes()];
        let mut salt = [0; 14];
        derive(master, first, key);
        derive(master, first + 2, &mut salt[..suite.salt_bytes()]);
        if suite.is_aead() {
            let mut short = [0; 12];
            short.copy_from_slice(&salt[..12]);
            salt.zeroize();
            return Self::gcm(key, short);
        }
        let mut auth = Zeroizing::new([0; 20]);
        derive(master, first + 1, &mut *auth);
        Self::Counter {
            key: Box::new(counter_key(key)),
            salt,
            auth: Box::new(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &*auth)),
        }
    }

    fn gcm(key: &[u8], salt: [u8; 12]) -> Self {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let unbound = UnboundKey::new(algorithm, key).expect("the key has its suite's length");
        Self::Gcm { key: Box::new(LessSafeKey::new(unbound)), salt }
    }
}

impl Drop for Cipher {
    fn drop(&mut self) {
        // The library overwrites the keys that it holds.
        match self {
            Self::Counter { salt, .. } => salt.zeroize(),
            Self::Gcm { salt, .. } => salt.zeroize(),
        }
    }
}

/// The pseudo-random function: AES in counter mode under the master key, from salt and label.
pub(super) fn derive(master: &SrtpKey, label: u8, out: &mut [u8]) {
    let mut block = [0; 16];
    block[..master.salt().len()].copy_from_slice(master.salt());
    block[7] ^= label;
    out.fill(0);
    run(&counter_key(master.key()), block, out).expect("a counter runs over any length");
}

fn counter_key(key: &[u8]) -> EncryptingKey {
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    let unbound = UnboundCipherKey::new(algorithm, key).expect("the key has its suite's length");
    EncryptingKey::ctr(unbound).expect("the algorithm has a counter mode")
}

/// Encrypts or decrypts part of a packet. Source: RFC 3711 §4.1.1.
fn counter(key: &EncryptingKey, salt: &[u8; 14], ssrc: u32, index: u64, in_out: &mut [u8]) -> Option<()> {
    let mut block = [0; 16];
    block[..14].copy_from_slice(salt);
    for (byte, other) in block[4..8].iter_mut().zip(ssrc.to_be_bytes()) {
        *byte ^= other;
    }
    for (byte, other) in block[8..14].iter_mut().zip(&index.to_be_bytes()[2..]) {
        *byte ^= other;
    }
    run(key, block, in_out)
}

fn run(key: &EncryptingKey, block: [u8; 16], in_out: &mut [u8]) -> Option<()> {
    if in_out.is_empty() {
        return Some(());
    }
    key.less_safe_encrypt(in_out, EncryptionContext::Iv128(FixedLength::from(block))).ok().map(drop)
}

/// Source: RFC 7714 §8.1.
fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = *salt;
    for (byte, other) in nonce[2..6].iter_mut().zip(ssrc.to_be_bytes()) {
        *byte ^= other;
    }
    for (byte, other) in nonce[6..12].iter_mut().zip(&index.to_be_bytes()[2..]) {
        *byte ^= other;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// Source: RFC 7714 §9.1.
fn gcm_rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> Nonce {
    gcm_nonce(salt, ssrc, index.into())
}

fn sign(auth: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(auth);
    parts.iter().for_each(|part| context.update(part));
    context.sign()
}

fn verify(auth: &hmac::Key, parts: &[&[u8]], tag: &[u8]) -> Option<()> {
    let made = sign(auth, parts);
    constant_time::verify_slices_are_equal(&made.as_ref()[..tag.len()], tag).ok()
}

fn split_end(bytes: &[u8], end: usize) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(bytes.len().checked_sub(end)?)
}

fn append(out: &mut [u8], at: usize, bytes: &[u8]) -> Option<usize> {
    out.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
    Some(at + bytes.len())
}

fn joined<'a>(buffer: &'a mut [u8], one: &[u8], two: &[u8]) -> Option<&'a [u8]> {
    let end = append(buffer, 0, one)?;
    let end = append(buffer, end, two)?;
    Some(&buffer[..end])
}

//! The body of a sealed file, chunk by chunk, so that a part of it can be opened alone and the
//! end cannot be cut off unnoticed.
//!
//! Source: age.md, "Payload": STREAM with ChaCha20-Poly1305, an 11-byte counter and a byte that
//! is 1 in the last chunk.

use std::ops::Range;

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};

use super::SealError;
use super::head::{FileKey, HEAD_BYTES};
use super::identity::Recipient;

/// Plain bytes of a chunk.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// What a chunk's tag adds.
pub const TAG_BYTES: usize = 16;
const SEALED_BYTES: u64 = (CHUNK_BYTES + TAG_BYTES) as u64;

/// Seals bytes as they come.
pub struct Sealer {
    key: LessSafeKey,
    counter: u64,
    chunk: Vec<u8>,
    ready: Vec<u8>,
}

impl Sealer {
    /// Starts a file.
    ///
    /// Errors: the recipient is none.
    pub fn new(key: &FileKey, recipient: &Recipient) -> Result<Self, SealError> {
        let (head, key) = key.head(recipient)?;
        Ok(Self { key, counter: 0, chunk: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES), ready: head.into() })
    }

    /// Adds bytes.
    ///
    /// Errors: the system's cryptography.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), SealError> {
        while !bytes.is_empty() {
            // A full chunk is sealed only once more follows: the last one is marked.
            if self.chunk.len() == CHUNK_BYTES {
                self.seal(false)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// Errors: the system's cryptography.
    pub fn finish(mut self) -> Result<Vec<u8>, SealError> {
        self.seal(true)?;
        Ok(self.ready)
    }

    /// Sealed bytes that are ready.
    pub fn ready_bytes(&self) -> usize {
        self.ready.len()
    }

    /// Takes them.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ready)
    }

    fn seal(&mut self, last: bool) -> Result<(), SealError> {
        self.key
            .seal_in_place_append_tag(nonce(self.counter, last), Aad::empty(), &mut self.chunk)
            .map_err(|_| SealError::Crypto)?;
        self.counter += 1;
        self.ready.append(&mut self.chunk);
        Ok(())
    }
}

/// Length of the file that so many plain bytes become.
pub fn sealed_bytes(plain: u64) -> u64 {
    HEAD_BYTES as u64 + plain + chunks(plain, CHUNK_BYTES as u64) * TAG_BYTES as u64
}

/// Plain bytes in a sealed file of this length.
///
/// Errors: no file of ours has it.
pub fn plain_bytes(sealed: u64) -> Result<u64, SealError> {
    let body = sealed.checked_sub(HEAD_BYTES as u64).ok_or(SealError::Form)?;
    let plain = body.checked_sub(chunks(body, SEALED_BYTES) * TAG_BYTES as u64).ok_or(SealError::Form)?;
    if sealed_bytes(plain) == sealed { Ok(plain) } else { Err(SealError::Form) }
}

/// Where in a sealed file the chunks lie that hold these plain bytes, and the first's number.
pub fn covering(plain: &Range<u64>, total_plain: u64) -> (u64, Range<u64>) {
    let first = plain.start / CHUNK_BYTES as u64;
    let until = chunks(plain.end.min(total_plain), CHUNK_BYTES as u64).max(first);
    let from = HEAD_BYTES as u64 + first * SEALED_BYTES;
    let to = (HEAD_BYTES as u64 + until * SEALED_BYTES).min(sealed_bytes(total_plain));
    (first, from..to.max(from))
}

/// Opens chunks in order.
pub struct Opener {
    key: LessSafeKey,
    counter: u64,
    last: u64,
    sealed: Vec<u8>,
}

impl Opener {
    /// From chunk `first` on, of a file with so many plain bytes.
    pub fn new(key: LessSafeKey, first: u64, total_plain: u64) -> Self {
        let last = chunks(total_plain, CHUNK_BYTES as u64) - 1;
        Self { key, counter: first, last, sealed: Vec::new() }
    }

    /// Adds sealed bytes; returns what they open to, perhaps nothing yet.
    ///
    /// Errors: they are not what was sealed, or come after the end.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut plain = Vec::new();
        while !bytes.is_empty() {
            let room = SEALED_BYTES as usize - self.sealed.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.sealed.extend_from_slice(now);
            bytes = later;
            if self.sealed.len() == SEALED_BYTES as usize && self.counter < self.last {
                self.open(&mut plain)?;
            } else if !bytes.is_empty() {
                return Err(SealError::Damaged);
            }
        }
        Ok(plain)
    }

    /// Opens the last chunk of all, or of the part that was asked for.
    ///
    /// Errors: it is not what was sealed.
    pub fn finish(mut self) -> Result<Vec<u8>, SealError> {
        let mut plain = Vec::new();
        if !self.sealed.is_empty() {
            self.open(&mut plain)?;
        }
        Ok(plain)
    }

    fn open(&mut self, plain: &mut Vec<u8>) -> Result<(), SealError> {
        let nonce = nonce(self.counter, self.counter == self.last);
        let opened =
            self.key.open_in_place(nonce, Aad::empty(), &mut self.sealed).map_err(|_| SealError::Damaged)?;
        plain.extend_from_slice(opened);
        self.sealed.clear();
        self.counter += 1;
        Ok(())
    }
}

fn chunks(bytes: u64, of: u64) -> u64 {
    bytes.div_ceil(of).max(1)
}

fn nonce(counter: u64, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = u8::from(last);
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use super::super::head;
    use super::super::identity::Identity;
    use super::*;

    fn sealed(plain: &[u8], identity: &Identity) -> Vec<u8> {
        let mut sealer = Sealer::new(&FileKey::draw().unwrap(), &identity.recipient().unwrap()).unwrap();
        let mut file = Vec::new();
        for part in plain.chunks(7_001) {
            sealer.push(part).unwrap();
            file.extend(sealer.take());
        }
        file.extend(sealer.finish().unwrap());
        file
    }

    fn opened(file: &[u8], identity: &Identity, part: Range<u64>) -> Result<Vec<u8>, SealError> {
        let total = plain_bytes(file.len() as u64)?;
        let (first, within) = covering(&part, total);
        let mut opener = Opener::new(head::open(&file[..HEAD_BYTES], identity)?, first, total);
        let mut plain = Vec::new();
        for bytes in file[within.start as usize..within.end as usize].chunks(10_007) {
            plain.extend(opener.push(bytes)?);
        }
        plain.extend(opener.finish()?);
        let skip = (part.start - first * CHUNK_BYTES as u64) as usize;
        plain.drain(..skip);
        plain.truncate((part.end - part.start) as usize);
        Ok(plain)
    }

    #[test]
    fn every_length_and_part_opens_to_what_was_sealed() {
        let identity = Identity::draw().unwrap();
        let full = CHUNK_BYTES as u64;
        for length in [0, 1, full - 1, full, full + 1, 2 * full, 3 * full + 5] {
            let plain: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let file = sealed(&plain, &identity);
            assert_eq!(file.len() as u64, sealed_bytes(length));
            assert_eq!(plain_bytes(file.len() as u64), Ok(length));
            assert_eq!(opened(&file, &identity, 0..length).unwrap(), plain);
            for part in [0..length.min(1), length / 2..length, length.saturating_sub(1)..length] {
                let wanted = &plain[part.start as usize..part.end as usize];
                assert_eq!(opened(&file, &identity, part.clone()).unwrap(), wanted, "{part:?} of {length}");
            }
        }
    }

    #[test]
    fn a_changed_or_missing_byte_is_noticed() {
        let identity = Identity::draw().unwrap();
        let plain = vec![7; 2 * CHUNK_BYTES + 9];
        let file = sealed(&plain, &identity);
        for at in [HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + CHUNK_BYTES, file.len() - 1] {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(opened(&changed, &identity, 0..plain.len() as u64).is_err(), "byte {at}");
        }
        // Cut at the end of a chunk: the lengths fit, but what is last now is not marked as such.
        let cut = &file[..HEAD_BYTES + 2 * (CHUNK_BYTES + TAG_BYTES)];
        assert_eq!(opened(cut, &identity, 0..2 * CHUNK_BYTES as u64).err(), Some(SealError::Damaged));
        assert_eq!(plain_bytes(HEAD_BYTES as u64 + 3), Err(SealError::Form));
    }
}

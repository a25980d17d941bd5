//! The seal of stored objects: the age v1 format, one X25519 recipient a file, one key pair a
//! UTC day. In: plain bytes and a day's recipient. Out: a file that `age -d -i KEY` opens, and
//! its plain bytes again, whole or in part. Not here: the store, and who may read.
//!
//! Why our own writer of a public format: a delivery that is gone through again, after a crash
//! or an answer that was lost, must make the same bytes, or an upload could not be resumed and
//! an object of ours not be recognised. Libraries draw a file's key themselves. Here it comes
//! from the call's own key in the spool *and* the hash of what is sealed, so that equal content
//! gives equal files and different content never shares a key. Tests hold it against the
//! reference program in both directions.
//!
//! ```text
//! age-encryption.org/v1                      22
//! -> X25519 <share, 43 characters>           54
//! <wrapped file key, 43 characters>          44
//! --- <MAC, 43 characters>                   48
//! nonce                                      16   = HEAD_BYTES
//! chunks of 65,536 bytes and a tag of 16; the last is marked and may be shorter
//! ```
//!
//! Source: C2SP specification age.md v1.1 (age-encryption.org/v1).

pub mod day_key;
pub mod day_keys;
pub mod head;
pub mod identity;
pub mod stream;

/// What cannot be opened, or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not an age file of our form.
    #[error("not a sealed file of ours")]
    Form,
    /// Sealed for another key.
    #[error("sealed for another key")]
    OtherKey,
    /// Its bytes are not those that were written, or some are missing.
    #[error("the sealed file is damaged or cut short")]
    Damaged,
    /// A text is no age recipient or identity.
    #[error("not an age key")]
    Key,
    /// The system's cryptography failed.
    #[error("the system's cryptography failed")]
    Crypto,
}

/// HKDF-SHA-256. Source: RFC 5869.
fn derive(secret: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<(), SealError> {
    use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
    let secret = Salt::new(HKDF_SHA256, salt).extract(secret);
    let length = Length(out.len());
    secret.expand(info, length).and_then(|expanded| expanded.fill(out)).map_err(|_| SealError::Crypto)
}

struct Length(usize);

impl aws_lc_rs::hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

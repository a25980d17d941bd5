//! What is uploaded, and what was read back of it.

use aws_lc_rs::digest;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;

use optag_core::hex::hex;

/// Size of a part, and maximum size of an object stored by one request. Units: bytes.
pub const PART_BYTES: usize = 8 << 20;

/// An object that was stored and read back. Equal if the content is.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Size. Units: bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Version that was read back, if the store keeps versions.
    pub version: Option<String>,
    /// Multipart upload that created it, if any.
    pub upload: Option<String>,
}

impl PartialEq for Verified {
    fn eq(&self, other: &Self) -> bool {
        (self.bytes, &self.sha256) == (other.bytes, &other.sha256)
    }
}

impl Eq for Verified {}

/// A part to be uploaded: [`PART_BYTES`], the last one less.
pub struct Part {
    /// Content.
    pub bytes: Bytes,
    /// Memory permit, returned when the part is dropped.
    pub room: Option<OwnedSemaphorePermit>,
}

/// Called with the id of a multipart upload that begins or is resumed.
pub type Begun<'a> = &'a (dyn Fn(String) -> BoxFuture<'a, ()> + Send + Sync);

/// What was sent or read so far.
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    sha256: digest::Context,
}

impl Default for Sent {
    fn default() -> Self {
        Self { bytes: 0, sha256: digest::Context::new(&digest::SHA256) }
    }
}

impl Sent {
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        self.sha256.update(part);
    }

    pub(crate) fn verified(&self) -> Verified {
        let sha256 = hex(self.sha256.clone().finish().as_ref());
        Verified { bytes: self.bytes, sha256, version: None, upload: None }
    }
}

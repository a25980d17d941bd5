//! The copies that a store may have of a recording.

use serde::Serialize;

use optag_core::clock::WallTime;

/// One copy, as named by the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredCopy {
    /// Name of the object.
    pub key: String,
    /// Version, or id of the upload, if any.
    pub version: Option<String>,
    /// Kind of copy.
    pub kind: CopyKind,
    /// Size, if known. Units: bytes.
    pub bytes: u64,
    /// When it was stored, if known.
    pub stored_at: Option<WallTime>,
}

/// Kind of copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyKind {
    /// An object, or a version of it.
    Object,
    /// A delete marker.
    DeleteMarker,
    /// An unfinished multipart upload with its parts.
    Upload,
    /// An unfinished file.
    Unfinished,
}

impl StoredCopy {
    /// Name in receipts.
    pub fn name(&self) -> String {
        match (&self.version, self.kind) {
            (None, _) => self.key.clone(),
            (Some(id), CopyKind::Upload) => format!("{}?uploadId={id}", self.key),
            (Some(version), _) => format!("{}?versionId={version}", self.key),
        }
    }
}

/// A page of copies, in order of names.
#[derive(Debug, Default)]
pub struct Page {
    /// The copies.
    pub copies: Vec<StoredCopy>,
    /// What this page cannot show.
    pub unseen: Option<String>,
}

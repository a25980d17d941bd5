//! What is told of a receipt that someone wants verified.

use serde::{Deserialize, Serialize};

use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// Maximum number of receipts in one document.
pub const RECEIPTS_MOST: usize = 100;

/// What is known of each receipt in a document.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// In their order.
    pub receipts: Vec<VerifiedReceipt>,
}

/// What is known of a receipt.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifiedReceipt {
    /// Whether its signature is ours.
    pub verdict: Verdict,
    /// What the signature covers; none where it is not ours.
    pub content: Option<Content>,
}

/// Whether a receipt is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Signed by this installation, and unchanged since.
    Valid,
    /// Changed since it was signed, or never signed by the key that it names.
    Forged,
    /// Signed by another installation.
    OtherKey,
    /// No receipt of an erasure.
    NoReceipt,
}

/// What the signature of a receipt covers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// The recording.
    pub recording: CallId,
    /// Number of the request.
    pub request: Option<String>,
    /// When it was ordered: nothing of it was served from then on.
    pub ordered_at: WallTime,
    /// When nothing was left.
    pub verified_gone_at: WallTime,
    /// Number of copies that were deleted.
    pub deleted: usize,
    /// Whether it had been removed by hand, which someone accepted.
    pub accepted_missing: bool,
}

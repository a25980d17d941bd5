//! Receipts of erasures: signed, with every copy verified as deleted, and no personal data beyond the reference of the
//! request. In: entries of the deletion log. Out: a document.

use serde::{Deserialize, Serialize};

use crate::erasure::deletion_log::{Cause, Done, Order};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::signing::{Signed, Signer};

/// The kind of document that is signed.
pub const KIND: &str = "erasure-receipt";

/// Contents of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The recording.
    pub recording: CallId,
    /// Number of the request.
    pub request: Option<String>,
    /// Cause of the erasure.
    pub cause: Cause,
    /// When the order became durable: not served from then on.
    pub ordered_at: WallTime,
    /// When nothing was left: each name, version and upload was checked individually, and the store's listings were
    /// read.
    pub verified_gone_at: WallTime,
    /// What was deleted: objects, versions, delete markers, uploads. Empty if the store never had a copy.
    pub deleted: Vec<String>,
    /// True: the recording had been delivered, nothing of it was found, and an authorised person accepted that it had
    /// been removed by hand. The audit log names the person and the reason.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted_missing: bool,
}

/// The signed documents in a text: a single one, an answer of the API with one or several, or one of these inside a JSON
/// text. Each keeps its exact bytes.
///
/// `None`: it is none of these.
pub fn signed_in(text: &str) -> Option<Vec<Signed>> {
    #[derive(Deserialize)]
    struct One {
        receipt: Option<Signed>,
    }
    #[derive(Deserialize)]
    struct Several {
        erasures: Vec<One>,
    }
    let text = text.trim_start_matches('\u{feff}').trim();
    // A document inside a JSON text, as forms pass it on.
    let inner = serde_json::from_str::<String>(text).ok();
    let text = inner.as_deref().unwrap_or(text).trim();
    if let Ok(signed) = serde_json::from_str::<Signed>(text) {
        return Some(vec![signed]);
    }
    if let Ok(several) = serde_json::from_str::<Several>(text) {
        return Some(several.erasures.into_iter().filter_map(|one| one.receipt).collect());
    }
    let one: One = serde_json::from_str(text).ok()?;
    Some(one.receipt.into_iter().collect())
}

/// Signs the receipt of a completed erasure.
///
/// Errors: it cannot be written as JSON.
pub fn sign(signer: &Signer, order: Order, done: Done) -> Result<Signed, serde_json::Error> {
    let receipt = Receipt {
        recording: order.id,
        request: order.request,
        cause: order.cause,
        ordered_at: order.at,
        verified_gone_at: done.at,
        deleted: done.gone,
        accepted_missing: done.accepted_missing,
    };
    signer.sign(KIND, &receipt)
}

//! Whether receipts of erasures are ours. In: a document that was handed around. Out: what its signatures cover.

use crate::erasure::receipt::{KIND, Receipt, signed_in};
use crate::http::requests::receipts::{Content, RECEIPTS_MOST, Verdict, Verified, VerifiedReceipt};
use crate::index::{Index, IndexError};
use optag_core::signing::{Signed, SigningError};

/// Verifies the receipts in a text by this node's key and those of the other nodes.
///
/// `None`: there are none, or too many. Errors: keys of other nodes are needed, and the index does not answer.
pub(super) async fn verify(
    text: &str,
    own_key: String,
    index: &Index,
) -> Result<Option<Verified>, IndexError> {
    let found = signed_in(text).filter(|all| !all.is_empty() && all.len() <= RECEIPTS_MOST);
    let Some(found) = found else { return Ok(None) };
    let mut keys = vec![own_key];
    if found.iter().any(|signed| !keys[0].eq_ignore_ascii_case(&signed.public_key)) {
        keys.extend(index.signing_keys().await?);
    }
    Ok(Some(Verified { receipts: found.iter().map(|signed| one(signed, &keys)).collect() }))
}

fn one(signed: &Signed, keys: &[String]) -> VerifiedReceipt {
    let bare = |verdict| VerifiedReceipt { verdict, content: None };
    let key = keys.iter().find(|key| key.eq_ignore_ascii_case(&signed.public_key));
    // Which key it names is only of interest where it was signed at all.
    match (signed.verify(KIND, None), key) {
        (Err(SigningError::Form(_)), _) => bare(Verdict::NoReceipt),
        (Err(_), _) => bare(Verdict::Forged),
        (Ok(()), None) => bare(Verdict::OtherKey),
        (Ok(()), Some(_)) => match signed.read::<Receipt>() {
            Err(_) => bare(Verdict::NoReceipt),
            Ok(receipt) => VerifiedReceipt {
                verdict: Verdict::Valid,
                content: Some(Content {
                    recording: receipt.recording,
                    request: receipt.request,
                    ordered_at: receipt.ordered_at,
                    verified_gone_at: receipt.verified_gone_at,
                    deleted: receipt.deleted.len(),
                    accepted_missing: receipt.accepted_missing,
                }),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_core::signing::Signer;
    use serde_json::json;

    #[test]
    fn a_receipt_is_valid_with_our_key_and_the_bytes_that_were_signed_alone() {
        let (ours, theirs) = (Signer::from_seed(&[7; 32]).unwrap(), Signer::from_seed(&[8; 32]).unwrap());
        let keys = [ours.public_key()];
        let receipt = json!({
            "recording": "01890a5d-ac96-774b-bcce-b302099a8057", "request": "2026-0042", "cause": "request",
            "ordered_at": "2026-11-24T10:00:00Z", "verified_gone_at": "2026-11-24T10:00:01Z",
            "deleted": ["one", "two"],
        });
        let signed = ours.sign(KIND, &receipt).unwrap();
        let valid = one(&signed, &keys);
        assert_eq!(valid.verdict, Verdict::Valid);
        let content = valid.content.unwrap();
        assert_eq!((content.request.as_deref(), content.deleted), (Some("2026-0042"), 2));
        let changed = serde_json::to_string(&signed).unwrap().replace("2026-0042", "2026-0043");
        let changed: Signed = serde_json::from_str(&changed).unwrap();
        assert_eq!(one(&changed, &keys), VerifiedReceipt { verdict: Verdict::Forged, content: None });
        assert_eq!(one(&theirs.sign(KIND, &receipt).unwrap(), &keys).verdict, Verdict::OtherKey);
        // A key of ours that did not sign it proves nothing.
        let claimed = Signed { public_key: ours.public_key(), ..theirs.sign(KIND, &receipt).unwrap() };
        assert_eq!(one(&claimed, &keys).verdict, Verdict::Forged);
        assert_eq!(one(&ours.sign("audit-checkpoint", &receipt).unwrap(), &keys).verdict, Verdict::NoReceipt);
    }
}

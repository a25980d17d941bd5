//! Ended calls of this node that are still in its spool alone. In: the spool. Out: what was known of each at its admission,
//! and that as a row of the index.

use std::sync::Arc;

use crate::delivery::queue::DeliveryQueue;
use crate::index::IndexRow;
use crate::recordings::requests::RequestService;
use optag_core::call::CallFacts;
use optag_storage::spool::record::Body;

/// Maximum number of them included in a search.
pub(super) const SEARCHED_MOST: usize = 5_000;

impl RequestService {
    /// So many of them at most.
    pub(super) async fn undelivered(&self, most: usize) -> Vec<CallFacts> {
        let (spool, live_calls) = (self.stores.spool.clone(), Arc::clone(&self.live_calls));
        let read = move || {
            let ended = spool.calls().into_iter().filter(|id| !live_calls.is_live(*id)).take(most);
            let facts = ended.filter_map(|id| match spool.read(id).ok()?.next()? {
                Ok(Body::Opened(facts)) => Some(facts),
                _ => None,
            });
            facts.collect()
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }
}

/// The data known before delivery; the length is not.
pub(super) fn row_of(facts: CallFacts, deliveries: &DeliveryQueue) -> IndexRow {
    let ended_at = deliveries.ended_at(facts.id).unwrap_or(facts.started_at);
    IndexRow {
        id: facts.id,
        department: facts.department,
        started_at: facts.started_at,
        recording_started_at: facts.started_at,
        ended_at,
        duration_ms: 0,
        caller_number: Some(facts.caller_number),
        called_number: Some(facts.called_number),
        caller_name: facts.caller_name,
        external_id: facts.external_id,
        object_bytes: 0,
        object_sha256: String::new(),
        expires_at: facts.started_at.plus_days(i64::from(facts.retention_days)),
        erased_at: None,
        verdicts: Vec::new(),
        streams: Vec::new(),
    }
}

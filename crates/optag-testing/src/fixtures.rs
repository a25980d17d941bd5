//! A call as tests store it, where what it is does not matter.

use optag_core::call::{
    CallFacts, ConsentHow, ConsentRecord, ConsentState, Evidence, StreamFacts, StreamRole,
};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// A call to department `demo` with one stream, kept for 90 days.
pub fn call_facts(id: CallId, started_at: WallTime) -> CallFacts {
    CallFacts {
        id,
        department: "demo".into(),
        started_at,
        retention_days: 90,
        caller_number: "12345678".to_owned().into(),
        called_number: "70101010".to_owned().into(),
        caller_name: None,
        external_id: None,
        streams: vec![StreamFacts { label: "a".into(), role: StreamRole::Mixed }],
        context: Default::default(),
    }
}

/// A yes by key.
pub fn granted(at: WallTime) -> ConsentRecord {
    ConsentRecord {
        state: ConsentState::Granted,
        how: ConsentHow::Key,
        at,
        prompt_version: None,
        evidence: Evidence::Clock,
        terms: None,
    }
}

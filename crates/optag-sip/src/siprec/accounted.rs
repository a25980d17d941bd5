//! Which rejected INVITEs have been accounted for: a retransmission is not counted again.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::sip::header::Headers;

/// Rejected INVITEs kept, so that a retransmission is accounted for once.
const REMEMBERED: usize = 4_096;

/// Rejected INVITEs that have an account.
#[derive(Debug, Default)]
pub(super) struct Accounted {
    seen: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Accounted {
    /// Whether this INVITE has no account yet; marks it as accounted for.
    pub(super) fn is_new(&mut self, request: &Headers) -> bool {
        let mut hasher = DefaultHasher::new();
        for name in ["call-id", "cseq", "from"] {
            request.all(name).next().unwrap_or_default().hash(&mut hasher);
        }
        let name = hasher.finish();
        if !self.seen.insert(name) {
            return false;
        }
        self.order.push_back(name);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

//! Validates UDP source addresses: which peers have shown that they receive what we send.
//!
//! In: peers that repeated a value only our responses contain (the tag of a dialog). Out: whether
//! responses to a peer may be larger than its requests. A validation expires, and is revoked when
//! many INVITEs in a row go unacknowledged: their source may be forged. Not here: how much may be
//! sent to unvalidated peers (`transaction`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use optag_core::clock::MonoTime;

/// How long a validation is good for.
const LASTS: Duration = Duration::from_secs(3_600);
/// Consecutive INVITEs whose responses may stay unacknowledged.
const UNACKNOWLEDGED: u32 = 32;
/// Addresses kept at once; when full, the one heard from longest ago is evicted.
pub const ADDRESSES: usize = 4_096;

/// Validated addresses.
#[derive(Debug, Default)]
pub struct Proofs(HashMap<SocketAddr, Proof>);

#[derive(Debug)]
struct Proof {
    at: MonoTime,
    unacknowledged: u32,
}

impl Proofs {
    /// Records that `peer` repeated a value that only our responses to it contain.
    pub fn prove(&mut self, now: MonoTime, peer: SocketAddr) {
        if self.0.len() >= ADDRESSES
            && !self.0.contains_key(&peer)
            && let Some(oldest) = self.0.iter().min_by_key(|(_, proof)| proof.at).map(|(peer, _)| *peer)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(peer, Proof { at: now, unacknowledged: 0 });
    }

    /// Whether `peer` may be sent more bytes than it sent.
    pub fn holds(&self, now: MonoTime, peer: SocketAddr) -> bool {
        let good = |proof: &Proof| now.since(proof.at) < LASTS && proof.unacknowledged < UNACKNOWLEDGED;
        self.0.get(&peer).is_some_and(good)
    }

    /// Records that an INVITE from `peer` is about to be answered.
    pub fn invited(&mut self, peer: SocketAddr) {
        if let Some(proof) = self.0.get_mut(&peer) {
            proof.unacknowledged = proof.unacknowledged.saturating_add(1);
        }
    }

    /// Number of addresses kept.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no address is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_ends_with_time_and_with_answers_that_nobody_acknowledges() {
        let at = |s: u64| MonoTime::from_nanos(s * 1_000_000_000);
        let peer = |port| SocketAddr::new([192, 0, 2, 1].into(), port);
        let mut proofs = Proofs::default();
        assert!(!proofs.holds(at(0), peer(1)));
        proofs.prove(at(0), peer(1));
        assert!(proofs.holds(at(3_599), peer(1)) && !proofs.holds(at(3_600), peer(1)));
        assert!(!proofs.holds(at(0), peer(2)), "another port is another program");
        for _ in 0..UNACKNOWLEDGED {
            assert!(proofs.holds(at(1), peer(1)));
            proofs.invited(peer(1));
        }
        assert!(!proofs.holds(at(1), peer(1)));
        proofs.prove(at(2), peer(1));
        assert!(proofs.holds(at(2), peer(1)));
        for port in 0..10_000 {
            proofs.prove(at(3), peer(port));
        }
        assert_eq!(proofs.len(), ADDRESSES);
    }
}

//! Which UDP addresses have shown that they receive what is sent to them.
//!
//! In: peers that repeated what only our answers hold (the tag of a dialog). Out: whether answers
//! to a peer may outweigh its requests. Nobody is believed for ever, nor while answers to many
//! INVITEs in a row go unacknowledged: those may be another's, under a forged source. Not here: how
//! much may be sent to the others (`transaction`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use optag_core::clock::MonoTime;

/// How long a proof is good.
const LASTS: Duration = Duration::from_secs(3_600);
/// INVITEs whose answers may be unacknowledged in a row.
const UNACKNOWLEDGED: u32 = 32;
/// Addresses remembered at once; beyond it, the one heard longest ago goes.
pub const ADDRESSES: usize = 4_096;

/// The addresses that were proved.
#[derive(Debug, Default)]
pub struct Proofs(HashMap<SocketAddr, Proof>);

#[derive(Debug)]
struct Proof {
    at: MonoTime,
    unacknowledged: u32,
}

impl Proofs {
    /// `peer` has repeated what only our answers to it hold.
    pub fn prove(&mut self, now: MonoTime, peer: SocketAddr) {
        if self.0.len() >= ADDRESSES
            && !self.0.contains_key(&peer)
            && let Some(oldest) = self.0.iter().min_by_key(|(_, proof)| proof.at).map(|(peer, _)| *peer)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(peer, Proof { at: now, unacknowledged: 0 });
    }

    /// Whether `peer` may be sent more than it sends.
    pub fn holds(&self, now: MonoTime, peer: SocketAddr) -> bool {
        let good = |proof: &Proof| now.since(proof.at) < LASTS && proof.unacknowledged < UNACKNOWLEDGED;
        self.0.get(&peer).is_some_and(good)
    }

    /// An INVITE of `peer` is going to be answered.
    pub fn invited(&mut self, peer: SocketAddr) {
        if let Some(proof) = self.0.get_mut(&peer) {
            proof.unacknowledged = proof.unacknowledged.saturating_add(1);
        }
    }

    /// Addresses remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
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

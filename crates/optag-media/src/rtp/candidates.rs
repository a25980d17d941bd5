//! Candidate senders for a stream, and their behaviour. In: packets that are not its sender's.
//! Out: what is known about their senders.
//!
//! Bounded: a slot is given to another sender only if its holder has gone, or has sent one packet and is
//! chosen at random. A flood from one address takes few slots; a flood from many leaves a newcomer its
//! chance, and a sender that has shown a run keeps its slot.

use std::net::SocketAddr;
use std::time::Duration;

use super::continuity::{Continuity, Step};
use optag_core::clock::MonoTime;

/// Number of senders tracked at a time.
const PLACES: usize = 32;
/// Of one address; a client has a few SSRCs.
const PER_ADDRESS: usize = 4;
/// One in this many newcomers replaces a sender of one packet if all slots are taken: often enough to get in,
/// rarely enough that most have sent their second packet by then.
const ODDS: u64 = 8;
/// How long a sender that sends nothing more keeps its slot.
const GONE: Duration = Duration::from_secs(2);

/// A sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Sender {
    /// Its address.
    pub address: SocketAddr,
    /// Its SSRC.
    pub ssrc: u32,
}

/// A candidate sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The sender.
    pub sender: Sender,
    /// Continuity of its packets.
    pub run: Continuity,
    /// Its packets that arrived while the stream had no sender.
    pub waited: u32,
}

/// All candidates.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    all: Vec<Candidate>,
    /// Packets that arrived while the stream had no sender, and were not from its later sender.
    junk: u32,
}

impl Candidates {
    /// Processes a sender's packet; returns what is known about it, or `None` if there is no slot for it.
    pub(super) fn note(&mut self, sender: Sender, step: Step) -> Option<Candidate> {
        if let Some(known) = self.all.iter_mut().find(|known| known.sender == sender) {
            known.run.add(step);
            if known.run.packets() < 2 {
                // The earlier ones belonged to no run.
                self.junk += std::mem::take(&mut known.waited);
            }
            return Some(*known);
        }
        let new = Candidate { sender, run: Continuity::new(step), waited: 0 };
        let crowded = self.all.iter().filter(|known| known.sender.address == sender.address).count();
        if crowded < PER_ADDRESS && self.all.len() < PLACES {
            self.all.push(new);
        } else {
            let place = self.place_for(&new, crowded >= PER_ADDRESS, step)?;
            self.junk += std::mem::replace(&mut self.all[place], new).waited;
        }
        debug_assert!(self.all.len() <= PLACES, "more candidates than places");
        Some(new)
    }

    /// The last packet noted for this sender is not kept, because the stream has no sender.
    pub(super) fn waits(&mut self, sender: Sender) {
        match self.all.iter_mut().find(|known| known.sender == sender) {
            Some(known) => known.waited += 1,
            None => self.junk += 1,
        }
    }

    /// The number of packets found to be junk since the last call.
    pub(super) fn take_junk(&mut self) -> u32 {
        std::mem::take(&mut self.junk)
    }

    /// The slot that a newcomer takes, if any. `crowded`: only a sender at its own address may be replaced.
    fn place_for(&self, new: &Candidate, crowded: bool, step: Step) -> Option<usize> {
        let may_go = |known: &Candidate| !crowded || known.sender.address == new.sender.address;
        let places = || self.all.iter().enumerate().filter(|(_, known)| may_go(known));
        let gone = places().find(|(_, known)| step.at.since(known.run.last()) >= GONE);
        if let Some((place, _)) = gone {
            return Some(place);
        }
        let lot = lot(new.sender, step);
        let singles = places().filter(|(_, known)| known.run.packets() < 2);
        let count = singles.clone().count();
        if count > 0 {
            let drawn = lot.is_multiple_of(ODDS);
            return drawn.then(|| singles.map(|(place, _)| place).nth((lot / ODDS) as usize % count))?;
        }
        let most = self.largest_network(new.sender.address).filter(|_| !crowded)?;
        let of_most = places().filter(|(_, known)| known.sender.address.ip() == most);
        of_most.min_by_key(|(_, known)| (known.run.carried(), known.run.last())).map(|(place, _)| place)
    }

    /// The IP address with more than half of the slots, unless it is the newcomer's own.
    fn largest_network(&self, newcomer: SocketAddr) -> Option<std::net::IpAddr> {
        let of = |ip| self.all.iter().filter(|known| known.sender.address.ip() == ip).count();
        let ips = self.all.iter().map(|known| known.sender.address.ip());
        ips.filter(|&ip| ip != newcomer.ip()).find(|&ip| of(ip) > PLACES / 2)
    }

    /// Whether a sender at another address sustains a stream at the same time as this one.
    pub(super) fn has_rival(&self, now: MonoTime, sender: SocketAddr) -> bool {
        self.all.iter().any(|known| {
            known.sender.address != sender && known.run.packets() >= 2 && now.since(known.run.last()) < GONE
        })
    }

    /// Makes this the stream's sender; the others were not.
    pub(super) fn take(&mut self, sender: Sender) {
        self.all.retain(|known| known.sender != sender);
        self.junk += self.all.iter_mut().map(|known| std::mem::take(&mut known.waited)).sum::<u32>();
    }

    /// Removes all candidates.
    pub(super) fn clear(&mut self) {
        self.junk += self.all.drain(..).map(|known| known.waited).sum::<u32>();
    }

    /// Number of candidates.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }
}

/// A number that no sender can predict: it depends on the arrival time to the nanosecond.
fn lot(sender: Sender, step: Step) -> u64 {
    let port = u64::from(sender.address.port());
    let mixed = step.at.as_nanos() ^ port << 48 ^ u64::from(sender.ssrc) << 16 ^ u64::from(step.sequence);
    // The finaliser of SplitMix64.
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

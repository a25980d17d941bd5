//! Senders that may become a stream's, and how each does. In: packets that are not its sender's.
//! Out: what is known of whoever sent them.
//!
//! Bounded: a place is given up for another sender only where its holder has gone, or has sent one
//! packet and the lot falls on it. A flood from one address takes few places; one from many leaves
//! its chance to whoever comes, and who showed a run keeps its place.

use std::net::SocketAddr;
use std::time::Duration;

use super::continuity::{Continuity, Step};
use optag_core::clock::MonoTime;

/// Senders that are looked at side by side.
const PLACES: usize = 32;
/// Of one address; a client has a few SSRCs.
const PER_ADDRESS: usize = 4;
/// One in so many newcomers takes the place of a sender of one packet, where all places are taken:
/// often enough to come in, seldom enough that most have sent their second packet by then.
const ODDS: u64 = 8;
/// How long a sender keeps its place that sends nothing more.
const GONE: Duration = Duration::from_secs(2);

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sender {
    /// From where.
    pub address: SocketAddr,
    /// As what.
    pub ssrc: u32,
}

/// A sender that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Who.
    pub sender: Sender,
    /// How it does.
    pub run: Continuity,
    /// Packets of it that came while the stream had no sender.
    pub waited: u32,
}

/// All that are looked at.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    all: Vec<Candidate>,
    /// Packets that came while the stream had no sender, and were not its sender's.
    junk: u32,
}

impl Candidates {
    /// Takes a sender's packet; what is known of it, or `None` where there is no place for it.
    pub fn note(&mut self, sender: Sender, step: Step) -> Option<Candidate> {
        if let Some(known) = self.all.iter_mut().find(|known| known.sender == sender) {
            known.run.add(step);
            if known.run.packets() < 2 {
                // Those before it were of no run.
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

    /// The packet of this sender that was noted last is not kept, as the stream has no sender.
    pub fn waits(&mut self, sender: Sender) {
        match self.all.iter_mut().find(|known| known.sender == sender) {
            Some(known) => known.waited += 1,
            None => self.junk += 1,
        }
    }

    /// How many packets turned out to be nobody's since the last time.
    pub fn take_junk(&mut self) -> u32 {
        std::mem::take(&mut self.junk)
    }

    /// Whose place a newcomer takes, if any. `crowded`: only one of its own address may go.
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

    /// The IP address that holds more than half of the places, unless it is the newcomer's own.
    fn largest_network(&self, newcomer: SocketAddr) -> Option<std::net::IpAddr> {
        let of = |ip| self.all.iter().filter(|known| known.sender.address.ip() == ip).count();
        let ips = self.all.iter().map(|known| known.sender.address.ip());
        ips.filter(|&ip| ip != newcomer.ip()).find(|&ip| of(ip) > PLACES / 2)
    }

    /// Whether somebody at another address keeps a stream up beside this one's sender.
    pub fn has_rival(&self, now: MonoTime, sender: SocketAddr) -> bool {
        self.all.iter().any(|known| {
            known.sender.address != sender && known.run.packets() >= 2 && now.since(known.run.last()) < GONE
        })
    }

    /// This one is the stream's sender from now on, and the others were not.
    pub fn take(&mut self, sender: Sender) {
        self.all.retain(|known| known.sender != sender);
        self.junk += self.all.iter_mut().map(|known| std::mem::take(&mut known.waited)).sum::<u32>();
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        self.junk += self.all.drain(..).map(|known| known.waited).sum::<u32>();
    }

    /// How many are looked at.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.all.len()
    }
}

/// A number that nobody who sends a packet can foresee: when it arrives, to the nanosecond, is in it.
fn lot(sender: Sender, step: Step) -> u64 {
    let port = u64::from(sender.address.port());
    let mixed = step.at.as_nanos() ^ port << 48 ^ u64::from(sender.ssrc) << 16 ^ u64::from(step.sequence);
    // The finaliser of SplitMix64.
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

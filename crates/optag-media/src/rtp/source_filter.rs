//! Whose packets a stream takes, and whose keys. In: who sent a packet, and its place in a stream.
//! Out: whether it belongs to the stream, and from when on the sender's keys count.
//!
//! The first sender counts after two packets. Until it has carried audio for a second, another
//! that carries more takes its place: whoever sends a packet now and then keeps nobody out. After
//! that another must send five packets, and only while the one in place is silent: a little while
//! where only the SSRC is another, longer where the address is. An address that signalling fixed
//! is never left; who proves a key, or sends what signalling named, goes before all others.
//! Who sent to the port in an earlier call is not heard in this one.
//! Source: RFC 3550 appendix A.1 (probation).

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rtp::candidates::{Candidate, Candidates, Sender};
use crate::rtp::continuity::Continuity;
pub use crate::rtp::continuity::Step;
use optag_core::clock::MonoTime;

/// Packets of a run that make a first source.
const FIRST_PROBATION: u16 = 2;
/// Packets of a run that make another source the stream's, and how long they take at least.
const CHANGE_PROBATION: u16 = 5;
const CHANGE_LASTS: Duration = Duration::from_millis(40);
/// How long the source in place must have been silent before one at another address can take
/// over.
const SILENT: Duration = Duration::from_millis(500);
/// The same for another SSRC at the same address: clients change it in mid-call, without a word.
const SILENT_SSRC: Duration = Duration::from_millis(80);
/// What another must have carried to take the place of one that is not established.
const BETTER: Duration = Duration::from_millis(100);
/// Audio that establishes a source: from then on it keeps its place until it is silent, and its
/// keys count though signalling did not name it.
pub const ESTABLISHED: Duration = Duration::from_secs(1);

/// What is known of a stream's sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedSource {
    /// Its address; others are refused.
    pub ip: Option<std::net::IpAddr>,
    /// Its port; others are refused.
    pub port: Option<u16>,
    /// Its SSRC; others are refused.
    pub ssrc: Option<u32>,
    /// The port that it likely sends from: where it takes packets itself. Others are taken, but
    /// whoever sends from it goes before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely_port: Option<u16>,
    /// An SSRC that was drawn for it and told it alone. It need not use it; who does goes before
    /// all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_ssrc: Option<u32>,
}

impl ExpectedSource {
    fn fits(&self, sender: Sender) -> bool {
        self.fits_address(sender.address) && self.ssrc.is_none_or(|expected| expected == sender.ssrc)
    }

    fn fits_address(&self, address: SocketAddr) -> bool {
        self.ip.is_none_or(|ip| ip == address.ip()) && self.port.is_none_or(|port| port == address.port())
    }

    /// Whether signalling pointed at this very sender, and not only at the machine it is on.
    fn names(&self, sender: Sender) -> bool {
        let port = Some(sender.address.port());
        let place = self.ip.is_some() && (self.port == port || self.likely_port == port);
        let number = Some(sender.ssrc);
        place || self.ssrc == number || self.offered_ssrc == number
    }
}

/// Who sent a packet.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// From where.
    pub address: SocketAddr,
    /// As what.
    pub ssrc: u32,
    /// Whether a key proves it.
    pub proved: bool,
}

/// How good a reason there is to take a sender for the stream's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Rank {
    /// Nothing speaks against it.
    #[default]
    Fits,
    /// Signalling points at it.
    Named,
    /// A key proves it.
    Proved,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the stream's.
    Accept,
    /// It is the stream's, and the first of a new sender: sequence and timestamp start anew.
    AcceptNew {
        /// Packets of this sender that were answered by [`Verdict::Probation`].
        waited: u32,
    },
    /// It is an event from the stream's address under another SSRC: its numbers and its clock are
    /// not the audio's.
    Beside,
    /// It may become the stream's: keep nothing of it.
    Probation,
    /// It comes from an address that is not the stream's.
    ForeignAddress,
    /// It carries an SSRC that is not the stream's.
    ForeignSsrc,
    /// It belongs to an earlier call that had this port.
    Stale,
}

/// What is known of the sender in place, beside who it is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Standing {
    run: Continuity,
    rank: Rank,
    /// When an event came from its address under another SSRC.
    #[serde(skip)]
    beside: Option<MonoTime>,
    /// Since when its keys count.
    keys_since: Option<MonoTime>,
}

impl Default for Standing {
    /// Of one that was saved by a program which knew nothing of this.
    fn default() -> Self {
        let run = Continuity::that_carried(ESTABLISHED);
        Self { run, rank: Rank::Fits, beside: None, keys_since: Some(MonoTime::default()) }
    }
}

/// The rule, with the sender in place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceRule {
    expected: ExpectedSource,
    current: Option<(Sender, MonoTime)>,
    #[serde(default)]
    standing: Standing,
    /// Who was in place before, and was established: it comes back without further ado.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former: Option<Sender>,
    #[serde(skip)]
    candidates: Candidates,
    #[serde(default)]
    stale: Option<Sender>,
}

impl SourceRule {
    /// A rule without a sender yet.
    pub fn new(expected: ExpectedSource) -> Self {
        Self {
            expected,
            current: None,
            standing: Standing::default(),
            former: None,
            candidates: Candidates::default(),
            stale: None,
        }
    }

    /// This sender belongs to an earlier call that had the port.
    pub fn reject_stale(&mut self, (address, ssrc): (SocketAddr, u32)) {
        self.stale = Some(Sender { address, ssrc });
    }

    /// Who is in place: address and SSRC.
    pub fn sender(&self) -> Option<(SocketAddr, u32)> {
        self.current.map(|(sender, _)| (sender.address, sender.ssrc))
    }

    /// Since when keys of the sender in place count; `None`: they do not, as it may be anybody.
    pub fn keys_since(&self) -> Option<MonoTime> {
        self.current.and(self.standing.keys_since)
    }

    /// Signalling says where packets come from now. A sender that still fits goes on; any other
    /// gives way to the first that proves itself. What was offered stays on offer.
    pub fn expect(&mut self, expected: ExpectedSource) {
        self.candidates.clear();
        self.former = None;
        let offered_ssrc = expected.offered_ssrc.or(self.expected.offered_ssrc);
        self.expected = ExpectedSource { offered_ssrc, ..expected };
        self.current = self.current.filter(|(sender, _)| self.expected.fits(*sender));
        if let Some((sender, heard)) = self.current {
            self.standing.rank = self.rank(sender, false);
            self.weigh_keys(heard);
        }
    }

    /// Packets that came while there was no sender and turned out not to be its, since the last time.
    pub fn take_junk(&mut self) -> u32 {
        self.candidates.take_junk()
    }

    /// Nobody becomes the stream's sender any more.
    pub fn close(&mut self) {
        self.candidates.clear();
    }

    /// Goes on in another process at `now`. That the sender was not heard in between is no silence
    /// of its.
    pub fn resume(&mut self, now: MonoTime) {
        if let Some((_, heard)) = &mut self.current {
            *heard = now;
        }
    }

    /// Whether signalling allows packets from there at all.
    pub fn may_come_from(&self, from: SocketAddr) -> bool {
        self.expected.fits_address(from)
    }

    /// Judges a packet.
    pub fn judge(&mut self, from: Origin, step: Step) -> Verdict {
        let sender = Sender { address: from.address, ssrc: from.ssrc };
        let rank = self.rank(sender, from.proved);
        if let Some((current, heard)) = &mut self.current
            && *current == sender
        {
            *heard = step.at;
            self.standing.run.add(step);
            self.standing.rank = self.standing.rank.max(rank);
            self.weigh_keys(step.at);
            return Verdict::Accept;
        }
        // Signalling that names port or SSRC knows better.
        let named = self.expected.port.is_some() || self.expected.ssrc.is_some();
        if self.stale == Some(sender) && !named {
            return Verdict::Stale;
        }
        if !self.expected.fits_address(from.address) {
            return Verdict::ForeignAddress;
        }
        let at_its_address = self.current.is_some_and(|(current, _)| current.address == from.address);
        if at_its_address && !step.audio {
            self.standing.beside = Some(step.at);
            self.standing.rank = self.standing.rank.max(rank);
            self.weigh_keys(step.at);
            return Verdict::Beside;
        }
        if !self.expected.fits(sender) {
            return Verdict::ForeignSsrc;
        }
        self.try_out(sender, rank, step)
    }

    fn rank(&self, sender: Sender, proved: bool) -> Rank {
        match (proved, self.expected.names(sender)) {
            (true, _) => Rank::Proved,
            (false, true) => Rank::Named,
            (false, false) => Rank::Fits,
        }
    }

    fn try_out(&mut self, sender: Sender, rank: Rank, step: Step) -> Verdict {
        let foreign = match self.current {
            Some((current, _)) if current.address != sender.address => Verdict::ForeignAddress,
            Some(_) => Verdict::ForeignSsrc,
            None => Verdict::Probation,
        };
        let noted = self.candidates.note(sender, step);
        let Some(candidate) = noted.filter(|candidate| self.takes_over(candidate, rank, step.at)) else {
            if foreign == Verdict::Probation {
                self.candidates.waits(sender);
            }
            return foreign;
        };
        if let Some((displaced, _)) = self.current
            && self.standing.run.carried() >= ESTABLISHED
        {
            self.former = Some(displaced);
        }
        self.candidates.take(sender);
        self.current = Some((sender, step.at));
        self.standing = Standing { run: candidate.run, rank, beside: None, keys_since: None };
        self.weigh_keys(step.at);
        Verdict::AcceptNew { waited: candidate.waited }
    }

    /// Whether a candidate is the stream's sender from now on.
    fn takes_over(&self, candidate: &Candidate, rank: Rank, now: MonoTime) -> bool {
        let run = &candidate.run;
        let Some((current, heard)) = self.current else { return run.packets() >= FIRST_PROBATION };
        let standing = &self.standing;
        if run.packets() < FIRST_PROBATION {
            return false;
        }
        if rank > standing.rank {
            return true;
        }
        let neighbours = current.address == candidate.sender.address;
        if neighbours && !standing.run.has_audio() {
            // What is in place are events alone.
            return run.has_audio();
        }
        let (heard, silent) = if neighbours {
            (heard, SILENT_SSRC)
        } else {
            (standing.beside.map_or(heard, |beside| heard.max(beside)), SILENT)
        };
        if now.since(heard) >= silent {
            return run.has_audio() && run.packets() >= CHANGE_PROBATION && run.lasts() >= CHANGE_LASTS;
        }
        let established = standing.run.carried() >= ESTABLISHED;
        if neighbours || established || rank < standing.rank {
            return false;
        }
        self.former == Some(candidate.sender)
            || (run.carried() >= BETTER && run.carried() > standing.run.carried())
    }

    /// Looks anew at whether the keys of the sender in place count.
    fn weigh_keys(&mut self, now: MonoTime) {
        let Some((current, _)) = self.current else { return };
        let Standing { run, rank, keys_since, .. } = &mut self.standing;
        let established = run.carried() >= ESTABLISHED;
        let first = self.expected.ip.is_some() && self.former.is_none();
        let alone = first && !self.candidates.has_rival(now, current.address);
        let count = *rank > Rank::Fits || established || alone;
        *keys_since = count.then(|| keys_since.unwrap_or(now));
    }
}

#[cfg(test)]
mod tests;

//! The accepted sender of a stream, and whether its key presses count. In: the sender of a packet, and its
//! position in a stream.
//! Out: whether it belongs to the stream, and from when the sender's key presses count.
//!
//! The first sender is accepted after two packets. Until it has carried audio for a second, one that carries
//! more replaces it: occasional packets keep nobody out. After that another sender must send five packets,
//! and only while the current one is silent: briefly if only the SSRC differs, longer if the address does. An
//! address fixed by signalling never changes; senders that are authenticated, or identified by signalling,
//! take precedence over all others: even while one is silent, none at another host replaces it that is not
//! identified as well. The sender to the port in an earlier call is rejected in this one.
//! Source: RFC 3550 appendix A.1 (probation).

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rtp::candidates::{Candidate, Candidates, Sender};
use crate::rtp::continuity::Continuity;
pub use crate::rtp::continuity::Step;
use optag_core::clock::MonoTime;

/// Packets of a run that a first sender needs.
const FIRST_PROBATION: u16 = 2;
/// Packets of a run that another sender needs, and their minimum duration.
const CHANGE_PROBATION: u16 = 5;
const CHANGE_LASTS: Duration = Duration::from_millis(40);
/// How long the current sender must have been silent before one at another address can take over.
const SILENT: Duration = Duration::from_millis(500);
/// The same for another SSRC at the same address: clients change it during calls without signalling.
const SILENT_SSRC: Duration = Duration::from_millis(80);
/// Audio that another sender must have carried to replace one that is not established.
const BETTER: Duration = Duration::from_millis(100);
/// Audio that establishes a sender: from then on it keeps the stream until it is silent, and its key presses
/// count even if signalling did not identify it.
pub const ESTABLISHED: Duration = Duration::from_secs(1);

/// What is known about a stream's sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedSource {
    /// Its address; others are refused.
    pub ip: Option<std::net::IpAddr>,
    /// Its port; others are refused.
    pub port: Option<u16>,
    /// Its SSRC; others are refused.
    pub ssrc: Option<u32>,
    /// The port that it probably sends from: its own receive port. Others are accepted, but a sender on this
    /// port takes precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely_port: Option<u16>,
    /// An SSRC generated for it and announced only to it. It need not use it; a sender that does takes
    /// precedence over all others.
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

    /// Whether signalling identified this particular sender, and not only its host.
    fn names(&self, sender: Sender) -> bool {
        let port = Some(sender.address.port());
        let place = self.ip.is_some() && (self.port == port || self.likely_port == port);
        let number = Some(sender.ssrc);
        place || self.ssrc == number || self.offered_ssrc == number
    }
}

/// The sender of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Its address.
    pub address: SocketAddr,
    /// Its SSRC.
    pub ssrc: u32,
    /// Whether it is authenticated by a key.
    pub proved: bool,
}

/// Precedence of a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Rank {
    /// Nothing excludes it.
    #[default]
    Fits,
    /// Identified by signalling.
    Named,
    /// Authenticated by a key.
    Proved,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to the stream.
    Accept,
    /// It belongs to the stream, and is the first of a new sender: sequence numbers and timestamps restart.
    AcceptNew {
        /// Packets of this sender for which [`Verdict::Probation`] was returned.
        waited: u32,
    },
    /// An event from the stream's address under another SSRC: sequence numbers and clock are not the audio's.
    Beside,
    /// Its sender may become the stream's: keep nothing of it.
    Probation,
    /// It comes from an address other than the stream's.
    ForeignAddress,
    /// Its SSRC is not the stream's.
    ForeignSsrc,
    /// It belongs to an earlier call that had this port.
    Stale,
}

/// State of the current sender, apart from its identity.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Standing {
    run: Continuity,
    rank: Rank,
    /// When an event came from its address under another SSRC.
    #[serde(skip)]
    beside: Option<MonoTime>,
    /// Since when its key presses count.
    keys_since: Option<MonoTime>,
}

impl Default for Standing {
    /// For one saved by a version without these fields.
    fn default() -> Self {
        let run = Continuity::that_carried(ESTABLISHED);
        Self { run, rank: Rank::Fits, beside: None, keys_since: Some(MonoTime::default()) }
    }
}

/// The rule, with the current sender.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceRule {
    expected: ExpectedSource,
    current: Option<(Sender, MonoTime)>,
    #[serde(default)]
    standing: Standing,
    /// The previous sender, if it was established: it is accepted again at once.
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

    /// Rejects this sender: it belongs to an earlier call that had the port.
    pub fn reject_stale(&mut self, (address, ssrc): (SocketAddr, u32)) {
        self.stale = Some(Sender { address, ssrc });
    }

    /// The current sender: address and SSRC.
    pub fn sender(&self) -> Option<(SocketAddr, u32)> {
        self.current.map(|(sender, _)| (sender.address, sender.ssrc))
    }

    /// Since when key presses of the current sender count; `None` if they do not, because it may be anybody.
    pub fn keys_since(&self) -> Option<MonoTime> {
        self.current.and(self.standing.keys_since)
    }

    /// Sets the source expected by signalling. A sender that still matches is kept; any other is replaced by
    /// the first that is accepted. An offered SSRC stays on offer.
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

    /// Packets that arrived while there was no sender and were not from the later one, since the last call.
    pub fn take_junk(&mut self) -> u32 {
        self.candidates.take_junk()
    }

    /// No further sender is accepted.
    pub fn close(&mut self) {
        self.candidates.clear();
    }

    /// Resumes in another process at `now`. The time in between does not count as silence of the sender.
    pub fn resume(&mut self, now: MonoTime) {
        if let Some((_, heard)) = &mut self.current {
            *heard = now;
        }
    }

    /// Whether signalling permits packets from there at all.
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
        // Signalling that gives a port or SSRC takes precedence.
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

    /// Whether a candidate becomes the stream's sender.
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
        if rank < standing.rank && current.address.ip() != candidate.sender.address.ip() {
            return false;
        }
        let neighbours = current.address == candidate.sender.address;
        if neighbours && !standing.run.has_audio() {
            // The current sender has sent only events.
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

    /// Re-evaluates whether the key presses of the current sender count.
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

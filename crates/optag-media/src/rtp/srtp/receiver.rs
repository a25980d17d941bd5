//! The receiving side of a stream: a packet's key, its roll-over counter, and replay protection. Nothing
//! changes until a packet is authenticated.
//!
//! After a new offer a client may continue as before, use another key, or restart its roll-over counter under
//! the same key: each possibility is tried before a packet is dropped, the last one only for a while after
//! the offer, because it admits old packets again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::KEYS;
use super::index::Window;
use super::key::{SrtpKey, SrtpPlan};
use super::session::Session;
use crate::rtp::packet::RtpPacket;
use optag_core::clock::MonoTime;

/// Senders remembered under each key; beyond that, the least recently received one is forgotten.
const SENDERS: usize = 4;
/// How long after an offer a roll-over counter may restart under the same key.
const ANEW: Duration = Duration::from_secs(10);
/// How long a key removed by an offer stays valid after the first packet under a new one.
const LEAVING: Duration = Duration::from_secs(10);
/// Maximum number of candidate indexes for a sequence number.
const GUESSES: usize = 8;

/// Why a packet is rejected. The stream is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// Not an RTP or RTCP packet.
    #[error("no packet")]
    Malformed,
    /// Authentication failed with every key.
    #[error("no key proves the packet")]
    AuthFailed,
    /// A replay.
    #[error("the packet came before")]
    Replayed,
}

/// A sender's index under one key, for another process to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSnapshot {
    /// Index of the key in the plan.
    pub key: usize,
    /// Its SSRC.
    pub ssrc: u32,
    /// Its newest index: roll-over counter and sequence number. The roll-over counter can still be determined
    /// for packets up to 2^15 later (minutes).
    pub index: u64,
}

/// What another process needs to continue a stream. Secret: keep it sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrtpState {
    /// Keys and rules.
    pub plan: SrtpPlan,
    /// Senders received.
    pub sources: Vec<SourceSnapshot>,
    /// Whether a protected packet was received: plain ones are refused since then.
    pub secured: bool,
}

/// The receiver of one stream.
pub struct SrtpReceiver {
    plan: SrtpPlan,
    keys: Vec<Context>,
    secured: bool,
    anew_until: Option<MonoTime>,
    /// The key of the last authenticated packet: tried first.
    last: usize,
}

/// A key with its senders.
struct Context {
    key: SrtpKey,
    session: Session,
    senders: Vec<Sender>,
    rtcp: Vec<(u32, Window)>,
    /// Whether the last offer removed it, and until when it stays valid.
    leaving: Option<Option<MonoTime>>,
}

/// A sender under a key. `other` is the roll-over counter to which it may return after an offer.
struct Sender {
    ssrc: u32,
    window: Window,
    other: Option<Window>,
}

impl Context {
    fn new(key: SrtpKey) -> Self {
        let session = Session::new(&key);
        // Packets must not allocate.
        let (senders, rtcp) = (Vec::with_capacity(SENDERS), Vec::with_capacity(SENDERS));
        Self { key, session, senders, rtcp, leaving: None }
    }

    fn sender(&self, ssrc: u32) -> Option<&Sender> {
        self.senders.iter().find(|sender| sender.ssrc == ssrc)
    }

    /// The index was authenticated: it is this sender's newest, in one of its roll-over counters.
    fn proved(&mut self, ssrc: u32, index: u64) {
        let Some(at) = self.senders.iter().position(|sender| sender.ssrc == ssrc) else {
            if self.senders.len() == SENDERS {
                self.senders.remove(0);
            }
            self.senders.push(Sender { ssrc, window: Window::starting(index), other: None });
            return;
        };
        let sender = &mut self.senders[at];
        let near = |window: &Window| window.estimate(index as u16) == Some(index);
        if !near(&sender.window) {
            let other = sender.other.filter(near).unwrap_or(Window::starting(index));
            sender.other = Some(std::mem::replace(&mut sender.window, other));
        }
        sender.window.mark(index);
        // The most recently received one is forgotten last.
        self.senders[at..].rotate_left(1);
    }
}

impl SrtpReceiver {
    /// A receiver in its initial state.
    pub fn new(plan: SrtpPlan) -> Self {
        let keys = plan.receive.iter().take(KEYS).cloned().map(Context::new).collect();
        Self { plan, keys, secured: false, anew_until: None, last: 0 }
    }

    /// A receiver that continues where another process stopped.
    pub fn resume(state: SrtpState) -> Self {
        let mut receiver = Self { secured: state.secured, ..Self::new(state.plan) };
        for source in state.sources {
            if let Some(context) = receiver.keys.get_mut(source.key).filter(|c| c.senders.len() < SENDERS) {
                let window = Window::resumed(source.index);
                context.senders.push(Sender { ssrc: source.ssrc, window, other: None });
            }
        }
        receiver
    }

    /// What another process needs to continue.
    pub fn state(&self) -> SrtpState {
        let sources = self.plan.receive.iter().enumerate().flat_map(|(key, wanted)| {
            let context = self.keys.iter().find(move |context| context.key == *wanted);
            context.into_iter().flat_map(move |context| {
                context.senders.iter().map(move |sender| SourceSnapshot {
                    key,
                    ssrc: sender.ssrc,
                    index: sender.window.newest(),
                })
            })
        });
        SrtpState { plan: self.plan.clone(), sources: sources.collect(), secured: self.secured }
    }

    /// Another offer: keys that stay keep their senders' roll-over counters; removed keys stay valid until
    /// packets under another key arrive, and a while longer.
    pub fn renegotiate(&mut self, now: MonoTime, plan: SrtpPlan) {
        let mut old = std::mem::take(&mut self.keys);
        for wanted in plan.receive.iter().take(KEYS) {
            let known = old.iter().position(|context| context.key == *wanted);
            let context = known.map_or_else(|| Context::new(wanted.clone()), |at| old.remove(at));
            self.keys.push(Context { leaving: None, ..context });
        }
        old.truncate(KEYS - self.keys.len());
        self.keys.extend(
            old.into_iter().map(|context| Context { leaving: Some(context.leaving.flatten()), ..context }),
        );
        self.last = 0;
        self.anew_until = Some(now + ANEW);
        self.plan = plan;
    }

    /// Whether a plain packet may be accepted: protection is not required, and none was protected so far.
    pub fn takes_plain(&self) -> bool {
        !self.plan.required && !self.secured
    }

    /// Authenticates and decrypts a packet. Returns its length.
    ///
    /// Errors: it is refused; the state is unchanged, but `out` may contain anything.
    pub fn unprotect(&mut self, now: MonoTime, packet: &[u8], out: &mut [u8]) -> Result<usize, SrtpError> {
        let header = RtpPacket::header_bytes(packet).ok_or(SrtpError::Malformed)?;
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let mut replayed = false;
        for step in 0..self.keys.len() {
            let at = (self.last + step) % self.keys.len();
            let context = &self.keys[at];
            let over = context.leaving.flatten().is_some_and(|until| now >= until);
            if over || !context.session.may_be(packet, false) {
                continue;
            }
            for index in self.guesses(now, context, ssrc, sequence).into_iter().flatten() {
                let Some(length) = context.session.open(packet, header, ssrc, index, out) else { continue };
                if !context.takes(ssrc, index) {
                    replayed = true;
                    continue;
                }
                self.proved(now, at, ssrc, index);
                return Ok(length);
            }
        }
        Err(if replayed { SrtpError::Replayed } else { SrtpError::AuthFailed })
    }

    /// Authenticates and decrypts an RTCP packet. Returns its length.
    ///
    /// Errors: it is refused; the state is unchanged, but `out` may contain anything.
    pub fn unprotect_rtcp(&mut self, packet: &[u8], out: &mut [u8]) -> Result<usize, SrtpError> {
        if packet.len() > super::RTCP_BYTES {
            return Err(SrtpError::Malformed);
        }
        let ssrc = packet.get(4..).and_then(|rest| rest.first_chunk()).ok_or(SrtpError::Malformed)?;
        let ssrc = u32::from_be_bytes(*ssrc);
        for context in &mut self.keys {
            if !context.session.may_be(packet, true) {
                continue;
            }
            let Some((length, index)) = context.session.open_rtcp(packet, out) else { continue };
            let index = u64::from(index);
            match context.rtcp.iter_mut().find(|(known, _)| *known == ssrc) {
                Some((_, window)) if !window.is_new(index) => return Err(SrtpError::Replayed),
                Some((_, window)) => window.mark(index),
                None => {
                    if context.rtcp.len() == SENDERS {
                        context.rtcp.remove(0);
                    }
                    context.rtcp.push((ssrc, Window::starting(index)));
                }
            }
            self.secured = true;
            return Ok(length);
        }
        Err(SrtpError::AuthFailed)
    }

    /// Candidate indexes of a sequence number under a key, the most likely first.
    fn guesses(&self, now: MonoTime, context: &Context, ssrc: u32, sequence: u16) -> [Option<u64>; GUESSES] {
        let mut guesses = [None; GUESSES];
        let mut free = 0;
        let mut add = |guess: Option<u64>| {
            if guess.is_some() && free < GUESSES && !guesses.contains(&guess) {
                guesses[free] = guess;
                free += 1;
            }
        };
        let start = u64::from(self.plan.roc) << 16 | u64::from(sequence);
        let anew = self.anew_until.is_some_and(|until| now < until);
        match context.sender(ssrc) {
            Some(sender) => {
                add(sender.window.estimate(sequence));
                if anew {
                    add(sender.other.and_then(|window| window.estimate(sequence)));
                    add(Some(u64::from(sequence)));
                }
            }
            None => {
                add(Some(start));
                // The first packets may have been lost just before a roll-over.
                add(Some(start + (1 << 16)));
                let elsewhere = self.keys.iter().filter_map(|context| context.sender(ssrc));
                elsewhere.take(GUESSES - 2).for_each(|sender| add(sender.window.estimate(sequence)));
            }
        }
        guesses
    }

    fn proved(&mut self, now: MonoTime, at: usize, ssrc: u32, index: u64) {
        self.secured = true;
        self.last = at;
        if self.anew_until.is_some_and(|until| now >= until) {
            self.anew_until = None;
        }
        self.keys[at].proved(ssrc, index);
        if self.keys[at].leaving.is_none() {
            for context in &mut self.keys {
                if let Some(until @ None) = &mut context.leaving {
                    *until = Some(now + LEAVING);
                }
            }
        }
        let over = |context: &Context| context.leaving.flatten().is_some_and(|until| now >= until);
        if self.keys.iter().any(over) {
            let last = self.keys[at].key.clone();
            self.keys.retain(|context| !over(context));
            self.last = self.keys.iter().position(|context| context.key == last).unwrap_or(0);
        }
    }
}

impl Context {
    /// Whether this index has not been received yet.
    fn takes(&self, ssrc: u32, index: u64) -> bool {
        let Some(sender) = self.sender(ssrc) else { return true };
        let near = |window: &&Window| window.estimate(index as u16) == Some(index);
        match [Some(&sender.window), sender.other.as_ref()].into_iter().flatten().find(near) {
            Some(window) => window.is_new(index),
            None => true,
        }
    }
}

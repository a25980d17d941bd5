//! The phases of a recording session, each with the data that exists only in it.
//!
//! In: nothing. Out: nouns of the session. Not here: what moves a session from one phase to
//! the next (`admit`, `invite`, `requests`, `outbound`).

use crate::sip::message::Request;
use crate::sip::transaction::Key;
use crate::siprec::session::activation_step::ActivationStep;
use optag_core::call::Answer;
use optag_core::clock::MonoTime;

/// The phase of a session.
#[derive(Debug)]
pub(in crate::siprec) enum State {
    /// The feed is deciding about the call of the initial INVITE.
    Admitting(Admitting),
    /// The initial INVITE was cancelled or refused while the feed was still deciding. A call that
    /// is admitted after that is ended at once.
    Abandoned,
    /// The initial INVITE was answered with 200.
    Established(Established),
    /// The dialog is over. The session remains until the feed has carried out its controls; the
    /// ACK of an earlier 200 still stops the retransmissions.
    Ended(Option<AwaitedAck>),
}

/// A request that is answered later.
#[derive(Debug)]
pub(in crate::siprec) struct PendingRequest {
    /// Its server transaction.
    pub key: Key,
    /// The request.
    pub request: Box<Request>,
}

/// An offer that stands in the way of another one: the offer and answer of one exchange come before the
/// next.
///
/// Source: RFC 3261 §14.2, RFC 3311 §5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::siprec) enum Unanswered {
    /// Ours, in a re-INVITE, an UPDATE or a 200: the other one is answered 491.
    Ours,
    /// The client's, whose answer waits for ports: the other one is answered 500 with a Retry-After.
    Theirs,
}

/// What is needed until the feed has decided.
#[derive(Debug)]
pub(in crate::siprec) struct Admitting {
    /// The initial INVITE.
    pub invite: PendingRequest,
    /// The session that ends once this INVITE is answered (RFC 3891).
    pub replaces: Option<u64>,
    /// Whether none of the offered streams is known to carry the caller.
    pub no_caller_stream: bool,
}

/// A 200 to an INVITE whose ACK has not arrived.
#[derive(Debug)]
pub(in crate::siprec) struct AwaitedAck {
    /// The server transaction; `None` where an earlier process sent the 200.
    pub invite: Option<Key>,
    /// CSeq number of the INVITE.
    pub cseq: u32,
    /// Whether the 200 carried our offer, so that the ACK carries the answer.
    pub carries_answer: bool,
    /// When the wait ends; `None` where the server transaction ends it.
    pub until: Option<MonoTime>,
}

impl AwaitedAck {
    /// Whether a request of the client with an offer shows that this ACK was sent, to a process that has
    /// ended, or that the 200 was lost with it. A client makes no offer before it has answered ours (RFC 3264
    /// §4, RFC 3311 §5.1). It begins another INVITE only after the 200 to this one (RFC 3261 §14.1), for which
    /// it has sent an ACK at once (§13.2.2.4). So a later number shows the former; it repeats an INVITE that
    /// has no response.
    pub(crate) fn is_lost(&self, request: &Request) -> bool {
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let repeats = request.method == "INVITE" && number == self.cseq;
        self.invite.is_none() && (number > self.cseq || repeats)
    }
}

/// What a session has while its dialog is confirmed.
#[derive(Debug, Default)]
pub(in crate::siprec) struct Established {
    /// The latest 200 to an INVITE, until its ACK arrives.
    pub awaited_ack: Option<AwaitedAck>,
    /// A re-INVITE or UPDATE that is answered once its new streams have ports.
    pub pending_change: Option<PendingRequest>,
    /// Progress of the activation of streams after consent.
    pub activation: ActivationStep,
    /// Attempts to activate the streams.
    pub activation_attempts: u8,
    /// Progress of requesting the metadata again.
    pub metadata_request: MetadataRequest,
    /// When the session timer (RFC 4028) needs attention.
    pub timer_at: Option<MonoTime>,
}

impl Established {
    /// Whether the client has an offer under way that it or we have not answered.
    pub(crate) fn has_offer_outstanding(&self) -> bool {
        self.pending_change.is_some() || self.awaited_ack.as_ref().is_some_and(|ack| ack.carries_answer)
    }

    /// Which offer is still to be answered as this request with an offer, or this INVITE, comes.
    pub(crate) fn unanswered(&self, request: &Request) -> Option<Unanswered> {
        let awaited = self.awaited_ack.as_ref().filter(|ack| ack.carries_answer);
        let activating = matches!(self.activation, ActivationStep::Invite | ActivationStep::Update);
        if activating || awaited.is_some_and(|ack| !ack.is_lost(request)) {
            return Some(Unanswered::Ours);
        }
        self.pending_change.as_ref().map(|_| Unanswered::Theirs)
    }

    /// Whether no INVITE of the client is under way. The ACK of a 200 that an earlier process
    /// sent may be lost for good; only one that carries an answer is waited for, as long as a 200 is
    /// repeated.
    pub(crate) fn is_settled(&self) -> bool {
        let open = self.awaited_ack.as_ref().is_some_and(|ack| ack.invite.is_some());
        !open && !self.has_offer_outstanding()
    }
}

/// Progress of requesting the metadata again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::siprec) struct MetadataRequest {
    /// When to send the next request.
    pub due: Option<MonoTime>,
    /// When the last request was sent.
    pub asked_at: Option<MonoTime>,
    /// Requests sent since the last whole document.
    pub tries: u8,
    /// Media types of the request that the client rejected.
    pub types_refused: u8,
}

/// The caller's answer as far as signalling has carried it.
#[derive(Debug, Default)]
pub(in crate::siprec) struct SignalledConsent {
    /// The last answer that a header field or a metadata element carried.
    pub answer: Option<Answer>,
    /// The last keys that the client relayed.
    pub keys: String,
}

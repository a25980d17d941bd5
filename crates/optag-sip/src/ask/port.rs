//! What goes into the asking server, and what comes out of it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::ask::outcome::Outcome;
use crate::ask::settings::Prompts;
use crate::sip::flow::Flow;
use crate::sip::parse::{Parsed, Refusal};
use optag_core::call::{Department, GivenAnswer};
use optag_core::clock::WallTime;
use optag_core::private::Private;
use optag_media::announce::AnnounceEvent;
use optag_media::announce::audio::PromptCodec;
use optag_media::rtp::srtp::SrtpKey;
use optag_media::stream::media::StreamMedia;

/// Identifies an ask within this process.
pub type AskId = u64;

/// Inputs of the server.
#[derive(Debug)]
pub enum Input {
    /// A message was received.
    Received {
        /// The flow it arrived on.
        flow: Flow,
        /// The message, or why it is not one.
        message: Result<Parsed, Refusal>,
        /// Its size. Units: bytes.
        bytes: usize,
        /// When it was received.
        at: WallTime,
    },
    /// The leg of an ask is open at this address; `None`: no ports, no sockets.
    Opened(AskId, Option<SocketAddr>),
    /// Something happened on the leg of an ask.
    Media(AskId, AnnounceEvent),
    /// The answer of this number is kept, or not.
    Kept(AskId, u32, bool),
    /// Departments and prompts of asks that begin from now on.
    Change(Vec<Department>, Prompts),
    /// Whether the recorder takes calls.
    Accepting(bool),
    /// Ask nobody any more, and send on whoever is being asked.
    Stop,
}

/// A leg to open.
#[derive(Clone, Debug)]
pub struct NewLeg {
    /// What the caller sends.
    pub media: StreamMedia,
    /// Where packets go.
    pub to: SocketAddr,
    /// Whether they go to where the caller's come from instead, once some have.
    pub to_sender: bool,
    /// Payload type of what we send.
    pub payload_type: u8,
    /// Codec of what we send.
    pub codec: PromptCodec,
    /// Key of what we send.
    pub key: Option<SrtpKey>,
}

/// An answer to keep for the call with this name.
#[derive(Clone, Debug)]
pub struct NamedAnswer {
    /// All names of the call, in one.
    pub name: Private<String>,
    /// The answer.
    pub answer: GivenAnswer,
}

/// Outputs of the server.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Send(Flow, Vec<u8>),
    /// Open a leg, and report [`Input::Opened`].
    Open(AskId, Box<NewLeg>),
    /// Play the prompt of this version as the clip of that number.
    Play(AskId, u32, String),
    /// Play nothing any more.
    Quiet(AskId),
    /// Close the leg.
    Close(AskId),
    /// Keep an answer, after those of the ask before it, and report [`Input::Kept`] with its number.
    Keep(AskId, u32, Box<NamedAnswer>),
    /// An ask is over; what it has taken beside prompts and the time to answer.
    Ended(Outcome, Duration),
}

//! Announcements: prompts sent to callers, and what callers key in return.
//!
//! In: prompts, legs with their sockets, the time. Out: RTP packets every 20 ms, and [`AnnounceEvent`]s. A leg
//! listens with a [`Stream`](crate::stream::Stream) whose gate never opens, so there is nothing that could hold
//! what a caller says. Not here: signalling, what a key means, prompt files.

pub mod announcer;
pub mod audio;
mod leg;
mod player;

use crate::announce::audio::PromptAudio;
use crate::dtmf::keypad::KeyPress;
use crate::net::port_pool::StreamSockets;
use crate::rtp::srtp::SrtpKey;
use crate::stream::media::StreamMedia;
use std::net::SocketAddr;
use std::sync::Arc;

/// Names a leg; chosen by whoever opens it, used once.
pub type LegId = u64;

/// What a leg needs.
#[derive(Debug)]
pub struct LegPlan {
    /// What the caller sends.
    pub media: StreamMedia,
    /// Where packets to the caller go.
    pub to: SocketAddr,
    /// Whether they go to where the caller's packets come from, once some were accepted.
    pub to_sender: bool,
    /// Payload type of what we send.
    pub payload_type: u8,
    /// Codec of what we send.
    pub codec: audio::PromptCodec,
    /// Key of what we send; `None` in the clear.
    pub key: Option<SrtpKey>,
    /// Its sockets.
    pub sockets: StreamSockets,
}

/// Tells whoever opened the leg.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnnounceEvent {
    /// The caller's first packet was accepted: media flows.
    Heard,
    /// A key was pressed.
    Key(KeyPress),
    /// The last packet of a clip was sent.
    Played {
        /// The clip.
        clip: u32,
    },
    /// The caller's side reports this many of all packets sent so far as lost.
    Lost {
        /// Units: packets.
        packets: u32,
    },
    /// The leg failed; it sends and hears nothing more.
    Failed,
}

/// What can be asked of a leg.
#[derive(Debug)]
pub enum Order {
    /// A new leg. It sends silence until it plays something.
    Open(LegId, Box<LegPlan>),
    /// Play a prompt from its beginning, as the clip of this number.
    Play(LegId, u32, Arc<PromptAudio>),
    /// Stop playing; silence goes on.
    Quiet(LegId),
    /// The leg is over; its ports are returned.
    Close(LegId),
}

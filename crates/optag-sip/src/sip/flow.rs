//! A flow: the transport, socket and addresses between us and a peer.
//!
//! In: what a socket knows of a message. Out: a small copyable handle. Not here: the socket.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::message::Via;

/// Transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// UDP: may lose, duplicate or spoof messages.
    Udp,
    /// Plain TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl Transport {
    /// Whether the transport itself retransmits.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// Its name in a Via field.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }
}

/// One flow between us and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Transport protocol.
    pub transport: Transport,
    /// The listening socket or the accepted connection.
    pub link: u64,
    /// Our address on it.
    pub local: SocketAddr,
    /// The peer's address on it.
    pub peer: SocketAddr,
}

/// A [`Flow`] in a form that another process can restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Transport protocol.
    pub transport: Transport,
    /// Our address on it.
    pub local: SocketAddr,
    /// The peer's address on it.
    pub peer: SocketAddr,
}

impl Flow {
    /// The part that outlives the process.
    pub const fn way(self) -> Way {
        Way { transport: self.transport, local: self.local, peer: self.peer }
    }

    /// The flow for responses to a request with this topmost Via: the same connection; over UDP the
    /// source port if the client sent `rport`, otherwise the port in Via.
    ///
    /// Source: RFC 3261 §18.2.2, RFC 3581 §4.
    pub fn for_responses(mut self, via: &Via, has_rport: bool) -> Self {
        if self.transport == Transport::Udp && !has_rport {
            self.peer.set_port(port_of(&via.sent_by).unwrap_or(5060));
        }
        self
    }
}

/// The port after a host, IPv6 literals included.
pub fn port_of(host: &str) -> Option<u16> {
    let after = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    after.rsplit_once(':')?.1.parse().ok().filter(|port| *port != 0)
}

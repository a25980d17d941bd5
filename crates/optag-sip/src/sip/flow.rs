//! Which way a message came, and with it the way back.
//!
//! In: what a socket knows. Out: a small copyable name for it. Not here: the socket.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::message::Via;

/// What carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Datagrams: may be lost, come twice, or carry a forged source.
    Udp,
    /// A stream in the clear.
    Tcp,
    /// A stream under TLS.
    Tls,
}

impl Transport {
    /// Whether lost messages are repeated by the transport itself.
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

/// One way between us and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// What carries it.
    pub transport: Transport,
    /// The listening socket or the accepted connection.
    pub link: u64,
    /// Our address on it.
    pub local: SocketAddr,
    /// The peer's address on it.
    pub peer: SocketAddr,
}

/// A [`Flow`] as another process can find it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// What carries it.
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

    /// The way for responses to a request with this topmost Via: back over a connection; over
    /// UDP to the source port if the client asked so by `rport`, else to the port it names.
    ///
    /// Source: RFC 3261 §18.2.2, RFC 3581 §4.
    pub fn for_responses(mut self, via: &Via, has_rport: bool) -> Self {
        if self.transport == Transport::Udp && !has_rport {
            self.peer.set_port(port_of(&via.sent_by).unwrap_or(5060));
        }
        self
    }
}

/// The port written after a host; not confused by the colons of an IPv6 address.
pub fn port_of(host: &str) -> Option<u16> {
    let after = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    after.rsplit_once(':')?.1.parse().ok().filter(|port| *port != 0)
}

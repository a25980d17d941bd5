//! A session recording client (SRC): what `optag load --target sip:…` sends to a recorder, or to any other
//! recording server. In: the server, the client's identity, the equipment to imitate. Out: recording
//! sessions. Shares no code with the recorder's own SIP layer.
//!
//! Source: RFC 7866, RFC 7865, RFC 3261; shapes from captured messages of the equipment.

pub mod dialog;
pub mod digest;
pub mod link;
pub mod message;
pub mod session;
pub mod shape;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};

/// SIP transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
}

impl Transport {
    /// Its name in Via.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }
}

/// A recording server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The user part, which selects the department; empty: the run's.
    pub user: String,
    /// Host as written.
    pub host: String,
    /// Its address.
    pub address: SocketAddr,
    /// Its transport.
    pub transport: Transport,
}

/// The client's credentials, and the trusted CA.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// User name and password, if the server requires them.
    pub credentials: Option<(String, String)>,
    /// CA of the server's certificate, PEM.
    pub ca_file: Option<PathBuf>,
    /// Client certificate and key, PEM, if the server requires them.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Target {
    /// Whether a text looks like a SIP address.
    pub fn is_sip(text: &str) -> bool {
        let lower = text.to_ascii_lowercase();
        lower.starts_with("sip:") || lower.starts_with("sips:")
    }

    /// Parses `sip:user@host:port;transport=tcp`, and resolves the host.
    ///
    /// Errors: not a SIP address, or an unknown host.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (scheme, rest) =
            text.split_once(':').context("expected an address such as sip:192.0.2.50:5060")?;
        let mut parts = rest.split(';');
        let place = parts.next().unwrap_or_default();
        let (user, place) = place.rsplit_once('@').unwrap_or(("", place));
        let named = parts.find_map(|part| part.strip_prefix("transport=")).unwrap_or("");
        let transport = match (scheme.to_ascii_lowercase().as_str(), named.to_ascii_lowercase().as_str()) {
            ("sips", _) | (_, "tls") => Transport::Tls,
            ("sip", "tcp") => Transport::Tcp,
            ("sip", "" | "udp") => Transport::Udp,
            _ => bail!("`{text}` is not a sip: or sips: address, or its transport is not udp, tcp or tls"),
        };
        let standard = if transport == Transport::Tls { 5061 } else { 5060 };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') && !host.is_empty() => (host, port.parse()?),
            _ => (place, standard),
        };
        let bare = host.trim_matches(['[', ']']).to_owned();
        let mut found = std::net::ToSocketAddrs::to_socket_addrs(&(bare.as_str(), port))
            .with_context(|| format!("cannot resolve `{bare}`"))?;
        let address = found.next().with_context(|| format!("`{bare}` has no address"))?;
        Ok(Self { user: user.to_owned(), host: bare, address, transport })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_recording_servers_are_read() {
        for (text, user, address, transport) in [
            ("sip:127.0.0.1", "", "127.0.0.1:5060", Transport::Udp),
            ("sip:tax@127.0.0.1:5070;transport=tcp", "tax", "127.0.0.1:5070", Transport::Tcp),
            ("sips:[::1]", "", "[::1]:5061", Transport::Tls),
            ("sip:[::1]:5080;lr;transport=TLS", "", "[::1]:5080", Transport::Tls),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.user.as_str(), target.transport), (user, transport), "{text}");
            assert_eq!(target.address, address.parse().unwrap(), "{text}");
        }
        for text in ["http://127.0.0.1", "sip:127.0.0.1;transport=sctp", "sip:127.0.0.1:x"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
        assert!(Target::is_sip("SIPS:a") && !Target::is_sip("https://a"));
    }
}

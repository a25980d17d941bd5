//! A session recording client (SRC): what `optag load --target sip:…` sends to a recorder, or
//! to any other recording server. In: where it is, how to prove who we are, what equipment to
//! look like. Out: recording sessions. Shares no code with the recorder's own SIP layer.
//!
//! Source: RFC 7866, RFC 7865, RFC 3261; shapes by captured messages of the equipment.

pub mod digest;
pub mod link;
pub mod message;
pub mod session;
pub mod shape;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
    /// A connection under TLS.
    Tls,
}

impl Transport {
    /// As in Via.
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
    /// The user part, which chooses the department; empty takes the run's.
    pub user: String,
    /// Host as written.
    pub host: String,
    /// Its address.
    pub address: SocketAddr,
    /// How to reach it.
    pub transport: Transport,
}

/// Who we are, and whom we believe.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// User name and password, where the server asks for them.
    pub credentials: Option<(String, String)>,
    /// The authority that signed the server's certificate, PEM.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and key, PEM, where the server asks for them.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Target {
    /// Whether a text is meant to be one.
    pub fn is_sip(text: &str) -> bool {
        let lower = text.to_ascii_lowercase();
        lower.starts_with("sip:") || lower.starts_with("sips:")
    }

    /// Reads `sip:user@host:port;transport=tcp`, and looks the host up.
    ///
    /// Errors: it is no SIP address, or the host is not known.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = text.split_once(':').context("an address such as sip:192.0.2.50:5060")?;
        let mut parts = rest.split(';');
        let place = parts.next().unwrap_or_default();
        let (user, place) = place.rsplit_once('@').unwrap_or(("", place));
        let named = parts.find_map(|part| part.strip_prefix("transport=")).unwrap_or("");
        let transport = match (scheme.to_ascii_lowercase().as_str(), named.to_ascii_lowercase().as_str()) {
            ("sips", _) | (_, "tls") => Transport::Tls,
            ("sip", "tcp") => Transport::Tcp,
            ("sip", "" | "udp") => Transport::Udp,
            _ => bail!("`{text}` is none of sip: or sips:, or its transport is none of udp, tcp, tls"),
        };
        let standard = if transport == Transport::Tls { 5061 } else { 5060 };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') && !host.is_empty() => (host, port.parse()?),
            _ => (place, standard),
        };
        let bare = host.trim_matches(['[', ']']).to_owned();
        let mut found = std::net::ToSocketAddrs::to_socket_addrs(&(bare.as_str(), port))
            .with_context(|| format!("`{bare}` is not known"))?;
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

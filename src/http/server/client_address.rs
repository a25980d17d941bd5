//! The client address of a request.
//!
//! In: the connection's address and, from a trusted proxy, `X-Forwarded-For`. Out: the client's address, by
//! which a [`Throttle`] counts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::http::{Extensions, HeaderMap};

use optag_core::owner::owner;
pub use optag_core::throttle::Throttle;
use optag_sip::sip::allow_list::AllowList;

/// The peer of a request's connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Trusted proxies, whose `X-Forwarded-For` is used.
pub type Proxies = Arc<AllowList>;

/// The client's address: the last one in `X-Forwarded-For` that is not a trusted proxy, if the connection
/// comes from a trusted proxy; otherwise the connection's. Returns its [`owner`]. A request without a
/// connection has the unspecified address.
pub fn client_ip(extensions: &Extensions, headers: &HeaderMap, proxies: &AllowList) -> IpAddr {
    owner(client_address(extensions, headers, proxies))
}

/// The same address itself.
pub fn client_address(extensions: &Extensions, headers: &HeaderMap, proxies: &AllowList) -> IpAddr {
    let Some(Peer(peer)) = extensions.get() else { return Ipv4Addr::UNSPECIFIED.into() };
    let mut client = peer.ip().to_canonical();
    let forwarded = headers.get_all("x-forwarded-for").iter().rev().filter_map(|value| value.to_str().ok());
    for text in forwarded.flat_map(|list| list.rsplit(',')) {
        if !proxies.allows(client) {
            break;
        }
        let Ok(before) = text.trim().parse::<IpAddr>() else { break };
        client = before.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(peer: &str, forwarded: &[&str]) -> String {
        let proxies = AllowList::parse(["127.0.0.0/8", "10.0.0.0/24"]).unwrap();
        let mut extensions = Extensions::new();
        extensions.insert(Peer(SocketAddr::new(peer.parse().unwrap(), 4_711)));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        client_ip(&extensions, &headers, &proxies).to_string()
    }

    #[test]
    fn only_the_owners_proxies_say_who_asks() {
        assert_eq!(ip("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(ip("127.0.0.1", &["198.51.100.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(ip("127.0.0.1", &["203.0.113.9, 10.0.0.7"]), "203.0.113.9");
        assert_eq!(ip("127.0.0.1", &["203.0.113.9", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(ip("127.0.0.1", &["unknown"]), "127.0.0.1");
        assert_eq!(ip("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(ip("::ffff:192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(ip("2001:db8:1:2:3:4:5:6", &[]), "2001:db8:1:2::");
    }
}

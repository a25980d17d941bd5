//! The client address of a request, and rate limits of unauthenticated requests per address.
//!
//! In: the connection's address and, from a trusted proxy, `X-Forwarded-For`. Out: the client's address, by
//! which [`Throttle`] counts.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::{Extensions, HeaderMap};

use optag_core::owner::owner;
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

/// A token bucket per address.
#[derive(Debug)]
pub struct Throttle {
    burst: f64,
    refill_per_s: f64,
    buckets: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

/// Maximum number of addresses; beyond it those with the fewest requests are forgotten first.
const ADDRESSES: usize = 4_096;

impl Throttle {
    /// `burst` requests at once, then `refill_per_s` per second.
    pub fn new(burst: f64, refill_per_s: f64) -> Self {
        Self { burst, refill_per_s, buckets: Mutex::default() }
    }

    /// Whether a request from this address may be answered now.
    pub fn allows(&self, client: IpAddr, now: Instant) -> bool {
        let level = |(level, at): (f64, Instant)| {
            (level + now.saturating_duration_since(at).as_secs_f64() * self.refill_per_s).min(self.burst)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES && !buckets.contains_key(&client) {
            buckets.retain(|_, bucket| level(*bucket) < self.burst);
            if buckets.len() >= ADDRESSES {
                let fullest = buckets.iter().max_by(|a, b| level(*a.1).total_cmp(&level(*b.1)));
                let fullest = fullest.map(|(client, _)| *client);
                fullest.map(|client| buckets.remove(&client));
            }
        }
        let left = buckets.get(&client).map_or(self.burst, |bucket| level(*bucket));
        let allowed = left >= 1.0;
        buckets.insert(client, (if allowed { left - 1.0 } else { left }, now));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    #[test]
    fn one_address_that_asks_too_often_keeps_no_other_out() {
        let (throttle, now) = (Throttle::new(3.0, 1.0), Instant::now());
        let of = |n: u32| IpAddr::from(Ipv4Addr::from_bits(n));
        let answered = (0..100).filter(|_| throttle.allows(of(1), now)).count();
        assert_eq!(answered, 3);
        assert!(throttle.allows(of(2), now));
        assert!(throttle.allows(of(1), now + Duration::from_secs(1)));
        assert!(!throttle.allows(of(1), now + Duration::from_secs(1)));
    }

    #[test]
    fn memory_is_bounded_and_who_asked_too_often_is_not_forgotten_for_others() {
        let (throttle, now) = (Throttle::new(3.0, 1.0), Instant::now());
        let of = |n: u32| IpAddr::from(Ipv4Addr::from_bits(n));
        (0..10).for_each(|_| {
            throttle.allows(of(1), now);
        });
        assert!((2..20_000).all(|n| throttle.allows(of(n), now)));
        assert!(throttle.buckets.lock().unwrap().len() <= ADDRESSES);
        assert!(!throttle.allows(of(1), now));
    }
}

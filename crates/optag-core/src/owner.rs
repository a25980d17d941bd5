//! The owner of a network address, for quotas per address.

use std::net::IpAddr;

/// The owner of an address: an IPv4 address is its own owner, also when mapped to IPv6; for IPv6 a /64
/// network is one owner, since that is what one subscriber is assigned and may choose addresses from.
///
/// Source: RFC 4291 §2.5.5.2 (IPv4-mapped addresses), RFC 6177 §2 (a site gets at least a /64).
pub fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_owner_and_a_mapped_address_is_its_ipv4_one() {
        let owner = |text: &str| owner(text.parse().unwrap());
        assert_eq!(owner("2001:db8::1"), owner("2001:db8::ffff:1"));
        assert_ne!(owner("2001:db8::1"), owner("2001:db8:0:1::1"));
        assert_eq!(owner("::ffff:192.0.2.1"), owner("192.0.2.1"));
    }
}

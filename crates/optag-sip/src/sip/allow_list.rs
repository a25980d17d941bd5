//! Networks that may talk to the recorder.

use std::net::IpAddr;

/// Allowed networks. Datagrams from other addresses are dropped without an answer, and their
/// connections are closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList(Vec<(IpAddr, u8)>);

impl Default for AllowList {
    /// This machine alone.
    fn default() -> Self {
        Self::parse(["127.0.0.0/8", "::1"]).unwrap_or(Self(Vec::new()))
    }
}

impl AllowList {
    /// Reads addresses and networks such as `192.0.2.0/24`.
    ///
    /// Errors: the first invalid entry.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let read = |entry: &str| {
            let (address, bits) = entry.split_once('/').unwrap_or((entry, ""));
            let ip: IpAddr = address.trim().parse().ok()?;
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = if bits.is_empty() { most } else { bits.trim().parse().ok()? };
            (bits <= most).then_some((ip, bits))
        };
        let all = entries.into_iter().map(|entry| read(entry).ok_or_else(|| entry.to_owned()));
        all.collect::<Result<_, _>>().map(Self)
    }

    /// The union of both lists.
    pub fn with(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).copied().collect())
    }

    /// Whether `ip` is in one of the networks.
    pub fn allows(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|(network, bits)| match (network, ip) {
            (IpAddr::V4(n), IpAddr::V4(ip)) => same(n.to_bits().into(), ip.to_bits().into(), *bits, 32),
            (IpAddr::V6(n), IpAddr::V6(ip)) => same(n.to_bits(), ip.to_bits(), *bits, 128),
            _ => false,
        })
    }
}

/// Whether the first `bits` of two addresses of `width` bits agree.
fn same(one: u128, other: u128, bits: u8, width: u8) -> bool {
    let shift = u32::from(width - bits);
    (one ^ other).checked_shr(shift).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_matched_by_their_leading_bits() {
        let list = AllowList::parse(["192.0.2.0/25", "2001:db8::/32", "198.51.100.7"]).unwrap();
        for (ip, expect) in [
            ("192.0.2.127", true),
            ("192.0.2.128", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("::ffff:192.0.2.1", true),
        ] {
            assert_eq!(list.allows(ip.parse().unwrap()), expect, "{ip}");
        }
        assert!(AllowList::parse(["0.0.0.0/0"]).unwrap().allows("8.8.8.8".parse().unwrap()));
        assert!(!AllowList::default().allows("10.0.0.1".parse().unwrap()));
        assert_eq!(AllowList::parse(["10.0.0.0/33"]), Err("10.0.0.0/33".to_owned()));
    }
}

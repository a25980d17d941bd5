//! Rate limits of sign-ins by password. In: attempts. Out: which may go on.
//!
//! An address and an account have a number of attempts each, so that neither many names from one place nor one name from
//! many places are tried often. Whoever signed in from an address before has attempts of their own there, which nobody
//! elsewhere uses up: attempts from outside keep nobody out of where they work. Each node counts for itself.

use std::net::IpAddr;
use std::time::Instant;

use optag_core::owner::owner;
use optag_core::throttle::Throttle;

/// Attempts of one address at once, and then per second.
const OF_ADDRESS: (f64, f64) = (10.0, 0.2);
/// Attempts at one account, from addresses that it was not used from, at once, and then per second.
const AT_ACCOUNT: (f64, f64) = (20.0, 1.0 / 30.0);
/// Attempts at one account from one address that it was used from, at once, and then per second.
const RESERVED: (f64, f64) = (10.0, 1.0 / 15.0);

/// Counts attempts.
#[derive(Debug)]
pub(super) struct Attempts {
    addresses: Throttle<IpAddr>,
    accounts: Throttle<String>,
    reserved: Throttle<(String, IpAddr)>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            addresses: Throttle::new(OF_ADDRESS.0, OF_ADDRESS.1),
            accounts: Throttle::new(AT_ACCOUNT.0, AT_ACCOUNT.1),
            reserved: Throttle::new(RESERVED.0, RESERVED.1),
        }
    }
}

impl Attempts {
    /// Whether an attempt may go on. `account` is a name, or a hash of one; `known`: it was used from this address.
    pub(super) fn allows(&self, account: String, address: IpAddr, known: bool, now: Instant) -> bool {
        let address = owner(address);
        match known {
            true => self.reserved.allows((account, address), now),
            false => self.addresses.allows(address, now) && self.accounts.allows(account, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn attempts_from_everywhere_keep_nobody_out_of_where_they_signed_in_before() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let at = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(n));
        let tried = (0..1_000).filter(|n| attempts.allows("ada".into(), at(*n), false, now)).count();
        assert_eq!(tried, 20, "one name from many places");
        assert!(!attempts.allows("ada".into(), at(5_000), false, now));
        assert!(attempts.allows("ada".into(), at(5_000), true, now), "she works there");
        assert!(attempts.allows("ole".into(), at(6_000), false, now), "another name");
        // Somebody in her own office uses up what she has there, and nobody else's.
        assert_eq!((0..100).filter(|_| attempts.allows("ada".into(), at(5_000), true, now)).count(), 9);
        assert!(attempts.allows("ole".into(), at(5_000), true, now));
        assert!(attempts.allows("ada".into(), at(5_000), true, now + Duration::from_secs(16)));
    }

    #[test]
    fn many_names_from_one_network_are_as_few_as_one() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let at = |n: u128| IpAddr::from(std::net::Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | n));
        let tried = (0..100).filter(|n| attempts.allows(format!("user{n}"), at(*n), false, now)).count();
        assert_eq!(tried, 10);
        assert!(attempts.allows("ada".into(), at(1 << 64), false, now));
    }
}

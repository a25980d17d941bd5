//! Limits on open connections, in total and per address.
//!
//! In: addresses of connections that open and close. Out: whether one more is accepted. A
//! connection counts from the moment it is accepted, including its handshake. A few addresses
//! cannot use up all slots: the fewer are free, the fewer one address may hold. Not here: sockets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use optag_core::owner::owner;

/// Concurrent connections in total.
pub const CONNECTIONS: usize = 1_024;
/// Concurrent connections from one address.
pub const PER_ADDRESS: usize = 128;
/// Concurrent handshakes, in total and from one address.
pub const HANDSHAKES: usize = 256;
/// See [`HANDSHAKES`].
pub const HANDSHAKES_PER_ADDRESS: usize = 32;
/// Free slots below which an address may hold at most [`FEW`].
const RESERVE: usize = 256;
const FEW: usize = 4;
/// Free slots below which only an address without a slot gets one.
const LAST: usize = 64;

/// Slots of one kind.
#[derive(Debug)]
pub struct Doors {
    most: usize,
    per_address: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A slot in use; freed when dropped.
#[derive(Debug)]
pub struct Place {
    doors: Arc<Doors>,
    address: IpAddr,
}

impl Doors {
    /// Slots: `most` in total and `per_address` for each address.
    pub fn new(most: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { most, per_address, taken: Mutex::default() })
    }

    /// Takes a slot for `address`, if one is free for it.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = owner(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.most.saturating_sub(taken.values().sum());
        let own = taken.get(&address).copied().unwrap_or(0);
        let most = match free {
            0 => 0,
            _ if free <= LAST.min(self.most / 16) => 1,
            _ if free <= RESERVE.min(self.most / 4) => FEW.min(self.per_address),
            _ => self.per_address,
        };
        (own < most).then(|| {
            taken.insert(address, own + 1);
            Place { doors: self.clone(), address }
        })
    }

    /// Slots in use.
    pub fn taken(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.doors.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: usize) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n as u32).into())
    }

    #[test]
    fn invariant_12_no_few_addresses_take_every_connection() {
        let doors = Doors::new(CONNECTIONS, PER_ADDRESS);
        let mut places = Vec::new();
        for n in 0..11 {
            places.extend((0..10_000).map_while(|_| doors.enter(address(n))));
        }
        assert!(doors.taken() <= CONNECTIONS - LAST, "{}", doors.taken());
        for n in 11..61 {
            places.push(doors.enter(address(n)).expect("another address gets in"));
        }
        let before = doors.taken();
        places.truncate(1);
        assert!(before > doors.taken() && doors.taken() == 1);
        assert!(doors.enter(address(500)).is_some());
    }
}

//! The RTP ports. Even ones of a range are lent out; one that comes back rests for a while, so
//! that stale packets of an old call do not reach a new one.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::socket::{KeptSocket, MediaSocket};
use crate::base::clock::MonoTime;

/// How long a returned port rests.
const REST: Duration = Duration::from_secs(5);

/// Why no sockets were bound.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Every port is lent out or rests.
    #[error("every RTP port is in use")]
    Exhausted,
    /// A socket cannot be made.
    #[error("an RTP socket cannot be made: {0}")]
    Socket(#[from] io::Error),
}

/// A pool; its clones share it.
#[derive(Clone, Debug)]
pub struct PortPool {
    ip: IpAddr,
    buffer_bytes: usize,
    ports: Arc<Mutex<Ports>>,
}

#[derive(Debug)]
struct Ports {
    /// Even ones of it are lent out.
    all: Range<u16>,
    free: VecDeque<u16>,
    resting: VecDeque<(Instant, u16)>,
    lent: usize,
}

impl PortPool {
    /// The even ports from `min` to `max` that have their odd neighbour in the range as well.
    /// Each socket asks the kernel for `buffer_bytes`.
    pub fn new(ip: IpAddr, min: u16, max: u16, buffer_bytes: usize) -> Self {
        let free = (min.next_multiple_of(2)..max).step_by(2).collect();
        Self {
            ip,
            buffer_bytes,
            ports: Arc::new(Mutex::new(Ports { all: min..max, free, resting: VecDeque::new(), lent: 0 })),
        }
    }

    /// Binds `count` sockets, or none. A port that something else holds is passed over.
    ///
    /// Errors: there are too few ports, or the system gives no socket.
    pub fn bind(&self, count: usize, now: MonoTime) -> Result<Vec<MediaSocket>, PortError> {
        let mut sockets = Vec::with_capacity(count);
        while sockets.len() < count {
            let lease = self.lend().ok_or(PortError::Exhausted)?;
            match MediaSocket::bind(self.ip, lease, self.buffer_bytes, now) {
                Ok(socket) => sockets.push(socket),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sockets)
    }

    /// Binds this very port, which an earlier process had lent out; or takes over the socket that
    /// it left open.
    ///
    /// Errors: the port is taken, or the system gives no socket.
    pub fn bind_at(
        &self,
        port: u16,
        kept: Option<KeptSocket>,
        now: MonoTime,
    ) -> Result<MediaSocket, PortError> {
        let lease = self.lend_this(port).ok_or(PortError::Exhausted)?;
        Ok(match kept {
            Some(kept) => MediaSocket::take_over(kept, lease),
            None => MediaSocket::bind(self.ip, lease, self.buffer_bytes, now)?,
        })
    }

    /// Ports lent out now.
    pub fn lent(&self) -> usize {
        lock(&self.ports).lent
    }

    fn lend(&self) -> Option<PortLease> {
        let mut ports = lock(&self.ports);
        while ports.resting.front().is_some_and(|(since, _)| since.elapsed() >= REST) {
            let rested = ports.resting.pop_front();
            ports.free.extend(rested.map(|(_, port)| port));
        }
        let port = ports.free.pop_front()?;
        ports.lent += 1;
        Some(PortLease { port, returns: true, ports: Arc::clone(&self.ports) })
    }

    /// A port that may lie outside of the range, where that was another one before.
    fn lend_this(&self, port: u16) -> Option<PortLease> {
        let mut ports = lock(&self.ports);
        let at = ports.free.iter().position(|&free| free == port);
        let in_range = ports.all.contains(&port);
        if in_range && at.is_none() {
            return None;
        }
        at.map(|at| ports.free.remove(at));
        ports.lent += 1;
        Some(PortLease { port, returns: in_range, ports: Arc::clone(&self.ports) })
    }
}

/// A port that is ours until this is dropped.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    /// Whether it goes back to the range.
    returns: bool,
    ports: Arc<Mutex<Ports>>,
}

impl PortLease {
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        let mut ports = lock(&self.ports);
        ports.lent -= 1;
        if self.returns {
            ports.resting.push_back((Instant::now(), self.port));
        }
    }
}

fn lock(ports: &Mutex<Ports>) -> MutexGuard<'_, Ports> {
    ports.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_up_range_says_so_and_a_returned_port_rests() {
        let pool = PortPool::new(IpAddr::from([127, 0, 0, 1]), 22_201, 22_206, 65_536);
        let now = MonoTime::default();
        let two = pool.bind(2, now).unwrap();
        assert!(two.iter().all(|socket| socket.port() % 2 == 0));
        assert!(matches!(pool.bind(1, now), Err(PortError::Exhausted)));
        drop(two);
        assert!(matches!(pool.bind(1, now), Err(PortError::Exhausted)), "it rests");
        assert_eq!(pool.lent(), 0);
    }

    #[test]
    fn a_port_of_an_earlier_process_is_bound_again_and_not_lent_out_twice() {
        let pool = PortPool::new(IpAddr::from([127, 0, 0, 1]), 22_211, 22_216, 65_536);
        let now = MonoTime::default();
        let again = pool.bind_at(22_212, None, now).unwrap();
        assert_eq!(again.port(), 22_212);
        assert!(matches!(pool.bind_at(22_212, None, now), Err(PortError::Exhausted)));
        assert_eq!(pool.bind(1, now).unwrap()[0].port(), 22_214);
        let outside = pool.bind_at(22_230, None, now).unwrap();
        assert_eq!(pool.lent(), 2);
        drop((again, outside));
        assert_eq!(pool.lent(), 0);
    }
}

//! The pool of RTP ports. Pairs of a range are leased: an even port for RTP, the following odd one for RTCP.
//! A returned pair is kept idle for a while, and its last sender is remembered, so that stale packets of an
//! old call do not reach a new one. The next free pair is chosen at random: knowing one call's port does not
//! reveal the next one's.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::net::socket::{InheritedSocket, MediaSocket};
use crate::rtp::rtcp::feedback::Port;
use optag_core::clock::MonoTime;

/// How long a returned pair is kept idle.
const REST: Duration = Duration::from_secs(5);
/// Kernel buffer of an RTCP port, which receives a few reports per second at most. Units: bytes.
const RTCP_BUFFER_BYTES: usize = 32 * 1024;

/// Why no sockets were bound.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Every port is leased or kept idle.
    #[error("every RTP port is in use")]
    Exhausted,
    /// A socket cannot be created.
    #[error("an RTP socket cannot be made: {0}")]
    Socket(#[from] io::Error),
}

/// A pool; clones share it.
#[derive(Clone, Debug)]
pub struct PortPool {
    ip: IpAddr,
    buffer_bytes: usize,
    pairs: usize,
    ports: Arc<Mutex<Ports>>,
}

#[derive(Debug)]
struct Ports {
    /// The range whose pairs are leased.
    all: Range<u16>,
    free: Vec<Pair>,
    resting: VecDeque<(Instant, Pair)>,
    lent: usize,
}

/// A pair by its even port, and the last sender's address and SSRC.
#[derive(Clone, Copy, Debug)]
struct Pair {
    port: u16,
    last_sender: Option<(SocketAddr, u32)>,
}

impl PortPool {
    /// The even ports from `min` to `max` whose odd neighbour is also in the range. Each RTP socket requests
    /// `buffer_bytes` from the kernel.
    pub fn new(ip: IpAddr, min: u16, max: u16, buffer_bytes: usize) -> Self {
        let pair = |port| Pair { port, last_sender: None };
        let free: Vec<Pair> = (min.next_multiple_of(2)..max).step_by(2).map(pair).collect();
        Self {
            ip,
            buffer_bytes,
            pairs: free.len(),
            ports: Arc::new(Mutex::new(Ports { all: min..max, free, resting: VecDeque::new(), lent: 0 })),
        }
    }

    /// Binds the sockets of one stream for each entry of `rtcp`, all or none; the entry says whether RTCP has
    /// its own port. Pairs in use by others are skipped.
    ///
    /// Errors: not enough ports, or no socket available.
    pub fn bind(
        &self,
        rtcp: impl IntoIterator<Item = bool>,
        now: MonoTime,
    ) -> Result<Vec<StreamSockets>, PortError> {
        rtcp.into_iter().map(|rtcp| self.bind_one(rtcp, now)).collect()
    }

    /// Binds this particular port, which an earlier process had leased, or takes over the socket that it left
    /// open; `rtcp` as for [`PortPool::bind`]. If the following port is in use by now, the stream continues
    /// without an RTCP port.
    ///
    /// Errors: the port is in use, or no socket available.
    pub fn bind_at(
        &self,
        port: u16,
        kept: Option<InheritedSocket>,
        rtcp: bool,
        now: MonoTime,
    ) -> Result<StreamSockets, PortError> {
        let lease = self.lend_this(port).ok_or(PortError::Exhausted)?;
        let rtp = match kept {
            Some(kept) => MediaSocket::take_over(kept),
            None => MediaSocket::bind(self.ip, port, self.buffer_bytes, now)?,
        };
        let next = port.checked_add(1).filter(|_| rtcp);
        let rtcp = next.and_then(|port| MediaSocket::bind(self.ip, port, RTCP_BUFFER_BYTES, now).ok());
        Ok(StreamSockets { rtp, rtcp, lease })
    }

    /// Number of leased pairs.
    pub fn lent(&self) -> usize {
        lock(&self.ports).lent
    }

    /// Number of pairs in the range.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// Number of pairs that can be leased now.
    pub fn free(&self) -> usize {
        let ports = lock(&self.ports);
        ports.free.len() + ports.resting.iter().filter(|(since, _)| since.elapsed() >= REST).count()
    }

    fn bind_one(&self, rtcp: bool, now: MonoTime) -> Result<StreamSockets, PortError> {
        loop {
            let lease = self.lend().ok_or(PortError::Exhausted)?;
            match self.bind_pair(lease, rtcp, now) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                bound => return Ok(bound?),
            }
        }
    }

    fn bind_pair(&self, lease: PortLease, rtcp: bool, now: MonoTime) -> io::Result<StreamSockets> {
        let port = lease.pair.port;
        let bind = |port, buffer_bytes| MediaSocket::bind(self.ip, port, buffer_bytes, now);
        Ok(StreamSockets {
            rtp: bind(port, self.buffer_bytes)?,
            rtcp: if rtcp { Some(bind(port + 1, RTCP_BUFFER_BYTES)?) } else { None },
            lease,
        })
    }

    fn lend(&self) -> Option<PortLease> {
        let mut ports = lock(&self.ports);
        while ports.resting.front().is_some_and(|(since, _)| since.elapsed() >= REST) {
            let rested = ports.resting.pop_front();
            ports.free.extend(rested.map(|(_, pair)| pair));
        }
        let pair = draw(&mut ports.free)?;
        ports.lent += 1;
        Some(PortLease { pair, returns: true, ports: Arc::clone(&self.ports) })
    }

    /// Leases this pair; it may be outside the range if the configuration was different before.
    fn lend_this(&self, port: u16) -> Option<PortLease> {
        let mut ports = lock(&self.ports);
        let at = ports.free.iter().position(|free| free.port == port);
        let in_range = ports.all.contains(&port);
        if in_range && at.is_none() {
            return None;
        }
        at.map(|at| ports.free.swap_remove(at));
        ports.lent += 1;
        let pair = Pair { port, last_sender: None };
        Some(PortLease { pair, returns: in_range, ports: Arc::clone(&self.ports) })
    }
}

/// A stream's sockets; dropping them returns the ports.
#[derive(Debug)]
pub struct StreamSockets {
    /// For RTP.
    pub rtp: MediaSocket,
    /// For RTCP, unless multiplexed.
    pub rtcp: Option<MediaSocket>,
    // Dropped last: the ports are closed before they are returned.
    lease: PortLease,
}

impl StreamSockets {
    /// The RTP port.
    pub fn port(&self) -> u16 {
        self.lease.pair.port
    }

    /// The last sender to these ports in an earlier call.
    pub fn last_sender(&self) -> Option<(SocketAddr, u32)> {
        self.lease.pair.last_sender
    }

    /// Sets the current sender, to be remembered for the next lease.
    pub fn sent_by(&mut self, sender: Option<(SocketAddr, u32)>) {
        self.lease.pair.last_sender = sender.or(self.lease.pair.last_sender);
    }

    /// Sends a datagram. If the kernel rejects it, it is lost, as on the network.
    pub fn send(&self, from: Port, to: SocketAddr, bytes: &[u8]) {
        let socket = self.rtcp.as_ref().filter(|_| from == Port::Rtcp).unwrap_or(&self.rtp);
        socket.send(to, bytes);
    }
}

/// A leased pair, returned when dropped.
#[derive(Debug)]
struct PortLease {
    pair: Pair,
    /// Whether it belongs to the range.
    returns: bool,
    ports: Arc<Mutex<Ports>>,
}

impl Drop for PortLease {
    fn drop(&mut self) {
        let mut ports = lock(&self.ports);
        ports.lent -= 1;
        if self.returns {
            ports.resting.push_back((Instant::now(), self.pair));
        }
    }
}

/// Takes one of the free pairs at random. Without random numbers it is the one returned last.
fn draw(free: &mut Vec<Pair>) -> Option<Pair> {
    let mut random = [0; 8];
    let drawn = aws_lc_rs::rand::fill(&mut random).is_ok().then(|| u64::from_be_bytes(random));
    let count = free.len() as u64;
    let at = drawn.and_then(|drawn| drawn.checked_rem(count)).unwrap_or(count.saturating_sub(1));
    (at < count).then(|| free.swap_remove(at as usize))
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
        let two = pool.bind([true, false], now).unwrap();
        assert!(two.iter().all(|sockets| sockets.port() % 2 == 0));
        assert!(two[0].rtcp.is_some() && two[1].rtcp.is_none());
        assert!(matches!(pool.bind([true], now), Err(PortError::Exhausted)));
        drop(two);
        assert!(matches!(pool.bind([true], now), Err(PortError::Exhausted)), "it rests");
        assert_eq!((pool.lent(), pool.free()), (0, 0));
        for (since, _) in &mut lock(&pool.ports).resting {
            *since -= REST;
        }
        assert_eq!((pool.free(), pool.pairs()), (2, 2));
    }

    #[test]
    fn the_next_port_is_drawn_by_lot() {
        let pool = || PortPool::new(IpAddr::from([127, 0, 0, 1]), 22_300, 22_399, 65_536);
        let order = |pool: PortPool| -> Vec<u16> {
            let drawn = std::iter::from_fn(|| draw(&mut lock(&pool.ports).free));
            drawn.map(|pair| pair.port).collect()
        };
        let (one, other) = (order(pool()), order(pool()));
        let mut sorted = one.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq((22_300..22_399).step_by(2)), "each once: {one:?}");
        // 50! orders: equality cannot be chance.
        assert!(one != other && one != sorted, "{one:?}");
    }

    #[test]
    fn trap_t16_a_port_remembers_who_sent_to_it_last() {
        let pool = PortPool::new(IpAddr::from([127, 0, 0, 1]), 22_210, 22_211, 65_536);
        let mut sockets = pool.bind([false], MonoTime::default()).unwrap().remove(0);
        assert_eq!(sockets.last_sender(), None);
        let sender = (SocketAddr::from(([127, 0, 0, 1], 9)), 7);
        sockets.sent_by(Some(sender));
        sockets.sent_by(None);
        drop(sockets);
        for (since, _) in &mut lock(&pool.ports).resting {
            *since -= REST;
        }
        let again = pool.bind([false], MonoTime::default()).unwrap().remove(0);
        assert_eq!(again.last_sender(), Some(sender));
    }

    #[test]
    fn a_port_of_an_earlier_process_is_bound_again_and_not_lent_out_twice() {
        let pool = PortPool::new(IpAddr::from([127, 0, 0, 1]), 22_231, 22_236, 65_536);
        let now = MonoTime::default();
        let again = pool.bind_at(22_232, None, true, now).unwrap();
        assert!(again.port() == 22_232 && again.rtcp.is_some());
        assert!(matches!(pool.bind_at(22_232, None, true, now), Err(PortError::Exhausted)));
        assert_eq!(pool.bind([true], now).unwrap()[0].port(), 22_234);
        let outside = pool.bind_at(22_240, None, false, now).unwrap();
        assert_eq!(pool.lent(), 2);
        drop((again, outside));
        assert_eq!(pool.lent(), 0);
    }

    #[test]
    fn a_pair_whose_odd_port_is_taken_is_passed_over() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:22221").unwrap();
        let pool = PortPool::new(IpAddr::from([127, 0, 0, 1]), 22_220, 22_223, 65_536);
        let sockets = pool.bind([true], MonoTime::default()).unwrap().remove(0);
        assert_eq!(sockets.port(), 22_222);
        drop(taken);
    }
}

//! The RTP ports. Pairs of a range are lent out: an even one for RTP, the odd one after it for
//! RTCP. A pair that comes back rests for a while, and remembers who sent to it last, so that
//! stale packets of an old call do not reach a new one. Which of the free pairs is lent next is
//! drawn by lot: whoever knows one call's port cannot tell the next one's.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::net::socket::{KeptSocket, MediaSocket};
use crate::rtp::rtcp::feedback::Port;
use optag_core::clock::MonoTime;

/// How long a returned pair rests.
const REST: Duration = Duration::from_secs(5);
/// Kernel buffer of an RTCP port: some reports a second at most. Units: bytes.
const RTCP_BUFFER_BYTES: usize = 32 * 1024;

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
    /// Pairs of it are lent out.
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
    /// The even ports from `min` to `max` that have their odd neighbour in the range as well.
    /// Each RTP socket asks the kernel for `buffer_bytes`.
    pub fn new(ip: IpAddr, min: u16, max: u16, buffer_bytes: usize) -> Self {
        let pair = |port| Pair { port, last_sender: None };
        let free = (min.next_multiple_of(2)..max).step_by(2).map(pair).collect();
        Self {
            ip,
            buffer_bytes,
            ports: Arc::new(Mutex::new(Ports { all: min..max, free, resting: VecDeque::new(), lent: 0 })),
        }
    }

    /// Binds a stream's sockets for each of `rtcp`, or none at all; it says whether RTCP has a
    /// port of its own. A pair that something else holds is passed over.
    ///
    /// Errors: there are too few ports, or the system gives no socket.
    pub fn bind(
        &self,
        rtcp: impl IntoIterator<Item = bool>,
        now: MonoTime,
    ) -> Result<Vec<StreamSockets>, PortError> {
        rtcp.into_iter().map(|rtcp| self.bind_one(rtcp, now)).collect()
    }

    /// Binds this very port, which an earlier process had lent out, or takes over the socket that
    /// it left open; `rtcp` as for [`PortPool::bind`]. Where the port after it is taken by now,
    /// the stream goes on without one for RTCP.
    ///
    /// Errors: the port is taken, or the system gives no socket.
    pub fn bind_at(
        &self,
        port: u16,
        kept: Option<KeptSocket>,
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

    /// Pairs lent out now.
    pub fn lent(&self) -> usize {
        lock(&self.ports).lent
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

    /// A pair that may lie outside of the range, where that was another one before.
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

/// A stream's sockets; their ports go back when this is dropped.
#[derive(Debug)]
pub struct StreamSockets {
    /// For RTP.
    pub rtp: MediaSocket,
    /// For RTCP, where it does not share that one.
    pub rtcp: Option<MediaSocket>,
    // Dropped last: the ports are closed before they rest.
    lease: PortLease,
}

impl StreamSockets {
    /// The port that RTP comes to.
    pub fn port(&self) -> u16 {
        self.lease.pair.port
    }

    /// Who sent to these ports in an earlier call.
    pub fn last_sender(&self) -> Option<(SocketAddr, u32)> {
        self.lease.pair.last_sender
    }

    /// Who sends to them now, so that it is known when they are lent again.
    pub fn sent_by(&mut self, sender: Option<(SocketAddr, u32)>) {
        self.lease.pair.last_sender = sender.or(self.lease.pair.last_sender);
    }

    /// Sends a datagram of ours. One that the kernel does not take is lost, as on the wire.
    pub fn send(&self, from: Port, to: SocketAddr, bytes: &[u8]) {
        let socket = self.rtcp.as_ref().filter(|_| from == Port::Rtcp).unwrap_or(&self.rtp);
        socket.send(to, bytes);
    }
}

/// A pair that is ours until this is dropped.
#[derive(Debug)]
struct PortLease {
    pair: Pair,
    /// Whether it goes back to the range.
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

/// Takes one of the free pairs by lot. Without random numbers it is the last that came back.
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
        assert_eq!(pool.lent(), 0);
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
        // 50! orders: two alike are no chance.
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

//! A stream's UDP socket. In: datagrams queued by the kernel since the last tick, in one batched receive.
//! Out: datagrams with their arrival on the monotonic clock.
//!
//! The kernel timestamps arrivals with the wall clock, which may jump; therefore a timestamp is converted by
//! its age when read, and no arrival is earlier than the previous read.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::Once;

use socket2::{Domain, Protocol, Socket, Type};

use crate::net::receive_buffers::{BATCH, Buffers, LentBuffers};
use optag_core::clock::{Clock, MonoTime};

/// Maximum number of batches per read; the rest waits for the next tick, so that a flood on one port cannot
/// starve the others.
const BATCHES: usize = 64;
/// Kernel buffer size below which a stalled tick would lose packets. Units: bytes.
const BUFFER_LEAST_BYTES: usize = 16 * 1024;

/// A socket kept open while one process replaces another.
#[derive(Debug)]
pub struct InheritedSocket {
    /// The socket, with the options that [`MediaSocket::bind`] set.
    pub socket: UdpSocket,
    /// When it was last read.
    pub last_read: MonoTime,
    /// The kernel's drop counter at that time.
    pub dropped: u32,
}

/// A bound socket.
#[derive(Debug)]
pub struct MediaSocket {
    socket: UdpSocket,
    last_read: MonoTime,
    dropped: u32,
}

impl MediaSocket {
    /// Binds a port and requests a receive buffer from the kernel, which may be granted in part.
    ///
    /// Errors: the port is in use, or no descriptor is available.
    pub fn bind(ip: IpAddr, port: u16, buffer_bytes: usize, now: MonoTime) -> io::Result<Self> {
        let domain = if ip.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        socket.set_recv_buffer_size(buffer_bytes)?;
        let given_bytes = socket.recv_buffer_size()?;
        if given_bytes < BUFFER_LEAST_BYTES {
            return Err(io::Error::other("the system allows too small UDP buffers: raise net.core.rmem_max"));
        }
        // The kernel reports twice the granted size, including its own overhead. Source: socket(7).
        if given_bytes / 2 < buffer_bytes {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| {
                tracing::warn!(
                    buffer_bytes,
                    given_bytes,
                    "the kernel gives smaller UDP buffers than asked for: raise net.core.rmem_max"
                );
            });
        }
        for option in [libc::SO_TIMESTAMPNS, libc::SO_RXQ_OVFL] {
            let on: libc::c_int = 1;
            // SAFETY: the descriptor is open, and the option takes one int.
            let status = unsafe {
                let size = size_of::<libc::c_int>() as libc::socklen_t;
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    option,
                    ptr::from_ref(&on).cast(),
                    size,
                )
            };
            if status != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        socket.bind(&SocketAddr::new(ip, port).into())?;
        Ok(Self { socket: socket.into(), last_read: now, dropped: 0 })
    }

    /// Continues with a socket of an earlier process.
    pub fn take_over(kept: InheritedSocket) -> Self {
        Self { socket: kept.socket, last_read: kept.last_read, dropped: kept.dropped }
    }

    /// Keeps the socket open for the next program. Datagrams wait in it from now on.
    pub fn keep(self) -> InheritedSocket {
        InheritedSocket { socket: self.socket, last_read: self.last_read, dropped: self.dropped }
    }

    /// Sends a datagram; if the kernel rejects it, it is lost, as on the network.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let _ = self.socket.send_to(bytes, to);
    }

    /// Passes every waiting datagram to `take`; returns the number dropped by the kernel since the last read.
    pub fn read(&mut self, clock: &dyn Clock, mut take: impl FnMut(MonoTime, SocketAddr, &[u8])) -> u64 {
        // A backlog is encoded while it is read, and the thread's other calls may read meanwhile.
        let mut buffers = LentBuffers::new();
        self.read_into(clock, &mut buffers, &mut take)
    }

    fn read_into(
        &mut self,
        clock: &dyn Clock,
        buffers: &mut Buffers,
        take: &mut impl FnMut(MonoTime, SocketAddr, &[u8]),
    ) -> u64 {
        let mut dropped = self.dropped;
        for _ in 0..BATCHES {
            let count = buffers.receive(self.socket.as_raw_fd());
            let (mono, wall) = clock.both();
            for n in 0..count {
                let control = buffers.control(n);
                dropped = control.dropped.unwrap_or(dropped);
                let age_ns = control.stamp_ns.map_or(0, |stamp| wall.as_unix_micros() * 1_000 - stamp).max(0);
                let arrival = MonoTime::from_nanos(mono.as_nanos().saturating_sub(age_ns as u64));
                let arrival = arrival.max(self.last_read);
                if let Some(from) = buffers.sender(n) {
                    take(arrival, from, buffers.datagram(n));
                }
            }
            if count < BATCH {
                self.last_read = mono;
                break;
            }
        }
        let new = dropped.wrapping_sub(self.dropped);
        self.dropped = dropped;
        u64::from(new)
    }
}

#[cfg(test)]
mod tests {
    use opus_lanes::{Lanes, Path};

    use super::*;
    use crate::net::port_pool::PortPool;
    use crate::opus::encoder::{Encoder, OpusSettings};
    use crate::opus::noise_classifier::Sound;
    use optag_core::clock::OsClock;

    #[test]
    fn waiting_datagrams_come_with_sender_and_arrival() {
        let pool = PortPool::new(IpAddr::from([127, 0, 0, 1]), 22_000, 22_099, 262_144);
        let before = OsClock.mono();
        let mut sockets = pool.bind([false], before).unwrap().remove(0);
        let port = sockets.port();
        let socket = &mut sockets.rtp;
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..70u8 {
            sender.send_to(&[n; 10], ("127.0.0.1", port)).unwrap();
        }
        let mut got = Vec::new();
        let dropped = socket.read(&OsClock, |arrival, from, bytes| got.push((arrival, from, bytes.to_vec())));
        assert_eq!((dropped, got.len()), (0, 70));
        assert!(got.iter().enumerate().all(|(n, (_, _, bytes))| *bytes == [n as u8; 10]));
        assert!(got.iter().all(|(_, from, _)| *from == sender.local_addr().unwrap()));
        assert!(got.iter().all(|(arrival, _, _)| *arrival >= before && *arrival <= OsClock.mono()));
    }

    #[test]
    fn a_tick_that_stalls_for_ten_seconds_loses_nothing() {
        let pool = PortPool::new(IpAddr::from([127, 0, 0, 1]), 22_300, 22_399, 262_144);
        let mut sockets = pool.bind([false], OsClock.mono()).unwrap().remove(0);
        let port = sockets.port();
        let socket = &mut sockets.rtp;
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..500u16 {
            let mut packet = [0xd5; 172];
            packet[..2].copy_from_slice(&n.to_be_bytes());
            sender.send_to(&packet, ("127.0.0.1", port)).unwrap();
        }
        let mut next = 0u16;
        let dropped = socket.read(&OsClock, |_, _, bytes| {
            assert_eq!(bytes[..2], next.to_be_bytes());
            next += 1;
        });
        assert_eq!((dropped, next), (0, 500));
    }

    #[test]
    fn a_call_that_encodes_while_it_reads_lets_others_go_on() {
        const FRAMES: u8 = 40;
        let settings = OpusSettings {
            bitrate_bps: 16_000,
            wideband_bitrate_bps: 24_000,
            complexity: 5,
            saves_background: false,
        };
        let pool = PortPool::new(IpAddr::from([127, 0, 0, 1]), 22_400, 22_499, 262_144);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut readers: Vec<_> = (0..8u8)
            .map(|n| {
                (n, pool.bind([false], OsClock.mono()).unwrap().remove(0), Encoder::new(settings, 8_000))
            })
            .collect();
        for &path in Path::available() {
            for (n, sockets, _) in &readers {
                for frame in 0..FRAMES {
                    sender.send_to(&[*n, frame], ("127.0.0.1", sockets.port())).unwrap();
                }
            }
            let mut lanes = Lanes::new(path);
            let results = lanes.run(&mut readers, |(n, sockets, encoder)| {
                let mut next = 0;
                sockets.rtp.read(&OsClock, |_, _, bytes| {
                    assert_eq!(bytes, [*n, next], "another datagram");
                    let phase =
                        |i: usize| (usize::from(next) * 160 + i) as f64 * (0.1 + f64::from(*n) * 0.03);
                    let frame: [i16; 160] = std::array::from_fn(|i| (phase(i).sin() * 8_000.0) as i16);
                    encoder.encode(&frame, Sound::Talk);
                    next += 1;
                });
                next
            });
            assert!(results.into_iter().all(|read| read.is_ok_and(|read| read == FRAMES)), "{path:?}");
            assert!(path == Path::Plain || lanes.counts().calls > 0, "{path:?}: each encoded alone");
        }
    }

    #[test]
    fn a_flood_is_counted_where_the_kernel_drops_it() {
        let pool = PortPool::new(IpAddr::from([127, 0, 0, 1]), 22_100, 22_199, 262_144);
        let mut sockets = pool.bind([false], OsClock.mono()).unwrap().remove(0);
        let port = sockets.port();
        let socket = &mut sockets.rtp;
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..20_000 {
            sender.send_to(&[0; 1_000], ("127.0.0.1", port)).unwrap();
        }
        let mut got = 0u64;
        let mut dropped = socket.read(&OsClock, |_, _, _| got += 1);
        sender.send_to(&[0; 10], ("127.0.0.1", port)).unwrap();
        dropped += socket.read(&OsClock, |_, _, _| got += 1);
        assert!(dropped > 0 && got + dropped == 20_001, "{got} + {dropped}");
    }
}

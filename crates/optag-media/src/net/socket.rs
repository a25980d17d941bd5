//! A stream's UDP socket. In: datagrams queued by the kernel since the last tick, in one batched receive.
//! Out: datagrams with their arrival on the monotonic clock.
//!
//! The kernel timestamps arrivals with the wall clock, which may jump; therefore a timestamp is converted by
//! its age when read, and no arrival is earlier than the previous read.

use std::cell::RefCell;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::Once;

use socket2::{Domain, Protocol, Socket, Type};

use optag_core::clock::{Clock, MonoTime};
use optag_core::limit;

/// Datagrams per system call.
const BATCH: usize = 32;
/// Maximum number of batches per read; the rest waits for the next tick, so that a flood on one port cannot
/// starve the others.
const BATCHES: usize = 64;
/// Kernel buffer size below which a stalled tick would lose packets. Units: bytes.
const BUFFER_LEAST_BYTES: usize = 16 * 1024;
/// Space for the control messages of a datagram. Units: bytes.
const CONTROL_BYTES: usize = 128;

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
        thread_local! {
            static BUFFERS: RefCell<Box<Buffers>> = RefCell::new(Buffers::new());
        }
        // A backlog is encoded while it is read, and the thread's other calls need the buffers.
        let _held = opus_lanes::hold();
        BUFFERS.with_borrow_mut(|buffers| self.read_into(clock, buffers, &mut take))
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

/// The kernel's control data for a datagram.
#[derive(Default)]
struct Control {
    stamp_ns: Option<i64>,
    dropped: Option<u32>,
}

/// One byte more than the limit reveals datagrams that are too long.
const SLOT_BYTES: usize = limit::DATAGRAM_BYTES + 1;

/// The memory of one batched receive; one per worker thread.
struct Buffers {
    bytes: Vec<[u8; SLOT_BYTES]>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<[u64; CONTROL_BYTES / 8]>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    /// Number of headers, from the front, that the last call may have changed.
    changed: usize,
}

impl Buffers {
    fn new() -> Box<Self> {
        // SAFETY: these C structs are valid when zero.
        let (name, header) = unsafe { (zeroed(), zeroed()) };
        let vector = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Box::new(Self {
            bytes: vec![[0; SLOT_BYTES]; BATCH],
            names: vec![name; BATCH],
            controls: vec![[0; CONTROL_BYTES / 8]; BATCH],
            vectors: vec![vector; BATCH],
            headers: vec![header; BATCH],
            changed: BATCH,
        })
    }

    /// Receives up to a batch; an error counts as nothing received (the next tick tries again).
    fn receive(&mut self, fd: libc::c_int) -> usize {
        for n in 0..self.changed {
            self.vectors[n] =
                libc::iovec { iov_base: self.bytes[n].as_mut_ptr().cast(), iov_len: SLOT_BYTES };
            let header = &mut self.headers[n].msg_hdr;
            header.msg_name = ptr::from_mut(&mut self.names[n]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &mut self.vectors[n];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[n].as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES;
            header.msg_flags = 0;
        }
        // SAFETY: every header points into this struct's own memory with its true lengths, and
        // nothing moves before the call returns.
        let count = unsafe {
            libc::recvmmsg(fd, self.headers.as_mut_ptr(), BATCH as u32, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        let count = usize::try_from(count).unwrap_or(0);
        // A datagram that failed after those received may have changed the next header.
        self.changed = (count + 1).min(BATCH);
        count
    }

    fn datagram(&self, n: usize) -> &[u8] {
        &self.bytes[n][..(self.headers[n].msg_len as usize).min(SLOT_BYTES)]
    }

    fn sender(&self, n: usize) -> Option<SocketAddr> {
        let name = ptr::from_ref(&self.names[n]);
        match i32::from(self.names[n].ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says which struct the storage holds.
                let v4 = unsafe { &*name.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says which struct the storage holds.
                let v6 = unsafe { &*name.cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some(SocketAddr::from((ip, u16::from_be(v6.sin6_port))))
            }
            _ => None,
        }
    }

    fn control(&self, n: usize) -> Control {
        let header = &self.headers[n].msg_hdr;
        let mut control = Control::default();
        // SAFETY: the kernel filled the control buffer of this header and set its length; the
        // CMSG functions stay inside it, and data is read unaligned.
        unsafe {
            let mut message = libc::CMSG_FIRSTHDR(header);
            while let Some(one) = message.as_ref() {
                let data = libc::CMSG_DATA(message);
                match (one.cmsg_level, one.cmsg_type) {
                    (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                        let stamp = ptr::read_unaligned(data.cast::<libc::timespec>());
                        control.stamp_ns = Some(stamp.tv_sec * 1_000_000_000 + stamp.tv_nsec);
                    }
                    (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                        control.dropped = Some(ptr::read_unaligned(data.cast::<u32>()));
                    }
                    _ => {}
                }
                message = libc::CMSG_NXTHDR(header, message);
            }
        }
        control
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::port_pool::PortPool;
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

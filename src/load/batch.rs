//! Batched sending. In: packets and their destinations. Out: `sendmmsg`, and the number of packets accepted.

use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

use socket2::SockAddr;

/// Packets per system call.
pub const BATCH: usize = 256;
/// Buffer size for a batch, allocated once. Units: bytes.
const BATCH_BYTES: usize = BATCH * 2_048;

/// Result of sending a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Packets sent.
    pub sent: u64,
    /// Packets rejected by the system.
    pub failed: u64,
}

/// A socket with its batch of packets to send.
pub struct Batch {
    socket: UdpSocket,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    names: Vec<SockAddr>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the pointers in `vectors` and `headers` are only dereferenced within `flush`, which sets them each
// time.
unsafe impl Send for Batch {}

impl Batch {
    /// An empty batch.
    pub fn new(socket: UdpSocket) -> Self {
        Self {
            socket,
            bytes: Vec::with_capacity(BATCH_BYTES),
            ends: Vec::with_capacity(BATCH),
            names: Vec::with_capacity(BATCH),
            vectors: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
        }
    }

    /// Adds the packet that `write` appends; true if the batch is full and must be flushed.
    pub fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
        self.names.push(to.into());
        self.ends.len() == BATCH
    }

    /// Sends the batch. A packet rejected by the system is skipped.
    pub fn flush(&mut self) -> Flushed {
        let count = self.ends.len();
        self.vectors.clear();
        self.headers.clear();
        let base = self.bytes.as_mut_ptr();
        let mut from = 0;
        for &end in &self.ends {
            // SAFETY: `from` lies within `bytes`.
            let iov_base = unsafe { base.add(from) }.cast();
            self.vectors.push(libc::iovec { iov_base, iov_len: end - from });
            from = end;
        }
        for (name, vector) in self.names.iter().zip(&mut self.vectors) {
            // SAFETY: the C struct is valid when zero.
            let mut header: libc::mmsghdr = unsafe { zeroed() };
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            self.headers.push(header);
        }
        let (mut at, mut sent) = (0, 0);
        while at < count {
            // SAFETY: every header points to a name, a vector and bytes that outlive the call.
            let took = unsafe {
                let waiting = self.headers[at..].as_mut_ptr();
                libc::sendmmsg(self.socket.as_raw_fd(), waiting, (count - at) as u32, 0)
            };
            match usize::try_from(took) {
                Ok(took) if took > 0 => {
                    at += took;
                    sent += took;
                }
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                _ => at += 1,
            }
        }
        for header in &mut self.headers {
            header.msg_hdr.msg_name = null_mut();
        }
        self.bytes.clear();
        self.ends.clear();
        self.names.clear();
        Flushed { sent: sent as u64, failed: (count - sent) as u64 }
    }
}

/// Processor time of the calling thread, including kernel time. Units: ns.
pub fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one struct.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    if status != 0 {
        return 0;
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_of_a_batch_arrives_whole_at_its_address() {
        let sinks = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut batch = Batch::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        for n in 0..100u8 {
            let to = sinks[usize::from(n % 2)].local_addr().unwrap();
            batch.push(to, |out| out.extend(std::iter::repeat_n(n, usize::from(n) + 1)));
        }
        assert_eq!(batch.flush(), Flushed { sent: 100, failed: 0 });
        assert_eq!(batch.flush(), Flushed::default());
        let mut bytes = [0; 256];
        for n in 0..100u8 {
            let length = sinks[usize::from(n % 2)].recv(&mut bytes).unwrap();
            assert_eq!(bytes[..length], vec![n; usize::from(n) + 1]);
        }
    }
}

//! The memory that a batched receive fills. In: a descriptor. Out: datagrams, their senders, and what the kernel
//! says of each.
//!
//! A thread keeps one for its next read. It needs more only while a call waits in the middle of a backlog for
//! others to encode with (`opus_lanes`).

use std::cell::Cell;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::ptr;

use zeroize::Zeroize;

use optag_core::limit;

/// Datagrams per system call.
pub(super) const BATCH: usize = 32;
/// Space for the control messages of a datagram. Units: bytes.
const CONTROL_BYTES: usize = 128;

thread_local! {
    static KEPT: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// Buffers for one read: those that the thread keeps, or new ones where they are in use.
pub(super) struct LentBuffers(Option<Box<Buffers>>);

impl LentBuffers {
    pub(super) fn new() -> Self {
        Self(Some(KEPT.take().unwrap_or_else(Buffers::new)))
    }
}

impl Deref for LentBuffers {
    type Target = Buffers;

    fn deref(&self) -> &Buffers {
        self.0.as_ref().expect("lent until dropped")
    }
}

impl DerefMut for LentBuffers {
    fn deref_mut(&mut self) -> &mut Buffers {
        self.0.as_mut().expect("lent until dropped")
    }
}

impl Drop for LentBuffers {
    fn drop(&mut self) {
        // Where another read has returned its own, that one goes.
        KEPT.set(self.0.take());
    }
}

/// The kernel's control data for a datagram.
#[derive(Default)]
pub(super) struct Control {
    /// Arrival by the wall clock. Units: ns since 1970.
    pub stamp_ns: Option<i64>,
    /// Datagrams that the kernel has dropped so far.
    pub dropped: Option<u32>,
}

/// One byte more than the limit reveals datagrams that are too long.
const SLOT_BYTES: usize = limit::DATAGRAM_BYTES + 1;

/// The memory of one batched receive.
pub(super) struct Buffers {
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
    pub(super) fn receive(&mut self, fd: libc::c_int) -> usize {
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

    /// A received datagram, or as much of it as shows that it is too long.
    pub(super) fn datagram(&self, n: usize) -> &[u8] {
        &self.bytes[n][..(self.headers[n].msg_len as usize).min(SLOT_BYTES)]
    }

    /// Who sent it.
    pub(super) fn sender(&self, n: usize) -> Option<SocketAddr> {
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

    /// What the kernel says of it.
    pub(super) fn control(&self, n: usize) -> Control {
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

impl Drop for Buffers {
    fn drop(&mut self) {
        self.bytes.iter_mut().for_each(Zeroize::zeroize);
    }
}

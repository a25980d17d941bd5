//! Sends many streams on time. A few threads of their own, an absolute schedule, `sendmmsg`;
//! how late packets left is counted, so that the sender can prove that it was not the limit.

use std::collections::HashMap;
use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::leg::Leg;
use crate::base::clock::{Clock, OsClock, WallTime};

/// Time between two packets of a stream.
const PACKET: Duration = Duration::from_millis(20);
/// Streams start spread over this many places within [`PACKET`].
const PLACES: u64 = 10;
/// Packets of one system call.
const BATCH: usize = 64;
/// Lateness that a receiver would notice.
const LATE: Duration = Duration::from_millis(10);

/// What a stream sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When its first packet was due.
    pub started_at: WallTime,
    /// Packets.
    pub packets: u64,
}

/// How well the schedule was kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lateness {
    /// Packets sent.
    pub packets: u64,
    /// Packets that left more than 10 ms after their time.
    pub late: u64,
    /// The latest. Units: µs.
    pub worst_us: u64,
    /// Packets that the system did not take.
    pub failed: u64,
}

enum Order {
    Add(u64, Box<Leg>),
    Remove(u64, Sender<Option<Sent>>),
    Stop(Sender<Lateness>),
}

/// The sending threads.
pub struct SenderPool {
    threads: Vec<Sender<Order>>,
}

impl SenderPool {
    /// Starts `threads` threads, each with a socket of its own that can reach `ip`.
    ///
    /// Errors: no socket.
    pub fn start(threads: usize, to: SocketAddr) -> io::Result<Self> {
        let local = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let start = |n| {
            let socket = UdpSocket::bind(local)?;
            let (orders, inbox) = channel();
            std::thread::Builder::new()
                .name(format!("send-{n}"))
                .spawn(move || Thread::new(socket, inbox).run())?;
            Ok(orders)
        };
        Ok(Self { threads: (0..threads.max(1)).map(start).collect::<io::Result<_>>()? })
    }

    /// Starts a stream; `id` is the caller's name for it.
    pub fn add(&self, id: u64, leg: Leg) {
        let _ = self.thread(id).send(Order::Add(id, Box::new(leg)));
    }

    /// Ends a stream and tells what it sent. Blocks for some milliseconds at the most.
    pub fn remove(&self, id: u64) -> Option<Sent> {
        let (reply, answer) = channel();
        let _ = self.thread(id).send(Order::Remove(id, reply));
        answer.recv().ok().flatten()
    }

    /// Stops all threads.
    pub fn stop(self) -> Lateness {
        let mut total = Lateness::default();
        for thread in self.threads {
            let (reply, answer) = channel();
            let _ = thread.send(Order::Stop(reply));
            if let Ok(one) = answer.recv() {
                total.packets += one.packets;
                total.late += one.late;
                total.failed += one.failed;
                total.worst_us = total.worst_us.max(one.worst_us);
            }
        }
        total
    }

    fn thread(&self, id: u64) -> &Sender<Order> {
        &self.threads[id as usize % self.threads.len()]
    }
}

struct Stream {
    leg: Box<Leg>,
    start: Instant,
    started_at: WallTime,
}

struct Thread {
    socket: UdpSocket,
    inbox: Receiver<Order>,
    streams: HashMap<u64, Stream>,
    lateness: Lateness,
    packets: Vec<Vec<u8>>,
    to: Vec<SocketAddr>,
}

impl Thread {
    fn new(socket: UdpSocket, inbox: Receiver<Order>) -> Self {
        Self {
            socket,
            inbox,
            streams: HashMap::new(),
            lateness: Lateness::default(),
            packets: vec![Vec::new(); BATCH],
            to: Vec::with_capacity(BATCH),
        }
    }

    fn run(mut self) {
        let step = PACKET / PLACES as u32;
        let mut next = Instant::now() + step;
        loop {
            while let Ok(order) = self.inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
                match order {
                    Order::Add(id, leg) => self.add(id, leg),
                    Order::Remove(id, reply) => {
                        let gone = self.streams.remove(&id);
                        let _ = reply
                            .send(gone.map(|s| Sent { started_at: s.started_at, packets: s.leg.frames() }));
                    }
                    Order::Stop(reply) => {
                        let _ = reply.send(self.lateness);
                        return;
                    }
                }
            }
            self.send_due();
            next += step;
        }
    }

    fn add(&mut self, id: u64, leg: Box<Leg>) {
        let wait = PACKET / PLACES as u32 * (id % PLACES) as u32;
        // One moment on both clocks: what is sent is judged by the wall clock later.
        let (mono, wall) = OsClock.both();
        let passed = OsClock.mono().since(mono);
        let start = Instant::now() - passed + wait;
        let started_at = wall.plus_micros(wait.as_micros() as i64);
        self.streams.insert(id, Stream { leg, start, started_at });
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        let mut streams = std::mem::take(&mut self.streams);
        for stream in streams.values_mut() {
            loop {
                let due = stream.start + PACKET * stream.leg.frames() as u32;
                if due > now {
                    break;
                }
                let late = now - due;
                self.lateness.late += u64::from(late > LATE);
                self.lateness.worst_us = self.lateness.worst_us.max(late.as_micros() as u64);
                stream.leg.next(&mut self.packets[self.to.len()]);
                self.to.push(stream.leg.to);
                if self.to.len() == BATCH {
                    self.flush();
                }
            }
        }
        self.streams = streams;
        self.flush();
    }

    fn flush(&mut self) {
        let count = self.to.len();
        if count == 0 {
            return;
        }
        let sent = send_all(&self.socket, &mut self.packets[..count], &self.to);
        self.lateness.packets += sent as u64;
        self.lateness.failed += (count - sent) as u64;
        self.to.clear();
    }
}

/// Sends the packets with as few calls as it takes; how many went.
fn send_all(socket: &UdpSocket, packets: &mut [Vec<u8>], to: &[SocketAddr]) -> usize {
    let names: Vec<socket2::SockAddr> = to.iter().map(|&address| address.into()).collect();
    let mut vectors: Vec<libc::iovec> = packets
        .iter_mut()
        .map(|packet| libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(packets.len());
    for (name, vector) in names.iter().zip(&mut vectors) {
        // SAFETY: the C struct is valid when zero.
        let mut header: libc::mmsghdr = unsafe { zeroed() };
        header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = name.len();
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        headers.push(header);
    }
    let mut sent = 0;
    while sent < headers.len() {
        // SAFETY: every header points to a name, a vector and a packet that outlive the call.
        let count = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), headers[sent..].as_mut_ptr(), (headers.len() - sent) as u32, 0)
        };
        match usize::try_from(count) {
            Ok(count) if count > 0 => sent += count,
            _ => break,
        }
    }
    sent
}

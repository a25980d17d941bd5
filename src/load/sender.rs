//! Sends many streams on time: a few dedicated threads, an absolute schedule, one system call for everything
//! that is due. Lateness and cost are measured, so that the sender can be excluded as the limit.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::batch::{Batch, thread_cpu_ns};
use super::impairment::{Fate, Line};
use super::lateness::Lateness;
use super::leg::Leg;
use optag_core::clock::{Clock, OsClock, WallTime};

/// Interval of the schedule.
const STEP: Duration = Duration::from_millis(2);

/// What a stream sent.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Due time of its first packet.
    pub started_at: WallTime,
    /// Packet times elapsed.
    pub packets: u64,
    /// Datagrams sent, including duplicates.
    pub datagrams: u64,
    /// Packets lost on the path, by number.
    pub lost: Vec<u64>,
    /// Maximum lateness of a packet. Units: µs.
    pub late_most_us: u64,
}

enum Order {
    Add(u64, Box<Stream>),
    Remove(u64, Sender<Option<Sent>>),
    Stop(Sender<Lateness>),
}

/// The sending threads.
pub struct SenderPool {
    threads: Vec<Sender<Order>>,
    /// Port of each thread's socket.
    ports: Vec<u16>,
}

impl SenderPool {
    /// Starts `threads` threads, each with its own socket for sending to `to`.
    ///
    /// Errors: no socket.
    pub fn start(threads: usize, to: SocketAddr) -> io::Result<Self> {
        let local = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let start = |n| {
            let socket = UdpSocket::bind(local)?;
            let port = socket.local_addr()?.port();
            let batch = Batch::new(socket);
            let (orders, inbox) = channel();
            std::thread::Builder::new()
                .name(format!("send-{n}"))
                .spawn(move || Thread::new(batch, inbox).run())?;
            Ok((orders, port))
        };
        let started: Vec<_> = (0..threads.max(1)).map(start).collect::<io::Result<_>>()?;
        let (threads, ports) = started.into_iter().unzip();
        Ok(Self { threads, ports })
    }

    /// Starts a stream without impairment; `id` is chosen by the caller.
    pub fn add(&self, id: u64, leg: Leg) {
        self.start_stream(id, leg, None, 0.0);
    }

    /// Starts a stream on an impaired path, with clock drift in ppm.
    pub fn add_impaired(&self, id: u64, leg: Leg, line: Line, drift_ppm: f64) {
        self.start_stream(id, leg, Some(line), drift_ppm);
    }

    fn start_stream(&self, id: u64, leg: Leg, line: Option<Line>, drift_ppm: f64) {
        let period_ns = leg.packet_time().as_nanos() as f64 * (1.0 + drift_ppm / 1e6);
        let drifts = drift_ppm != 0.0;
        let stream =
            Stream { id, leg, line, period_ns, drifts, start: Instant::now(), sent: Sent::default() };
        let _ = self.thread(id).send(Order::Add(id, Box::new(stream)));
    }

    /// Ends a stream and returns what it sent. Blocks for some milliseconds at most.
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
                total.add(&one);
            }
        }
        total
    }

    /// The source port of the stream with this id.
    pub fn port(&self, id: u64) -> u16 {
        self.ports[self.place(id)]
    }

    fn thread(&self, id: u64) -> &Sender<Order> {
        &self.threads[self.place(id)]
    }

    fn place(&self, id: u64) -> usize {
        // Both streams of a call are sent by one thread.
        (id / 2) as usize % self.threads.len()
    }
}

struct Stream {
    id: u64,
    leg: Leg,
    line: Option<Line>,
    period_ns: f64,
    drifts: bool,
    start: Instant,
    sent: Sent,
}

impl Stream {
    fn due(&self) -> Instant {
        self.start + Duration::from_nanos((self.leg.packets() as f64 * self.period_ns) as u64)
    }
}

/// A packet delayed by its path.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: Instant,
    order: u64,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// Streams with one packet time. Those in one slot are due in the same step; those with clock drift are
/// checked in every step.
struct Wheel {
    packet_time: Duration,
    places: Vec<Vec<Stream>>,
    drifting: Vec<Stream>,
}

impl Wheel {
    fn new(packet_time: Duration) -> Self {
        let places = (packet_time.as_micros() / STEP.as_micros()) as usize;
        Self { packet_time, places: (0..places).map(|_| Vec::new()).collect(), drifting: Vec::new() }
    }

    fn take(&mut self, id: u64) -> Option<Stream> {
        let mut all = self.places.iter_mut().chain([&mut self.drifting]);
        all.find_map(|place| {
            let at = place.iter().position(|stream| stream.id == id)?;
            Some(place.swap_remove(at))
        })
    }
}

struct Thread {
    batch: Batch,
    inbox: Receiver<Order>,
    wheels: Vec<Wheel>,
    held: BinaryHeap<Reverse<Held>>,
    held_so_far: u64,
    lateness: Lateness,
    /// The next step, and its due time.
    step: u64,
    next: Instant,
}

impl Thread {
    fn new(batch: Batch, inbox: Receiver<Order>) -> Self {
        Self {
            batch,
            inbox,
            wheels: Vec::new(),
            held: BinaryHeap::new(),
            held_so_far: 0,
            lateness: Lateness::default(),
            step: 0,
            next: Instant::now() + STEP,
        }
    }

    fn run(mut self) {
        loop {
            while let Ok(order) = self.inbox.recv_timeout(self.next.saturating_duration_since(Instant::now()))
            {
                match order {
                    Order::Add(id, stream) => self.add(id, *stream),
                    Order::Remove(id, reply) => {
                        let gone = self.wheels.iter_mut().find_map(|wheel| wheel.take(id));
                        let _ = reply.send(gone.map(|stream| {
                            let packets = stream.leg.packets();
                            Sent { packets, ..stream.sent }
                        }));
                    }
                    Order::Stop(reply) => {
                        self.lateness.cpu_ns = thread_cpu_ns();
                        let _ = reply.send(self.lateness);
                        return;
                    }
                }
            }
            self.send_due();
            self.next += STEP;
            self.step += 1;
        }
    }

    fn add(&mut self, id: u64, mut stream: Stream) {
        let packet_time = stream.leg.packet_time();
        if !self.wheels.iter().any(|wheel| wheel.packet_time == packet_time) {
            self.wheels.push(Wheel::new(packet_time));
        }
        let Some(wheel) = self.wheels.iter_mut().find(|wheel| wheel.packet_time == packet_time) else {
            return;
        };
        let places = wheel.places.len() as u64;
        let place = (id / 2) % places;
        let wait = STEP * ((place + places - self.step % places) % places) as u32;
        stream.start = self.next + wait;
        // The same moment on both clocks: sent packets are later compared by the wall clock.
        let (mono, wall) = OsClock.both();
        let passed = OsClock.mono().since(mono);
        let ahead = stream.start.saturating_duration_since(Instant::now() - passed);
        stream.sent.started_at = wall.plus_micros(ahead.as_micros() as i64);
        match stream.drifts {
            true => wheel.drifting.push(stream),
            false => wheel.places[place as usize].push(stream),
        }
    }

    fn send_due(&mut self) {
        let mut wheels = std::mem::take(&mut self.wheels);
        for wheel in &mut wheels {
            let place = (self.step % wheel.places.len() as u64) as usize;
            for stream in wheel.places[place].iter_mut().chain(&mut wheel.drifting) {
                self.send_stream(stream);
            }
        }
        self.wheels = wheels;
        while self.held.peek().is_some_and(|Reverse(held)| held.due <= self.next) {
            let Some(Reverse(held)) = self.held.pop() else { break };
            if self.batch.push(held.to, |out| out.extend_from_slice(&held.bytes)) {
                self.flush();
            }
        }
        self.flush();
    }

    /// Sends everything of a stream that is due in this step.
    fn send_stream(&mut self, stream: &mut Stream) {
        loop {
            let due = stream.due();
            if due > self.next {
                return;
            }
            let number = stream.leg.packets();
            match stream.line.as_mut().map(Line::next_fate) {
                None => self.send_now(stream, due),
                Some(Fate::Arrives { late: Duration::ZERO, again: None }) => self.send_now(stream, due),
                Some(Fate::Lost) => {
                    stream.leg.next(&mut Vec::new());
                    stream.sent.lost.push(number);
                }
                Some(Fate::Arrives { late, again }) => {
                    let mut bytes = Vec::new();
                    stream.leg.next(&mut bytes);
                    for after in [Some(late), again].into_iter().flatten() {
                        stream.sent.datagrams += 1;
                        self.held_so_far += 1;
                        let (to, order) = (stream.leg.to, self.held_so_far);
                        self.held.push(Reverse(Held { due: due + after, order, to, bytes: bytes.clone() }));
                    }
                }
            }
        }
    }

    fn send_now(&mut self, stream: &mut Stream, due: Instant) {
        stream.sent.datagrams += 1;
        let leg = &mut stream.leg;
        let late_us = self.lateness.note(due);
        stream.sent.late_most_us = stream.sent.late_most_us.max(late_us);
        if self.batch.push(leg.to, |out| leg.next(out)) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.lateness.flushed(self.batch.flush());
    }
}

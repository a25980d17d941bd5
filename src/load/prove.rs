//! Measurement of the sender alone: the same streams to sinks that only count. Paced as in a run, which shows
//! its lateness and its cost; then at full speed.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use super::batch::{Batch, thread_cpu_ns};
use super::lateness::Lateness;
use super::leg::Leg;
use super::sender::SenderPool;
use optag_media::codec::coded::Coded;

/// Number of sinks: as many as the streams would share if ports were scarce.
const SINKS: usize = 64;
/// Receive buffer requested for each sink. Units: bytes.
const SINK_BYTES: usize = 4 << 20;
/// Interval between two reads of all sinks.
const READING: Duration = Duration::from_millis(5);

/// Capability of the sender.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Number of paced two-party calls.
    pub calls: usize,
    /// Packets sent when paced.
    pub packets_sent: u64,
    /// Packets counted by the sinks.
    pub packets_received: u64,
    /// Lateness, and the cost per packet.
    pub sender: SenderReport,
    /// Packets per second of one thread without pacing.
    pub most_packets_per_s: f64,
    /// Two-party calls with 20 ms packets that one thread could feed at that rate.
    pub most_calls: u64,
    /// Processor time per packet at that rate. Units: ns.
    pub most_cpu_ns_per_packet: f64,
}

/// Lateness and cost of a sender.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SenderReport {
    /// Packets sent more than 10 ms late.
    pub late: u64,
    /// Median lateness. Units: ms.
    pub late_p50_ms: f64,
    /// 99th percentile. Units: ms.
    pub late_p99_ms: f64,
    /// 99.9th percentile. Units: ms.
    pub late_p999_ms: f64,
    /// Maximum. Units: ms.
    pub late_worst_ms: f64,
    /// Processor time per packet, including kernel time. Units: ns.
    pub cpu_ns_per_packet: f64,
    /// Packets rejected by the system.
    pub failed: u64,
}

impl From<&Lateness> for SenderReport {
    fn from(lateness: &Lateness) -> Self {
        let ms = |share| lateness.percentile_us(share) as f64 / 1e3;
        Self {
            late: lateness.late,
            late_p50_ms: ms(0.5),
            late_p99_ms: ms(0.99),
            late_p999_ms: ms(0.999),
            late_worst_ms: lateness.worst_us as f64 / 1e3,
            cpu_ns_per_packet: lateness.cpu_ns_per_packet(),
            failed: lateness.failed,
        }
    }
}

/// Sends `calls` two-party calls for this long, paced, and then without pacing. Blocks.
///
/// Errors: no sockets.
pub fn prove(
    voices: [Arc<Coded>; 2],
    calls: usize,
    threads: usize,
    length: Duration,
) -> anyhow::Result<Proof> {
    let sinks = Sinks::open().context("no sockets to send to")?;
    let leg = |n: usize| {
        let voice = Arc::clone(&voices[n % 2]);
        let first = (n / 2 * 350 % voice.packets()) as u64;
        Leg::new(sinks.addresses[n % SINKS], voice, first, n as u32)
    };
    let pool = SenderPool::start(threads, sinks.addresses[0]).context("cannot open a sending socket")?;
    for n in 0..calls * 2 {
        pool.add(n as u64, leg(n));
    }
    std::thread::sleep(length);
    for n in 0..calls * 2 {
        pool.remove(n as u64);
    }
    let lateness = pool.stop();
    let received = sinks.count();
    let socket = UdpSocket::bind("127.0.0.1:0").context("cannot open a sending socket")?;
    let (rate, cpu_ns) = unpaced(Batch::new(socket), (0..2_000).map(leg).collect(), length);
    let packet_s = f64::from(voices[0].format.ptime_ms) / 1e3;
    Ok(Proof {
        calls,
        packets_sent: lateness.packets,
        packets_received: received,
        sender: SenderReport::from(&lateness),
        most_packets_per_s: rate,
        most_calls: (rate * packet_s / 2.0) as u64,
        most_cpu_ns_per_packet: cpu_ns,
    })
}

/// Packets per second, and the processor time per packet in ns.
fn unpaced(mut batch: Batch, mut legs: Vec<Leg>, length: Duration) -> (f64, f64) {
    let (started, cpu_before) = (Instant::now(), thread_cpu_ns());
    let mut sent = 0;
    while started.elapsed() < length {
        for leg in &mut legs {
            if batch.push(leg.to, |out| leg.next(out)) {
                sent += batch.flush().sent;
            }
        }
        sent += batch.flush().sent;
    }
    let cpu_ns = thread_cpu_ns() - cpu_before;
    (sent as f64 / started.elapsed().as_secs_f64(), cpu_ns as f64 / sent.max(1) as f64)
}

/// Sockets emptied and counted by a separate thread.
struct Sinks {
    addresses: Vec<SocketAddr>,
    counted: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Sinks {
    fn open() -> std::io::Result<Self> {
        let open = || {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_nonblocking(true)?;
            socket2::SockRef::from(&socket).set_recv_buffer_size(SINK_BYTES)?;
            Ok(socket)
        };
        let sockets: Vec<UdpSocket> = (0..SINKS).map(|_| open()).collect::<std::io::Result<_>>()?;
        let addresses = sockets.iter().map(UdpSocket::local_addr).collect::<std::io::Result<_>>()?;
        let (counted, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&counted), Arc::clone(&over));
        std::thread::Builder::new().name("sink".into()).spawn(move || {
            let mut byte = [0; 1];
            while !end.load(Ordering::Relaxed) {
                for socket in &sockets {
                    while socket.recv(&mut byte).is_ok() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                std::thread::sleep(READING);
            }
        })?;
        Ok(Self { addresses, counted, over })
    }

    /// Packets so far, once the sockets are empty.
    fn count(&self) -> u64 {
        std::thread::sleep(READING * 20);
        self.counted.load(Ordering::Relaxed)
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_media::codec::coded::{Codec, Format};

    #[test]
    fn what_is_paced_to_sinks_is_counted_there() {
        let format = Format { codec: Codec::Pcma, ptime_ms: 20 };
        let voice = Arc::new(Coded::new(&[500; 9_600], format).unwrap());
        let proof = prove([Arc::clone(&voice), voice], 10, 1, Duration::from_millis(300)).unwrap();
        assert!(proof.packets_sent >= 100, "{proof:?}");
        assert_eq!((proof.packets_sent, proof.sender.failed), (proof.packets_received, 0));
        assert!(proof.most_packets_per_s > 0.0 && proof.most_cpu_ns_per_packet > 0.0);
    }
}

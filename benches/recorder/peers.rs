//! ffmpeg and GStreamer at the same work: the same RTP, a file a leg, libopus at 16 kbit/s and the
//! same complexity, frames of 20 ms. They neither ask for consent nor encrypt nor index.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use optag::load::leg::Leg;
use optag::load::sender::SenderPool;
use optag_media::codec::coded::{Codec, Coded, Format};

use super::bare::Beside;
use super::trial::{Talk, Trial, cost_ms, median};

const CALLS: usize = 50;
const SECONDS: u64 = 60;
const ROUNDS: usize = 2;
/// Share of the machine's processors that a peer may need: beyond it would lose packets, and so be
/// spared work.
const BUSY_MOST: f64 = 0.85;
/// First port of the peers; a leg each second one, as ffmpeg takes the next for RTCP.
const PORT: u16 = 40_000;
/// How long a peer may take until it listens.
const START: Duration = Duration::from_secs(3);

/// A program that records RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// A process a call, as its users run it.
    Ffmpeg,
    /// One process for all calls.
    Gstreamer,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Peer::Ffmpeg => "ffmpeg",
            Peer::Gstreamer => "GStreamer",
        }
    }
}

/// Processor time of a call-second of each, in turns, and ours, at the complexities that `words`
/// name; at 5 where they name none.
pub(crate) async fn compare(words: &[&str]) -> anyhow::Result<()> {
    let complexities: Vec<i32> = match words {
        [] => vec![5],
        words => words
            .iter()
            .map(|word| word.parse().context("a complexity is a number"))
            .collect::<Result<_, _>>()?,
    };
    for program in ["ffmpeg", "gst-launch-1.0"] {
        let found =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if found.is_err() {
            println!("skipped: {program} is not installed");
            return Ok(());
        }
    }
    println!("{CALLS} calls of {SECONDS} s; processor time of a call-second in ms, kernel time included");
    for complexity in complexities {
        for talk in [Talk::Both, Talk::Conversation] {
            in_turns(talk, complexity).await?;
        }
    }
    Ok(())
}

/// What a run took, and what bare libopus took at the same time: it tells how fast the machine was.
/// Units: ms of processor time for a call-second.
#[derive(Clone, Copy, Debug)]
struct Cost {
    took: f64,
    bare: f64,
}

impl Cost {
    /// How many times what `ours` took, and the same were the machine as fast in both runs.
    fn times(self, ours: Self) -> (f64, f64) {
        (self.took / ours.took, self.took / self.bare / (ours.took / ours.bare))
    }
}

async fn in_turns(talk: Talk, complexity: i32) -> anyhow::Result<()> {
    let name = format!("{}, complexity {complexity}", talk.name());
    let voices = talk.voices()?;
    let mut times = [Peer::Ffmpeg, Peer::Gstreamer].map(|peer| (peer, Vec::new()));
    for round in 1..=ROUNDS {
        let trial = Trial { complexity, ..Trial::of(CALLS, SECONDS, talk) };
        let (report, bare) = trial.run_beside_bare().await?;
        let ours = Cost { took: cost_ms(&report), bare };
        print!("{name}, round {round}: optag {:.2} (bare libopus {:.2})", ours.took, ours.bare);
        for (peer, of_peer) in &mut times {
            let beside = Beside::start(&voices, complexity);
            let took = run(*peer, talk, complexity)?;
            let cost = Cost { took, bare: beside.end() };
            let (plain, level) = cost.times(ours);
            print!(", {} {took:.2} ({:.2}): {plain:.2}×, {level:.2}× at one speed", peer.name(), cost.bare);
            of_peer.push((plain, level));
        }
        println!();
    }
    for (peer, of_peer) in times {
        let (plain, level) = of_peer.into_iter().unzip();
        println!("{name}, {}: median {:.2}×, {:.2}× at one speed", peer.name(), median(plain), median(level));
    }
    Ok(())
}

/// Processor time of a call-second of a peer. Units: ms.
fn run(peer: Peer, talk: Talk, complexity: i32) -> anyhow::Result<f64> {
    let dir = tempfile::tempdir()?;
    let before = children_cpu_s();
    let children = match peer {
        Peer::Ffmpeg => {
            (0..CALLS).map(|call| ffmpeg(dir.path(), call, complexity)).collect::<anyhow::Result<_>>()?
        }
        Peer::Gstreamer => vec![gstreamer(dir.path(), complexity)?],
    };
    std::thread::sleep(START);
    send(talk)?;
    for child in &children {
        // SAFETY: the process is our own child and has not been waited for.
        unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    }
    for mut child in children {
        child.wait()?;
    }
    let cpu_s = children_cpu_s() - before;
    let busy = cpu_s / (SECONDS as f64 * std::thread::available_parallelism()?.get() as f64);
    ensure!(
        busy < BUSY_MOST,
        "{CALLS} calls are too many for {peer:?} here: it kept {busy:.2} of the machine busy"
    );
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(dir.path())? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|ext| ext == "opus") {
            files += 1;
            bytes += entry.metadata()?.len();
        }
    }
    // Half of the bit rate shows that they worked and not only listened.
    let least = SECONDS * 2_000 * CALLS as u64 * if talk == Talk::Both { 1 } else { 0 };
    ensure!(files == CALLS * 2 && bytes > least, "{peer:?} wrote {files} files of {bytes} bytes");
    Ok(cpu_s * 1e3 / (CALLS as u64 * SECONDS) as f64)
}

fn ffmpeg(dir: &Path, call: usize, complexity: i32) -> anyhow::Result<Child> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "error", "-y"]);
    for side in 0..2 {
        let sdp = dir.join(format!("{call}-{side}.sdp"));
        let port = port(call, side);
        std::fs::write(
            &sdp,
            format!(
                "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 8\na=rtpmap:8 PCMA/8000\n"
            ),
        )?;
        command.args(["-protocol_whitelist", "file,udp,rtp", "-analyzeduration", "0", "-probesize", "32"]);
        command.arg("-i").arg(sdp);
    }
    for side in 0..2 {
        command.args(["-map", &format!("{side}:a"), "-c:a", "libopus", "-b:a", "16k", "-vbr", "constrained"]);
        command.args([
            "-compression_level",
            &complexity.to_string(),
            "-application",
            "voip",
            "-frame_duration",
            "20",
            "-threads",
            "1",
        ]);
        command.arg(dir.join(format!("{call}-{side}.opus")));
    }
    command.spawn().context("ffmpeg does not start")
}

fn gstreamer(dir: &Path, complexity: i32) -> anyhow::Result<Child> {
    let mut command = Command::new("gst-launch-1.0");
    command.args(["-q", "-e"]);
    for call in 0..CALLS {
        for side in 0..2 {
            let line = format!(
                "udpsrc port={} caps=application/x-rtp,media=audio,clock-rate=8000,encoding-name=PCMA,payload=8 \
                 ! rtpjitterbuffer latency=200 ! rtppcmadepay ! alawdec \
                 ! opusenc bitrate=16000 bitrate-type=constrained-vbr complexity={complexity} frame-size=20 audio-type=voice \
                 ! oggmux ! filesink location={}",
                port(call, side),
                dir.join(format!("{call}-{side}.opus")).display()
            );
            command.args(line.split_whitespace());
        }
    }
    command.stdout(Stdio::null()).spawn().context("gst-launch-1.0 does not start")
}

fn port(call: usize, side: usize) -> u16 {
    PORT + (call * 4 + side * 2) as u16
}

/// Sends all calls for their time. Blocks.
fn send(talk: Talk) -> anyhow::Result<()> {
    let format = Format { codec: Codec::Pcma, ptime_ms: 20 };
    let voices = talk.voices()?;
    let coded =
        [Arc::new(Coded::new(&voices.caller, format)?), Arc::new(Coded::new(&voices.employee, format)?)];
    let pool = SenderPool::start(1, "127.0.0.1:9".parse()?)?;
    for call in 0..CALLS {
        for (side, voice) in coded.iter().enumerate() {
            let first = (call * 350 % voice.packets()) as u64;
            let to = SocketAddr::from(([127, 0, 0, 1], port(call, side)));
            let number = (call * 2 + side) as u64;
            pool.add(number, Leg::new(to, Arc::clone(voice), first, number as u32));
        }
    }
    std::thread::sleep(Duration::from_secs(SECONDS));
    pool.stop();
    Ok(())
}

/// Processor time of all children that were waited for. Units: s.
fn children_cpu_s() -> f64 {
    // SAFETY: the C struct is valid when zero, and the call writes one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

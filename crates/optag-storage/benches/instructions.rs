//! Instruction counts of the hot functions, against the committed ones in `instructions.toml`:
//! they do not depend on how busy a machine is. Fails where one rose by more than 5 %; with other
//! compilers or on another kind of processor than any in the file they are shown and not judged.
//!
//! Each function runs under callgrind twice, some times and many times; the difference is what
//! the runs beyond cost. `cargo bench --bench instructions -- write` writes those of this machine.

#[path = "../../optag-media/benches/chain/mod.rs"]
mod chain;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use optag_core::clock::MonoTime;
use optag_core::hex::unhex;
use optag_core::id::CallId;
use optag_media::codec::coded::Codec;
use optag_media::codec::g711;
use optag_media::dtmf::goertzel::{RATE_HZ, ToneDetector};
use optag_media::opus::encoder::Encoder;
use optag_media::playout::jitter_buffer::JitterBuffer;
use optag_media::rtp::packet::RtpPacket;
use optag_media::rtp::rtcp;
use optag_media::rtp::source_filter::{ExpectedSource, Origin, SourceRule, Step};
use optag_media::rtp::srtp::{SrtpKey, SrtpPlan, SrtpReceiver, SrtpSender, Suite};
use optag_storage::archive::ogg::{OggOpusWriter, Tags};
use optag_storage::spool::MasterKey;
use optag_storage::spool::frame::{self, RecordHead};
use optag_storage::spool::key::DataKey;
use serde::{Deserialize, Serialize};

/// What a count may rise by: a share, and instructions.
const MOST: (f64, f64) = (0.05, 3.0);
/// Runs of the short and of the long measurement.
const RUNS: [usize; 2] = [200, 2_200];
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.toml");

/// Key file of the call 01…01 under the master key 07…07.
const KEY_FILE: &str = "6f6b65790100000001010101010101010101010101010101ed12968022e93d9abdfff2668fc20b4a6e1f184a\
    17bd22818d3a5b604d3795926d32487df4b4d74eda94ea5c1a4d04bc12e975c2c8bd479f3640f7ba55f2a959";

/// A name, and what runs it so many times.
type Hot = (&'static str, fn(usize));

/// The hot functions.
const HOT: &[Hot] = &[
    ("rtp_parse", rtp_parse),
    ("source_judge", source_judge),
    ("jitter_insert_and_pop", jitter),
    ("srtp_aes_cm_128_sha1_80", srtp_cm),
    ("srtp_aes_gcm_128", srtp_gcm),
    ("rtcp_sender_report", rtcp_read),
    ("g711_decode_20_ms", g711_decode),
    ("tone_detector_20_ms", tones),
    ("silence_frame_repeated", silence),
    ("ogg_frame_of_two", ogg_frame),
    ("spool_record_sealed", spool_seal),
    ("call_packet_before_consent", packet_before_consent),
    ("call_tick_of_silence", tick_of_silence),
];

/// The committed counts.
#[derive(Deserialize, Serialize)]
struct Baselines {
    counted: Vec<Baseline>,
}

/// Counts of one kind of machine.
#[derive(Deserialize, Serialize)]
struct Baseline {
    #[serde(flatten)]
    with: Circumstances,
    /// Instructions of one run.
    instructions: BTreeMap<String, f64>,
}

/// What counts depend on.
#[derive(Deserialize, Serialize, PartialEq)]
struct Circumstances {
    rustc: String,
    /// The compiler of the C libraries.
    cc: String,
    /// The processor: libraries choose their code by it.
    processor: String,
    /// Whether the build is for processors with AVX2 alone (`TARGET_CPU` of `./dev`).
    #[serde(default)]
    avx2_alone: bool,
}

impl Circumstances {
    fn here() -> anyhow::Result<Self> {
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        Ok(Self {
            rustc: version("rustc")?,
            cc: version(&cc)?,
            processor: processor(),
            avx2_alone: cfg!(target_feature = "avx2"),
        })
    }
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => check(),
        ["write"] => write(),
        ["run", name, runs] => {
            let hot = HOT.iter().find(|hot| hot.0 == *name).context("no such function")?;
            hot.1(runs.parse()?);
            Ok(())
        }
        other => bail!("not understood: {}", other.join(" ")),
    }
}

fn read() -> anyhow::Result<Baselines> {
    Ok(toml::from_str(&std::fs::read_to_string(FILE).context("no baseline")?)?)
}

fn write() -> anyhow::Result<()> {
    let here = Circumstances::here()?;
    let mut baselines = read()?;
    baselines.counted.retain(|baseline| baseline.with != here);
    baselines.counted.push(Baseline { with: here, instructions: count_all()? });
    let text = toml::to_string(&baselines)?;
    std::fs::write(FILE, format!("# Written by: ./dev instructions write\n{text}"))?;
    Ok(())
}

fn check() -> anyhow::Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: valgrind is not installed");
        return Ok(());
    }
    let (baselines, here) = (read()?, Circumstances::here()?);
    let alike = baselines.counted.iter().find(|baseline| baseline.with == here);
    let baseline = alike.or(baselines.counted.first()).context("no baseline")?;
    if alike.is_none() {
        let Circumstances { rustc, cc, processor, avx2_alone } = &baseline.with;
        let built_for = if *avx2_alone { ", built for AVX2 alone" } else { "" };
        println!(
            "counted with {rustc} and {cc} on {processor}{built_for}: what follows is shown, not judged"
        );
    }
    let mut worse = Vec::new();
    println!("{:<28} {:>12} {:>12} {:>8}", "instructions", "before", "now", "change");
    for (name, now) in count_all()? {
        let before = baseline.instructions.get(&name).copied().unwrap_or(f64::NAN);
        println!("{name:<28} {before:>12.1} {now:>12.1} {:>+7.1}%", (now / before - 1.0) * 100.0);
        let fine = now <= before * (1.0 + MOST.0) + MOST.1;
        if !fine {
            worse.push(name);
        }
    }
    if alike.is_some() && !worse.is_empty() {
        bail!("more than 5 % above instructions.toml: {}", worse.join(", "));
    }
    Ok(())
}

/// The first line of what a compiler says of its version.
fn version(compiler: &str) -> anyhow::Result<String> {
    let output = Command::new(compiler).arg("--version").output();
    let output = output.with_context(|| format!("{compiler} does not start"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The processor's name and, of what libraries choose by, what it can.
fn processor() -> String {
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let fact = |name: &str| {
        let line = facts.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let flags = fact("flags").unwrap_or_default();
    let vectors = ["avx2", "avx512f", "vaes", "erms"].into_iter();
    let can: Vec<&str> = vectors.filter(|wanted| flags.split(' ').any(|flag| flag == *wanted)).collect();
    format!("{} {}", fact("model name").unwrap_or_default(), can.join(" "))
}

fn count_all() -> anyhow::Result<BTreeMap<String, f64>> {
    let count = |(name, _): &Hot| {
        let few = callgrind(name, RUNS[0])?;
        let many = callgrind(name, RUNS[1])?;
        let one = many.wait()?.saturating_sub(few.wait()?) as f64 / (RUNS[1] - RUNS[0]) as f64;
        Ok(((*name).to_owned(), (one * 10.0).round() / 10.0))
    };
    HOT.iter().map(count).collect()
}

/// A measurement in progress.
struct Counting(std::process::Child);

fn callgrind(name: &str, runs: usize) -> anyhow::Result<Counting> {
    let child = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["run", name, &runs.to_string()])
        .stderr(std::process::Stdio::piped())
        .spawn();
    Ok(Counting(child.context("valgrind does not start")?))
}

impl Counting {
    /// Instructions in all.
    fn wait(self) -> anyhow::Result<u64> {
        let output = self.0.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "the function failed:\n{text}");
        let collected = text.lines().find_map(|line| line.split_once("Collected :"));
        let (_, count) = collected.with_context(|| format!("callgrind counted nothing:\n{text}"))?;
        Ok(count.trim().parse()?)
    }
}

fn sound() -> Vec<i16> {
    (0..16_000).map(|n| ((f64::from(n) * 0.3).sin() * 9_000.0) as i16).collect()
}

fn rtp_parse(runs: usize) {
    let packet = &chain::packets(&sound(), 1)[0];
    for _ in 0..runs {
        black_box(RtpPacket::parse(black_box(packet)).is_ok());
    }
}

fn source_judge(runs: usize) {
    let mut rule = SourceRule::new(ExpectedSource::default());
    let from = SocketAddr::from(([127, 0, 0, 1], 9));
    for n in 0..runs {
        let at = MonoTime::from_nanos(n as u64 * 20_000_000);
        let step = Step { at, sequence: n as u16, timestamp: n as u32 * 160, clock_hz: 8_000, audio: true };
        black_box(rule.judge(Origin { address: from, ssrc: 7, proved: false }, step));
    }
}

fn srtp_cm(runs: usize) {
    srtp(Suite::AesCm128Sha1Tag80, runs);
}

fn srtp_gcm(runs: usize) {
    srtp(Suite::AeadAes128Gcm, runs);
}

/// Proves and decrypts one packet a run; they are protected beforehand by runs that both
/// measurements share.
fn srtp(suite: Suite, runs: usize) {
    let key = SrtpKey::new(suite, vec![7; suite.secret_bytes()], vec![]).expect("a key");
    let mut sender = SrtpSender::new(&key);
    let plain = chain::packets(&vec![900; 160 * RUNS[1]], 1);
    let sealed: Vec<Vec<u8>> = plain
        .iter()
        .map(|packet| {
            let mut out = [0; 512];
            let length = sender.protect(packet, &mut out).expect("it is a packet");
            out[..length].to_vec()
        })
        .collect();
    let plan = SrtpPlan { receive: vec![key], send: None, required: true, roc: 0 };
    let mut receiver = SrtpReceiver::new(plan);
    let mut out = [0; 512];
    for packet in &sealed[..runs] {
        black_box(receiver.unprotect(MonoTime::default(), black_box(packet), &mut out).is_ok());
    }
}

fn rtcp_read(runs: usize) {
    let mut report = vec![0x80, 200, 0, 6];
    report.extend([7; 24]);
    for _ in 0..runs {
        black_box(rtcp::packets(black_box(&report)).map(Iterator::count).ok());
    }
}

fn jitter(runs: usize) {
    let mut jitter = JitterBuffer::new(Duration::from_millis(200));
    let payload = [5; 160];
    // Filled once, so that no slot is new.
    for n in 0..runs + 200 {
        let ticks = n as i64 * 160;
        black_box(jitter.insert(n as u64, ticks, 8, black_box(&payload)));
        black_box(jitter.pop(ticks, i64::MAX).is_some());
    }
}

fn g711_decode(runs: usize) {
    let payload = Codec::Pcma.encode(&sound()[..160]);
    let mut out = [0; 160];
    for _ in 0..runs {
        g711::decode_alaw(black_box(&payload), black_box(&mut out));
    }
}

fn tones(runs: usize) {
    let sound = sound();
    let mut detector = ToneDetector::default();
    for samples in sound.chunks_exact(160).cycle().take(runs) {
        detector.hear(RATE_HZ, black_box(samples), |tone| {
            black_box(tone.to);
        });
    }
}

fn silence(runs: usize) {
    let mut encoder = Encoder::new(chain::OPUS, 8_000);
    for _ in 0..runs + 100 {
        black_box(encoder.silence(black_box(false)).len());
    }
}

fn ogg_frame(runs: usize) {
    let mut writer = OggOpusWriter::new(2, 312, &Tags { serial: 1, comments: vec![] }).expect("two streams");
    let packet = [8u8; 40];
    for n in 0..runs {
        writer.frame([&packet[..], &packet[..]].into_iter()).expect("a frame");
        if n % 50 == 49 {
            black_box(writer.take().len());
        }
    }
}

fn spool_seal(runs: usize) {
    let master = MasterKey::from_bytes(&[7; 32]).expect("32 bytes");
    let call = CallId::from_bytes([1; 16]);
    // Not drawn here: gathering randomness takes more instructions, and a different number each time.
    let key = DataKey::read(&master, call, &unhex(KEY_FILE).expect("hexadecimal")).expect("a key");
    let plain = [5; 430];
    let head = RecordHead {
        sealed_bytes: 446,
        incarnation: 1,
        sequence: 1,
        call,
        kind: 3,
        encoding: 1,
        ordinal: 1,
        previous: None,
    };
    let mut out = Vec::with_capacity(1_000);
    for n in 0..runs {
        out.clear();
        let head = RecordHead { sequence: n as u64, ..head };
        let crc = frame::seal(&head, black_box(&plain), &key, &mut out).expect("sealed");
        assert!(frame::place(&mut out, None, crc));
    }
}

fn packet_before_consent(runs: usize) {
    let mut player = chain::Player::new(false);
    let packets = chain::packets(&sound(), 1);
    for n in 0..runs {
        player.hand(0, n, &packets[n % packets.len()]);
    }
}

/// With the packets of both legs: 10 packets and 10 frames a tick.
fn tick_of_silence(runs: usize) {
    let mut player = chain::Player::new(true);
    let silence = chain::packets(&vec![0; (runs + 30) * 800], 1);
    for tick in 0..runs + 20 {
        for stream in 0..2 {
            for (n, packet) in silence.iter().enumerate().skip(tick * 5).take(5) {
                player.hand(stream, n, packet);
            }
        }
        player.tick(tick);
    }
}

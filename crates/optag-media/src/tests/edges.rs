//! What was spoken while the gate was closed is not kept, checked by an oracle that knows when each sample
//! was spoken: a speaker who is loud exactly while nothing may be kept, or exactly while it may.

use opus::{Application, Channels};

use super::*;
use crate::dtmf::tone_listener::TonesInOpus;

const L16: (u8, Encoding) = (96, Encoding::L16 { rate_hz: 8_000 });
const OPUS: (u8, Encoding) = (96, Encoding::Opus);
const LOUD: f64 = 20_000.0;
/// What an encoder may still produce of loud sound two frames before: 26 dB less than it.
const TAIL: u16 = 1_000;
/// Duration of a call, and when its first packet is spoken. Units: ms.
const CALL_MS: f64 = 9_000.0;
const FROM_MS: f64 = 100.0;

/// A repeatable pseudo-random source.
struct Dice(u64);

impl Dice {
    fn upto(&mut self, most: f64) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64 * most
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.upto(all.len() as f64) as usize]
    }
}

fn exactly(ms: f64) -> Now {
    let mono = MonoTime::from_nanos(5_000_000_000 + (ms * 1e6).round() as u64);
    Now { mono, ..at(ms as u64) }
}

/// An event of a call. Units: ms.
enum Event {
    Packet(Vec<u8>),
    Yes,
    Pause,
    Resume,
    Tick,
}

/// Parameters of a call.
struct World {
    ptime_ms: f64,
    ppm: f64,
    /// Minimum delay of every packet, and maximum additional delay of most. Units: ms.
    base_ms: f64,
    jitter_ms: f64,
    /// Whether the yes is a key press, which arrives like the audio.
    by_key: bool,
    /// When the gate opens and closes alternately. Units: ms.
    edges: Vec<f64>,
    first_timestamp: u32,
}

impl World {
    fn new(seed: u64) -> (Self, Dice) {
        let mut dice = Dice(seed * 7_919 + 11);
        for _ in 0..8 {
            dice.upto(1.0);
        }
        let by_key = seed.is_multiple_of(3);
        let mut edges = vec![1_500.0 + dice.upto(1_000.0)];
        while !by_key && edges.len() < 7 {
            // Some pauses are shorter than a packet.
            let span = dice.of(&[15.0, 60.0, 300.0, 900.0]);
            edges.push(edges[edges.len() - 1] + span * 0.5 + dice.upto(span));
        }
        let world = Self {
            ptime_ms: dice.of(&[5.0, 10.0, 20.0, 30.0, 40.0, 60.0]),
            ppm: dice.of(&[-200.0, -40.0, 0.0, 40.0, 200.0]),
            base_ms: if by_key { dice.upto(150.0) } else { 0.0 },
            jitter_ms: dice.of(&[0.0, 5.0, 40.0, 120.0]),
            by_key,
            edges,
            first_timestamp: dice.upto(4e9) as u32,
        };
        (world, dice)
    }

    /// Whether sound spoken at this time may be kept.
    fn is_open(&self, ms: f64) -> bool {
        self.edges.iter().filter(|&&edge| edge <= ms).count() % 2 == 1
    }

    /// When a sample at this rate is spoken, by a sender with clock drift.
    fn spoken_ms(&self, sample: usize, rate_hz: u32) -> f64 {
        FROM_MS + sample as f64 * 1_000.0 / f64::from(rate_hz) * (1.0 + self.ppm / 1e6)
    }

    /// The sound: loud while the gate is open, or while it is not.
    fn sound(&self, rate_hz: u32, loud_where_open: bool) -> Vec<i16> {
        let samples = (CALL_MS / 1_000.0) as usize * rate_hz as usize;
        let one = |n: usize| {
            let wave = LOUD * (n as f64 * 2.5 * 8_000.0 / f64::from(rate_hz)).sin().signum();
            let loud = self.is_open(self.spoken_ms(n, rate_hz)) == loud_where_open;
            // Different in every packet, so that none can replace another.
            if loud { (wave * (0.5 + (n % 977) as f64 / 2_000.0)) as i16 } else { 0 }
        };
        (0..samples).map(one).collect()
    }

    /// Plays payloads of `samples` each, and returns the ended call.
    fn play(&self, dice: &mut Dice, format: (u8, Encoding), samples: usize, payloads: &[Vec<u8>]) -> Bench {
        let mut bench = Bench::of(true, format, |stream, _, settings| {
            settings.tones.in_opus = TonesInOpus::Never;
            settings.capture.opus.saves_background = false;
            stream.media.telephone_event = vec![EventFormat { payload_type: 101, clock_hz: 8_000 }];
        });
        let clock_hz = format.1.clock_hz();
        let audio_hz = if format.1 == Encoding::Opus { 48_000 } else { format.1.audio_hz() };
        let timestamp =
            |n: usize| self.first_timestamp.wrapping_add((n * samples) as u32 * (clock_hz / audio_hz));
        let mut events: Vec<(f64, Event)> =
            (1..=(CALL_MS / 100.0) as u32).map(|n| (f64::from(n) * 100.0, Event::Tick)).collect();
        let mut delay = |n: usize| {
            // One in eight has the minimum delay; the first ones are in order, so that the sender is
            // accepted.
            let late = if n < 3 || n.is_multiple_of(8) { 0.0 } else { dice.upto(self.jitter_ms) };
            self.base_ms + late
        };
        for (n, payload) in payloads.iter().enumerate() {
            let sent_ms = self.spoken_ms((n + 1) * samples, audio_hz);
            let datagram = packet(0, 64_000u16.wrapping_add(n as u16), timestamp(n), format.0, payload);
            events.push((sent_ms + delay(n), Event::Packet(datagram)));
        }
        for (n, &edge) in self.edges.iter().enumerate() {
            let event = match (n, n % 2) {
                (0, _) if self.by_key => {
                    let press = [1, 0x8a, 0, 160];
                    events
                        .push((edge + self.base_ms, Event::Packet(packet(0, 9, timestamp(0), 101, &press))));
                    continue;
                }
                (0, _) => Event::Yes,
                (_, 1) => Event::Pause,
                _ => Event::Resume,
            };
            events.push((edge, event));
        }
        events.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (ms, event) in events.into_iter().take_while(|(ms, _)| *ms < CALL_MS) {
            bench.happens(ms, event);
        }
        bench.now_ms = CALL_MS as u64;
        bench.end(CALL_MS as u64);
        bench
    }
}

impl Bench {
    fn happens(&mut self, ms: f64, event: Event) {
        let now = exactly(ms);
        let command = match event {
            Event::Packet(datagram) => {
                let from = SocketAddr::from(([127, 0, 0, 1], 4_000));
                return self.call.handle(now, 0, now.mono, from, &datagram, &mut self.stats);
            }
            Event::Tick => {
                self.call.tick(now, &mut self.stats);
                return self.call.take_facts(&mut self.out);
            }
            Event::Yes => Command::Answer {
                answer: Answer::Yes,
                how: ConsentHow::System,
                prompt_version: None,
                evidence: Evidence::Clock,
            },
            Event::Pause => Command::Pause,
            Event::Resume => Command::Resume,
        };
        self.call.command(now, command, &mut self.stats).unwrap();
    }

    /// The stored packets of the first stream.
    fn packets_of(&self, stream: usize) -> Vec<Vec<u8>> {
        let blocks = self.blocks();
        let of = |block: &&MediaBlock| -> Vec<Vec<u8>> {
            let streams = usize::from(block.streams);
            block.packets().skip(stream).step_by(streams).map(<[u8]>::to_vec).collect()
        };
        blocks.iter().flat_map(of).collect()
    }
}

fn linear(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_be_bytes()).collect()
}

#[test]
fn invariant_01_not_one_sample_is_kept_that_was_spoken_while_the_gate_was_closed() {
    for seed in 0..60 {
        let (world, mut dice) = World::new(seed);
        let samples = (world.ptime_ms * 8.0) as usize;
        let payloads: Vec<_> = world.sound(8_000, false).chunks_exact(samples).map(linear).collect();
        let bench = world.play(&mut dice, L16, samples, &payloads);
        let peaks = bench.peaks(0);
        assert!(peaks.len() > 250 && bench.stats.frames_coded < 250, "seed {seed}");
        let kept: Vec<_> = (0..).zip(&peaks).filter(|(_, peak)| **peak > 0).collect();
        assert!(kept.is_empty(), "seed {seed}: {kept:?} of {:?} {:?}", world.edges, world.ptime_ms);
    }
}

#[test]
fn what_was_spoken_while_the_gate_was_open_is_kept_but_for_frames_at_its_edges() {
    for seed in 0..40 {
        let (world, mut dice) = World::new(seed);
        let samples = (world.ptime_ms * 8.0) as usize;
        let payloads: Vec<_> = world.sound(8_000, true).chunks_exact(samples).map(linear).collect();
        let bench = world.play(&mut dice, L16, samples, &payloads);
        let zero_ms = world.edges[0] + world.base_ms;
        // A packet across a closing of the gate is not kept, and the last one is not known yet.
        let before_ms = world.ptime_ms + world.jitter_ms + 30.0;
        for (n, &peak) in bench.peaks(0).iter().enumerate() {
            let from_ms = zero_ms - world.base_ms + n as f64 * 20.0;
            let inside =
                (0..=((65.0 + before_ms) as i32)).all(|ms| world.is_open(from_ms - 45.0 + f64::from(ms)));
            if inside && from_ms < CALL_MS - 300.0 {
                assert!(peak > 50, "seed {seed}: frame {n} of {:?}, {} ms", world.edges, world.ptime_ms);
            }
        }
    }
}

#[test]
fn invariant_01_kept_opus_holds_nothing_that_was_spoken_while_the_gate_was_closed() {
    for seed in 0..24 {
        let (mut world, mut dice) = World::new(seed);
        world.ptime_ms = 20.0;
        let mut encoder = opus::Encoder::new(48_000, Channels::Mono, Application::Voip).unwrap();
        encoder.set_bitrate(opus::Bitrate::Bits(20_000)).unwrap();
        encoder.set_inband_fec(true).unwrap();
        encoder.set_packet_loss_perc(25).unwrap();
        let sound = world.sound(48_000, false);
        let payloads: Vec<_> =
            sound.chunks_exact(960).map(|frame| encoder.encode_vec(frame, 400).unwrap()).collect();
        let bench = world.play(&mut dice, OPUS, 960, &payloads);
        assert!(bench.stats.frames_passed > 20, "seed {seed}: {:?}", bench.stats);
        let peak = |samples: &[i16]| samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        let mut decoder = opus::Decoder::new(48_000, Channels::Mono).unwrap();
        for (n, packet) in bench.packets_of(0).iter().enumerate() {
            let mut pcm = [0; 960];
            decoder.decode(packet, &mut pcm, false).unwrap();
            assert!(peak(&pcm) < TAIL, "seed {seed}: {} in frame {n} of {:?}", peak(&pcm), world.edges);
            // The copy of the previous packet (in-band FEC) counts too.
            let mut copies = opus::Decoder::new(48_000, Channels::Mono).unwrap();
            copies.decode(packet, &mut pcm, true).unwrap();
            assert!(peak(&pcm) < TAIL, "seed {seed}: {} in frame {n}'s copy", peak(&pcm));
        }
    }
}

#[test]
fn invariant_01_nothing_follows_a_withdrawal_and_none_of_its_tick_is_kept() {
    for seed in 0..12 {
        let (mut world, mut dice) = World::new(seed);
        world.edges.truncate(1);
        let samples = (world.ptime_ms * 8.0) as usize;
        let sound = world.sound(8_000, true);
        let withdrawn_ms = world.edges[0] + 1_000.0 + dice.upto(999.0);
        let mut bench = Bench::of(true, L16, |_, _, _| {});
        let (mut yes, mut withdrawn) = (false, None);
        for (n, chunk) in sound.chunks_exact(samples).enumerate() {
            let ms = world.spoken_ms((n + 1) * samples, 8_000);
            if !yes && ms >= world.edges[0] {
                yes = true;
                bench.happens(world.edges[0], Event::Yes);
            }
            if withdrawn.is_none() && ms >= withdrawn_ms {
                let withdraw = Command::Withdraw { how: ConsentHow::System, evidence: Evidence::Clock };
                bench.call.command(exactly(withdrawn_ms), withdraw, &mut bench.stats).unwrap();
                bench.call.take_facts(&mut bench.out);
                withdrawn = Some(bench.frames());
            }
            bench
                .happens(ms, Event::Packet(packet(0, n as u16, (n * samples) as u32, L16.0, &linear(chunk))));
            if n % 5 == 4 {
                bench.happens(ms, Event::Tick);
            }
        }
        assert_eq!(bench.end(CALL_MS as u64), Outcome::Withdrawn);
        assert_eq!(Some(bench.frames()), withdrawn, "seed {seed}");
        let last_ms = world.edges[0] + f64::from(bench.frames()) * 20.0;
        assert!(last_ms <= withdrawn_ms, "seed {seed}: frames up to {last_ms} for {withdrawn_ms}");
    }
}

#[test]
fn nothing_of_a_frame_that_straddles_a_pause_is_kept_on_the_wrong_side() {
    for (off_ms, ptime_ms) in [(1, 20), (10, 20), (19, 20), (7, 60), (33, 60)] {
        for loud_before in [true, false] {
            let (pause_ms, resume_ms) = (1_500.0 + f64::from(off_ms), 2_500.0 + f64::from(off_ms));
            let world = World {
                ptime_ms: f64::from(ptime_ms),
                ppm: 0.0,
                base_ms: 0.0,
                jitter_ms: 0.0,
                by_key: false,
                edges: vec![1_000.0, pause_ms, resume_ms],
                first_timestamp: 7,
            };
            let samples = ptime_ms as usize * 8;
            let loud = |sample: usize| {
                let ms = world.spoken_ms(sample, 8_000);
                if loud_before { ms > pause_ms && ms < resume_ms } else { world.is_open(ms) }
            };
            let sound: Vec<i16> = (0..72_000).map(|n| if loud(n) { 20_000 } else { 0 }).collect();
            let payloads: Vec<_> = sound.chunks_exact(samples).map(linear).collect();
            let peaks = world.play(&mut Dice(1), L16, samples, &payloads).peaks(0);
            let frame = |ms: f64| ((ms - 1_000.0) / 20.0) as usize;
            let (last, first) = (frame(pause_ms), frame(resume_ms));
            if loud_before {
                assert!(peaks.iter().all(|&peak| peak == 0), "{off_ms}: {peaks:?}");
            } else {
                assert!(peaks[last..first].iter().all(|&peak| peak == 0), "{off_ms}: {peaks:?}");
                assert!(peaks[first + 1] > 0 && peaks[frame(pause_ms - f64::from(ptime_ms) - 20.0)] > 0);
            }
        }
    }
}

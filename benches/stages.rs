//! The stages of the flow, each beside the bare cost of what it cannot do without.

#![allow(clippy::unwrap_used)]

#[path = "../crates/optag-media/benches/chain/mod.rs"]
mod chain;
#[path = "../crates/optag-media/benches/chain/legs.rs"]
mod legs;

use std::hint::black_box;
use std::time::{Duration, Instant};

use chain::OPUS;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::id::CallId;
use optag_media::codec::g711;
use optag_media::fact::MediaBlock;
use optag_media::opus::encoder::Encoder;
use optag_media::opus::noise_classifier::Sound;
use optag_media::rtp::packet::RtpPacket;
use optag_media::rtp::srtp::{SrtpKey, SrtpPlan, SrtpReceiver, SrtpSender, Suite};
use optag_storage::archive::ogg::{OggOpusWriter, Tags};

const FRAMES: usize = 50;

/// A second of something like speech.
fn speech(seed: u32) -> Vec<i16> {
    let pitch = 0.08 + f64::from(seed) * 0.013;
    (0..8_000)
        .map(|n| {
            let t = f64::from(n);
            let tone: f64 = (1..8).map(|h| (t * pitch * f64::from(h)).sin() / f64::from(h)).sum();
            (tone * (0.6 + 0.4 * (t * 0.002).sin()) * 6_000.0) as i16
        })
        .collect()
}

fn rtp(c: &mut Criterion) {
    let packet = &chain::packets(&speech(1), 1)[0];
    let mut group = c.benchmark_group("rtp");
    group.bench_function("parse", |b| b.iter(|| RtpPacket::parse(black_box(packet)).unwrap().timestamp));
    group.bench_function("bare copy of the header", |b| {
        b.iter(|| *black_box(packet).first_chunk::<12>().unwrap())
    });
    group.finish();
}

fn decode(c: &mut Criterion) {
    let payload: Vec<u8> = (0..160).map(|n| n as u8).collect();
    let mut out = [0i16; 160];
    let mut group = c.benchmark_group("g711");
    group.throughput(Throughput::Elements(160));
    group.bench_function("decode 20 ms", |b| {
        b.iter(|| g711::decode_ulaw(black_box(&payload), black_box(&mut out)))
    });
    group.bench_function("bare copy of 20 ms", |b| {
        b.iter(|| {
            for (to, &from) in black_box(&mut out).iter_mut().zip(black_box(&payload)) {
                *to = i16::from(from);
            }
        });
    });
    group.finish();
}

fn encode(c: &mut Criterion) {
    let frames: Vec<[i16; 160]> =
        speech(1).chunks_exact(160).map(|frame| frame.try_into().unwrap()).collect();
    let mut group = c.benchmark_group("a second of two legs");
    group.sample_size(30);
    let mut bare = [
        opus::Encoder::new(8_000, opus::Channels::Mono, opus::Application::Voip).unwrap(),
        opus::Encoder::new(8_000, opus::Channels::Mono, opus::Application::Voip).unwrap(),
    ];
    for encoder in &mut bare {
        encoder.set_bitrate(opus::Bitrate::Bits(16_000)).unwrap();
        encoder.set_complexity(5).unwrap();
    }
    let mut packet = [0u8; 1_275];
    group.bench_function("bare libopus", |b| {
        b.iter(|| {
            for encoder in &mut bare {
                for frame in &frames {
                    black_box(encoder.encode(frame, &mut packet).unwrap());
                }
            }
        });
    });
    let mut ours = [Encoder::new(OPUS, 8_000), Encoder::new(OPUS, 8_000)];
    group.bench_function("encode batch", |b| {
        b.iter(|| {
            for encoder in &mut ours {
                for frame in &frames {
                    black_box(encoder.encode(frame, Sound::Talk).len());
                }
            }
        });
    });
    let legs = [chain::packets(&speech(1), 1), chain::packets(&speech(2), 2)];
    group.bench_function("datagrams to packets", |b| b.iter(|| legs::play(&legs)));
    group.finish();
}

fn ogg_page(c: &mut Criterion) {
    let packet = [8u8; 40];
    let tags = Tags { serial: 1, comments: vec![] };
    let mut group = c.benchmark_group("ogg");
    group.bench_function("page of 1 s, two streams", |b| {
        let mut writer = OggOpusWriter::new(2, 312, &tags).unwrap();
        b.iter(|| {
            for _ in 0..FRAMES {
                writer.frame([&packet[..], &packet[..]].into_iter()).unwrap();
            }
            black_box(writer.take().len())
        });
    });
    group.bench_function("bare ogg crate, one stream of the same size", |b| {
        let mut writer = ogg::PacketWriter::new(Vec::new());
        let mut granule = 0;
        b.iter(|| {
            for frame in 0..FRAMES {
                granule += 960;
                let end = match frame + 1 {
                    FRAMES => ogg::PacketWriteEndInfo::EndPage,
                    _ => ogg::PacketWriteEndInfo::NormalPacket,
                };
                writer.write_packet(vec![8u8; 81], 1, end, granule).unwrap();
            }
            black_box(std::mem::take(writer.inner_mut()).len())
        });
    });
    group.finish();
}

fn spool(c: &mut Criterion) {
    use std::io::Write;
    use std::sync::Arc;

    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use optag_files::disk::OsDisk;
    use optag_storage::spool::record::{Body, SpoolRecord};
    use optag_storage::spool::{MasterKey, Spool, SpoolConfig};

    let dir = tempfile::tempdir().unwrap();
    let config = SpoolConfig {
        dir: dir.path().join("spool"),
        segment_bytes: 64 << 20,
        max_bytes: 1 << 40,
        queue_bytes: 1 << 30,
        min_free_bytes: 0,
        packed_max_bytes: 1 << 30,
    };
    let master = MasterKey::from_bytes(&[7; 32]).unwrap();
    let (log, _) = Spool::open(config, Arc::new(OsDisk), master, Box::new(|_| {})).unwrap();
    let call = CallId::new_at(WallTime::from_unix_micros(1_700_000_000_000_000));
    let facts = optag_core::call::CallFacts {
        id: call,
        department: "demo".into(),
        started_at: WallTime::default(),
        retention_days: 90,
        caller_number: String::new().into(),
        called_number: String::new().into(),
        caller_name: None,
        external_id: None,
        streams: vec![],
        context: Default::default(),
    };
    log.append(vec![SpoolRecord { call, body: Body::Opened(facts) }]).unwrap();
    // What a tick of 100 two-leg calls makes.
    let block = MediaBlock {
        first_frame: 0,
        form: Default::default(),
        streams: 2,
        lengths: vec![40; 10],
        peaks: vec![9; 10],
        bytes: vec![5; 400],
    };
    let mut group = c.benchmark_group("a tick of 100 calls made durable");
    group.sample_size(20);
    group.bench_function("spool append and commit", |b| {
        b.iter(|| {
            let batch = vec![SpoolRecord { call, body: Body::Media(block.clone()) }; 100];
            log.append(batch).unwrap();
            let (done, durable) = std::sync::mpsc::channel();
            log.barrier(Box::new(move |result| done.send(result.is_ok()).unwrap()));
            assert!(durable.recv().unwrap());
        });
    });
    group.bench_function("bare seal, CRC, write and sync", |b| {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
        let mut file = std::fs::File::create(dir.path().join("bare")).unwrap();
        b.iter(|| {
            let mut all = Vec::new();
            for _ in 0..100 {
                let mut record = vec![5u8; 427];
                key.seal_in_place_append_tag(
                    Nonce::assume_unique_for_key([1; 12]),
                    Aad::empty(),
                    &mut record,
                )
                .unwrap();
                all.extend(crc32c::crc32c(&record).to_le_bytes());
                all.extend([0; 60]);
                all.extend(record);
            }
            file.write_all(&all).unwrap();
            file.sync_data().unwrap();
        });
    });
    group.finish();
    log.close();
}

/// Proving and decrypting one packet of 20 ms, by suite.
fn srtp(c: &mut Criterion) {
    let mut group = c.benchmark_group("an encrypted packet of 172 bytes");
    for suite in Suite::ALL {
        let key = SrtpKey::new(suite, vec![7; suite.secret_bytes()], vec![]).unwrap();
        let mut sender = SrtpSender::new(&key);
        let plan = SrtpPlan { receive: vec![key], send: None, required: true, roc: 0 };
        let mut receiver = SrtpReceiver::new(plan);
        let (mut packet, mut sequence) = (chain::packets(&[900; 160], 1).remove(0), 0u16);
        let (mut sealed, mut clear) = (vec![[0; 256]; 1_000], [0; 256]);
        let mut length = 0;
        group.bench_function(suite.name(), |b| {
            b.iter_custom(|packets| {
                let (mut left, mut took) = (packets as usize, Duration::ZERO);
                while left > 0 {
                    let batch = left.min(sealed.len());
                    for out in &mut sealed[..batch] {
                        sequence = sequence.wrapping_add(1);
                        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                        length = sender.protect(&packet, out).unwrap();
                    }
                    let started = Instant::now();
                    for one in &sealed[..batch] {
                        let proved = receiver.unprotect(MonoTime::default(), &one[..length], &mut clear);
                        black_box(proved.unwrap());
                    }
                    took += started.elapsed();
                    left -= batch;
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, srtp, rtp, decode, encode, ogg_page, spool);
criterion_main!(benches);

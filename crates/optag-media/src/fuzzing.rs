//! A call's receive path as one machine, for fuzzing and its corpus: source rule, key presses, sequence
//! numbers, clock, reordering. In: arbitrary bytes, interpreted as packets of four senders. Asserts nothing
//! about what legitimate senders achieve, and everything about what others must not.

use std::net::SocketAddr;
use std::time::Duration;

use crate::call::output::Fact;
use crate::call::{Call, CallRules, CallSettings, Command, Now};
use crate::codec::{Encoding, PayloadFormat, table};
use crate::dtmf::tone_listener::ToneSettings;
use crate::fact::EndedBy;
use crate::opus::encoder::OpusSettings;
use crate::rtp::source_filter::{ESTABLISHED, ExpectedSource};
use crate::rtp::telephone_event::EventFormat;
use crate::stats::TickStats;
use crate::stream::media::StreamMedia;
use crate::stream::plan::StreamPlan;
use crate::stream::settings::CaptureSettings;
use optag_core::call::{
    Answer, ConsentHow, ConsentKeys, ConsentState, Evidence, KeySource, Question, StreamRole,
};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::id::CallId;

/// Bytes that make one packet.
const PACKET: usize = 8;
/// Maximum number of packets processed.
const MOST: usize = 4_096;
/// The legitimate sender, another program on its machine, and two unknown senders.
const SENDERS: [([u8; 4], u16); 4] =
    [([10, 0, 0, 1], 4_000), ([10, 0, 0, 1], 4_002), ([10, 0, 0, 9], 4_000), ([10, 0, 0, 9], 9)];

/// How far signalling identified the sender.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Nothing,
    Machine,
    Port,
}

fn now(ms: u64) -> Now {
    Now {
        mono: MonoTime::from_nanos((5_000 + ms) * 1_000_000),
        wall: WallTime::from_unix_micros((1_700_000_000_000 + ms as i64) * 1_000),
    }
}

fn call(named: Named, encoding: Encoding) -> Call {
    let (ip, port) = SENDERS[0];
    let source = ExpectedSource {
        ip: (named != Named::Nothing).then(|| ip.into()),
        port: (named == Named::Port).then_some(port),
        ..ExpectedSource::default()
    };
    let stream = StreamPlan {
        withheld: false,
        role: StreamRole::Caller,
        media: StreamMedia {
            formats: vec![PayloadFormat { payload_type: 8, encoding }],
            telephone_event: vec![EventFormat { payload_type: 101, clock_hz: 8_000 }],
            source,
            ..StreamMedia::default()
        },
    };
    let rules = CallRules {
        id: CallId::from_bytes([1; 16]),
        question: Question::new("fuzz", true, ConsentKeys::default(), Duration::from_secs(3_600)),
        prompt_version: None,
    };
    let opus = OpusSettings {
        bitrate_bps: 16_000,
        wideband_bitrate_bps: 24_000,
        complexity: 0,
        saves_background: true,
    };
    let capture = CaptureSettings {
        reorder: Duration::from_millis(200),
        opus,
        pass_through_max_bps: 64_000,
        encodes: Default::default(),
    };
    let settings = CallSettings {
        capture,
        tones: ToneSettings::default(),
        rtp_timeout: Duration::from_secs(3_600),
        reports: false,
    };
    Call::new(rules, vec![stream], settings, now(0).mono)
}

/// Makes a packet from eight bytes: sender, delay, sequence number, timestamp, kind, and one byte of content.
fn datagram(bytes: &[u8], sequence: u16, timestamp: u32, encoding: Encoding) -> Vec<u8> {
    let (payload_type, payload) = match bytes[6] % 8 {
        0..4 if encoding != Encoding::Pcma => (8, audio(bytes)),
        0..4 => (8, vec![bytes[7]; 160]),
        4 => (8, vec![bytes[7]; usize::from(bytes[7])]),
        5 => (13, vec![bytes[7]]),
        6 => (101, vec![bytes[7] % 16, bytes[7] & 0x80 | 10, 0, bytes[5]]),
        _ => (bytes[7] & 0x7f, vec![bytes[5] % 16, 10, 0, 160]),
    };
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(u32::from(bytes[0] >> 2 & 3).to_be_bytes());
    packet.extend(payload);
    packet
}

/// A payload of up to six frames of most codecs, complete or truncated, with varying bytes.
fn audio(bytes: &[u8]) -> Vec<u8> {
    let frame = [10, 20, 33, 40, 60, 80, 100, 160][usize::from(bytes[5] & 7)];
    let length = frame * (1 + usize::from(bytes[5] >> 3) % 6) - usize::from(bytes[5] >> 7);
    let mut next = bytes[7];
    let mut byte = |n: usize| {
        next = next.wrapping_mul(29).wrapping_add(bytes[4] | 1);
        // The GSM signature.
        if n.is_multiple_of(33) { 0xd0 | next & 15 } else { next }
    };
    (0..length).map(&mut byte).collect()
}

/// Feeds arbitrary bytes to a call.
pub fn exercise(bytes: &[u8]) {
    let Some((&mode, bytes)) = bytes.split_first() else { return };
    let codecs: Vec<_> = table::built().map(|codec| codec.encoding).collect();
    // The upper bits select the codec; none selects A-law.
    let encoding = match usize::from(mode >> 3) {
        0 => Encoding::Pcma,
        n => codecs[n % codecs.len()],
    };
    let named = [Named::Nothing, Named::Machine, Named::Port, Named::Port][usize::from(mode & 3)];
    let (mut call, mut stats, mut ms) = (call(named, encoding), TickStats::default(), 0u64);
    if mode & 4 != 0 {
        let (answer, how, evidence) = (Answer::Yes, ConsentHow::System, Evidence::Clock);
        let yes = Command::Answer { answer, how, prompt_version: None, evidence };
        let _ = call.command(now(0), yes, &mut stats);
    }
    let mut first_audio: [Option<u64>; SENDERS.len()] = [None; SENDERS.len()];
    let mut numbers = [(0u16, 0u32); SENDERS.len()];
    let mut facts = Vec::new();
    for bytes in bytes.chunks_exact(PACKET).take(MOST) {
        let who = usize::from(bytes[0] & 3);
        // The top bit makes a large time step: silence, ticks, timeouts.
        ms += u64::from(bytes[1] & 0x7f) * if bytes[1] & 0x80 != 0 { 8 } else { 1 };
        let (sequence, timestamp) = &mut numbers[who];
        *sequence = sequence.wrapping_add(1).wrapping_add_signed(i16::from(bytes[2] as i8) / 16 * 16);
        let jump = if bytes[3] == 0xff { u32::from_be_bytes([bytes[4], bytes[5], 0, 0]) } else { 160 };
        *timestamp = timestamp.wrapping_add(jump);
        let raw = (bytes[0] & 0x40 != 0).then(|| bytes[1..].to_vec());
        let packet = raw.unwrap_or_else(|| datagram(bytes, *sequence, *timestamp, encoding));
        let from = SocketAddr::from(SENDERS[who]);
        if packet.get(1).is_some_and(|kind| [8, 13].contains(&(kind & 0x7f))) {
            first_audio[who].get_or_insert(ms);
        }
        let (consent, before) = (call.state().consent, call.state().streams[0]);
        if bytes[0] & 0x80 != 0 {
            call.handle_rtcp(0, now(ms).mono, from, &packet, &mut stats);
        } else {
            call.handle(now(ms), 0, now(ms).mono, from, &packet, &mut stats);
        }
        let (changed, after) = (call.state().consent != consent, call.state().streams[0]);
        let foreign = match named {
            Named::Nothing => false,
            Named::Machine => from.ip() != SocketAddr::from(SENDERS[0]).ip(),
            Named::Port => who != 0,
        };
        if foreign {
            assert!(!changed, "a stranger changed consent");
            assert_eq!(before.received, after.received, "a stranger's packet was taken");
        }
        if changed && named == Named::Nothing {
            let since = first_audio[who].expect("keys count from a sender of audio");
            assert!(ms - since >= ESTABLISHED.as_millis() as u64, "keys of a sender that is not established");
        }
        if bytes[1] & 0x80 != 0 {
            call.tick(now(ms), &mut stats);
        }
        call.take_facts(&mut facts);
        check(&mut facts, ms);
    }
    call.end(now(ms), EndedBy::Feed, &mut stats);
    call.take_facts(&mut facts);
    let ended = facts.iter().filter(|output| matches!(output.fact, Fact::Ended(_))).count();
    assert!(ended <= 1, "two ends");
    check(&mut facts, ms);
}

/// The output covers no more than the elapsed time, and key presses name their sender.
fn check(facts: &mut Vec<crate::call::output::Output>, ms: u64) {
    for output in facts.drain(..) {
        match output.fact {
            Fact::Media(block) => {
                let end = u64::from(block.first_frame + block.frames()) * 20;
                assert!(end <= ms + 100, "{end} ms of audio in {ms} ms");
            }
            Fact::Consent(record) if record.state == ConsentState::Granted => {
                if let Evidence::Keys { source, by: KeySource::Event, .. } = record.evidence {
                    assert!(source.is_some(), "a key of nobody");
                }
            }
            _ => {}
        }
    }
}

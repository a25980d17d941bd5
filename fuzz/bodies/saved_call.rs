//! What must hold for any text that claims to be a call as an earlier process saved it: it is refused or
//! taken up, and what is taken up goes on in its time, can be saved again and ends once.

use std::net::SocketAddr;
use std::time::Duration;

use optag_core::clock::{MonoTime, WallTime};
use optag_media::call::output::{Fact, Output};
use optag_media::call::snapshot::CallSnapshot;
use optag_media::call::snapshot::Resumption;
use optag_media::call::{Call, CallSettings, Now};
use optag_media::dtmf::tone_listener::ToneSettings;
use optag_media::fact::EndedBy;
use optag_media::opus::encoder::OpusSettings;
use optag_media::stats::TickStats;
use optag_media::stream::settings::CaptureSettings;

/// Milliseconds that a call goes on.
const GOES_ON_MS: u64 = 400;

fn settings() -> CallSettings {
    let opus = OpusSettings {
        bitrate_bps: 16_000,
        wideband_bitrate_bps: 24_000,
        complexity: 0,
        saves_background: true,
    };
    CallSettings {
        capture: CaptureSettings {
            reorder: Duration::from_millis(200),
            opus,
            pass_through_max_bps: 64_000,
            encodes: Default::default(),
        },
        tones: ToneSettings::default(),
        rtp_timeout: Duration::from_secs(3_600),
        reports: true,
    }
}

/// Takes up a call, sends it packets, leaves it to yet another process.
pub(super) fn run(data: &[u8]) {
    let Some((&mode, text)) = data.split_first() else { return };
    let Some(mut saved) = std::str::from_utf8(text).ok().and_then(CallSnapshot::from_text) else { return };
    let again = CallSnapshot::from_text(&saved.to_text()).expect("what is saved can be read");
    assert_eq!(again.to_text(), saved.to_text());
    // As `app::resuming` asks before it takes a call up.
    let frames = u32::from(mode >> 1);
    let consent = &saved.consent;
    if saved.streams.len() > 8 || consent.stands() && !consent.is_open() && saved.zero.is_none() {
        return;
    }
    let heard = saved.zero.map(|zero| zero + Duration::from_millis(u64::from(frames) * 20));
    let begins = heard.unwrap_or_default().max(saved.at) + Duration::from_secs(1);
    if saved.consent.is_open() && saved.zero.is_none() {
        saved.zero = Some(begins - Duration::from_secs(2));
    }
    let at = |ms: u64| Now {
        mono: begins + Duration::from_millis(ms),
        wall: WallTime::from_unix_micros(1_700_000_000_000_000 + ms as i64 * 1_000),
    };
    let (streams, zero) = (saved.streams.len(), saved.zero);
    let resumption = Resumption { saved, frames, sockets_kept: mode & 1 == 1 };
    let mut call = Call::resume(resumption, settings(), at(0).mono);
    let (mut stats, mut facts) = (TickStats::default(), Vec::new());
    for n in 0..GOES_ON_MS / 20 {
        let ms = n * 20;
        for stream in 0..streams {
            for from in [SocketAddr::from(([10, 0, 0, 1], 4_000)), SocketAddr::from(([10, 0, 0, 9], 9))] {
                let mut packet = vec![0x80, 8, 0, n as u8];
                packet.extend((n as u32 * 160).to_be_bytes());
                packet.extend([0, 0, 0, 1]);
                packet.extend([0x55; 160]);
                call.handle(at(ms), stream, at(ms).mono, from, &packet, &mut stats);
            }
        }
        if n % 5 == 4 {
            call.tick(at(ms), &mut stats);
        }
    }
    call.leave(at(GOES_ON_MS), &mut stats);
    call.take_facts(&mut facts);
    check(&facts, zero, at(GOES_ON_MS).mono);
    call.end(at(GOES_ON_MS), EndedBy::Feed, &mut stats);
    call.take_facts(&mut facts);
    let ended = facts.iter().filter(|output| matches!(output.fact, Fact::Ended(_))).count();
    assert!(ended <= 1, "two ends");
}

/// No audio is further than time, and what is saved can be read.
fn check(facts: &[Output], zero: Option<MonoTime>, now: MonoTime) {
    for output in facts {
        match &output.fact {
            Fact::Media(block) => {
                let end = Duration::from_millis(u64::from(block.first_frame + block.frames()) * 20);
                let zero = zero.expect("audio has an axis");
                assert!(zero + end <= now + Duration::from_millis(100), "audio of the future");
            }
            Fact::State(saved) => {
                let text = saved.to_text();
                assert_eq!(CallSnapshot::from_text(&text).expect("a saved call").to_text(), text);
            }
            _ => {}
        }
    }
}

use super::super::opencore_encoder::{
    Encoder_Interface_Encode, Encoder_Interface_exit, Encoder_Interface_init,
};
use super::super::tests::repacked;
use super::*;

// Source: vo-amrwbenc/enc_if.h 0.1.3. This encoder is only for tests.
#[link(name = "vo-amrwbenc")]
unsafe extern "C" {
    fn E_IF_init() -> *mut c_void;
    fn E_IF_exit(state: *mut c_void);
    fn E_IF_encode(state: *mut c_void, mode: i32, speech: *const i16, out: *mut u8, dtx: i32) -> i32;
}

/// 20 ms frames from the encoders: the type byte, then the bits.
pub(crate) fn encoded(band: Band, mode: i32, dtx: bool, samples: &[i16]) -> Vec<Vec<u8>> {
    let frame = match band {
        Band::Narrow => 160,
        Band::Wide => 320,
    };
    // SAFETY: the encoder is opened, used and closed here; frames have the number of samples that it reads, and
    // an encoded one has at most 61 bytes.
    unsafe {
        let state = match band {
            Band::Narrow => Encoder_Interface_init(i32::from(dtx)),
            Band::Wide => E_IF_init(),
        };
        let code = |speech: &[i16]| {
            let mut bytes = [0; 64];
            let (from, to) = (speech.as_ptr(), bytes.as_mut_ptr());
            let length = match band {
                Band::Narrow => Encoder_Interface_Encode(state, mode, from, to, 0),
                Band::Wide => E_IF_encode(state, mode, from, to, i32::from(dtx)),
            };
            bytes[..length as usize].to_vec()
        };
        let frames = samples.chunks_exact(frame).map(code).collect();
        match band {
            Band::Narrow => Encoder_Interface_exit(state),
            Band::Wide => E_IF_exit(state),
        }
        frames
    }
}

/// A second of a buzz with gliding pitch, then one of silence.
pub(crate) fn buzz(rate_hz: f64) -> Vec<i16> {
    let wave = |n: usize| {
        let at = n as f64 / rate_hz;
        let phase = std::f64::consts::TAU * (120.0 * at + 25.0 * at * at);
        (1..12).map(|k| (phase * f64::from(k)).sin() / f64::from(k)).sum::<f64>() * 5_000.0
    };
    let second = rate_hz as usize;
    (0..second).map(|n| wave(n) as i16).chain(std::iter::repeat_n(0, second)).collect()
}

/// Similarity of two sounds, and the shift at which it is greatest. Units: samples.
pub(crate) fn alike(heard: &[i16], said: &[i16], most: usize) -> (f64, usize) {
    let of = |shift: usize| {
        let pairs = said.iter().zip(&heard[shift..]).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        let (ab, aa, bb) =
            pairs.fold((0.0, 0.0, 0.0), |(ab, aa, bb), (a, b)| (ab + a * b, aa + a * a, bb + b * b));
        ab / (aa * bb).sqrt().max(1.0)
    };
    (0..most).map(|shift| (of(shift), shift)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn every_rate_is_heard_in_both_forms_and_by_as_much_late_as_the_table_says() {
    for (band, rate_hz, modes) in [(Band::Narrow, 8_000, 8), (Band::Wide, 16_000, 9)] {
        let said = buzz(f64::from(rate_hz));
        for mode in 0..modes {
            let frames = encoded(band, mode, false, &said);
            let mut both = Vec::new();
            for aligned in [false, true] {
                let mut decoder = AmrDecoder::new(band, aligned);
                let mut out = vec![0; said.len()];
                let mut written = 0;
                for packet in frames.chunks(2) {
                    written += decoder.decode(&repacked(band, aligned, packet), &mut out[written..]);
                }
                assert_eq!(written, said.len(), "{band:?} {mode}");
                both.push(out);
            }
            assert_eq!(both[0], both[1], "{band:?} {mode}");
            let second = rate_hz as usize;
            let (match_, shift) =
                alike(&both[0][second / 5..], &said[second / 5..second * 4 / 5], second / 50);
            assert!(match_ > 0.8, "{band:?} {mode}: {match_} at {shift}");
            let lag = match band {
                Band::Narrow => crate::codec::Encoding::Amr { octet_aligned: true }.lag(),
                Band::Wide => crate::codec::Encoding::AmrWb { octet_aligned: true }.lag(),
            };
            let off = shift as i64 * crate::timebase::per_sample(rate_hz) - lag;
            assert!(off.abs() <= 48, "{band:?} {mode}: {shift} samples, {off} of the axis off");
        }
    }
}

#[test]
fn silence_descriptors_and_frames_that_were_not_sent_are_quiet() {
    for (band, rate_hz) in [(Band::Narrow, 8_000.0), (Band::Wide, 16_000.0)] {
        let frames = encoded(band, 7, true, &buzz(rate_hz));
        let is_silent = |frame: &Vec<u8>| band.is_silence(frame[0] >> 3);
        assert!(frames.iter().filter(|frame| is_silent(frame)).count() > 20, "{band:?}: no silence found");
        let mut decoder = AmrDecoder::new(band, false);
        let mut out = vec![0; decoder.frame_samples()];
        for frame in &frames {
            let payload = repacked(band, false, std::slice::from_ref(frame));
            assert_eq!(decoder.decode(&payload, &mut out), out.len());
            let ends = Payload::parse(band, false, &payload).unwrap().ends_in_silence();
            assert_eq!(ends, is_silent(frame));
        }
        let loudest = out.iter().map(|sample| sample.unsigned_abs()).max();
        assert!(loudest < Some(300), "{band:?}: {loudest:?}");
    }
}

/// ffmpeg packs an encoder's file into octet-aligned payloads.
#[test]
fn what_ffmpeg_packs_holds_the_same_frames() {
    let dir = std::env::temp_dir().join(format!("optag-amr-{}", std::process::id()));
    for (band, magic, rate_hz) in
        [(Band::Narrow, &b"#!AMR\n"[..], 8_000.0), (Band::Wide, b"#!AMR-WB\n", 16_000.0)]
    {
        let frames = encoded(band, 5, true, &buzz(rate_hz));
        std::fs::write(&dir, [magic, &frames.concat()].concat()).unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
        let to = format!("rtp://127.0.0.1:{}", socket.local_addr().unwrap().port());
        let ran = std::process::Command::new("ffmpeg")
            .args(["-nostdin", "-v", "fatal", "-re", "-f", "amr", "-i"])
            .arg(&dir)
            .args(["-c", "copy", "-max_delay", "60000", "-f", "rtp", &to])
            .stdout(std::process::Stdio::null())
            .spawn();
        let Ok(mut ran) = ran else { return println!("skipped: ffmpeg is not installed") };
        let (mut sent, mut datagram) = (Vec::new(), [0; 2_048]);
        while let Ok(length) = socket.recv(&mut datagram) {
            if let Ok(packet) = crate::rtp::packet::RtpPacket::parse(&datagram[..length]) {
                let payload = Payload::parse(band, true, packet.payload).expect("a payload of RFC 4867");
                payload.frames(|frame| sent.push(frame.to_vec()));
            }
        }
        assert!(ran.wait().unwrap().success());
        // It drops what was waiting for the next packet at the end.
        assert!((frames.len() - 5..=frames.len()).contains(&sent.len()), "{band:?}: {}", sent.len());
        for (sent, frame) in sent.iter().zip(&frames) {
            assert_eq!(sent[0] >> 3, frame[0] >> 3 & 15);
            assert_eq!(sent[1..frame.len()], frame[1..], "{band:?}");
        }
    }
    let _ = std::fs::remove_file(dir);
}

#[test]
fn any_bits_are_borne() {
    let mut seed = 4u32;
    let mut byte = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    for band in [Band::Narrow, Band::Wide] {
        for aligned in [false, true] {
            let mut decoder = AmrDecoder::new(band, aligned);
            let mut out = [0; 6 * 320];
            let mut decoded = 0;
            for n in 0..3_000u32 {
                let mut payload: Vec<u8> = (0..65).map(|_| byte()).collect();
                let kind = (n % 16) as u8;
                // One frame of each type in turn.
                (payload[0], payload[1]) = match aligned {
                    true => (0xf0, kind << 3 | 4),
                    false => (0xf0 | kind >> 1, kind << 7 | 0x40 | payload[1] & 0x3f),
                };
                decoded += decoder.decode(&payload, &mut out);
            }
            assert!(decoded > 1_500 * decoder.frame_samples());
        }
    }
}

use proptest::prelude::*;

use super::*;
use crate::codec::g711::{decode_alaw, decode_ulaw};

fn comes_back(given: Given<'_>) -> usize {
    let mut bytes = Vec::new();
    pack(given, &mut bytes);
    let mut samples = [0; LONGEST_FRAME];
    assert_eq!(unpack(&bytes, &mut samples), Some(given));
    bytes.len()
}

fn coded(rate_hz: u32, fresh: bool, content: Content<'_>) -> Given<'_> {
    Given::Coded { rate_hz, fresh, content }
}

fn any_sound() -> impl Strategy<Value = (Sound, Loudness)> {
    (0..3usize, 0..3usize).prop_map(|(sound, loudness)| (SOUNDS[sound], LOUDNESSES[loudness]))
}

proptest! {
    #[test]
    fn any_samples_come_back(
        rate in 0..4usize,
        fresh: bool,
        kind in any_sound(),
        peak in 0..=15u32,
        seed: u32,
    ) {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state as i16) >> (15 - peak)
        };
        let samples: Vec<i16> = (0..frame_samples(RATES_HZ[rate])).map(|_| next()).collect();
        let bytes = comes_back(coded(RATES_HZ[rate], fresh, Content::Samples(&samples, kind.0, kind.1)));
        prop_assert!(bytes <= 3 + 2 * samples.len());
    }

    #[test]
    fn any_samples_of_extremes_come_back(flips in prop::collection::vec(any::<bool>(), 160), rate in 0..4usize) {
        let length = frame_samples(RATES_HZ[rate]);
        let samples: Vec<i16> =
            (0..length).map(|n| if flips[n % 160] { i16::MAX } else { i16::MIN }).collect();
        comes_back(coded(RATES_HZ[rate], false, Content::Samples(&samples, Sound::Talk, Loudness::Loud)));
    }

    #[test]
    fn any_g711_comes_back_and_takes_at_most_its_own_bytes(
        codes in prop::collection::vec(any::<u8>(), 160),
        mu: bool,
        kind in any_sound(),
    ) {
        let mut samples = [0; 160];
        if mu { decode_ulaw(&codes, &mut samples) } else { decode_alaw(&codes, &mut samples) }
        let bytes = comes_back(coded(8_000, false, Content::Samples(&samples, kind.0, kind.1)));
        prop_assert!(bytes <= 163, "{bytes}");
    }

    #[test]
    fn no_bytes_make_unpacking_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), tag in 0u8..64) {
        exercise(&bytes);
        let mut tagged = bytes;
        if let Some(first) = tagged.first_mut() {
            *first = tag;
        }
        exercise(&tagged);
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_no_frame(cut in 1..400usize, peak in 1..15u32) {
        let samples: Vec<i16> = (0..160).map(|n| ((n * n * 31) as i16) >> (15 - peak)).collect();
        let mut bytes = Vec::new();
        pack(coded(8_000, true, Content::Samples(&samples, Sound::Talk, Loudness::Loud)), &mut bytes);
        let mut room = [0; LONGEST_FRAME];
        let at = cut % bytes.len();
        prop_assert_eq!(unpack(&bytes[..at], &mut room), None);
        bytes.push(0);
        prop_assert_eq!(unpack(&bytes, &mut room), None);
    }
}

#[test]
fn silence_takes_a_byte_and_packets_stay_as_they_are() {
    for rate_hz in RATES_HZ {
        for (fresh, before_sound) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(comes_back(coded(rate_hz, fresh, Content::Silence(before_sound))), 1);
        }
    }
    assert_eq!(comes_back(Given::Opus(&[8, 1, 2])), 4);
    let mut samples = [0; LONGEST_FRAME];
    for no_frame in [&[][..], &[0], &[1, 0], &[6], &[7], &[0x41], &[0x81], &[3 | 1 << 3, 0, 0]] {
        assert_eq!(unpack(no_frame, &mut samples), None, "{no_frame:?}");
    }
}

#[test]
fn a_tone_of_g711_takes_less_than_half_of_its_bytes() {
    let tone = |n: i32| ((f64::from(n) * 0.2).sin() * 3_000.0 + (f64::from(n) * 0.45).sin() * 800.0) as i16;
    let samples: Vec<i16> = (0..160).map(|n| Law::A.value(Law::A.rank(tone(n)))).collect();
    let bytes = comes_back(coded(8_000, false, Content::Samples(&samples, Sound::Talk, Loudness::Loud)));
    assert!(bytes < 90, "{bytes}");
}

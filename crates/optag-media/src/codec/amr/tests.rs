use super::*;

/// Frames with these types and bits of all ones, in a payload of either form. Source: the figures of RFC 4867
/// §4.3.5 and §4.4.5.
pub(crate) fn packed(band: Band, aligned: bool, kinds: &[(u8, bool)], ones: bool) -> Vec<u8> {
    let mut bits: Vec<bool> = vec![true; 4];
    let push = |bits: &mut Vec<bool>, value: u8, length: u32| {
        bits.extend((0..length).rev().map(|n| value >> n & 1 == 1));
    };
    let align = |bits: &mut Vec<bool>| bits.resize(bits.len().next_multiple_of(8), false);
    if aligned {
        align(&mut bits);
    }
    for (n, &(kind, whole)) in kinds.iter().enumerate() {
        push(&mut bits, u8::from(n + 1 < kinds.len()), 1);
        push(&mut bits, kind, 4);
        push(&mut bits, u8::from(whole), 1);
        if aligned {
            align(&mut bits);
        }
    }
    for &(kind, _) in kinds {
        bits.extend(vec![ones; band.bits(kind).unwrap_or(0)]);
        if aligned {
            align(&mut bits);
        }
    }
    align(&mut bits);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |value, &bit| value << 1 | u8::from(bit))).collect()
}

/// Frames from an encoder, in a payload of either form.
#[cfg(feature = "amr")]
pub(crate) fn repacked(band: Band, aligned: bool, frames: &[Vec<u8>]) -> Vec<u8> {
    let kinds: Vec<_> = frames.iter().map(|frame| (frame[0] >> 3 & 15, frame[0] & 4 != 0)).collect();
    let mut bytes = packed(band, aligned, &kinds, false);
    let payload = Payload::parse(band, aligned, &bytes).unwrap();
    let mut at = payload.from;
    let mut ones = Vec::new();
    for (n, frame) in frames.iter().enumerate() {
        let bits = band.bits(kinds[n].0).unwrap();
        ones.extend((0..bits).filter(|bit| frame[1 + bit / 8] >> (7 - bit % 8) & 1 == 1).map(|bit| at + bit));
        at += payload.room(n);
    }
    ones.into_iter().for_each(|bit| bytes[bit / 8] |= 0x80 >> (bit % 8));
    bytes
}

fn frames(band: Band, aligned: bool, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let payload = Payload::parse(band, aligned, bytes)?;
    let mut all = Vec::new();
    payload.frames(|frame| all.push(frame.to_vec()));
    assert_eq!(all.len() as i64 * FRAME_AXIS, payload.length_axis());
    Some(all)
}

/// A single frame at 7.4 kbit/s has 10 header bits, 148 of speech and two of padding: 20 bytes; in the other
/// form, 2 bytes and 19.
#[test]
fn frames_of_every_type_come_out_of_both_forms_the_same() {
    for band in [Band::Narrow, Band::Wide] {
        for kind in 0..16 {
            let one = |aligned| frames(band, aligned, &packed(band, aligned, &[(kind, true)], true));
            let Some(bits) = band.bits(kind) else {
                assert_eq!((one(true), one(false)), (None, None), "{band:?} {kind}");
                continue;
            };
            let frame = one(false).unwrap().remove(0);
            assert_eq!(one(true).unwrap(), std::slice::from_ref(&frame), "{band:?} {kind}");
            assert_eq!(frame[0], kind << 3 | 4);
            assert_eq!(frame[1..].iter().map(|byte| byte.count_ones()).sum::<u32>() as usize, bits);
            assert!(frame[1..1 + bits / 8].iter().all(|&byte| byte == 0xff));
        }
    }
    assert_eq!(packed(Band::Narrow, false, &[(4, true)], true).len(), 20);
    assert_eq!(packed(Band::Narrow, true, &[(4, true)], true).len(), 21);
}

#[test]
fn several_frames_lie_behind_each_other_and_damaged_ones_are_as_if_they_had_not_come() {
    let kinds = [(7, true), (2, false), (15, true), (8, true)];
    for aligned in [true, false] {
        let bytes = packed(Band::Narrow, aligned, &kinds, true);
        let frames = frames(Band::Narrow, aligned, &bytes).unwrap();
        let types: Vec<u8> = frames.iter().map(|frame| frame[0] >> 3).collect();
        assert_eq!(types, [7, NO_DATA, NO_DATA, 8]);
        assert_eq!(frames[3][1..6], [0xff, 0xff, 0xff, 0xff, 0xfe], "39 bits behind all others");
        let payload = Payload::parse(Band::Narrow, aligned, &bytes).unwrap();
        assert!(payload.ends_in_silence());
    }
}

#[test]
fn what_is_cut_off_or_breaks_the_rules_is_refused_and_nothing_panics() {
    for band in [Band::Narrow, Band::Wide] {
        for aligned in [true, false] {
            let whole = packed(band, aligned, &[(3, true), (0, true)], true);
            assert!(frames(band, aligned, &whole).is_some());
            for length in 0..whole.len() {
                assert!(frames(band, aligned, &whole[..length]).is_none(), "{length} of {}", whole.len());
            }
            assert!(frames(band, aligned, &packed(band, aligned, &[(15, true); 13], true)).is_none());
            let mut seed = 9u32;
            for length in 0..2_000 {
                let byte = |_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 24) as u8
                };
                let bytes: Vec<u8> = (0..length % 130).map(byte).collect();
                let _ = frames(band, aligned, &bytes);
            }
        }
    }
}

#[test]
fn parameters_tell_the_form_and_refuse_what_is_not_read() {
    for (fmtp, efficient, aligned) in [
        ("", true, false),
        ("mode-set=0,2,4,7; octet-align=0", true, false),
        ("octet-align=1", false, true),
        ("mode-change-capability=2;Octet-Align = 1; max-red=0", false, true),
        ("octet-align=1; crc=1", false, false),
        ("octet-align=1; crc=0; robust-sorting=0", false, true),
        ("octet-align=1; robust-sorting=1", false, false),
        ("octet-align=1; interleaving=30", false, false),
    ] {
        assert_eq!((takes(fmtp, false), takes(fmtp, true)), (efficient, aligned), "{fmtp}");
    }
}

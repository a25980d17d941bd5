//! The plaintext of a record: encodes and decodes bodies.
//!
//! In: a [`Body`], or arbitrary bytes. Out: bytes, or a body. Not here: sealing, headers, files. `Opened`, `Consent`,
//! `Joined`, `Closed` and `Described` (17) are JSON, so that fields may be added; `CallState` (8) and `DialogState` (9)
//! are text that is not parsed here; `Media`, packed media (18) and `Gap` are compact and versioned by the encoding
//! number in the record header:
//!
//! ```text
//! Media  first frame u32 · streams u8 · packets u16 · lengths (u8, or FF and u16) ·
//!        peaks u8 per packet · the packets
//! Packed bits per second for telephone band and for wider band, u32 each · complexity u8 · as Media, packed frames
//! Gap    stream u8 · from u32 · to u32 · reason u8
//! ```

use crate::spool::packed::Packed;
use crate::spool::record::Body;
use optag_core::limit::STREAMS_PER_CALL;
use optag_core::private::Private;
use optag_media::fact::{Form, Gap, GapReason, MediaBlock, StreamIndex};
use optag_media::spill::DeferredSettings;

/// Version of all encodings here.
pub(super) const ENCODING: u8 = 1;

/// Maximum length of a payload, written or read. Units: bytes.
pub(super) const PAYLOAD_BYTES: usize = 4 * 1024 * 1024;

const REASONS: [GapReason; 12] = [
    GapReason::Lost,
    GapReason::Held,
    GapReason::Paused,
    GapReason::Restart,
    GapReason::NoMedia,
    GapReason::Spool,
    GapReason::KeyTones,
    GapReason::Fault,
    GapReason::Late,
    GapReason::Refused,
    GapReason::UnknownType,
    GapReason::Objected,
];

/// Kind of the records of joining streams: their number gives a recording's channels.
pub(super) const JOINED: u8 = 16;

/// Kind of the records of unencoded audio.
pub(super) const PACKED: u8 = 18;

/// Whether this version can read a record.
pub(super) fn is_known(kind: u8, encoding: u8) -> bool {
    encoding == ENCODING && matches!(kind, 1..=5 | 8 | 9 | 16..=PACKED)
}

/// Number of a body's kind in the record header.
pub(super) const fn kind(body: &Body) -> u8 {
    match body {
        Body::Opened(_) => 1,
        Body::Consent(_) => 2,
        Body::Media(MediaBlock { form: Form::Opus, .. }) => 3,
        Body::Media(MediaBlock { form: Form::Packed(_), .. }) => PACKED,
        Body::Gap(_) => 4,
        Body::Closed(_) => 5,
        Body::Described(_) => 17,
        Body::Joined(_) => JOINED,
        Body::CallState(_) => 8,
        Body::DialogState(_) => 9,
    }
}

/// Unencoded audio in a record of this length.
pub(super) fn packed(block: &MediaBlock, record_bytes: usize) -> Packed {
    match block.form {
        Form::Opus => Packed::default(),
        Form::Packed(_) => Packed { bytes: record_bytes as u64, frames: block.lengths.len() as u64 },
    }
}

/// Encodes a body; `None` if it is inconsistent or too long.
pub(super) fn encode(body: &Body) -> Option<Vec<u8>> {
    let bytes = match body {
        Body::Opened(facts) => serde_json::to_vec(facts).ok()?,
        Body::Consent(record) => serde_json::to_vec(record).ok()?,
        Body::Media(block) => encode_media(block)?,
        Body::Gap(gap) => encode_gap(gap)?,
        Body::Joined(facts) => serde_json::to_vec(facts).ok()?,
        Body::Closed(ended) => serde_json::to_vec(ended).ok()?,
        Body::Described(context) => serde_json::to_vec(context).ok()?,
        Body::CallState(text) | Body::DialogState(text) => text.reveal().clone().into_bytes(),
    };
    (bytes.len() <= PAYLOAD_BYTES).then_some(bytes)
}

/// Decodes a body; `None` if the bytes are not a valid body.
pub(super) fn decode(kind: u8, encoding: u8, bytes: &[u8]) -> Option<Body> {
    if encoding != ENCODING || bytes.len() > PAYLOAD_BYTES {
        return None;
    }
    match kind {
        1 => serde_json::from_slice(bytes).ok().map(Body::Opened),
        2 => serde_json::from_slice(bytes).ok().map(Body::Consent),
        3 => decode_media(bytes, Form::Opus).map(Body::Media),
        PACKED => decode_packed(bytes).map(Body::Media),
        4 => decode_gap(bytes).map(Body::Gap),
        5 => serde_json::from_slice(bytes).ok().map(Body::Closed),
        17 => serde_json::from_slice(bytes).ok().map(Body::Described),
        JOINED => serde_json::from_slice(bytes).ok().map(Body::Joined),
        8 => decode_text(bytes).map(Body::CallState),
        9 => decode_text(bytes).map(Body::DialogState),
        _ => None,
    }
}

fn decode_text(bytes: &[u8]) -> Option<Private<String>> {
    String::from_utf8(bytes.to_vec()).ok().map(Private::new)
}

fn encode_media(block: &MediaBlock) -> Option<Vec<u8>> {
    let packets = u16::try_from(block.lengths.len()).ok()?;
    if !is_shaped(block.streams, block.lengths.len())
        || block.peaks.len() != block.lengths.len()
        || block.lengths.iter().map(|&len| usize::from(len)).sum::<usize>() != block.bytes.len()
    {
        return None;
    }
    let mut out = Vec::with_capacity(16 + 2 * block.lengths.len() + block.bytes.len());
    if let Form::Packed(settings) = block.form {
        out.extend(settings.bitrate_bps.to_le_bytes());
        out.extend(settings.wideband_bitrate_bps.to_le_bytes());
        out.push(settings.complexity);
    }
    out.extend(block.first_frame.to_le_bytes());
    out.push(block.streams);
    out.extend(packets.to_le_bytes());
    for &length in &block.lengths {
        match u8::try_from(length) {
            Ok(short) if short < 0xff => out.push(short),
            _ => {
                out.push(0xff);
                out.extend(length.to_le_bytes());
            }
        }
    }
    out.extend(&block.peaks);
    out.extend(&block.bytes);
    Some(out)
}

fn decode_packed(mut bytes: &[u8]) -> Option<MediaBlock> {
    let bitrate_bps = u32::from_le_bytes(take(&mut bytes)?);
    let wideband_bitrate_bps = u32::from_le_bytes(take(&mut bytes)?);
    let [complexity] = take(&mut bytes)?;
    let encodable = |bps: u32| (6_000..=128_000).contains(&bps);
    if !encodable(bitrate_bps) || !encodable(wideband_bitrate_bps) || complexity > 10 {
        return None;
    }
    let settings = DeferredSettings { bitrate_bps, wideband_bitrate_bps, complexity };
    decode_media(bytes, Form::Packed(settings))
}

fn decode_media(mut bytes: &[u8], form: Form) -> Option<MediaBlock> {
    let first_frame = u32::from_le_bytes(take(&mut bytes)?);
    let [streams] = take(&mut bytes)?;
    let packets = usize::from(u16::from_le_bytes(take(&mut bytes)?));
    if !is_shaped(streams, packets) || bytes.len() < packets {
        return None;
    }
    let mut lengths = Vec::with_capacity(packets);
    for _ in 0..packets {
        lengths.push(match take(&mut bytes)? {
            [0xff] => u16::from_le_bytes(take(&mut bytes)?),
            [short] => u16::from(short),
        });
    }
    let (peaks, bytes) = bytes.split_at_checked(packets)?;
    let whole = lengths.iter().map(|&len| usize::from(len)).sum::<usize>() == bytes.len();
    let (peaks, bytes) = (peaks.to_vec(), bytes.to_vec());
    whole.then_some(MediaBlock { first_frame, form, streams, lengths, peaks, bytes })
}

fn is_shaped(streams: u8, packets: usize) -> bool {
    let streams = usize::from(streams);
    (1..=STREAMS_PER_CALL).contains(&streams) && packets.is_multiple_of(streams)
}

fn encode_gap(gap: &Gap) -> Option<Vec<u8>> {
    let reason = REASONS.iter().position(|&reason| reason == gap.reason)? as u8;
    let mut out = Vec::with_capacity(10);
    out.push(gap.stream.0);
    out.extend(gap.from_frame.to_le_bytes());
    out.extend(gap.to_frame.to_le_bytes());
    out.push(reason);
    Some(out)
}

fn decode_gap(mut bytes: &[u8]) -> Option<Gap> {
    let [stream] = take(&mut bytes)?;
    let from_frame = u32::from_le_bytes(take(&mut bytes)?);
    let to_frame = u32::from_le_bytes(take(&mut bytes)?);
    let [reason] = take(&mut bytes)?;
    let reason = *REASONS.get(usize::from(reason))?;
    bytes.is_empty().then_some(Gap { stream: StreamIndex(stream), from_frame, to_frame, reason })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_media_block_survives_its_encoding(
            first_frame: u32,
            streams in 1u8..=8,
            lengths in prop::collection::vec(1u16..1_300, 0..12),
            seed: u8,
            packed in prop::option::of((6_000u32..=128_000, 6_000u32..=128_000, 0u8..=10)),
        ) {
            let whole = lengths.len() / usize::from(streams) * usize::from(streams);
            let lengths = lengths[..whole].to_vec();
            let total: usize = lengths.iter().map(|&len| usize::from(len)).sum();
            let form = packed.map_or(Form::Opus, |(bitrate_bps, wideband_bitrate_bps, complexity)| {
                Form::Packed(DeferredSettings { bitrate_bps, wideband_bitrate_bps, complexity })
            });
            let block = MediaBlock {
                first_frame,
                form,
                streams,
                peaks: vec![seed; lengths.len()],
                bytes: (0..total).map(|i| (i as u8).wrapping_mul(seed)).collect(),
                lengths,
            };
            let body = Body::Media(block);
            let (bytes, number) = (encode(&body).unwrap(), kind(&body));
            prop_assert_eq!(number, if packed.is_some() { PACKED } else { 3 });
            prop_assert!(is_known(number, ENCODING));
            prop_assert_eq!(decode(number, ENCODING, &bytes), Some(body));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(kind in 0u8..20, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(kind, ENCODING, &bytes);
        }
    }

    #[test]
    fn every_gap_reason_survives_and_trailing_bytes_do_not() {
        for reason in REASONS {
            let gap = Gap { stream: StreamIndex(1), from_frame: 7, to_frame: u32::MAX, reason };
            let mut bytes = encode(&Body::Gap(gap)).unwrap();
            assert_eq!(decode(4, ENCODING, &bytes), Some(Body::Gap(gap)));
            bytes.push(0);
            assert_eq!(decode(4, ENCODING, &bytes), None);
        }
    }

    #[test]
    fn a_block_that_contradicts_itself_is_not_written() {
        let block = MediaBlock {
            first_frame: 0,
            form: Form::Opus,
            streams: 2,
            lengths: vec![3, 3],
            peaks: vec![0, 0],
            bytes: vec![0; 5],
        };
        assert_eq!(encode(&Body::Media(block)), None);
    }
}

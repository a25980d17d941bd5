//! Segment and record headers as bytes: the pure layer between bodies and files.
//!
//! In: header fields and sealed payloads, or arbitrary bytes. Out: bytes, or headers with a valid CRC. Not here:
//! files, decisions of recovery. The layout is described in `spool`.

use super::error::SpoolError;
use super::key::{DataKey, TAG_BYTES};
use super::payload::{self, PAYLOAD_BYTES};
use super::record::Body;
use optag_core::id::CallId;

/// Length of a segment header.
pub const SEGMENT_HEAD_BYTES: usize = 64;

/// Length of a record header.
pub const RECORD_HEAD_BYTES: usize = 64;

/// The four bytes at the start of each record.
pub const RECORD_MARK: [u8; 4] = *b"oRec";

const SEGMENT_MARK: [u8; 8] = *b"optagspl";
const SEGMENT_VERSION: u16 = 1;

/// The part of a record header authenticated by its seal. `previous` is excluded: it changes when a record is
/// rewritten, and one nonce must not seal two headers.
const SEALED_HEAD: std::ops::Range<usize> = 8..48;

/// Position of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Segment number, from 1.
    pub segment: u64,
    /// Offset of the record's first byte in the segment.
    pub offset: u32,
}

/// Header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// Process incarnation that wrote it.
    pub incarnation: u32,
    /// Segment number.
    pub number: u64,
    /// Node that owns the spool.
    pub node_id: [u8; 16],
}

impl SegmentHead {
    /// Encodes the header.
    pub fn to_bytes(self) -> [u8; SEGMENT_HEAD_BYTES] {
        let mut out = [0; SEGMENT_HEAD_BYTES];
        out[..8].copy_from_slice(&SEGMENT_MARK);
        out[8..10].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        out[10..12].copy_from_slice(&(SEGMENT_HEAD_BYTES as u16).to_le_bytes());
        out[12..16].copy_from_slice(&self.incarnation.to_le_bytes());
        out[16..24].copy_from_slice(&self.number.to_le_bytes());
        out[24..40].copy_from_slice(&self.node_id);
        let crc = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Parses the header at the start of `bytes`; none if damaged.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SEGMENT_HEAD_BYTES] = bytes.first_chunk()?;
        let whole = bytes[..8] == SEGMENT_MARK
            && bytes[8..10] == SEGMENT_VERSION.to_le_bytes()
            && bytes[60..] == crc32c::crc32c(&bytes[..60]).to_le_bytes();
        whole.then(|| Self {
            incarnation: u32::from_le_bytes(field(bytes, 12)),
            number: u64::from_le_bytes(field(bytes, 16)),
            node_id: field(bytes, 24),
        })
    }
}

/// Header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// Length of the sealed payload, tag included.
    pub sealed_bytes: u32,
    /// Process incarnation that sealed it.
    pub incarnation: u32,
    /// Sequence number in the spool; unchanged when a record is rewritten.
    pub sequence: u64,
    /// The call.
    pub call: CallId,
    /// Number of the body's kind.
    pub kind: u8,
    /// Version of the body's encoding.
    pub encoding: u8,
    /// Number of the record in its call, contiguous from 0.
    pub ordinal: u32,
    /// Position of the call's previous record. A hint: not sealed.
    pub previous: Option<Position>,
}

impl RecordHead {
    /// Reads the fields without verifying the CRC, which also covers the payload. `None`: no record starts here.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RECORD_HEAD_BYTES] = bytes.first_chunk()?;
        let sealed_bytes = u32::from_le_bytes(field(bytes, 8));
        let plausible = bytes[..4] == RECORD_MARK
            && (TAG_BYTES..=PAYLOAD_BYTES + TAG_BYTES).contains(&(sealed_bytes as usize));
        let segment = u64::from_le_bytes(field(bytes, 48));
        let offset = u32::from_le_bytes(field(bytes, 56));
        plausible.then(|| Self {
            sealed_bytes,
            incarnation: u32::from_le_bytes(field(bytes, 12)),
            sequence: u64::from_le_bytes(field(bytes, 16)),
            call: CallId::from_bytes(field(bytes, 24)),
            kind: bytes[40],
            encoding: bytes[41],
            ordinal: u32::from_le_bytes(field(bytes, 44)),
            previous: (segment != 0).then_some(Position { segment, offset }),
        })
    }

    /// Length of the whole record.
    pub const fn record_bytes(&self) -> usize {
        RECORD_HEAD_BYTES + self.sealed_bytes as usize
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.incarnation.to_be_bytes());
        nonce[4..].copy_from_slice(&self.sequence.to_be_bytes());
        nonce
    }
}

/// Appends a sealed record to `out`, with `previous` and CRC still unset (see [`place`]). Returns the CRC of the
/// sealed part, which [`place`] verifies.
///
/// Errors: cipher.
pub fn seal(head: &RecordHead, plain: &[u8], key: &DataKey, out: &mut Vec<u8>) -> Result<u32, SpoolError> {
    let start = out.len();
    let mut bytes = [0; RECORD_HEAD_BYTES];
    bytes[..4].copy_from_slice(&RECORD_MARK);
    bytes[8..12].copy_from_slice(&((plain.len() + TAG_BYTES) as u32).to_le_bytes());
    bytes[12..16].copy_from_slice(&head.incarnation.to_le_bytes());
    bytes[16..24].copy_from_slice(&head.sequence.to_le_bytes());
    bytes[24..40].copy_from_slice(&head.call.to_bytes());
    bytes[40] = head.kind;
    bytes[41] = head.encoding;
    bytes[44..48].copy_from_slice(&head.ordinal.to_le_bytes());
    out.extend(bytes);
    out.extend(plain);
    match key.seal(head.nonce(), &bytes[SEALED_HEAD], &mut out[start + RECORD_HEAD_BYTES..]) {
        Ok(tag) => {
            out.extend(tag);
            Ok(sealed_crc(&out[start..]))
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// Prepares a sealed record for its position: verifies that it is unchanged since sealing, then sets `previous` and
/// CRC. `false`: memory corruption.
#[must_use]
pub fn place(record: &mut [u8], previous: Option<Position>, expected_crc: u32) -> bool {
    if record.len() < RECORD_HEAD_BYTES || sealed_crc(record) != expected_crc {
        return false;
    }
    let previous = previous.unwrap_or(Position { segment: 0, offset: 0 });
    record[48..56].copy_from_slice(&previous.segment.to_le_bytes());
    record[56..60].copy_from_slice(&previous.offset.to_le_bytes());
    let crc = crc32c::crc32c(&record[8..]);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
    true
}

/// Changes the predecessor of a whole record for a new position.
pub fn relink(record: &mut [u8], previous: Option<Position>) {
    let crc = sealed_crc(record);
    let placed = place(record, previous, crc);
    debug_assert!(placed, "a record is longer than its head");
}

/// Parses the header of the record at the start of `bytes`; none if the record is incomplete or its CRC wrong.
pub fn check(bytes: &[u8]) -> Option<RecordHead> {
    let head = RecordHead::peek(bytes)?;
    let record = bytes.get(..head.record_bytes())?;
    (record[4..8] == crc32c::crc32c(&record[8..]).to_le_bytes()).then_some(head)
}

/// Opens a record accepted by [`check`]. `None`: sealed with another key, or not a valid body.
pub fn open(head: &RecordHead, record: &[u8], key: &DataKey, scratch: &mut Vec<u8>) -> Option<Body> {
    scratch.clear();
    scratch.extend(record.get(RECORD_HEAD_BYTES..head.record_bytes())?);
    let plain = key.open(head.nonce(), record.get(SEALED_HEAD)?, scratch)?;
    payload::decode(head.kind, head.encoding, plain)
}

fn sealed_crc(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[SEALED_HEAD]), &record[RECORD_HEAD_BYTES..])
}

fn field<const N: usize>(bytes: &[u8; 64], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::key::MasterKey;
    use optag_media::fact::{Gap, GapReason, StreamIndex};

    fn sample() -> (DataKey, RecordHead, Vec<u8>, Body) {
        let master = MasterKey::from_bytes(&[1; 32]).unwrap();
        let call = CallId::from_bytes([9; 16]);
        let (key, _) = DataKey::draw(&master, call).unwrap();
        let body =
            Body::Gap(Gap { stream: StreamIndex(0), from_frame: 1, to_frame: 9, reason: GapReason::Held });
        let plain = payload::encode(&body).unwrap();
        let head = RecordHead {
            sealed_bytes: (plain.len() + TAG_BYTES) as u32,
            incarnation: 3,
            sequence: 77,
            call,
            kind: payload::kind(&body),
            encoding: payload::ENCODING,
            ordinal: 5,
            previous: Some(Position { segment: 2, offset: 640 }),
        };
        let mut record = Vec::new();
        let crc = seal(&head, &plain, &key, &mut record).unwrap();
        assert!(place(&mut record, head.previous, crc));
        (key, head, record, body)
    }

    #[test]
    fn a_record_survives_its_layout() {
        let (key, head, record, body) = sample();
        assert_eq!(check(&record), Some(head));
        assert_eq!(open(&head, &record, &key, &mut Vec::new()), Some(body));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (_, head, record, _) = sample();
        for bit in 0..record.len() * 8 {
            let mut bad = record.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(&bad), None, "bit {bit}");
        }
        for len in 0..head.record_bytes() {
            assert_eq!(check(&record[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn moving_a_record_changes_neither_its_seal_nor_its_body() {
        let (key, _, mut record, body) = sample();
        let before = record.clone();
        let crc = sealed_crc(&record);
        assert!(place(&mut record, Some(Position { segment: 8, offset: 64 }), crc));
        assert_eq!(record[SEALED_HEAD], before[SEALED_HEAD]);
        assert_eq!(record[RECORD_HEAD_BYTES..], before[RECORD_HEAD_BYTES..]);
        let head = check(&record).unwrap();
        assert_eq!(open(&head, &record, &key, &mut Vec::new()), Some(body));
        record[70] ^= 1;
        assert!(!place(&mut record, None, crc), "corrupted memory is not written");
    }

    #[test]
    fn a_segment_head_survives_and_notices_each_flipped_bit() {
        let head = SegmentHead { incarnation: 4, number: 12, node_id: [3; 16] };
        let bytes = head.to_bytes();
        assert_eq!(SegmentHead::parse(&bytes), Some(head));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHead::parse(&bad), None, "bit {bit}");
        }
    }
}

//! Recovers the contents of a spool after any crash. Pure: keys and segment bytes in, calls and places out. Torn
//! tails and damaged records are counted and skipped.
//!
//! Not here: files, and what happens to a call that was found open.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::frame::{self, Position, RecordHead, SegmentHead};
use super::key::DataKey;
use super::payload;
use super::record::Body;
use super::segment::{Step, used_bytes, walk};
use super::shared::Place;
use optag_core::call::{CallFacts, ConsentRecord};
use optag_core::id::CallId;
use optag_core::private::Private;
use optag_media::fact::Ended;

/// A call in the spool.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredCall {
    /// Its id.
    pub id: CallId,
    /// Facts of its admission; none if that record is damaged.
    pub facts: Option<CallFacts>,
    /// Its last change of consent.
    pub consent: Option<ConsentRecord>,
    /// How it ended, if that was durable.
    pub closed: Option<Ended>,
    /// Frames of audio, gaps between blocks included.
    pub frames: u32,
    /// The engine's last state for resuming it.
    pub call_state: Option<Private<String>>,
    /// Signalling's last state for resuming it.
    pub dialog_state: Option<Private<String>>,
    /// Missing records before the last existing one.
    pub missing_records: u32,
}

/// Result of a scan.
#[derive(Debug, Default, PartialEq)]
pub struct Recovered {
    /// Calls with a key, oldest first.
    pub calls: Vec<RecoveredCall>,
    /// Number of places without a valid record: torn tails and damage.
    pub damaged: u64,
    /// Valid records of kinds or encodings unknown to this version.
    pub newer: u64,
    /// Records found twice: rewritten after a failed sync, or in a copied segment.
    pub duplicates: u64,
    /// Segment files whose header is unreadable or contradicts the file name.
    pub bad_segments: u64,
    /// Missing segments that records of an incomplete call refer to.
    pub missing_segments: u64,
    /// Damaged key files: their calls are lost.
    pub damaged_keys: u64,
    /// Unreadable bytes of segments. Units: bytes.
    pub unreadable_bytes: u64,
}

/// Scans segments in order of number.
pub(super) struct Scan {
    calls: HashMap<CallId, Found>,
    recovered: Recovered,
    seen: Seen,
    /// Segments with unreadable parts, which may belong to any call.
    torn: BTreeSet<u64>,
    /// Number and length of each scanned segment.
    pub segments: BTreeMap<u64, u64>,
    /// Highest incarnation, sequence and segment number found, and the node's id.
    pub incarnation: u32,
    pub sequence: u64,
    pub number: u64,
    pub node_id: Option<[u8; 16]>,
}

struct Found {
    call: RecoveredCall,
    place: Place,
    records: u32,
    last: Last,
    pointed_to: BTreeSet<u64>,
    /// The previous record.
    before: Option<(u32, Position)>,
}

/// Order of a call's last record, and of its last record of some kinds.
#[derive(Default)]
struct Last {
    any: Order,
    consent: Order,
    call_state: Order,
    dialog_state: Order,
}

/// Incarnation and sequence.
type Order = (u32, u64);

impl Scan {
    pub(super) fn new(keys: Vec<(CallId, DataKey)>) -> Self {
        Self {
            calls: keys.into_iter().map(|(id, key)| (id, Found::new(id, key))).collect(),
            recovered: Recovered::default(),
            seen: Seen::default(),
            torn: BTreeSet::new(),
            segments: BTreeMap::new(),
            incarnation: 0,
            sequence: 0,
            number: 0,
            node_id: None,
        }
    }

    /// Scans the contents of a segment file. Returns the number of bytes in use.
    pub(super) fn segment(&mut self, number: u64, bytes: &[u8]) -> usize {
        self.number = self.number.max(number);
        self.segments.insert(number, bytes.len() as u64);
        match SegmentHead::parse(bytes) {
            Some(head) => {
                self.recovered.bad_segments += u64::from(head.number != number);
                self.number = self.number.max(head.number);
                self.incarnation = self.incarnation.max(head.incarnation);
                self.node_id = Some(head.node_id);
            }
            // A crash during creation leaves an empty segment.
            None if used_bytes(bytes) == 0 => {}
            None => self.recovered.bad_segments += 1,
        }
        let mut scratch = Vec::new();
        walk(bytes, |step| match step {
            Step::Damaged => {
                self.recovered.damaged += 1;
                self.torn.insert(number);
            }
            Step::Record(head, record, offset) => {
                self.record(&head, record, Position { segment: number, offset }, &mut scratch);
            }
        })
    }

    /// Counts bytes of a segment that could not be read.
    pub(super) fn unreadable(&mut self, number: u64, bytes: u64) {
        self.recovered.unreadable_bytes += bytes;
        if bytes > 0 {
            self.torn.insert(number);
        }
    }

    /// Counts key files without a usable key.
    pub(super) fn damaged_keys(&mut self, keys: u64) {
        self.recovered.damaged_keys += keys;
    }

    fn record(&mut self, head: &RecordHead, record: &[u8], at: Position, scratch: &mut Vec<u8>) {
        let order = (head.incarnation, head.sequence);
        self.incarnation = self.incarnation.max(head.incarnation);
        self.sequence = self.sequence.max(head.sequence);
        self.number = self.number.max(head.previous.map_or(0, |previous| previous.segment));
        let first = self.seen.insert(order);
        let Some(found) = self.calls.get_mut(&head.call) else { return };
        if first {
            let Some(body) = frame::open(head, record, &found.place.key, scratch) else {
                match payload::is_known(head.kind, head.encoding) {
                    true => self.recovered.damaged += 1,
                    false => self.recovered.newer += 1,
                }
                return;
            };
            if let Body::Media(block) = &body {
                found.place.packed += payload::packed(block, record.len());
            }
            found.take(body, order);
            found.records += 1;
        } else {
            self.recovered.duplicates += 1;
        }
        // Of a record found twice, the later copy counts: its chain was acknowledged.
        if order >= found.last.any {
            found.last.any = order;
            found.place.last = Some(at);
        }
        found.place.next_ordinal = found.place.next_ordinal.max(head.ordinal.saturating_add(1));
        found.place.reach(at.segment, record.len() as u64);
        found.follow(head, at);
        found.pointed_to.extend(head.previous.map(|previous| previous.segment));
    }

    /// Ends the scan.
    pub(super) fn finish(self) -> (Recovered, HashMap<CallId, Place>) {
        let mut recovered = self.recovered;
        let mut places = HashMap::new();
        let mut missing = BTreeSet::new();
        for (id, mut found) in self.calls {
            found.call.missing_records = found.place.next_ordinal.saturating_sub(found.records);
            if found.call.missing_records > 0 {
                let gone = |number: &u64| !self.segments.contains_key(number);
                missing.extend(found.pointed_to.iter().copied().filter(gone));
            }
            found.may_be_in(&self.torn);
            if let Some((ordinal, at)) = found.before.filter(|(_, at)| found.place.last != Some(*at)) {
                found.place.moved.insert(ordinal, at);
            }
            found.place.frames = found.call.frames;
            recovered.calls.push(found.call);
            places.insert(id, found.place);
        }
        recovered.missing_segments = missing.len() as u64;
        recovered.calls.sort_by_key(|call| call.id);
        (recovered, places)
    }
}

impl Found {
    fn new(id: CallId, key: DataKey) -> Self {
        let call = RecoveredCall {
            id,
            facts: None,
            consent: None,
            closed: None,
            frames: 0,
            call_state: None,
            dialog_state: None,
            missing_records: 0,
        };
        let (last, pointed_to) = (Last::default(), BTreeSet::new());
        Self { call, place: Place::new(key), records: 0, last, pointed_to, before: None }
    }

    /// Counts the call's segments that could not be read completely and lie between its segments, or behind them if
    /// it has no end: missing records may be in these and readable another time.
    fn may_be_in(&mut self, torn: &BTreeSet<u64>) {
        let segments = &mut self.place.segments;
        let Some((&first, &last)) = segments.keys().next().zip(segments.keys().next_back()) else { return };
        let last = if self.call.closed.is_some() { last } else { u64::MAX };
        for &number in torn.range(first..=last) {
            segments.entry(number).or_insert(1);
        }
    }

    /// Records positions that later records may not refer to, because one of the two was moved.
    fn follow(&mut self, head: &RecordHead, at: Position) {
        if let Some((before, place)) = self.before.replace((head.ordinal, at))
            && (before.checked_add(1) != Some(head.ordinal) || head.previous != Some(place))
        {
            self.place.moved.insert(before, place);
        }
        self.place.moved.remove(&head.ordinal);
    }

    fn take(&mut self, body: Body, order: Order) {
        match body {
            Body::Opened(facts) => self.call.facts = Some(facts),
            Body::Consent(record) if order >= self.last.consent => {
                self.last.consent = order;
                self.call.consent = Some(record);
            }
            Body::Joined(stream) => {
                if let Some(facts) = &mut self.call.facts {
                    facts.streams.push(stream);
                }
            }
            Body::CallState(text) if order >= self.last.call_state => {
                self.last.call_state = order;
                self.call.call_state = Some(text);
            }
            Body::DialogState(text) if order >= self.last.dialog_state => {
                self.last.dialog_state = order;
                self.call.dialog_state = Some(text);
            }
            Body::Described(mut context) => {
                // Only names and numbers are needed here; the original bodies are for the recording.
                context.raw.clear();
                if let Some(facts) = &mut self.call.facts {
                    facts.learn(*context);
                }
            }
            Body::Consent(_) | Body::Gap(_) | Body::CallState(_) | Body::DialogState(_) => {}
            Body::Closed(ended) => self.call.closed = Some(ended),
            Body::Media(block) => {
                let end = block.first_frame.saturating_add(block.frames());
                self.call.frames = self.call.frames.max(end);
            }
        }
    }
}

/// The records found so far, as ranges: sequences are consecutive, so there are few ranges.
#[derive(Default)]
struct Seen(BTreeMap<(u32, u64), u64>);

impl Seen {
    /// Whether the record is found for the first time.
    fn insert(&mut self, (incarnation, sequence): (u32, u64)) -> bool {
        let before = self.0.range_mut(..=(incarnation, sequence)).next_back();
        let start = match before {
            Some((&(i, start), end)) if i == incarnation && sequence <= end.saturating_add(1) => {
                if sequence <= *end {
                    return false;
                }
                *end = sequence;
                start
            }
            _ => {
                self.0.insert((incarnation, sequence), sequence);
                sequence
            }
        };
        let after = sequence.checked_add(1).and_then(|next| self.0.remove(&(incarnation, next)));
        if let Some(end) = after {
            self.0.insert((incarnation, start), end);
        }
        true
    }
}

/// Scans arbitrary bytes as one segment; for fuzzing and its corpus.
pub fn exercise(bytes: &[u8]) {
    let mut records = 0usize;
    walk(bytes, |step| records += usize::from(matches!(step, Step::Record(..))));
    let mut scan = Scan::new(Vec::new());
    scan.segment(1, bytes);
    assert!(records * super::frame::RECORD_HEAD_BYTES <= bytes.len());
    assert!(scan.finish().0.calls.is_empty());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spans_know_what_a_set_knows(records in prop::collection::vec((0u32..3, 0u64..40), 0..200)) {
            let mut spans = Seen::default();
            let mut set = BTreeSet::new();
            for record in records {
                prop_assert_eq!(spans.insert(record), set.insert(record));
            }
            prop_assert!(spans.0.len() <= set.len());
        }
    }

    #[test]
    fn consecutive_records_make_one_span() {
        let mut spans = Seen::default();
        for n in (0..1_000).step_by(2).chain((1..1_000).step_by(2)) {
            assert!(spans.insert((1, n)));
        }
        assert_eq!(spans.0.len(), 1);
        assert!(spans.insert((1, u64::MAX)) && !spans.insert((1, u64::MAX)));
    }
}

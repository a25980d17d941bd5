//! What a spool holds after any crash, by reading it. Pure over bytes: in go keys and segments,
//! out come calls and places. A torn tail and damaged records are counted, not believed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::frame::{self, Position, SegmentHead};
use super::key::DataKey;
use super::record::Body;
use super::segment::{Step, walk};
use super::shared::Place;
use crate::base::id::CallId;
use crate::call::{CallFacts, ConsentRecord};
use crate::media::output::Ended;

/// A call that the spool holds.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredCall {
    /// Its id.
    pub id: CallId,
    /// What was known at admission; none if that record is damaged.
    pub facts: Option<CallFacts>,
    /// Its last change of consent.
    pub consent: Option<ConsentRecord>,
    /// How it ended, if that was durable.
    pub closed: Option<Ended>,
    /// Frames of audio, gaps between blocks included.
    pub frames: u32,
}

/// What a scan found.
#[derive(Debug, Default, PartialEq)]
pub struct Recovered {
    /// Calls that have a key, oldest first.
    pub calls: Vec<RecoveredCall>,
    /// Places at which something is no record: torn tails and damage.
    pub damaged: u64,
    /// Records found twice: written again after a failed sync.
    pub duplicates: u64,
    /// Segment files whose head cannot be read or contradicts their name.
    pub bad_segments: u64,
    /// Numbers missing between the first and the last segment.
    pub missing_segments: u64,
}

/// Scans segments in order of number.
pub(super) struct Scan {
    calls: HashMap<CallId, Found>,
    recovered: Recovered,
    /// Calls in each segment; segments without any can go.
    pub segments: Vec<(u64, u64)>,
    /// Highest incarnation, sequence and number so far, and the node's id.
    pub incarnation: u32,
    pub sequence: u64,
    pub number: u64,
    pub node_id: Option<[u8; 16]>,
}

struct Found {
    call: RecoveredCall,
    place: Place,
    seen: HashSet<u64>,
}

impl Scan {
    pub fn new(keys: Vec<(CallId, DataKey)>) -> Self {
        let found = |(id, key): (CallId, DataKey)| {
            let call = RecoveredCall { id, facts: None, consent: None, closed: None, frames: 0 };
            let place = Place { key: Arc::new(key), last: None, next_ordinal: 0, segments: BTreeSet::new() };
            (id, Found { call, place, seen: HashSet::new() })
        };
        Self {
            calls: keys.into_iter().map(found).collect(),
            recovered: Recovered::default(),
            segments: Vec::new(),
            incarnation: 0,
            sequence: 0,
            number: 0,
            node_id: None,
        }
    }

    /// Takes the bytes of the segment file of this number.
    pub fn segment(&mut self, number: u64, bytes: &[u8]) {
        if self.number > 0 && number > self.number + 1 {
            self.recovered.missing_segments += number - self.number - 1;
        }
        self.number = self.number.max(number);
        self.segments.push((number, bytes.len() as u64));
        match SegmentHead::parse(bytes) {
            Some(head) if head.number == number => {
                self.incarnation = self.incarnation.max(head.incarnation);
                self.node_id = Some(head.node_id);
            }
            // A copy under another name, or a torn head: its records are checked one by one anyway.
            _ => self.recovered.bad_segments += 1,
        }
        let mut scratch = Vec::new();
        walk(bytes, |step| match step {
            Step::Damaged => self.recovered.damaged += 1,
            Step::Record(head, record, offset) => {
                self.incarnation = self.incarnation.max(head.incarnation);
                self.sequence = self.sequence.max(head.sequence);
                let Some(found) = self.calls.get_mut(&head.call) else { return };
                if !found.seen.insert(u64::from(head.incarnation) << 40 ^ head.sequence) {
                    self.recovered.duplicates += 1;
                    return;
                }
                let Some(body) = frame::open(&head, record, &found.place.key, &mut scratch) else {
                    self.recovered.damaged += 1;
                    return;
                };
                found.place.segments.insert(number);
                found.place.last = Some(Position { segment: number, offset });
                found.place.next_ordinal = found.place.next_ordinal.max(head.ordinal + 1);
                found.call.take(body);
            }
        });
    }

    /// Ends the scan.
    pub fn finish(self) -> (Recovered, HashMap<CallId, Place>) {
        let mut recovered = self.recovered;
        let mut places = HashMap::new();
        for (id, found) in self.calls {
            recovered.calls.push(found.call);
            places.insert(id, found.place);
        }
        recovered.calls.sort_by_key(|call| call.id);
        (recovered, places)
    }
}

impl RecoveredCall {
    fn take(&mut self, body: Body) {
        match body {
            Body::Opened(facts) => self.facts = Some(facts),
            Body::Consent(record) => self.consent = Some(record),
            Body::Closed(ended) => self.closed = Some(ended),
            Body::Media(block) => {
                self.frames = self.frames.max(block.first_frame.saturating_add(block.frames()))
            }
            Body::Gap(_) => {}
        }
    }
}

/// Scans any bytes as one segment; for fuzzing and its corpus.
pub fn exercise(bytes: &[u8]) {
    let mut records = 0usize;
    walk(bytes, |step| records += usize::from(matches!(step, Step::Record(..))));
    let mut scan = Scan::new(Vec::new());
    scan.segment(1, bytes);
    assert!(records * super::frame::RECORD_HEAD_BYTES <= bytes.len());
    assert!(scan.finish().0.calls.is_empty());
}

//! Format of the audit log: JSON lines, each with its number and the hash of the previous line. In: text.
//! Out: chained lines, or the first that breaks the chain.

use std::io::{self, BufRead};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::AuditFault;
use optag_core::clock::WallTime;
use optag_core::hex::hex;

/// Hash before the first line.
pub(super) const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Maximum length of a line when reading. Units: bytes.
pub(super) const LINE_BYTES: u64 = 64 * 1024;

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Counts from 1.
    pub sequence: u64,
    /// Hash of the previous line.
    pub previous: String,
    /// Hash of sequence, previous and entry.
    pub hash: String,
    /// The entry itself.
    pub entry: Box<RawValue>,
}

impl Line {
    /// The line that follows the one with `sequence` and `hash`.
    pub fn after(sequence: u64, previous: String, entry: Box<RawValue>) -> Self {
        let sequence = sequence + 1;
        Self { sequence, hash: hash(sequence, &previous, entry.get()), previous, entry }
    }

    /// The time in the entry, if it has one.
    pub fn at(&self) -> Option<WallTime> {
        #[derive(Deserialize)]
        struct Dated {
            at: WallTime,
        }
        serde_json::from_str::<Dated>(self.entry.get()).ok().map(|dated| dated.at)
    }
}

/// Reads lines and checks that each follows from the previous one. The first line determines where the chain
/// begins; the caller checks whether it may begin there.
pub struct Lines<R> {
    reader: R,
    last: Option<(u64, String)>,
}

impl<R: BufRead> Lines<R> {
    /// Reads from `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, last: None }
    }

    fn read(&mut self) -> Result<Option<Line>, AuditFault> {
        let mut text = Vec::new();
        let read = io::Read::take(&mut self.reader, LINE_BYTES).read_until(b'\n', &mut text)?;
        // A torn line at the end was never acknowledged.
        if read == 0 || (text.last() != Some(&b'\n') && (read as u64) < LINE_BYTES) {
            return Ok(None);
        }
        let expected = self.last.as_ref().map_or(0, |(sequence, _)| sequence + 1);
        let tampered = AuditFault::Tampered { sequence: expected };
        let Ok(line) = serde_json::from_slice::<Line>(&text) else { return Err(tampered) };
        if line.hash != hash(line.sequence, &line.previous, line.entry.get()) {
            return Err(tampered);
        }
        if let Some((sequence, hash)) = &self.last
            && (line.sequence != sequence + 1 || line.previous != *hash)
        {
            return Err(tampered);
        }
        self.last = Some((line.sequence, line.hash.clone()));
        Ok(Some(line))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, AuditFault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn hash(sequence: u64, previous: &str, entry: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&sequence.to_be_bytes());
    context.update(previous.as_bytes());
    context.update(entry.as_bytes());
    hex(context.finish().as_ref())
}

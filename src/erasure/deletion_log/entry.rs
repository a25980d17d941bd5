//! Format of the deletion log's entries, and the hash over them. Pure. In: lines. Out: entries.
//!
//! One line per entry: CRC32C in hexadecimal, a space, JSON.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use optag_core::clock::WallTime;
use optag_core::hex::{hex, unhex};
use optag_core::id::CallId;

/// Why a recording is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Erasure request.
    Request,
    /// The caller withdrew consent during the call.
    Withdrawal,
    /// Retention limit reached.
    Expiry,
}

impl Cause {
    /// Name in the log and in the index.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Withdrawal => "withdrawal",
            Self::Expiry => "expiry",
        }
    }

    /// The cause of that name. One that a later version knows and this one does not is a request: it is never removed.
    pub fn of(name: &str) -> Self {
        [Self::Withdrawal, Self::Expiry]
            .into_iter()
            .find(|cause| cause.name() == name)
            .unwrap_or(Self::Request)
    }
}

/// An order to erase a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The recording.
    pub id: CallId,
    /// When the erasure was ordered.
    pub at: WallTime,
    /// Cause of the erasure.
    pub cause: Cause,
    /// Number of the erasure request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// Completion of an erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The recording.
    pub id: CallId,
    /// When every copy was verified as deleted.
    pub at: WallTime,
    /// Deleted copies: names, with versions where the store has them.
    pub gone: Vec<String>,
    /// Nothing of the delivery was found, and someone accepted that it had been removed by hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted_missing: bool,
}

/// One line of the log.
#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// An erasure was ordered.
    Ordered(Order),
    /// An erasure is complete.
    Done(Done),
}

/// Kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An order.
    Ordered,
    /// A completion.
    Done,
}

/// The log's length and hash, as recorded by index and store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of entries.
    pub entries: u64,
    /// Hash over all entries, in hexadecimal; empty if there are none.
    pub hash: String,
}

/// A head that is updated line by line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Number of entries.
    pub entries: u64,
    /// Hash over all entries; zeros if there are none.
    pub hash: [u8; 32],
}

impl Chain {
    /// Adds one line, without its line feed.
    pub fn push(&mut self, line: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut context = digest::Context::new(&digest::SHA256);
        if self.entries > 0 {
            let mut text = [0; 64];
            for (pair, byte) in text.chunks_exact_mut(2).zip(self.hash) {
                pair[0] = DIGITS[usize::from(byte >> 4)];
                pair[1] = DIGITS[usize::from(byte & 15)];
            }
            context.update(&text);
        }
        context.update(line);
        self.hash.copy_from_slice(context.finish().as_ref());
        self.entries += 1;
    }

    /// The head as recorded by index and store.
    pub fn head(&self) -> Head {
        let hash = if self.entries == 0 { String::new() } else { hex(&self.hash) };
        Head { entries: self.entries, hash }
    }

    /// Whether this equals `head`.
    pub fn is(&self, head: &Head) -> bool {
        let hash = unhex(&head.hash).unwrap_or_default();
        self.entries == head.entries && (head.entries == 0 || hash == self.hash)
    }
}

/// The line of an entry, with its line feed.
///
/// Errors: it cannot be written as JSON.
pub fn line(entry: &Entry) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(entry)?;
    Ok(format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())))
}

/// The entry in a line without its line feed; none if the line is damaged.
pub fn parse(line: &[u8]) -> Option<Entry> {
    serde_json::from_slice(checked(line)?).ok()
}

/// Kind and recording of a line, without parsing all of it; none if the line is damaged.
pub fn outline(line: &[u8]) -> Option<(Kind, CallId)> {
    let json = checked(line)?;
    // As written since the first version.
    for (kind, begins) in [
        (Kind::Ordered, &b"{\"entry\":\"ordered\",\"id\":\""[..]),
        (Kind::Done, b"{\"entry\":\"done\",\"id\":\""),
    ] {
        let id = json.strip_prefix(begins).and_then(|rest| rest.split_at_checked(36));
        if let Some((id, rest)) = id
            && rest.first() == Some(&b'"')
            && let Some(id) = std::str::from_utf8(id).ok().and_then(|text| text.parse().ok())
        {
            return Some((kind, id));
        }
    }
    match serde_json::from_slice(json).ok()? {
        Entry::Ordered(order) => Some((Kind::Ordered, order.id)),
        Entry::Done(done) => Some((Kind::Done, done.id)),
    }
}

fn checked(line: &[u8]) -> Option<&[u8]> {
    let (crc, json) = line.split_at_checked(9)?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?.trim_end(), 16).ok()?;
    (crc == crc32c::crc32c(json)).then_some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_outlined_as_it_is_parsed_and_a_changed_one_is_none() {
        let id = CallId::new_at(WallTime::from_unix_micros(1_700_000_000_000_000));
        let order = Order { id, at: id.admitted_at(), cause: Cause::Expiry, request: Some("\"x\"".into()) };
        let done = Done { id, at: id.admitted_at(), gone: vec!["a\n".into()], accepted_missing: false };
        for (entry, kind) in [(Entry::Ordered(order), Kind::Ordered), (Entry::Done(done), Kind::Done)] {
            let text = line(&entry).unwrap();
            let written = text.trim_end_matches('\n').as_bytes();
            assert!(!written.contains(&b'\n') && parse(written).is_some());
            assert_eq!(outline(written), Some((kind, id)));
            // Field order and spacing of another writer.
            let mut other: serde_json::Value = serde_json::from_slice(&written[9..]).unwrap();
            other["entry"] = other["entry"].take();
            let json = format!(" {other:#}").replace('\n', " ");
            let line = format!("{:08x} {json}", crc32c::crc32c(json.as_bytes()));
            assert_eq!(outline(line.as_bytes()), Some((kind, id)));
            for at in 0..written.len() {
                let mut changed = written.to_vec();
                changed[at] ^= 1;
                assert_eq!(outline(&changed), None, "{at}");
            }
        }
    }

    #[test]
    fn the_chain_is_the_one_that_earlier_versions_wrote() {
        // Over the hexadecimal text of the previous hash, and the line.
        let hash = |text: &[u8]| hex(digest::digest(&digest::SHA256, text).as_ref());
        let (mut chain, one) = (Chain::default(), hash(b"one"));
        assert!(chain.is(&Head::default()) && chain.head() == Head::default());
        chain.push(b"one");
        assert_eq!(chain.head(), Head { entries: 1, hash: one.clone() });
        chain.push(b"two");
        let two = Head { entries: 2, hash: hash(format!("{one}two").as_bytes()) };
        assert!(chain.head() == two && chain.is(&two));
        assert!(!chain.is(&Head { hash: one, ..two }));
    }
}

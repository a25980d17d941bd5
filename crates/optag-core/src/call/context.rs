//! Signalling data of a call besides its two numbers: other participants with their times, related calls, and
//! the received bodies.

use serde::{Deserialize, Serialize};

use super::text::clean;
use crate::clock::WallTime;
use crate::limit::TEXT_CHARS;
use crate::private::Private;

/// Maximum total size of the raw bodies kept for a call. Units: bytes.
pub const RAW_BYTES: usize = 1024 * 1024;
/// Maximum number of raw bodies kept for a call.
pub const RAW_BODIES: usize = 256;

/// The circumstances of a call. Personal data, stored sealed with the recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallContext {
    /// Calling number, if a later message corrects the first one.
    pub caller_number: Option<Private<String>>,
    /// Called number, likewise.
    pub called_number: Option<Private<String>>,
    /// The caller's name, likewise.
    pub caller_name: Option<Private<String>>,
    /// Identifiers of the call in other systems or in other recordings of it.
    pub links: Vec<CallLink>,
    /// All participants, in the order in which they were named.
    pub participants: Vec<Participant>,
    /// Bodies as received. A later context contains only new ones.
    pub raw: Vec<RawBody>,
    /// Number of received bodies not kept because there were too many.
    pub raw_left_out: u32,
}

impl CallContext {
    /// The same with every text cleaned for display; bodies stay as received, as evidence.
    pub fn cleaned(mut self) -> Self {
        let tidy = |text: &mut Private<String>| *text = clean(text.reveal(), TEXT_CHARS).into();
        let single = [&mut self.caller_number, &mut self.called_number, &mut self.caller_name];
        single.into_iter().flatten().for_each(tidy);
        self.links.iter_mut().for_each(|link| tidy(&mut link.value));
        for member in &mut self.participants {
            member.addresses.iter_mut().chain(&mut member.name).for_each(tidy);
            member.labels.iter_mut().for_each(|label| *label = clean(label, TEXT_CHARS));
        }
        self
    }

    /// Merges what became known later: links and participants replace the previous ones, raw bodies are added
    /// up to the limits.
    pub fn learn(&mut self, later: CallContext) {
        self.caller_number = later.caller_number.or(self.caller_number.take());
        self.called_number = later.called_number.or(self.called_number.take());
        self.caller_name = later.caller_name.or(self.caller_name.take());
        self.links = later.links;
        self.participants = later.participants;
        let mut room = RAW_BYTES.saturating_sub(self.raw.iter().map(|raw| raw.text.reveal().len()).sum());
        for raw in later.raw {
            let bytes = raw.text.reveal().len();
            if bytes > room || self.raw.len() >= RAW_BODIES {
                self.raw_left_out = self.raw_left_out.saturating_add(1);
                continue;
            }
            room -= bytes;
            self.raw.push(raw);
        }
    }
}

/// One identifier of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallLink {
    /// Its kind.
    pub kind: LinkKind,
    /// Its value.
    pub value: Private<String>,
}

/// Canonical keys of a call identifier, equal for its different spellings. A Session-ID has two halves, each
/// an identifier; the UCID of contact-centre equipment is written in hexadecimal, with or without its tag, or
/// in 20 decimal digits.
///
/// Source: RFC 7989 §5 (`remote`, a nil half); Avaya's description of User-to-User: two octets `FA 08` before
/// eight of node, sequence and time.
pub fn name_keys(name: &str) -> Vec<String> {
    let lower = name.trim().trim_matches('"').to_ascii_lowercase();
    let mut parts = lower.split(';').map(str::trim);
    let mut keys: Vec<String> = vec![parts.next().unwrap_or_default().to_owned()];
    keys.extend(parts.filter_map(|part| part.strip_prefix("remote=")).map(str::to_owned));
    keys.extend(keys.first().and_then(|first| ucid_digits(first)));
    keys.retain(|key| !key.is_empty() && key.bytes().any(|byte| byte != b'0'));
    keys
}

/// A hexadecimal UCID in decimal: five digits node, five sequence, ten time.
fn ucid_digits(text: &str) -> Option<String> {
    let at = text.find("fa08").filter(|at| *at <= 2)?;
    let field = |from: usize, digits: usize| {
        u64::from_str_radix(text.get(at + 4 + from..at + 4 + from + digits)?, 16).ok()
    };
    Some(format!("{:05}{:05}{:010}", field(0, 4)?, field(4, 4)?, field(8, 8)?))
}

/// Kinds of identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// SIP Call-ID of the recording session.
    CallId,
    /// Communication session group: shared by transfers and consultations.
    Group,
    /// Communication session.
    CommunicationSession,
    /// Session-ID (RFC 7989) of the recorded call.
    SessionId,
    /// Universal call identifier (User-to-User, or a metadata extension).
    Ucid,
    /// Cisco-Guid.
    CiscoGuid,
    /// The reference that links the two streams of one forking phone.
    ForkReference,
}

/// A participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Addresses: numbers or SIP URIs.
    pub addresses: Vec<Private<String>>,
    /// Name, if known.
    pub name: Option<Private<String>>,
    /// Labels of the streams that carry this voice.
    pub labels: Vec<String>,
    /// When this participant was first named, by our clock.
    pub joined_at: WallTime,
    /// When it was reported to have left.
    pub left_at: Option<WallTime>,
    /// When its streams were on hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
}

/// A participant's time on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// When its streams stopped.
    pub from: WallTime,
    /// When they resumed; `None`: not yet, or never.
    pub until: Option<WallTime>,
}

/// One received body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawBody {
    /// When it was received.
    pub at: WallTime,
    /// Its media type; `message/sip` for header fields of a request.
    pub media_type: String,
    /// Its text; invalid UTF-8 is replaced.
    pub text: Private<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(bytes: usize) -> RawBody {
        RawBody { at: WallTime::default(), media_type: "a/b".into(), text: "x".repeat(bytes).into() }
    }

    #[test]
    fn spellings_of_a_calls_name_meet() {
        let meet = |one: &str, other: &str| {
            let other = name_keys(other);
            name_keys(one).iter().any(|key| other.contains(key))
        };
        assert!(meet("ABC@host", " abc@host "));
        assert!(meet("ab30;remote=cd40", "cd40"));
        assert!(meet("00FA080019001038F725B3;encoding=hex", "fa080019001038F725B3"));
        assert!(meet("FA080019001038F725B3", "00025000160955721139"));
        assert!(!meet("ab30;remote=00000000000000000000000000000000", "00000000000000000000000000000000"));
        assert!(!meet("", ""));
    }

    #[test]
    fn later_knowledge_replaces_parties_and_adds_bodies_within_bounds() {
        let mut known = CallContext {
            caller_number: Some("1".to_owned().into()),
            raw: vec![raw(10)],
            ..CallContext::default()
        };
        let later = CallContext {
            called_number: Some("2".to_owned().into()),
            raw: vec![raw(20), raw(RAW_BYTES), raw(30)],
            ..CallContext::default()
        };
        known.learn(later);
        assert_eq!(known.caller_number.as_ref().map(|n| n.reveal().as_str()), Some("1"));
        assert_eq!(known.called_number.as_ref().map(|n| n.reveal().as_str()), Some("2"));
        let kept: Vec<usize> = known.raw.iter().map(|raw| raw.text.reveal().len()).collect();
        assert_eq!((kept, known.raw_left_out), (vec![10, 20, 30], 1));
        known.learn(CallContext { raw: vec![raw(1); RAW_BODIES], ..CallContext::default() });
        assert_eq!((known.raw.len(), known.raw_left_out), (RAW_BODIES, 4));
    }
}

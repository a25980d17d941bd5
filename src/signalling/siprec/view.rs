//! What is known of a recorded call over its whole life: one document after another merged.
//!
//! In: [`Snapshot`]s with the time at which they came. Out: one [`View`]. Participants and
//! streams are added and marked as gone, never taken away, so that everyone who was in the
//! call stays findable. The times are ours: those in documents are not to be relied on. Not
//! here: which participant is the caller (`parties`).
//!
//! Source: RFC 7866 §9.1 for complete and partial documents.

use serde::{Deserialize, Serialize};

use super::metadata::Snapshot;
use crate::base::clock::WallTime;
use crate::base::private::Private;
use crate::call::context::Held;

/// The most participants, streams or ids of one kind that are kept; later ones are ignored.
pub const KEPT: usize = 64;

/// The merged view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Ids of communication session groups.
    pub groups: Vec<String>,
    /// Ids of communication sessions.
    pub sessions: Vec<String>,
    /// Session-ID fields.
    pub sip_session_ids: Vec<String>,
    /// Universal call identifiers.
    pub ucids: Vec<String>,
    /// Everyone who was ever in the call, in the order they were named.
    pub participants: Vec<Member>,
    /// Ids and labels of streams.
    pub streams: Vec<(String, String)>,
    /// The number called from, as a vendor extension names it.
    pub caller: Option<Private<String>>,
    /// The number called, likewise.
    pub called: Option<Private<String>>,
    /// Documents that were ill-formed.
    pub odd_documents: u32,
}

/// A participant over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The client's id for it.
    pub id: String,
    /// Its addresses.
    pub aors: Vec<Private<String>>,
    /// Its name.
    pub name: Option<Private<String>>,
    /// Whether a vendor extension says that it calls, or is called.
    pub calls: Option<bool>,
    /// Ids of the streams that carry its voice.
    pub sends: Vec<String>,
    /// Ids of the streams that it hears.
    pub receives: Vec<String>,
    /// When it was first named.
    pub joined_at: WallTime,
    /// When it was said to have left.
    pub left_at: Option<WallTime>,
    /// When its streams were on hold.
    #[serde(default)]
    pub held: Vec<Held>,
}

impl View {
    /// Takes in a document that came at `now`.
    pub fn apply(&mut self, document: &Snapshot, now: WallTime) {
        self.odd_documents += u32::from(document.odd);
        add_all(&mut self.groups, &document.groups);
        for session in &document.sessions {
            add(&mut self.sessions, &session.id);
            add_all(&mut self.sip_session_ids, &session.sip_session_ids);
            add_all(&mut self.groups, session.group.as_slice());
        }
        add_all(&mut self.ucids, &document.ucids);
        self.caller = document.caller.clone().map(Private::new).or(self.caller.take());
        self.called = document.called.clone().map(Private::new).or(self.called.take());
        for stream in &document.streams {
            let at = self.streams.iter().position(|(id, _)| *id == stream.id);
            match at {
                Some(at) if !stream.label.is_empty() => self.streams[at].1.clone_from(&stream.label),
                None if self.streams.len() < KEPT => {
                    self.streams.push((stream.id.clone(), stream.label.clone()));
                }
                _ => {}
            }
        }
        self.apply_participants(document, now);
    }

    /// Whether nothing was ever said of anyone.
    pub fn is_empty(&self) -> bool {
        self.participants.is_empty() && self.streams.is_empty()
    }

    /// Whose voice the stream with this label carries; several in a mixed stream.
    pub fn speakers(&self, label: &str) -> Vec<usize> {
        let ids: Vec<&str> =
            self.streams.iter().filter(|(_, l)| l == label).map(|(id, _)| id.as_str()).collect();
        let speaks = |member: &Member| {
            member.sends.iter().any(|stream| ids.contains(&stream.as_str()) || stream == label)
        };
        (0..self.participants.len()).filter(|at| speaks(&self.participants[*at])).collect()
    }

    /// The stream with this label is on hold from now on, or is no longer. Whether that is new for
    /// anyone whose voice it carries.
    pub fn hold(&mut self, label: &str, held: bool, now: WallTime) -> bool {
        let mut changed = false;
        for at in self.speakers(label) {
            let spans = &mut self.participants[at].held;
            let full = spans.len() >= KEPT;
            match spans.last_mut().filter(|span| span.until.is_none()) {
                Some(span) if !held => span.until = Some(now),
                None if held && !full => spans.push(Held { from: now, until: None }),
                _ => continue,
            }
            changed = true;
        }
        changed
    }

    fn apply_participants(&mut self, document: &Snapshot, now: WallTime) {
        for participant in &document.participants {
            let at = self.member(&participant.id, now);
            let Some(member) = at.map(|at| &mut self.participants[at]) else { continue };
            for aor in &participant.aors {
                if member.aors.len() < KEPT && !member.aors.iter().any(|a| a.reveal() == aor) {
                    member.aors.push(aor.clone().into());
                }
            }
            member.name = participant.name.clone().map(Private::new).or(member.name.take());
            member.calls = participant.calls.or(member.calls);
            member.left_at = None;
        }
        for flow in &document.flows {
            let Some(at) = self.member(&flow.participant, now) else { continue };
            let member = &mut self.participants[at];
            if flow.ended {
                continue;
            }
            // A later document says anew what a participant sends.
            if !flow.sends.is_empty() {
                member.sends = flow.sends.iter().take(KEPT).cloned().collect();
            }
            if !flow.receives.is_empty() {
                member.receives = flow.receives.iter().take(KEPT).cloned().collect();
            }
        }
        let named = |id: &str| document.participants.iter().any(|p| p.id == id);
        let complete = !document.partial && !document.participants.is_empty();
        for member in &mut self.participants {
            let gone = document.left.contains(&member.id) || (complete && !named(&member.id));
            if gone && member.left_at.is_none() {
                member.left_at = Some(now);
            }
        }
    }

    /// The member of that id, made where there is none yet.
    fn member(&mut self, id: &str, now: WallTime) -> Option<usize> {
        if let Some(at) = self.participants.iter().position(|member| member.id == id) {
            return Some(at);
        }
        if self.participants.len() >= KEPT {
            return None;
        }
        self.participants.push(Member {
            id: id.to_owned(),
            aors: Vec::new(),
            name: None,
            calls: None,
            sends: Vec::new(),
            receives: Vec::new(),
            joined_at: now,
            left_at: None,
            held: Vec::new(),
        });
        Some(self.participants.len() - 1)
    }
}

fn add(list: &mut Vec<String>, item: &str) {
    if list.len() < KEPT && !list.iter().any(|known| known == item) {
        list.push(item.to_owned());
    }
}

fn add_all(list: &mut Vec<String>, items: &[String]) {
    for item in items {
        add(list, item);
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;

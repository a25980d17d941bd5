//! What is known of a recorded call over its whole life: one document after another merged.
//!
//! In: [`Snapshot`]s with the time at which they came. Out: one [`View`]. Participants and
//! streams are added and marked as gone, never taken away, so that everyone who was in the
//! call stays findable. The times are ours: those in documents are not to be relied on. Not
//! here: which participant is the caller (`parties`).
//!
//! Source: RFC 7866 §9.1, §9.2 and RFC 7865 §6.1 for complete and partial documents.

use serde::{Deserialize, Serialize};

use crate::siprec::metadata::{Flow, Presence, Snapshot};
use optag_core::call::context::Held;
use optag_core::clock::WallTime;
use optag_core::private::Private;

/// The most participants, streams or ids of one kind that are kept; later ones are ignored.
pub const KEPT: usize = 64;

/// Former ids of a participant that are kept.
const FORMER_IDS: usize = 4;

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
    /// The queue that took the call, likewise.
    #[serde(default)]
    pub queue: Option<Private<String>>,
    /// The user whose calls the client records, likewise.
    #[serde(default)]
    pub user: Option<Private<String>>,
    /// Whether that user made the call.
    #[serde(default)]
    pub outgoing: Option<bool>,
    /// Whether someone was named for whom there was no room.
    #[serde(default)]
    pub overflowed: bool,
    /// Documents that were ill-formed.
    pub odd_documents: u32,
}

/// A participant over time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The client's id for it.
    pub id: String,
    /// Ids that it had before; the last few.
    #[serde(default)]
    pub former_ids: Vec<String>,
    /// Its addresses.
    pub aors: Vec<Private<String>>,
    /// Those that the latest document which names any gives it; some clients keep the id when someone
    /// else takes over.
    #[serde(default)]
    pub latest: Vec<Private<String>>,
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
    /// Communication sessions that it is in, as far as they were named.
    #[serde(default)]
    pub sessions: Vec<String>,
    /// Whether it was said to send nothing any more.
    #[serde(default)]
    pub quiet: bool,
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
        let told = |new: &Option<String>, known: &mut Option<Private<String>>| {
            *known = new.clone().map(Private::new).or(known.take());
        };
        told(&document.caller, &mut self.caller);
        told(&document.called, &mut self.called);
        told(&document.queue, &mut self.queue);
        told(&document.user, &mut self.user);
        self.outgoing = document.outgoing.or(self.outgoing);
        self.apply_streams(document);
        self.apply_participants(document, now);
    }

    /// A label that comes back under another id is the same stream: some clients name everything
    /// anew in each document.
    fn apply_streams(&mut self, document: &Snapshot) {
        let named = |id: &str| document.streams.iter().any(|stream| stream.id == id);
        for stream in &document.streams {
            let same = self.streams.iter().position(|(id, _)| *id == stream.id).or_else(|| {
                let renamed = |(id, label): &(String, String)| {
                    !label.is_empty() && *label == stream.label && !named(id)
                };
                self.streams.iter().position(renamed)
            });
            match same {
                Some(at) if !stream.label.is_empty() => {
                    self.streams[at] = (stream.id.clone(), stream.label.clone());
                }
                None if self.streams.len() < KEPT => {
                    self.streams.push((stream.id.clone(), stream.label.clone()));
                }
                _ => {}
            }
        }
    }

    /// Whether nothing was ever said of anyone.
    pub fn is_empty(&self) -> bool {
        self.participants.is_empty() && self.streams.is_empty()
    }

    /// Whose voice the stream with this label carries; several in a mixed stream. Those who left
    /// count only where nobody took their place.
    pub fn speakers(&self, label: &str) -> Vec<usize> {
        let ids: Vec<&str> =
            self.streams.iter().filter(|(_, l)| l == label).map(|(id, _)| id.as_str()).collect();
        let speaks = |member: &Member| {
            member.sends.iter().any(|stream| ids.contains(&stream.as_str()) || stream == label)
        };
        let all: Vec<usize> =
            (0..self.participants.len()).filter(|at| speaks(&self.participants[*at])).collect();
        let here: Vec<usize> = all.iter().copied().filter(|at| self.participants[*at].is_here()).collect();
        if here.is_empty() { all } else { here }
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
            self.rename(document, participant);
            let at = self.member(&participant.id, now);
            let Some(member) = at.map(|at| &mut self.participants[at]) else { continue };
            for aor in &participant.aors {
                if member.aors.len() < KEPT && !member.aors.iter().any(|a| a.reveal() == aor) {
                    member.aors.push(aor.clone().into());
                }
            }
            if !participant.aors.is_empty() {
                member.latest = participant.aors.iter().take(KEPT).cloned().map(Private::new).collect();
            }
            member.name = participant.name.clone().map(Private::new).or(member.name.take());
            member.calls = participant.calls.or(member.calls);
        }
        if !document.partial {
            let named = |member: &&mut Member| document.participants.iter().any(|p| p.id == member.id);
            self.participants.iter_mut().filter(named).for_each(|member| member.sessions.clear());
        }
        for flow in &document.flows {
            let Some(at) = self.member(&flow.participant, now) else { continue };
            self.participants[at].follow(flow);
        }
        for presence in &document.presences {
            let Some(at) = self.member(&presence.participant, now) else { continue };
            self.participants[at].follow_presence(presence, now);
        }
        for session in &document.ended_sessions {
            let ended = |member: &&mut Member| member.sessions.contains(session);
            for member in self.participants.iter_mut().filter(ended) {
                member.leave(Some(session), now);
            }
        }
        let named = |id: &str| document.participants.iter().any(|p| p.id == id);
        if !document.partial && !document.participants.is_empty() {
            for member in self.participants.iter_mut().filter(|member| !named(&member.id)) {
                member.leave(None, now);
            }
        }
    }

    /// A new id with the address of someone that the document does not name by id is the same one.
    fn rename(&mut self, document: &Snapshot, participant: &crate::siprec::metadata::Participant) {
        let known = |id: &str| self.participants.iter().any(|member| member.id == id);
        if participant.aors.is_empty() || known(&participant.id) {
            return;
        }
        let named = |id: &str| document.participants.iter().any(|p| p.id == id);
        let same = |member: &&mut Member| {
            !named(&member.id) && member.aors.iter().any(|aor| participant.aors.contains(aor.reveal()))
        };
        if let Some(member) = self.participants.iter_mut().find(same) {
            let former = std::mem::replace(&mut member.id, participant.id.clone());
            member.former_ids.insert(0, former);
            member.former_ids.truncate(FORMER_IDS);
            // Ids of sessions and streams are new as well.
            member.sessions.clear();
        }
    }

    /// The member of that id, made where there is none yet.
    fn member(&mut self, id: &str, now: WallTime) -> Option<usize> {
        if let Some(at) = self.participants.iter().position(|member| member.id == id) {
            return Some(at);
        }
        if self.participants.len() >= KEPT {
            self.overflowed = true;
            return None;
        }
        self.participants.push(Member { id: id.to_owned(), joined_at: now, ..Member::default() });
        Some(self.participants.len() - 1)
    }
}

impl Member {
    /// Whether it takes part now.
    pub const fn is_here(&self) -> bool {
        self.left_at.is_none()
    }

    /// A later document says anew what a participant sends.
    fn follow(&mut self, flow: &Flow) {
        if flow.ended {
            self.quiet |= flow.sends.is_empty() || self.sends.iter().all(|id| flow.sends.contains(id));
            return;
        }
        if !flow.sends.is_empty() {
            self.sends = flow.sends.iter().take(KEPT).cloned().collect();
            self.quiet = false;
        }
        if !flow.receives.is_empty() {
            self.receives = flow.receives.iter().take(KEPT).cloned().collect();
        }
    }

    fn follow_presence(&mut self, presence: &Presence, now: WallTime) {
        if presence.left {
            return self.leave(presence.session.as_deref(), now);
        }
        self.left_at = None;
        if let Some(session) = &presence.session {
            add(&mut self.sessions, session);
        }
    }

    /// It left that session, and with its last one the call. An unknown session is as good as all.
    fn leave(&mut self, session: Option<&str>, now: WallTime) {
        let before = self.sessions.len();
        self.sessions.retain(|known| session.is_some_and(|left| left != known));
        let elsewhere = session.is_some() && self.sessions.len() < before && !self.sessions.is_empty();
        if !elsewhere {
            self.sessions.clear();
            self.left_at.get_or_insert(now);
        }
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
mod tests;

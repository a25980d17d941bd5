//! The metadata reader: XML of any vendor to one [`Snapshot`].
//!
//! In: a metadata body. Out: who takes part and who sends which stream, as far as it can be
//! told. Elements are found by local name wherever they stand; ids and addresses as attributes or
//! as elements, associations on their own or inside what they associate. Not here: what was known
//! before (`view`), which of them calls (`parties`).
//!
//! Source: RFC 7865 §6 and its schema in §9; older drafts where vendors still follow them
//! (BroadWorks and Webex Calling spell the draft of 2011, with everything as elements).

pub mod merged;
pub mod request_type;
pub(crate) mod snapshot_request;
pub(crate) mod vendor_extensions;
pub mod xml;

use crate::siprec::metadata::xml::{Node, XmlError, read};

/// One metadata document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether it speaks only of what changed.
    pub partial: bool,
    /// Ids of communication session groups.
    pub groups: Vec<String>,
    /// Communication sessions.
    pub sessions: Vec<Session>,
    /// Participants.
    pub participants: Vec<Participant>,
    /// Streams.
    pub streams: Vec<Stream>,
    /// Who sends and receives what.
    pub flows: Vec<Flow>,
    /// Who joined or left, in document order.
    pub presences: Vec<Presence>,
    /// Sessions that are no longer recorded or have ended.
    pub ended_sessions: Vec<String>,
    /// The number called from, as a vendor extension names it.
    pub caller: Option<String>,
    /// The number called, as a vendor extension names it.
    pub called: Option<String>,
    /// The queue that took the call, as a vendor extension names it.
    pub queue: Option<String>,
    /// The user whose calls the client records, as a vendor extension names it.
    pub user: Option<String>,
    /// Whether that user made the call rather than took it.
    pub outgoing: Option<bool>,
    /// Universal call identifiers of contact-centre equipment.
    pub ucids: Vec<String>,
    /// The whole tree, for elements with configured names.
    pub root: Node,
    /// Whether the text was ill-formed.
    pub odd: bool,
    /// Whether the text broke off: more may have been meant than was read.
    pub cut: bool,
}

/// A communication session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Session-ID fields of the call (RFC 7989), as written.
    pub sip_session_ids: Vec<String>,
    /// Its group.
    pub group: Option<String>,
}

/// A participant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Participant {
    /// Its id.
    pub id: String,
    /// Its addresses, as written.
    pub aors: Vec<String>,
    /// Its name, where there is one.
    pub name: Option<String>,
    /// Whether a vendor extension says that it calls, or is called.
    pub calls: Option<bool>,
}

/// A stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Its id.
    pub id: String,
    /// Its label in the session description.
    pub label: String,
}

/// What a participant sends and receives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The participant's id.
    pub participant: String,
    /// Ids of the streams that carry its voice.
    pub sends: Vec<String>,
    /// Ids of the streams that it hears.
    pub receives: Vec<String>,
    /// Whether this ended.
    pub ended: bool,
}

/// A participant that joined a communication session or left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// The participant's id.
    pub participant: String,
    /// The session, where it is named.
    pub session: Option<String>,
    /// Whether it left.
    pub left: bool,
}

impl Snapshot {
    /// Whether it names everyone who takes part.
    pub fn is_whole(&self) -> bool {
        !self.partial && !self.cut && !self.participants.is_empty()
    }
}

/// Reads a metadata body.
///
/// Errors: it is no XML, or refused by the caps of [`crate::siprec::metadata::xml`]. Nothing else is an error.
pub fn parse(bytes: &[u8]) -> Result<Snapshot, XmlError> {
    let document = read(bytes)?;
    let mut snapshot = Snapshot { odd: document.odd, cut: document.cut, ..Snapshot::default() };
    let root = document.root;
    if let Some(mode) = root.attribute("datamode") {
        snapshot.partial = is_partial(mode);
    }
    for node in root.descendants() {
        element(node, &mut snapshot);
    }
    snapshot.root = root;
    Ok(snapshot)
}

fn element(node: &Node, snapshot: &mut Snapshot) {
    match node.name.as_str() {
        "datamode" => snapshot.partial = is_partial(&node.text),
        "group" if !node.children.is_empty() || !node.attributes.is_empty() => {
            snapshot.groups.extend(id_of(node, "group"));
        }
        "session" => session(node, snapshot),
        "participant" => participant(node, snapshot),
        "stream" => stream(node, snapshot),
        "participantstreamassoc" => snapshot.flows.extend(flow(node, None)),
        "participantsessionassoc" => snapshot.presences.extend(presence(node, None)),
        "sessionrecordingassoc" if has(node, "disassociate-time") => {
            snapshot.ended_sessions.extend(reference(node, "session"));
        }
        _ => crate::siprec::metadata::vendor_extensions::element(node, snapshot),
    }
}

fn is_partial(mode: &str) -> bool {
    ["partial", "update", "delta"].iter().any(|word| mode.trim().eq_ignore_ascii_case(word))
}

fn session(node: &Node, snapshot: &mut Snapshot) {
    let Some(id) = id_of(node, "session") else { return };
    let sip = node.descendants().into_iter().filter(|n| n.name == "sipsessionid" && !n.text.is_empty());
    if ["end-time", "stop-time"].iter().any(|name| filled(node, name)) {
        snapshot.ended_sessions.push(id.clone());
    }
    snapshot.sessions.push(Session {
        sip_session_ids: sip.map(|n| n.text.clone()).collect(),
        group: node.text_of("group-ref").or_else(|| node.attribute("group")).map(str::to_owned),
        id,
    });
}

fn participant(node: &Node, snapshot: &mut Snapshot) {
    // Inside an association it is a reference, and no one new.
    let described = node.children.iter().any(|child| child.name != "id") || node.attributes.len() > 1;
    let id = id_of(node, "participant");
    if !described && id.is_some() && snapshot.participants.iter().any(|known| Some(&known.id) == id.as_ref())
    {
        return;
    }
    let aors = addresses(node);
    let own = id.or_else(|| aors.first().cloned());
    let id = own.unwrap_or_else(|| format!("#{}", snapshot.participants.len()));
    let flow = Flow { participant: id.clone(), ..flow_texts(node) };
    if !flow.sends.is_empty() || !flow.receives.is_empty() {
        snapshot.flows.push(flow);
    }
    for child in &node.children {
        match child.name.as_str() {
            "participantstreamassoc" if reference(child, "participant").is_none() => {
                snapshot.flows.extend(flow_of(child, &id));
            }
            "participantsessionassoc" if reference(child, "participant").is_none() => {
                snapshot.presences.extend(presence(child, Some(&id)));
            }
            _ => {}
        }
    }
    let own_session = node.attribute("session_id").or_else(|| node.attribute("session"));
    snapshot.presences.push(Presence {
        participant: id.clone(),
        session: own_session.filter(|id| !id.is_empty()).map(str::to_owned),
        left: filled(node, "disassociate-time"),
    });
    let name = node.text_of("name").or_else(|| node.text_of("displayname")).or_else(|| {
        let named = node.named("nameid").find_map(|n| n.attribute("name").or(n.attribute("display-name")));
        named.filter(|name| !name.is_empty())
    });
    let name = name.map(str::to_owned);
    snapshot.participants.push(Participant {
        calls: crate::siprec::metadata::vendor_extensions::calls(node),
        id,
        aors,
        name,
    });
}

/// The addresses of a participant: `aor` of `nameID` as an attribute, or as an element, or as text.
fn addresses(node: &Node) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |text: Option<&str>| {
        let text = text.unwrap_or_default().trim();
        if !text.is_empty() && !all.iter().any(|known| known == text) {
            all.push(text.to_owned());
        }
    };
    add(node.attribute("aor"));
    for child in node.descendants() {
        match child.name.as_str() {
            "nameid" => {
                add(child.attribute("aor").or_else(|| child.attribute("uri")));
                // Text beside elements is white space or a name.
                add(Some(child.text.as_str()).filter(|text| {
                    child.children.is_empty()
                        && (text.contains('@') || text.to_ascii_lowercase().starts_with("tel:"))
                }));
            }
            "aor" => add(Some(&child.text).filter(|text| !text.is_empty()).map(String::as_str)),
            _ => {}
        }
    }
    all
}

fn stream(node: &Node, snapshot: &mut Snapshot) {
    let label = node.text_of("label").or_else(|| node.attribute("label")).unwrap_or_default().to_owned();
    let id = id_of(node, "stream").or_else(|| Some(label.clone()).filter(|label| !label.is_empty()));
    let Some(id) = id else { return };
    // A stream may name who sends it.
    if let Some(participant) = node.attribute("participant_id").or_else(|| node.attribute("participant")) {
        let sends = vec![id.clone()];
        let participant = participant.to_owned();
        snapshot.flows.push(Flow { participant, sends, ..Flow::default() });
    }
    snapshot.streams.push(Stream { id, label });
}

fn flow(node: &Node, within: Option<&str>) -> Option<Flow> {
    let participant = reference(node, "participant").or_else(|| within.map(str::to_owned))?;
    flow_of(node, &participant)
}

fn flow_of(node: &Node, participant: &str) -> Option<Flow> {
    let ended = filled(node, "disassociate-time");
    Some(Flow { participant: participant.to_owned(), ended, ..flow_texts(node) })
}

fn presence(node: &Node, within: Option<&str>) -> Option<Presence> {
    let participant = reference(node, "participant").or_else(|| within.map(str::to_owned))?;
    let session = reference(node, "session");
    Some(Presence { participant, session, left: filled(node, "disassociate-time") })
}

/// Stream ids in `send` and `recv`: as text, as `id` elements inside, or as attributes.
fn flow_texts(node: &Node) -> Flow {
    let ids = |name: &str| -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        all.extend(node.attribute(name).filter(|id| !id.is_empty()).map(str::to_owned));
        for one in node.named(name) {
            all.extend(id_of(one, "stream"));
            all.extend(Some(one.text.clone()).filter(|text| !text.is_empty()));
            let inner =
                one.children.iter().filter(|c| matches!(c.name.as_str(), "id" | "stream" | "stream_id"));
            for inner in inner {
                all.extend(Some(inner.text.clone()).filter(|text| !text.is_empty()));
                all.extend(id_of(inner, "stream"));
            }
        }
        let mut seen = std::collections::HashSet::new();
        all.retain(|id| seen.insert(id.clone()));
        all
    };
    Flow { sends: ids("send"), receives: ids("recv"), ..Flow::default() }
}

/// The id of an element: `x_id`, or `id` as older drafts have it, as attribute or element. An empty
/// one is none.
fn id_of(node: &Node, kind: &str) -> Option<String> {
    let long = format!("{kind}_id");
    let attribute = node.attribute(&long).filter(|id| !id.is_empty());
    let attribute = attribute.or_else(|| node.attribute("id").filter(|id| !id.is_empty()));
    let child = || {
        let mut children = node.children.iter().filter(|c| c.name == long || c.name == "id");
        children.find(|c| !c.text.is_empty()).map(|c| c.text.as_str())
    };
    attribute.or_else(child).map(str::to_owned)
}

/// What an association refers to: `x_id`, or `x`, as attribute or element.
fn reference(node: &Node, kind: &str) -> Option<String> {
    let long = format!("{kind}_id");
    let attribute = node.attribute(&long).or_else(|| node.attribute(kind)).filter(|id| !id.is_empty());
    let text = || node.text_of(&long).or_else(|| node.text_of(kind)).map(str::to_owned);
    let element = || node.named(kind).find_map(|inner| id_of(inner, kind));
    attribute.map(str::to_owned).or_else(text).or_else(element)
}

fn has(node: &Node, name: &str) -> bool {
    node.descendants().iter().any(|n| n.name == name)
}

/// Whether it has that element itself, or that attribute with a value.
fn filled(node: &Node, name: &str) -> bool {
    node.named(name).next().is_some() || node.attribute(name).is_some_and(|value| !value.is_empty())
}

//! The metadata reader: XML of any vendor to one [`Snapshot`].
//!
//! In: a metadata body. Out: who takes part and who sends which stream, as far as it can be
//! told. Elements are found by local name wherever they stand, ids under either of their
//! spellings. Not here: what was known before (`view`), which of them calls (`parties`).
//!
//! Source: RFC 7865 §6 and its schema in §9; older drafts where vendors still follow them.

use super::xml::{Node, XmlError, read};

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
    /// Ids of participants who left.
    pub left: Vec<String>,
    /// The number called from, as a vendor extension names it.
    pub caller: Option<String>,
    /// The number called, as a vendor extension names it.
    pub called: Option<String>,
    /// Universal call identifiers of contact-centre equipment.
    pub ucids: Vec<String>,
    /// The whole tree, for elements with configured names.
    pub root: Node,
    /// Whether the text was ill-formed.
    pub odd: bool,
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

/// Reads a metadata body.
///
/// Errors: it is no XML, or refused by the caps of [`super::xml`]. Nothing else is an error.
pub fn parse(bytes: &[u8]) -> Result<Snapshot, XmlError> {
    let (root, odd) = read(bytes)?;
    let mut snapshot = Snapshot { odd, ..Snapshot::default() };
    for node in root.descendants() {
        match node.name.as_str() {
            "datamode" => snapshot.partial = node.text.eq_ignore_ascii_case("partial"),
            "group" if !node.children.is_empty() || !node.attributes.is_empty() => {
                snapshot.groups.extend(id_of(node, "group"));
            }
            "session" => snapshot.sessions.extend(session(node)),
            "participant" => participant(node, &mut snapshot),
            "stream" => stream(node, &mut snapshot),
            "participantstreamassoc" => snapshot.flows.extend(flow(node)),
            "participantsessionassoc" if has(node, "disassociate-time") => {
                snapshot.left.extend(reference(node, "participant"));
            }
            "ucid" | "gcid" | "avayaucid" | "genesysuuid" if !node.text.is_empty() => {
                snapshot.ucids.push(node.text.clone())
            }
            "fromhdr" | "callingpartynumber" if !node.text.is_empty() => {
                snapshot.caller.get_or_insert(node.text.clone());
            }
            "tohdr" | "calledpartynumber" if !node.text.is_empty() => {
                snapshot.called.get_or_insert(node.text.clone());
            }
            _ => {}
        }
    }
    snapshot.root = root;
    Ok(snapshot)
}

fn session(node: &Node) -> Option<Session> {
    let sip = node.descendants().into_iter().filter(|n| n.name == "sipsessionid" && !n.text.is_empty());
    Some(Session {
        id: id_of(node, "session")?,
        sip_session_ids: sip.map(|n| n.text.clone()).collect(),
        group: node.text_of("group-ref").map(str::to_owned),
    })
}

fn participant(node: &Node, snapshot: &mut Snapshot) {
    let names = node.descendants().into_iter().filter(|n| n.name == "nameid");
    let aors: Vec<String> =
        names.filter_map(|n| n.attribute("aor")).filter(|a| !a.is_empty()).map(str::to_owned).collect();
    let own = id_of(node, "participant").or_else(|| aors.first().cloned());
    let id = own.unwrap_or_else(|| format!("#{}", snapshot.participants.len()));
    let calls = node.text_of("callingparty").and_then(|text| match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    });
    let flow = Flow { participant: id.clone(), ..flow_texts(node) };
    if !flow.sends.is_empty() || !flow.receives.is_empty() {
        snapshot.flows.push(flow);
    }
    if has_child(node, "disassociate-time") {
        snapshot.left.push(id.clone());
    }
    let name = node.text_of("name").map(str::to_owned);
    snapshot.participants.push(Participant { id, aors, name, calls });
}

fn stream(node: &Node, snapshot: &mut Snapshot) {
    let label = node.text_of("label").unwrap_or_default().to_owned();
    let id = id_of(node, "stream").or_else(|| Some(label.clone()).filter(|label| !label.is_empty()));
    snapshot.streams.extend(id.map(|id| Stream { id, label }));
}

fn flow(node: &Node) -> Option<Flow> {
    let participant = reference(node, "participant")?;
    Some(Flow { participant, ended: has(node, "disassociate-time"), ..flow_texts(node) })
}

fn flow_texts(node: &Node) -> Flow {
    let texts = |name: &'static str| -> Vec<String> {
        node.named(name).map(|n| n.text.clone()).filter(|text| !text.is_empty()).collect()
    };
    Flow { sends: texts("send"), receives: texts("recv"), ..Flow::default() }
}

/// The id of an element: `x_id`, or `id` as older drafts have it. An empty one is none.
fn id_of(node: &Node, kind: &str) -> Option<String> {
    let long = node.attribute(&format!("{kind}_id")).filter(|id| !id.is_empty());
    long.or_else(|| node.attribute("id").filter(|id| !id.is_empty())).map(str::to_owned)
}

/// What an association refers to: `x_id`, or `x`, as attribute or element.
fn reference(node: &Node, kind: &str) -> Option<String> {
    let long = format!("{kind}_id");
    let attribute = node.attribute(&long).or_else(|| node.attribute(kind)).filter(|id| !id.is_empty());
    attribute.or_else(|| node.text_of(&long).or_else(|| node.text_of(kind))).map(str::to_owned)
}

fn has(node: &Node, name: &str) -> bool {
    node.descendants().iter().any(|n| n.name == name)
}

fn has_child(node: &Node, name: &str) -> bool {
    node.named(name).next().is_some()
}

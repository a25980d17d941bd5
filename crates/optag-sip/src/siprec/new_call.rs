//! The call to admit for a recording session, with every text sanitised.

use crate::feed::{NewCall, NewStream};
use crate::siprec::parties::Parties;
use crate::siprec::session::Session;
use optag_core::call::text::clean;
use optag_core::limit::{NUMBER_CHARS, TEXT_CHARS};

/// Streams with sanitised labels, unique within their call.
fn cleaned(mut streams: Vec<NewStream>) -> Vec<NewStream> {
    for at in 0..streams.len() {
        let mut label = clean(&streams[at].label, TEXT_CHARS);
        if label.is_empty() || streams[..at].iter().any(|other| other.label == label) {
            label = format!("{label}#{at}");
        }
        streams[at].label = label;
    }
    streams
}

/// The call to admit, with every text sanitised.
pub(super) fn new_call(
    department: String,
    parties: &Parties,
    streams: Vec<NewStream>,
    session: &Session,
    raw: Vec<optag_core::call::RawBody>,
) -> NewCall {
    NewCall {
        prompt_version: None,
        department,
        caller_number: clean(&parties.caller_number, NUMBER_CHARS).into(),
        called_number: clean(&parties.called_number, NUMBER_CHARS).into(),
        caller_name: parties.caller_name.as_deref().map(|name| clean(name, TEXT_CHARS).into()),
        external_id: Some(clean(&session.saved.dialog.call_id, TEXT_CHARS).into()),
        streams: cleaned(streams),
        context: session.context(parties, raw),
        client: None,
    }
}

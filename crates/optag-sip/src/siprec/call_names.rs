//! Header fields that are kept: identifiers of the call in other systems, and the fields verbatim.

use crate::sip::message::Request;
use optag_core::call::{CallLink, LinkKind, RawBody};
use optag_core::clock::WallTime;

/// Links from the header fields of an INVITE.
pub(crate) fn links_of(request: &Request) -> Vec<CallLink> {
    let link = |kind, value: &str| CallLink { kind, value: value.trim().to_owned().into() };
    let mut links = vec![link(LinkKind::CallId, &request.call_id())];
    for (name, kind) in [
        ("session-id", LinkKind::SessionId),
        ("user-to-user", LinkKind::Ucid),
        ("x-genesys-calluuid", LinkKind::Ucid),
        ("cisco-guid", LinkKind::CiscoGuid),
    ] {
        links.extend(request.headers.all(name).take(4).map(|v| link(kind, &String::from_utf8_lossy(v))));
    }
    let from = request.headers.text("from").unwrap_or_default().to_ascii_lowercase();
    for part in from.split([';', '>']) {
        if let Some(("x-refci" | "x-nearendrefci" | "x-farendrefci", value)) = part.trim().split_once('=') {
            links.push(link(LinkKind::ForkReference, value));
        }
    }
    links
}

/// The header fields of a request verbatim, without credentials.
pub(super) fn raw_headers(request: &Request, at: WallTime) -> RawBody {
    let mut text = format!("{} {}\n", request.method, request.uri.text);
    for (name, value) in request.headers.iter().filter(|(name, _)| !name.contains("authorization")) {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value)));
    }
    RawBody { at, media_type: "message/sip".to_owned(), text: text.into() }
}

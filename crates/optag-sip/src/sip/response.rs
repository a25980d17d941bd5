//! Responses in wire form.
//!
//! In: the request's header fields and an [`Answer`]. Out: bytes. Via, From, To, Call-ID and
//! CSeq go back as they came. Not here: when to send what.
//!
//! Source: RFC 3261 §8.2.6; RFC 3581 §4 for `received` and `rport`.

use std::net::SocketAddr;

use super::header::{Headers, bare, param};
use super::uri::NameAddr;

/// A response to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub code: u16,
    /// Our tag, set where To has none.
    pub to_tag: String,
    /// Mandatory fields.
    pub headers: Vec<(&'static str, String)>,
    /// Fields that may be dropped to fit the size limit.
    pub optional: Vec<(&'static str, String)>,
    /// Media type and bytes.
    pub body: Option<(&'static str, Vec<u8>)>,
    /// Whether Record-Route goes back: in what makes a dialog.
    pub routes: bool,
}

impl Answer {
    /// A response without further fields.
    pub fn new(code: u16, to_tag: &str) -> Self {
        Self { code, to_tag: to_tag.to_owned(), ..Self::default() }
    }

    /// Adds a mandatory field.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a field that may be dropped to fit the size limit.
    pub fn with_optional(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.optional.push((name, value.into()));
        self
    }

    /// In wire form.
    pub fn to_bytes(&self, request: &Headers, source: SocketAddr) -> Vec<u8> {
        self.write(request, source, false)
    }

    /// In wire form within `limit_bytes`, by leaving out what can be; `None` where even the
    /// barest form is longer. For peers that have not shown that they receive where they
    /// claim to send from: what they get never outweighs what they sent.
    pub fn to_bytes_within(
        &self,
        request: &Headers,
        source: SocketAddr,
        limit_bytes: usize,
    ) -> Option<Vec<u8>> {
        let full = self.write(request, source, false);
        if full.len() <= limit_bytes {
            return Some(full);
        }
        let bare = self.write(request, source, true);
        (bare.len() <= limit_bytes).then_some(bare)
    }

    fn write(&self, request: &Headers, source: SocketAddr, barest: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let reason = if barest { "" } else { reason(self.code) };
        line(&mut out, &["SIP/2.0 ", &self.code.to_string(), " ", reason]);
        let name = |long: &'static str, short: &'static str| if barest { short } else { long };
        for (at, via) in request.list("via").iter().enumerate() {
            let via = if at == 0 { stamped(via, source) } else { via.clone() };
            line(&mut out, &[name("Via", "v"), ": ", &via]);
        }
        if self.routes {
            for route in request.list("record-route") {
                line(&mut out, &["Record-Route: ", &route]);
            }
        }
        copy(&mut out, request, "from", name("From", "f"));
        let to = request.text("to").unwrap_or_default();
        let tagged = NameAddr::lenient(&to).is_some_and(|to| to.tag().is_some());
        match tagged || self.to_tag.is_empty() || self.code == 100 {
            true => copy(&mut out, request, "to", name("To", "t")),
            false => {
                out.extend_from_slice(name("To: ", "t: ").as_bytes());
                out.extend_from_slice(request.all("to").next().unwrap_or_default());
                line(&mut out, &[";tag=", &self.to_tag]);
            }
        }
        copy(&mut out, request, "call-id", name("Call-ID", "i"));
        copy(&mut out, request, "cseq", "CSeq");
        let optional = self.optional.iter().filter(|_| !barest);
        for (field, value) in self.headers.iter().chain(optional) {
            line(&mut out, &[field, ": ", value]);
        }
        let (kind, body) = self.body.as_ref().map_or(("", &[][..]), |(kind, body)| (*kind, body.as_slice()));
        if !kind.is_empty() {
            line(&mut out, &["Content-Type: ", kind]);
        }
        line(&mut out, &[name("Content-Length", "l"), ": ", &body.len().to_string()]);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
        out
    }
}

/// Whether the topmost Via asks for answers to its source port.
pub fn asks_rport(request: &Headers) -> bool {
    request.list("via").first().is_some_and(|via| param(via, "rport").is_some())
}

/// The usual phrase for a code.
pub fn reason(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        183 => "Session Progress",
        200 => "OK",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        413 => "Request Entity Too Large",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        513 => "Message Too Large",
        505 => "Version Not Supported",
        _ => "Answer",
    }
}

/// A Via element with where the request really came from.
fn stamped(via: &str, source: SocketAddr) -> String {
    let mut out = bare(via).to_owned();
    let sent_by = out.rsplit([' ', '\t']).next().unwrap_or_default();
    let host = match sent_by.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => sent_by,
    };
    let same_host = host.trim_matches(['[', ']']) == source.ip().to_string();
    let params = via[out.len().min(via.len())..].split(';').map(str::trim).filter(|p| !p.is_empty());
    for text in params {
        let key = text.split('=').next().unwrap_or_default().trim();
        if key.eq_ignore_ascii_case("rport") {
            out.push_str(&format!(";rport={}", source.port()));
        } else if !key.eq_ignore_ascii_case("received") {
            out.push(';');
            out.push_str(text);
        }
    }
    if !same_host || asks(via) {
        out.push_str(&format!(";received={}", source.ip()));
    }
    out
}

fn asks(via: &str) -> bool {
    param(via, "rport").is_some()
}

fn copy(out: &mut Vec<u8>, request: &Headers, from: &str, name: &str) {
    if let Some(value) = request.all(from).next() {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

fn line(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Headers {
        let mut headers = Headers::default();
        headers.push("v", *b"SIP/2.0/UDP 10.0.0.1:5062;rport;branch=z9hG4bKx");
        headers.push("v", *b"SIP/2.0/TCP b;branch=z9hG4bKy");
        headers.push("f", "Bj\u{f8}rn <sip:a@b>;tag=1".chars().map(|c| c as u8).collect::<Vec<u8>>());
        headers.push("t", *b"<sip:c@d>");
        headers.push("i", *b"id");
        headers.push("cseq", *b"7 OPTIONS");
        headers
    }

    #[test]
    fn what_pairs_an_answer_with_its_request_goes_back_as_it_came() {
        let source = "192.0.2.9:5099".parse().unwrap();
        let bytes = Answer::new(200, "t1").to_bytes(&request(), source);
        let text: String = bytes.iter().map(|b| *b as char).collect();
        assert!(text.starts_with("SIP/2.0 200 OK\r\n"), "{text}");
        assert!(
            text.contains(
                "10.0.0.1:5062;rport=5099;branch=z9hG4bKx;received=192.0.2.9\r\nVia: SIP/2.0/TCP b"
            )
        );
        assert!(text.contains("From: Bj\u{f8}rn <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=t1\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn an_answer_shrinks_to_fit_or_is_not_sent() {
        let source = "10.0.0.1:5062".parse().unwrap();
        let answer = Answer::new(420, "t").with_optional("Server", "x".repeat(300));
        let full = answer.to_bytes(&request(), source).len();
        assert!(answer.to_bytes_within(&request(), source, full - 1).unwrap().len() < full);
        assert_eq!(answer.to_bytes_within(&request(), source, 60), None);
    }
}

//! Requests and responses as values, and the few header fields that every layer reads.
//!
//! In: parts that `parse` cut. Out: typed views of the fields of RFC 3261 §8.1.1. Not here:
//! bytes to message (`parse`), message to bytes (`response`).

use super::header::{Headers, bare, is_token, param};
use super::uri::{NameAddr, Uri};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method, as written: methods are case-sensitive.
    pub method: String,
    /// Request-URI.
    pub uri: Uri,
    /// Header fields.
    pub headers: Headers,
    /// Body, byte for byte.
    pub body: Vec<u8>,
}

/// A response to a request of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 100 to 699.
    pub code: u16,
    /// Header fields.
    pub headers: Headers,
    /// Body, byte for byte.
    pub body: Vec<u8>,
}

/// One element of the Via list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// Transport in capitals: `UDP`, `TCP`, `TLS`, or something new.
    pub transport: String,
    /// Host and port, as written.
    pub sent_by: String,
    /// Branch parameter, empty where there is none.
    pub branch: String,
}

/// The sequence number and method of a CSeq field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2³¹.
    pub number: u32,
    /// Equal to the request's method.
    pub method: String,
}

impl Request {
    /// The topmost Via element.
    pub fn via(&self) -> Option<Via> {
        via_of(&self.headers)
    }

    /// Call-ID, as written.
    pub fn call_id(&self) -> String {
        self.headers.text("call-id").unwrap_or_default().into_owned()
    }

    /// CSeq; `None` where it is malformed or too large.
    pub fn cseq(&self) -> Option<CSeq> {
        cseq_of(&self.headers)
    }

    /// From; what no address is found in still has its tag.
    pub fn from(&self) -> Option<NameAddr> {
        NameAddr::lenient(&self.headers.text("from")?)
    }

    /// To, read in the same way.
    pub fn to(&self) -> Option<NameAddr> {
        NameAddr::lenient(&self.headers.text("to")?)
    }

    /// The first Contact that requests can be sent to: a SIP or SIPS URI (RFC 3261 §12.1.1).
    pub fn contact(&self) -> Option<NameAddr> {
        self.headers
            .list("contact")
            .iter()
            .filter_map(|item| NameAddr::parse(item))
            .find(|contact| contact.uri.is_sip())
    }

    /// The media type of the body in lower case and the whole field, both without comments.
    pub fn content_type(&self) -> Option<(String, String)> {
        let whole = self.headers.text("content-type")?.into_owned();
        Some((bare(&whole).to_ascii_lowercase().replace([' ', '\t'], ""), whole))
    }
}

impl Response {
    /// Which of our requests it answers: branch and CSeq.
    pub fn answers(&self) -> Option<(String, CSeq)> {
        Some((via_of(&self.headers)?.branch, cseq_of(&self.headers)?))
    }
}

/// The topmost Via of `headers`; blanks may stand around each separator.
///
/// Source: RFC 3261 §20.42, §25.1 (`via-parm`).
pub(super) fn via_of(headers: &Headers) -> Option<Via> {
    let top = headers.list("via").into_iter().next()?;
    let head = bare(&top);
    let mut parts = head.splitn(3, '/');
    let (_name, _version) = (parts.next()?, parts.next()?);
    let rest = parts.next()?.trim();
    let (transport, sent_by) = rest.split_once([' ', '\t'])?;
    let sent_by: String = sent_by.split_whitespace().collect();
    let branch = param(&top, "branch").unwrap_or_default().trim().to_owned();
    let usable = is_token(transport) && !sent_by.is_empty();
    usable.then(|| Via { transport: transport.to_ascii_uppercase(), sent_by, branch })
}

/// CSeq, whatever blanks stand around and between its parts, or none.
pub(super) fn cseq_of(headers: &Headers) -> Option<CSeq> {
    let text = headers.text("cseq")?;
    let text = text.trim();
    let (number, method) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number = number.parse::<u32>().ok().filter(|n| *n < 1 << 31)?;
    let method = method.trim();
    is_token(method).then(|| CSeq { number, method: method.to_owned() })
}

//! Lenient parser from bytes to SIP messages.
//!
//! In: one datagram, or one message cut from a stream. Out: a message, a keep-alive, or a
//! [`Refusal`] that says whether to answer and with which code. Taken without complaint:
//! bare LF, folded lines, compact names, foreign bytes, a missing Content-Length, one that counts
//! characters, octets after the body, odd blanks and names. What is refused says so in an answer
//! wherever there is a way back. Nothing here panics or allocates beyond its input.
//!
//! Source: RFC 3261 §7, §18.3; RFC 4475 for what to do with the rest.

use super::header::{Headers, is_token};
use super::message::{Request, Response, cseq_of, via_of};
use super::uri::Uri;
use crate::sip::message_end;

/// The longest message that is read. Units: bytes. Metadata may take 256 KiB of it.
pub const MESSAGE_BYTES: usize = 320 * 1024;
/// The longest start line and header together. Units: bytes.
pub const HEAD_BYTES: usize = 64 * 1024;
/// The most header fields of one message.
pub const HEADER_FIELDS: usize = 400;

/// A parsed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A request with everything that is needed to answer it.
    Request(Box<Request>),
    /// A response.
    Response(Box<Response>),
    /// Blank lines only: a keep-alive of RFC 5626 §4.4.1.
    KeepAlive,
}

/// Why a message is not processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No response is possible or allowed.
    Drop(&'static str),
    /// To be answered with `code`. `headers` holds the fields that a response repeats.
    Answer {
        /// Status code.
        code: u16,
        /// What is wrong, for the log.
        why: &'static str,
        /// The method, as far as it was readable.
        method: String,
        /// The header fields of the request.
        headers: Headers,
    },
}

/// How messages are delimited by what carried them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The bytes' end is the body's end, unless Content-Length or the body itself says better.
    Datagram,
    /// Only Content-Length delimits.
    Stream,
}

/// Reads one message.
pub fn parse(bytes: &[u8], framing: Framing) -> Result<Parsed, Refusal> {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n' | 0)).unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    if bytes.is_empty() {
        return Ok(Parsed::KeepAlive);
    }
    let (head, body) = split_head(&bytes[..bytes.len().min(MESSAGE_BYTES)]);
    let (line, rest) = take_line(&head[..head.len().min(HEAD_BYTES)]);
    let line = String::from_utf8_lossy(line).into_owned();
    let headers = read_headers(rest);
    if bytes.len() > MESSAGE_BYTES || head.len() > HEAD_BYTES {
        return Err(too_long(&line, headers));
    }
    if line.starts_with("SIP/") || line.starts_with("sip/") {
        return response(&line, headers, body, framing);
    }
    request(&line, headers, body, framing)
}

/// Where the head ends: the offset just behind the first empty line, if it is there yet.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == b'\n') {
        let next = from + at + 1;
        match bytes[next..] {
            [b'\n', ..] => return Some(next + 1),
            [b'\r', b'\n', ..] => return Some(next + 2),
            _ => from = next,
        }
    }
    None
}

/// The Content-Length of a head that is still in wire form.
///
/// Errors: it is negative, no number, too large, or given twice with different values.
pub fn content_length(headers: &Headers) -> Result<Option<usize>, &'static str> {
    let mut found = None;
    for value in headers.all("content-length") {
        let text = std::str::from_utf8(value).map_err(|_| "content-length is no number")?.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err("content-length is no number");
        }
        let length: usize = text.parse().map_err(|_| "content-length is too large")?;
        if found.is_some_and(|other| other != length) {
            return Err("two different content-lengths");
        }
        found = Some(length);
    }
    Ok(found)
}

/// The header fields of the head in `bytes`, its start line left out.
pub fn headers_of(bytes: &[u8]) -> Headers {
    let (_, rest) = take_line(split_head(bytes).0);
    read_headers(rest)
}

/// A request that is too long to be read is answered as far as its head was read.
pub(super) fn too_long(line: &str, headers: Headers) -> Refusal {
    let why = "longer than any message that is read";
    let method = line.split_whitespace().next().unwrap_or_default().to_owned();
    match is_token(&method) && message_end::is_start_line(line.as_bytes()) && via_of(&headers).is_some() {
        true => Refusal::Answer { code: 513, why, method, headers },
        false => Refusal::Drop(why),
    }
}

fn request(line: &str, headers: Headers, body: &[u8], framing: Framing) -> Result<Parsed, Refusal> {
    let method = line.split_whitespace().next().unwrap_or_default().to_owned();
    if !is_token(&method) || !line.to_ascii_uppercase().contains("SIP/") {
        return Err(Refusal::Drop("no SIP message"));
    }
    // A call that is lost for want of a way back is still one that is accounted for.
    if via_of(&headers).is_none() && (method != "INVITE" || headers.text("call-id").is_none()) {
        return Err(Refusal::Drop("no way to answer it"));
    }
    let refuse = |code, why, headers| Refusal::Answer { code, why, method: method.clone(), headers };
    let (uri, version) = match start_line(line) {
        Ok(parts) => parts,
        Err((code, why)) => return Err(refuse(code, why, headers)),
    };
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err(refuse(505, "unknown SIP version", headers));
    }
    if via_of(&headers).is_none() {
        return Err(refuse(400, "no way to answer it", headers));
    }
    let body = match check(&method, &headers).and_then(|()| cut_body(&headers, body, framing)) {
        Ok(body) => body,
        Err((code, why)) => return Err(refuse(code, why, headers)),
    };
    if !uri.is_telephony() {
        return Err(refuse(416, "the request-URI has a foreign scheme", headers));
    }
    Ok(Parsed::Request(Box::new(Request { method, uri, headers, body })))
}

fn response(line: &str, headers: Headers, body: &[u8], framing: Framing) -> Result<Parsed, Refusal> {
    let mut parts = line.splitn(3, ' ');
    let version = parts.next().unwrap_or_default();
    let code = parts.next().unwrap_or_default();
    let code = match code.parse::<u16>() {
        Ok(code) if code_is_sane(code) && version.eq_ignore_ascii_case("SIP/2.0") => code,
        _ => return Err(Refusal::Drop("malformed status line")),
    };
    let body = cut_body(&headers, body, framing).map_err(|(_, why)| Refusal::Drop(why))?;
    let response = Response { code, headers, body };
    if response.answers().is_none() {
        return Err(Refusal::Drop("a response that answers nothing"));
    }
    Ok(Parsed::Response(Box::new(response)))
}

fn code_is_sane(code: u16) -> bool {
    (100..700).contains(&code)
}

/// Request-URI and version. Blanks too many, angle brackets around the URI and header fields in it
/// do not hide what is meant.
///
/// Source: RFC 4475 §3.1.2.7 to §3.1.2.11, which let an element be liberal.
fn start_line(line: &str) -> Result<(Uri, &str), (u16, &'static str)> {
    let mut words = line.split_whitespace();
    let (_method, Some(version)) = (words.next(), words.next_back()) else {
        return Err((400, "the start line has no three parts"));
    };
    let uri: String = words.collect();
    if uri.is_empty() || !version.to_ascii_uppercase().starts_with("SIP/") {
        return Err((400, "the start line has no three parts"));
    }
    let uri = uri.trim_matches(['<', '>']);
    let uri = Uri::parse(uri).ok_or((400, "the request-URI is none"))?;
    if uri.scheme != "tel" && uri.is_telephony() && uri.host.is_empty() {
        return Err((400, "the request-URI has no host"));
    }
    Ok((uri, version))
}

/// Checks the fields that RFC 3261 §8.1.1 asks of each request, as far as an answer or a dialog
/// needs them. Max-Forwards and Contact are not among them: nothing is forwarded here, and a client
/// whose Contact cannot be read is reached where it sends from.
fn check(method: &str, headers: &Headers) -> Result<(), (u16, &'static str)> {
    if headers.len() > HEADER_FIELDS {
        return Err((400, "too many header fields"));
    }
    for single in ["from", "to", "call-id", "cseq"] {
        let mut all = headers.all(single);
        match all.next() {
            None => return Err((400, "a required header field is missing")),
            Some([]) => return Err((400, "a required header field is empty")),
            Some(first) if all.any(|other| other != first) => {
                return Err((400, "a header field is there twice, with two values"));
            }
            Some(_) => {}
        }
    }
    let cseq = cseq_of(headers).ok_or((400, "the CSeq cannot be read"))?;
    if !cseq.method.eq_ignore_ascii_case(method) {
        return Err((400, "the CSeq method differs from the request's"));
    }
    Ok(())
}

/// The body as Content-Length and its own marks delimit it.
fn cut_body(headers: &Headers, body: &[u8], framing: Framing) -> Result<Vec<u8>, (u16, &'static str)> {
    let body = match (content_length(headers).map_err(|why| (400, why))?, framing) {
        (Some(length), _) => message_end::delimit(headers, body, length).map_err(|why| (400, why))?,
        (None, Framing::Datagram) => body,
        (None, Framing::Stream) => &[],
    };
    Ok(body.to_vec())
}

/// The head and what follows its empty line; without one, everything is head.
fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(head_end(bytes).unwrap_or(bytes.len()))
}

/// The first line without its end, and the rest.
fn take_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match bytes.iter().position(|b| *b == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// All header fields, unfolded. A line that is none is left out.
fn read_headers(mut rest: &[u8]) -> Headers {
    let mut headers = Headers::default();
    let mut field: Vec<u8> = Vec::new();
    loop {
        let (line, next) = take_line(rest);
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        if folded && !field.is_empty() {
            field.push(b' ');
            field.extend_from_slice(line.trim_ascii());
        } else {
            store(&mut headers, &field);
            field = line.to_vec();
        }
        if rest.is_empty() || headers.len() > HEADER_FIELDS {
            return headers;
        }
        rest = next;
    }
}

/// Stores one unfolded field, if it is one.
fn store(headers: &mut Headers, field: &[u8]) {
    let Some(colon) = field.iter().position(|b| *b == b':') else { return };
    let name = String::from_utf8_lossy(&field[..colon]);
    if is_token(name.trim()) {
        headers.push(&name, field[colon + 1..].trim_ascii());
    }
}

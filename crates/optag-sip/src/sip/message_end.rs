//! Finds the end of a message whose Content-Length is wrong or missing.
//!
//! In: a body and the bytes after it. Out: offsets. Some equipment counts characters instead of
//! bytes, or is off by a line end; the closing boundary of a multipart body and the next start
//! line show the real end. Not here: message heads (`parse`), bytes not yet received (`framing`).

use crate::sip::header::{Headers, bare, param, text_of};

/// Methods that a recorder may be sent. Others are believed only where a message must begin.
const METHODS: [&str; 14] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "UPDATE",
    "INFO",
    "PRACK",
    "NOTIFY",
    "REGISTER",
    "SUBSCRIBE",
    "PUBLISH",
    "MESSAGE",
    "REFER",
];
/// The longest start line that is looked for inside other bytes. Units: bytes.
const LINE: usize = 4096;
/// By how much a body without a closing boundary may fall short of its Content-Length and still be
/// whole: line ends that were counted and not sent. Units: bytes.
const FORGIVEN: usize = 64;

/// Whether `line` is a start line of a request of any method, or of a response.
pub(super) fn is_start_line(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let response = line.get(..8).is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/2.0 "));
    let version = line.rsplit(|b| matches!(b, b' ' | b'\t')).next().unwrap_or_default();
    let request = line.contains(&b' ') && version.get(..4).is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/"));
    response || request
}

/// Whether bytes of which no whole line is there yet may become a start line.
pub(super) fn may_start(bytes: &[u8]) -> bool {
    let known = |word: &[u8]| bytes.starts_with(word) || word.starts_with(bytes);
    known(b"SIP/2.0 ") || METHODS.iter().any(|method| known(format!("{method} ").as_bytes()))
}

/// Where the next start line begins: of a known method, or of a response. It may stand behind
/// bytes of the same line, as the rest of a body without a line end does.
pub(super) fn next_start(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n + 1);
        let line = &bytes[at..end];
        if end - at <= LINE
            && line.ends_with(b"\n")
            && let Some(inside) = known_start(line)
        {
            return Some(at + inside);
        }
        at = end;
    }
    None
}

/// Where in a line a start line of a known method or of a response begins.
fn known_start(line: &[u8]) -> Option<usize> {
    let text = line.trim_ascii_end();
    if text.starts_with(b"SIP/2.0 ")
        && text.get(8..11).is_some_and(|code| code.iter().all(u8::is_ascii_digit))
    {
        return Some(0);
    }
    if !text.ends_with(b" SIP/2.0") {
        return None;
    }
    let addressed = |rest: &[u8]| {
        let rest = rest.trim_ascii_start();
        ["sip:", "sips:", "tel:"]
            .iter()
            .any(|s| rest.get(..s.len()).is_some_and(|r| r.eq_ignore_ascii_case(s.as_bytes())))
    };
    let begins = |at: &usize| {
        let method = METHODS.iter().find(|method| text[*at..].starts_with(format!("{method} ").as_bytes()));
        method.is_some_and(|method| addressed(&text[*at + method.len()..]))
    };
    (0..text.len()).filter(|at| text[*at].is_ascii_uppercase()).find(begins)
}

/// Whether the body may hold SIP messages itself, so that a start line in it says nothing.
pub(super) fn holds_messages(headers: &Headers, body: &[u8]) -> bool {
    let kind = headers.text("content-type").unwrap_or_default().to_ascii_lowercase();
    let nested = || body.windows(11).any(|word| word.eq_ignore_ascii_case(b"message/sip"));
    kind.contains("message/") || kind.starts_with("multipart/") && nested()
}

/// Whether anything says that there is a body.
pub(super) fn has_type(headers: &Headers) -> bool {
    headers.text("content-type").is_some_and(|kind| !kind.trim().is_empty())
}

/// The offset behind the closing boundary of a multipart body and its line end.
pub(super) fn closed(headers: &Headers, body: &[u8]) -> Option<usize> {
    closed_from(headers, body, 0)
}

/// The same, where the body was looked through up to `from` already.
pub(super) fn closed_from(headers: &Headers, body: &[u8], from: usize) -> Option<usize> {
    let kind = headers.all("content-type").next().map(text_of)?;
    if !bare(&kind).to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let boundary = param(&kind, "boundary").map(str::trim).filter(|boundary| !boundary.is_empty())?;
    let mark = format!("--{boundary}--");
    let begins = |at: &usize| *at == 0 || body[at - 1] == b'\n';
    let mut all = body[from..].windows(mark.len()).enumerate().filter(|(_, piece)| *piece == mark.as_bytes());
    let at = all.find_map(|(at, _)| Some(from + at).filter(begins))?;
    let end = match &body[at + mark.len()..] {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => 0,
    };
    Some(at + mark.len() + end)
}

/// The body of a message whose bytes are all in `rest`, where Content-Length says `length`.
///
/// Errors: it is shorter than it should be, and nothing shows that it is whole.
pub(super) fn delimit<'a>(
    headers: &Headers,
    rest: &'a [u8],
    length: usize,
) -> Result<&'a [u8], &'static str> {
    if rest.len() < length {
        let nearly = length - rest.len() <= FORGIVEN && rest.ends_with(b"\n") && closed_or_single(headers);
        let whole = closed(headers, rest).is_some() || nearly;
        return if whole { Ok(rest) } else { Err("the body is shorter than its content-length") };
    }
    Ok(&rest[..length + tail(headers, rest, length)])
}

fn closed_or_single(headers: &Headers) -> bool {
    !headers.text("content-type").unwrap_or_default().to_ascii_lowercase().starts_with("multipart/")
}

/// Where a body really ends whose Content-Length took in bytes of the next message.
pub(super) fn excess(headers: &Headers, body: &[u8]) -> Option<usize> {
    if let Some(end) = closed(headers, body) {
        return Some(end);
    }
    let line = body.iter().rposition(|b| *b == b'\n').map_or(body.len(), |at| at + 1);
    let begun = (line < body.len() && may_start(&body[line..])).then_some(line);
    next_start(body).or(begun).filter(|at| *at > 0 && !holds_messages(headers, body))
}

/// How many of the bytes behind `length` still belong to the body.
pub(super) fn tail(headers: &Headers, rest: &[u8], length: usize) -> usize {
    let behind = &rest[length..];
    let first = behind.split(|b| *b == b'\n').next().unwrap_or_default();
    if length == 0 || behind.is_empty() || is_start_line(first) || closed(headers, &rest[..length]).is_some()
    {
        return 0;
    }
    let room = match holds_messages(headers, rest) {
        true => 0,
        false => next_start(behind).unwrap_or_else(|| certain(behind)),
    };
    if let Some(end) = closed(headers, &rest[..length + room]) {
        return end.saturating_sub(length);
    }
    // Whole lines were counted: what follows, if anything, is the next message's.
    if is_blank(behind[0]) {
        return 0;
    }
    let in_line = rest[length - 1] != b'\n';
    if room < behind.len() || in_line { room } else { 0 }
}

/// How many bytes surely begin no message: all but what may still become a start line.
fn certain(bytes: &[u8]) -> usize {
    let line = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let begins = |at: &usize| bytes[*at].is_ascii_uppercase() && may_start(&bytes[*at..]);
    (line..bytes.len()).find(begins).unwrap_or(bytes.len())
}

/// Whether a byte may stand between messages.
pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(kind: &str) -> Headers {
        let mut headers = Headers::default();
        headers.push("content-type", kind.as_bytes());
        headers
    }

    #[test]
    fn the_next_start_line_is_found_behind_the_rest_of_a_body() {
        for (bytes, at) in [
            ("ACK sip:a@b SIP/2.0\r\n", Some(0)),
            ("ry--\r\nACK sip:a@b SIP/2.0\r\n", Some(6)),
            ("ry--BYE sips:a@b SIP/2.0\r\n", Some(4)),
            ("x\nSIP/2.0 200 OK\n", Some(2)),
            ("ACK sip:a@b SIP/2.0", None),
            ("FOO sip:a@b SIP/2.0\r\n", None),
            ("he said INVITE someone SIP/2.0\r\n", None),
            ("SIP/2.0 is a protocol\r\n", None),
        ] {
            assert_eq!(next_start(bytes.as_bytes()), at, "{bytes}");
        }
    }

    #[test]
    fn a_body_ends_at_its_closing_boundary_whatever_its_length_says() {
        let kind = headers("multipart/mixed;boundary=\"b\"");
        let body = b"--b\r\n\r\nx\r\n--b--\r\n";
        for length in [1, 9, body.len() - 3, body.len(), body.len() + 900] {
            assert_eq!(delimit(&kind, body, length), Ok(body.as_slice()), "{length}");
        }
        let two = [body.as_slice(), b"BYE sip:a@b SIP/2.0\r\n\r\n"].concat();
        for length in [9, body.len() - 3, body.len()] {
            assert_eq!(delimit(&kind, &two, length), Ok(body.as_slice()), "{length}");
        }
        assert!(delimit(&kind, b"--b\r\n\r\nx\r\n", 40).is_err(), "half of it may be missing");
    }

    #[test]
    fn a_body_of_one_part_is_cut_at_the_line_and_forgiven_line_ends() {
        let kind = headers("application/sdp");
        assert_eq!(delimit(&kind, b"v=0\r\ns=-\r\n", 7), Ok(b"v=0\r\ns=-\r\n".as_slice()));
        assert_eq!(delimit(&kind, b"v=0\r\ns=-\r\n", 12), Ok(b"v=0\r\ns=-\r\n".as_slice()));
        assert_eq!(delimit(&kind, b"v=0\r\n\r\n\r\n", 5), Ok(b"v=0\r\n".as_slice()));
        assert!(delimit(&kind, b"v=0", 9_999).is_err());
        let other = headers("message/sipfrag");
        assert!(holds_messages(&other, b"") && !holds_messages(&kind, b""));
    }
}

//! Bodies of several parts, as clients really write them.
//!
//! In: a body and its Content-Type. Out: the parts. Taken: a boundary with or without
//! quotes or missing, bare LF, a missing closing line, a preamble, part header fields without a blank
//! after the colon, a part Content-Length that is wrong. Not here: what a part means.
//!
//! Source: RFC 2046 §5.1.

use std::borrow::Cow;

use super::header::{bare, param};
use super::parse::{head_end, headers_of};
use optag_core::base64;

/// The most parts that are looked at.
pub const PARTS: usize = 16;

/// How deep parts may have parts.
const DEPTH: usize = 3;

/// One part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Media type in lower case without parameters; empty where none can be read.
    pub media_type: String,
    /// Disposition in lower case without parameters.
    pub disposition: String,
    /// Whether it must be understood (`handling=required`, the default).
    pub required: bool,
    /// Its content, its transfer encoding undone.
    pub content: Cow<'a, [u8]>,
}

/// The parts of a body of type `content_type`; a body that is not multipart is one part. Parts
/// that have parts themselves are taken apart as well.
pub fn parts<'a>(content_type: &str, body: &'a [u8]) -> Vec<Part<'a>> {
    let media_type = tidy(bare(content_type));
    if !media_type.starts_with("multipart/") {
        let content = Cow::Borrowed(body);
        return vec![Part { media_type, disposition: String::new(), required: true, content }];
    }
    let mut all = Vec::new();
    gather(content_type, body, DEPTH, &mut all);
    all
}

fn gather<'a>(content_type: &str, body: &'a [u8], depth: usize, all: &mut Vec<Part<'a>>) {
    for piece in pieces(content_type, body) {
        let (part, whole) = part(piece);
        match part.content {
            Cow::Borrowed(inner) if depth > 0 && part.media_type.starts_with("multipart/") => {
                gather(&whole, inner, depth - 1, all);
            }
            _ => all.push(part),
        }
        if all.len() >= PARTS {
            all.truncate(PARTS);
            return;
        }
    }
}

fn pieces<'a>(content_type: &str, body: &'a [u8]) -> Vec<&'a [u8]> {
    let boundary = match param(content_type, "boundary").map(str::trim) {
        Some(boundary) if !boundary.is_empty() => boundary.as_bytes().to_vec(),
        _ => match guess_boundary(body) {
            Some(boundary) => boundary,
            None => return Vec::new(),
        },
    };
    split(&boundary, body)
}

/// The body's pieces between boundary lines.
fn split<'a>(boundary: &[u8], body: &'a [u8]) -> Vec<&'a [u8]> {
    let (mut pieces, mut open, mut at) = (Vec::new(), None, 0);
    while at < body.len() && pieces.len() < PARTS {
        let end = body[at..].iter().position(|b| *b == b'\n').map_or(body.len(), |n| at + n + 1);
        let tail = body[at..end].strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
        if let Some(tail) = tail.map(<[u8]>::trim_ascii).filter(|tail| tail.is_empty() || *tail == b"--") {
            if let Some(start) = open.take() {
                pieces.push(without_last_break(&body[start..at]));
            }
            if !tail.is_empty() {
                return pieces;
            }
            open = Some(end);
        }
        at = end;
    }
    pieces.extend(open.filter(|start| *start < body.len()).map(|start| &body[start..]));
    pieces
}

/// A part and its whole Content-Type.
fn part(piece: &[u8]) -> (Part<'_>, String) {
    // A part may start with its empty line: no header fields at all.
    let head = match piece {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => head_end(piece).unwrap_or(0),
    };
    let mut with_line = b"\n".to_vec();
    with_line.extend_from_slice(&piece[..head]);
    let headers = headers_of(&with_line);
    let kind = headers.text("content-type").unwrap_or_default().into_owned();
    let disposition = headers.text("content-disposition").unwrap_or_default().into_owned();
    let encoding = headers.text("content-transfer-encoding").unwrap_or_default();
    let content = match encoding.trim().to_ascii_lowercase().as_str() {
        "base64" => Cow::Owned(from_base64(&piece[head..])),
        "quoted-printable" => Cow::Owned(from_quoted_printable(&piece[head..])),
        _ => Cow::Borrowed(&piece[head..]),
    };
    let part = Part {
        media_type: tidy(bare(&kind)),
        disposition: bare(&disposition).to_ascii_lowercase(),
        required: !param(&disposition, "handling").is_some_and(|h| h.eq_ignore_ascii_case("optional")),
        content,
    };
    (part, kind)
}

/// Source: RFC 2045 §6.8: line ends and what else is none of the 64 characters is passed over.
fn from_base64(text: &[u8]) -> Vec<u8> {
    let known = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let digits: String = text.iter().filter(known).map(|byte| char::from(*byte)).collect();
    base64::decode(&digits).unwrap_or_default()
}

/// Source: RFC 2045 §6.7; what is no escape stays as it is.
fn from_quoted_printable(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    loop {
        rest = match rest {
            [] => return out,
            [b'=', b'\r', b'\n', rest @ ..] | [b'=', b'\n', rest @ ..] => rest,
            [b'=', high, low, after @ ..] => {
                let digits = std::str::from_utf8(&rest[1..3]).ok();
                match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(byte) => out.push(byte),
                    None => out.extend([b'=', *high, *low]),
                }
                after
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

/// The line break before a boundary belongs to the boundary.
fn without_last_break(piece: &[u8]) -> &[u8] {
    let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
    piece.strip_suffix(b"\r").unwrap_or(piece)
}

fn guess_boundary(body: &[u8]) -> Option<Vec<u8>> {
    let mut lines = body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines.find_map(|line| line.strip_prefix(b"--").filter(|rest| !rest.is_empty()).map(<[u8]>::to_vec))
}

fn tidy(media_type: &str) -> String {
    media_type.to_ascii_lowercase().replace([' ', '\t'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_whatever_their_line_ends_quotes_and_closing_line() {
        let crlf = "--b x\r\nContent-Type:application/sdp\r\n\r\nv=0\r\n\r\n--b x\r\nContent-Disposition: recording-session;handling=optional\r\n\r\n<a/>\r\n--b x--\r\nepilogue";
        for body in
            [crlf.to_owned(), crlf.replace('\r', ""), crlf.split("\r\n--b x--").next().unwrap().to_owned()]
        {
            let found = parts("multipart/mixed; boundary=\"b x\"", body.as_bytes());
            assert_eq!(found.len(), 2, "{body:?}");
            assert_eq!((found[0].media_type.as_str(), found[0].required), ("application/sdp", true));
            assert!(found[0].content.starts_with(b"v=0"));
            assert_eq!((found[1].disposition.as_str(), found[1].required), ("recording-session", false));
            assert_eq!(&*found[1].content, b"<a/>");
        }
    }

    #[test]
    fn parts_in_parts_and_transfer_encodings_are_undone() {
        let body = b"--o\r\nContent-Type: multipart/related; boundary=i\r\n\r\n--i\r\n\
            Content-Type: application/sdp\r\n\r\nv=0\r\n--i--\r\n--o\r\n\
            Content-Type: application/rs-metadata+xml\r\nContent-Transfer-Encoding: base64\r\n\r\n\
            PHJlY29yZGlu\r\nZy8+\r\n--o\r\nContent-Type: text/plain\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\nc=zz=\r\n--o--";
        let found = parts("multipart/mixed; boundary=o", body);
        let seen: Vec<(&str, &[u8])> = found.iter().map(|p| (p.media_type.as_str(), &*p.content)).collect();
        assert_eq!(seen[0], ("application/sdp", b"v=0".as_slice()));
        assert_eq!(seen[1], ("application/rs-metadata+xml", b"<recording/>".as_slice()));
        assert_eq!(seen[2], ("text/plain", b"a=bc=zz=".as_slice()));
        let deep = "--a\nContent-Type: multipart/mixed;boundary=a\n\n".repeat(50);
        assert!(parts("multipart/mixed;boundary=a", deep.as_bytes()).len() <= PARTS);
    }

    #[test]
    fn a_missing_boundary_parameter_is_guessed_and_hostile_bodies_end() {
        assert_eq!(parts("multipart/mixed", b"--q\n\nx\n--q--").len(), 1);
        assert!(parts("multipart/mixed;boundary=", b"no parts").is_empty());
        assert!(parts("multipart/mixed;boundary=a", "--a\n".repeat(10_000).as_bytes()).len() <= PARTS + 1);
    }
}

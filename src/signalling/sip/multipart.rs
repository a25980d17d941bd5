//! Bodies of several parts, as clients really write them.
//!
//! In: a body and its Content-Type. Out: the parts. Taken: a boundary with or without
//! quotes, bare LF, a missing closing line, a preamble, part header fields without a blank
//! after the colon, a part Content-Length that is wrong. Not here: what a part means.
//!
//! Source: RFC 2046 §5.1.

use super::header::{bare, param};
use super::parse::{head_end, headers_of};

/// The most parts that are looked at.
pub const PARTS: usize = 16;

/// One part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Media type in lower case without parameters; empty where none can be read.
    pub media_type: String,
    /// Disposition in lower case without parameters.
    pub disposition: String,
    /// Whether it must be understood (`handling=required`, the default).
    pub required: bool,
    /// Its content.
    pub content: &'a [u8],
}

/// The parts of a body of type `content_type`; a body that is not multipart is one part.
pub fn parts<'a>(content_type: &str, body: &'a [u8]) -> Vec<Part<'a>> {
    let media_type = tidy(bare(content_type));
    if !media_type.starts_with("multipart/") {
        return vec![Part { media_type, disposition: String::new(), required: true, content: body }];
    }
    let boundary = match param(content_type, "boundary").map(str::trim) {
        Some(boundary) if !boundary.is_empty() => boundary.as_bytes().to_vec(),
        _ => match guess_boundary(body) {
            Some(boundary) => boundary,
            None => return Vec::new(),
        },
    };
    split(&boundary, body).into_iter().take(PARTS).map(part).collect()
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

fn part(piece: &[u8]) -> Part<'_> {
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
    Part {
        media_type: tidy(bare(&kind)),
        disposition: bare(&disposition).to_ascii_lowercase(),
        required: !param(&disposition, "handling").is_some_and(|h| h.eq_ignore_ascii_case("optional")),
        content: &piece[head..],
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
            assert_eq!(found[1].content, b"<a/>");
        }
    }

    #[test]
    fn a_missing_boundary_parameter_is_guessed_and_hostile_bodies_end() {
        assert_eq!(parts("multipart/mixed", b"--q\n\nx\n--q--").len(), 1);
        assert!(parts("multipart/mixed;boundary=", b"no parts").is_empty());
        assert!(parts("multipart/mixed;boundary=a", "--a\n".repeat(10_000).as_bytes()).len() <= PARTS + 1);
    }
}

//! Splits a byte stream into SIP messages.
//!
//! In: bytes as a connection delivers them. Out: messages, keep-alives, refusals. A wrong
//! Content-Length affects at most its own message: bytes outside any message are skipped up to the
//! next start line, and a start line inside an incomplete body ends that body. Not here: the
//! connection, and where a body ends (`message_end`).
//!
//! Source: RFC 3261 §18.3, RFC 5626 §4.4.1.

use super::header::Headers;
use super::message::via_of;
use super::parse::{
    Framing, HEAD_BYTES, MESSAGE_BYTES, Parsed, Refusal, content_length, head_end, headers_of, parse,
    too_long,
};
use crate::sip::message_end;

/// The framing state of one stream.
#[derive(Debug, Default)]
pub struct Framer {
    held: Vec<u8>,
    /// The head of the message that is being received, once it is whole.
    current: Option<Head>,
    /// Up to where `held` was looked through already.
    looked: usize,
    /// Whether the last message's length may have been wrong.
    doubtful: bool,
    /// Bytes passed over since the last message.
    passed: usize,
    /// Whether a message was ever cut.
    begun: bool,
}

#[derive(Debug)]
struct Head {
    end: usize,
    headers: Headers,
    /// Length of the body; `None` where nothing says.
    length: Option<usize>,
}

/// One piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub message: Result<Parsed, Refusal>,
    /// How long it was.
    pub bytes: usize,
    /// Whether framing is lost: close the connection after the response.
    pub last: bool,
}

impl Framer {
    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Whether a message has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.held.iter().any(|b| !message_end::is_blank(*b))
    }

    /// Whether only a body is awaited.
    pub fn awaits_body(&self) -> bool {
        self.current.is_some()
    }

    /// The next complete piece.
    pub fn cut(&mut self) -> Option<Piece> {
        if self.current.is_none() {
            let blank = self.held.iter().take_while(|b| message_end::is_blank(**b)).count();
            if blank > 0 {
                self.held.drain(..blank);
                self.looked = 0;
                return Some(Piece { message: Ok(Parsed::KeepAlive), bytes: blank, last: false });
            }
            if let Some(piece) = self.pass_over() {
                return Some(piece);
            }
            let from = self.looked.saturating_sub(3);
            let Some(end) = head_end(&self.held[from..]).map(|end| from + end) else {
                self.looked = self.held.len();
                return (self.looked > HEAD_BYTES).then(|| self.give_up());
            };
            let headers = headers_of(&self.held[..end]);
            match content_length(&headers) {
                Ok(length) => self.current = Some(Head { end, headers, length }),
                Err(_) => {
                    // Where the message ends cannot be known: it is answered, and nothing after it.
                    let message = parse(&self.held[..end], Framing::Stream);
                    let bytes = std::mem::take(self).held.len();
                    return Some(Piece { message, bytes, last: true });
                }
            }
            self.looked = end;
        }
        self.cut_body()
    }

    /// Nothing came for so long that nothing will: what there is of the awaited body is the body, if
    /// it can be, and the message is refused if not.
    pub fn stalled(&mut self) -> Option<Piece> {
        let all = self.held.len();
        self.current.as_ref()?;
        let piece = self.take(all);
        Some(Piece { last: piece.message.is_err(), ..piece })
    }

    fn cut_body(&mut self) -> Option<Piece> {
        let head = self.current.as_ref()?;
        let body = &self.held[head.end..];
        let needed = match head.length {
            Some(length) => length,
            None if message_end::has_type(&head.headers) => usize::MAX,
            None => 0,
        };
        if head.length.is_some_and(|length| head.end.saturating_add(length) > MESSAGE_BYTES) {
            return Some(self.give_up());
        }
        if body.len() >= needed {
            let excess = message_end::excess(&head.headers, &body[..needed]);
            let end =
                head.end + excess.unwrap_or_else(|| needed + message_end::tail(&head.headers, body, needed));
            return Some(self.take(end));
        }
        let from = self.looked - head.end;
        // A closing boundary whose line has not ended may be one that goes on.
        let closed =
            message_end::closed_from(&head.headers, body, from).filter(|end| body[..*end].ends_with(b"\n"));
        let end = closed.or_else(|| {
            // Another message's head shows that no more of this body comes.
            let at = from + message_end::next_start(&body[from..])?;
            let next = head_end(&body[at..])?;
            let whole = via_of(&headers_of(&body[at..at + next])).is_some();
            (whole && !message_end::holds_messages(&head.headers, &body[..at])).then_some(at)
        });
        if let Some(end) = end.map(|end| head.end + end) {
            return Some(self.take(end));
        }
        if self.held.len() > MESSAGE_BYTES {
            return Some(self.give_up());
        }
        // What stands before the last start line that is not followed by a whole head is done with.
        let open = message_end::next_start(&body[from..]).map(|at| from + at);
        let line = body.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let long = body.len().saturating_sub(HEAD_BYTES);
        self.looked = head.end + open.unwrap_or(line).max(long).max(from);
        None
    }

    /// Passes over what is no start line, where one must stand.
    fn pass_over(&mut self) -> Option<Piece> {
        let line = self.held.iter().take(HEAD_BYTES).position(|b| *b == b'\n')? + 1;
        let inside = if self.doubtful { message_end::next_start(&self.held[..line]).unwrap_or(0) } else { 0 };
        if inside == 0 && message_end::is_start_line(&self.held[..line]) {
            return None;
        }
        if !self.begun {
            return Some(self.give_up());
        }
        let whole = self.held.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let end = message_end::next_start(&self.held).unwrap_or(whole);
        self.held.drain(..end);
        self.looked = 0;
        self.passed += end;
        self.doubtful = true;
        if self.passed > MESSAGE_BYTES {
            return Some(self.give_up());
        }
        let message = Err(Refusal::Drop("bytes that belong to no message"));
        Some(Piece { message, bytes: end, last: false })
    }

    fn take(&mut self, end: usize) -> Piece {
        let whole: Vec<u8> = self.held.drain(..end).collect();
        self.doubtful = self.current.take().is_some_and(|head| whole.len() > head.end);
        (self.looked, self.passed, self.begun) = (0, 0, true);
        Piece { message: parse(&whole, Framing::Datagram), bytes: whole.len(), last: false }
    }

    /// What cannot be cut any further: the request is told so, if it is one.
    fn give_up(&mut self) -> Piece {
        let held = std::mem::take(self).held;
        let line = held.split(|b| *b == b'\n').next().unwrap_or_default();
        let head = &held[..held.len().min(HEAD_BYTES)];
        let refusal = too_long(String::from_utf8_lossy(line).trim_end(), headers_of(head));
        Piece { message: Err(refusal), bytes: held.len(), last: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nFrom: <sip:x@y>;tag=1\r\n\
        To: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 1 OPTIONS\r\nl: 4\r\n\r\nbody";

    #[test]
    fn messages_are_whole_however_they_are_cut_on_the_way() {
        let stream = format!("\r\n\r\n{MESSAGE}{MESSAGE}\r\n{}", MESSAGE.replace("\r\n", "\n"));
        for size in [1, 2, 7, 64, 10_000] {
            let (mut framer, mut requests, mut keep_alives) = (Framer::default(), 0, 0);
            for chunk in stream.as_bytes().chunks(size) {
                framer.push(chunk);
                while let Some(piece) = framer.cut() {
                    match piece.message {
                        Ok(Parsed::Request(request)) => {
                            assert_eq!(request.body, b"body");
                            requests += 1;
                        }
                        Ok(Parsed::KeepAlive) => keep_alives += 1,
                        other => panic!("{other:?}"),
                    }
                }
            }
            assert_eq!(requests, 3);
            assert!(keep_alives >= 2);
            assert!(!framer.is_within());
        }
    }

    fn request(method: &str, call: &str, kind: &str, length: isize, body: &str) -> String {
        let length = body.len() as isize + length;
        format!(
            "{method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nFrom: <sip:x@y>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }

    /// The messages of a stream that comes in chunks of `size`: call, whether it is one that was
    /// taken, its body. Then whatever `stalled` brings.
    fn cut(stream: &str, size: usize) -> Vec<(String, bool, String)> {
        let (mut framer, mut seen) = (Framer::default(), Vec::new());
        let mut note = |piece: Piece| match piece.message {
            Ok(Parsed::Request(request)) => {
                let body = String::from_utf8_lossy(&request.body).into_owned();
                seen.push((request.call_id(), true, body));
            }
            Err(Refusal::Answer { headers, .. }) => {
                seen.push((headers.text("call-id").unwrap_or_default().into_owned(), false, String::new()));
            }
            _ => {}
        };
        for chunk in stream.as_bytes().chunks(size) {
            framer.push(chunk);
            while let Some(piece) = framer.cut() {
                note(piece);
            }
        }
        if let Some(piece) = framer.stalled() {
            note(piece);
        }
        seen
    }

    const MULTIPART: &str = "multipart/mixed;boundary=rec";
    const PARTS: &str = "--rec\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--rec\r\n\r\n<recording>\u{e6}\u{f8}\u{e5}\u{e6}\u{f8}\u{e5}</recording>\r\n--rec--\r\n";

    #[test]
    fn a_wrong_length_costs_no_other_message() {
        let xml = "<recording>\r\n<name>S\u{f8}ren \u{c6}r\u{f8}</name>\r\n</recording>\r\n";
        for (kind, body) in
            [(MULTIPART, PARTS), ("application/sdp", "v=0\r\ns=-\r\n"), ("application/rs-metadata+xml", xml)]
        {
            for length in [-60_isize, -21, -12, -9, -7, -6, -3, -2, -1, 0, 1, 2, 6, 40, 200, 5_000] {
                if -length > body.len() as isize - 2 {
                    continue;
                }
                let stream = request("UPDATE", "first", kind, length, body)
                    + &request("INVITE", "second", MULTIPART, 0, PARTS)
                    + &request("BYE", "third", "", 0, "");
                for size in [1, 5, 64, 700, 100_000] {
                    let seen = cut(&stream, size);
                    let calls: Vec<&str> = seen.iter().map(|(call, ..)| call.as_str()).collect();
                    assert_eq!(calls, ["first", "second", "third"], "{kind} {length} {size}");
                    assert_eq!((seen[1].1, seen[1].2.as_str()), (true, PARTS), "{kind} {length} {size}");
                    assert!(seen[2].1);
                }
            }
        }
    }

    #[test]
    fn a_body_whose_length_was_counted_in_characters_is_taken_whole() {
        let counted = PARTS.chars().count() as isize - PARTS.len() as isize;
        let stream = request("INVITE", "one", MULTIPART, counted, PARTS);
        assert_eq!(cut(&stream, 10_000), [("one".to_owned(), true, PARTS.to_owned())]);
        assert_eq!(cut(&stream, 1)[0].0, "one");
    }

    #[test]
    fn line_ends_too_many_or_too_few_cost_nothing() {
        for between in ["\r\n\r\n", "\r\n", "\n", "\0", "\r\n\0\r\n"] {
            let stream = MESSAGE.to_owned() + between + MESSAGE;
            assert_eq!(cut(&stream, 7).len(), 2, "{between:?}");
        }
        let short = request("INVITE", "short", "application/sdp", 2, "v=0\r\n");
        assert_eq!(
            cut(&short, 99),
            [("short".to_owned(), true, "v=0\r\n".to_owned())],
            "taken once it stalls"
        );
        let half = request("INVITE", "half", MULTIPART, 300, "--rec\r\n\r\nhalf");
        assert_eq!(cut(&half, 99), [("half".to_owned(), false, String::new())], "refused, and answered");
    }

    #[test]
    fn a_missing_length_ends_where_the_body_does() {
        let without = |text: String| text.replace("Content-Length", "X-Length");
        let stream = without(request("INVITE", "one", MULTIPART, 0, PARTS))
            + &without(request("INVITE", "two", "application/sdp", 0, "v=0\r\n"))
            + &MESSAGE.replace("l: 4", "k: x").replace("body", "");
        for size in [1, 64, 10_000] {
            let seen = cut(&stream, size);
            assert_eq!(seen.len(), 3, "{size}");
            assert_eq!((seen[0].2.as_str(), seen[1].2.as_str()), (PARTS, "v=0\r\n"));
        }
    }

    #[test]
    fn a_message_inside_of_a_message_is_its_body() {
        let inner = request("INVITE", "inner", "", 0, "");
        let stream = request("NOTIFY", "outer", "message/sipfrag", 0, &inner) + MESSAGE;
        for size in [1, 50, 10_000] {
            let calls: Vec<String> = cut(&stream, size).into_iter().map(|(call, ..)| call).collect();
            assert_eq!(calls, ["outer", "i"]);
        }
    }

    #[test]
    fn what_never_was_sip_ends_the_connection_at_once() {
        for text in ["GET / HTTP/1.1\r\n", "\u{16}\u{3}\u{1}\n"] {
            let mut framer = Framer::default();
            framer.push(text.as_bytes());
            assert!(framer.cut().unwrap().last);
        }
        let mut framer = Framer::default();
        framer.push(MESSAGE.as_bytes());
        assert!(framer.cut().unwrap().message.is_ok());
        let ended = (0..MESSAGE_BYTES).any(|_| {
            framer.push(b"never a start line, again and again\r\n");
            framer.cut().is_some_and(|piece| piece.last)
        });
        assert!(ended);
    }

    #[test]
    fn what_cannot_be_delimited_ends_the_connection() {
        for text in [
            MESSAGE.replace("l: 4", "l: -4"),
            MESSAGE.replace("l: 4", "l: 4\r\nl: 5"),
            MESSAGE.replace("l: 4", "l: 99999999"),
            "x".repeat(HEAD_BYTES + 1),
        ] {
            let mut framer = Framer::default();
            framer.push(text.as_bytes());
            let piece = framer.cut().unwrap();
            assert!(piece.last && piece.message.is_err());
            assert!(framer.cut().is_none());
        }
    }
}

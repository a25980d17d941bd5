//! Cuts a stream of bytes into messages.
//!
//! In: bytes as a connection delivers them. Out: messages, keep-alives, refusals. Not here:
//! the connection.
//!
//! Source: RFC 3261 §18.3, RFC 5626 §4.4.1.

use super::parse::{
    Framing, HEAD_BYTES, MESSAGE_BYTES, Parsed, Refusal, content_length, head_end, headers_of, parse,
};

/// A stream that is being cut.
#[derive(Debug, Default)]
pub struct Framer {
    held: Vec<u8>,
}

/// One piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub message: Result<Parsed, Refusal>,
    /// How long it was.
    pub bytes: usize,
    /// Whether the stream can be cut no further: close the connection once it is answered.
    pub last: bool,
}

impl Framer {
    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Whether a message has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.held.iter().any(|b| !matches!(b, b'\r' | b'\n'))
    }

    /// The next whole piece.
    pub fn cut(&mut self) -> Option<Piece> {
        let blank = self.held.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        if blank > 0 {
            self.held.drain(..blank);
            return Some(Piece { message: Ok(Parsed::KeepAlive), bytes: blank, last: false });
        }
        let Some(head) = head_end(&self.held) else {
            let endless = self.held.len() > HEAD_BYTES;
            return endless.then(|| self.give_up("header too long"));
        };
        let length = match content_length(&headers_of(&self.held[..head])) {
            Ok(length) => length.unwrap_or(0),
            Err(_) => {
                // Where the message ends cannot be known: it is answered, and nothing after it.
                let message = parse(&self.held[..head], Framing::Stream);
                let bytes = std::mem::take(&mut self.held).len();
                return Some(Piece { message, bytes, last: true });
            }
        };
        if head.saturating_add(length) > MESSAGE_BYTES {
            return Some(self.give_up("longer than any message that is read"));
        }
        if self.held.len() < head + length {
            return None;
        }
        let whole: Vec<u8> = self.held.drain(..head + length).collect();
        Some(Piece { message: parse(&whole, Framing::Stream), bytes: whole.len(), last: false })
    }

    fn give_up(&mut self, why: &'static str) -> Piece {
        let bytes = std::mem::take(&mut self.held).len();
        Piece { message: Err(Refusal::Drop(why)), bytes, last: true }
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

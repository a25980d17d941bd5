//! SIP messages for a client. In: bytes. Out: a [`Message`], or the bytes of one.
//!
//! Source: RFC 3261 §7.

/// A request or a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    pub start: String,
    /// Fields in order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Message {
    /// Parses a complete message.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let fields = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((long(name.trim()), value.trim().to_owned()))
        });
        Some(Self { start, fields: fields.collect(), body: body.to_owned() })
    }

    /// Length of the first message in a stream, once it is complete.
    pub fn length(bytes: &[u8]) -> Option<usize> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = Self::parse(&bytes[..end])?;
        let body = head.field("content-length").and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        (bytes.len() >= end + body).then_some(end + body)
    }

    /// Status code; 0 for a request.
    pub fn code(&self) -> u16 {
        let rest = self.start.strip_prefix("SIP/2.0 ").unwrap_or_default();
        rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Method of a request, or of the request that a response belongs to.
    pub fn method(&self) -> &str {
        match self.code() {
            0 => self.start.split(' ').next().unwrap_or_default(),
            _ => self.field("cseq").and_then(|text| text.split_whitespace().nth(1)).unwrap_or_default(),
        }
    }

    /// CSeq number.
    pub fn number(&self) -> u32 {
        let text = self.field("cseq").unwrap_or_default();
        text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// The first field with this lower-case name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every field with this lower-case name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A response to this request. `contact` and `body` are sent with a session description.
    pub fn answer(&self, code: u16, contact: Option<&str>, body: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {code} {}\r\n", if code < 300 { "OK" } else { "No" });
        for name in ["via", "from", "to", "call-id", "cseq", "record-route"] {
            for value in self.all(name) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if let Some(contact) = contact {
            text.push_str(&format!("Contact: {contact}\r\n"));
        }
        if !body.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        text.into_bytes()
    }
}

fn long(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let long = match lower.as_str() {
        "v" => "via",
        "f" => "from",
        "t" => "to",
        "i" => "call-id",
        "m" => "contact",
        "l" => "content-length",
        "c" => "content-type",
        other => other,
    };
    long.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_from_a_stream_and_answered() {
        let text = "BYE sip:a SIP/2.0\r\nv: SIP/2.0/TCP r;branch=1\r\nCSeq: 7 BYE\r\nl: 2\r\n\r\nhiNEXT";
        let length = Message::length(text.as_bytes()).unwrap();
        let message = Message::parse(&text.as_bytes()[..length]).unwrap();
        assert_eq!((message.method(), message.number(), message.body.as_str()), ("BYE", 7, "hi"));
        let answer = Message::parse(&message.answer(200, None, "")).unwrap();
        assert_eq!((answer.code(), answer.method()), (200, "BYE"));
        assert_eq!(answer.field("via"), Some("SIP/2.0/TCP r;branch=1"));
        assert_eq!(Message::length(&text.as_bytes()[..length - 1]), None);
    }
}

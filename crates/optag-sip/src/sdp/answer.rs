//! The writer of our side's descriptions.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Answered, Codec, Direction, Media, Offer};
use optag_media::codec::Encoding;
use optag_media::rtp::srtp::SrtpKey;

/// Our side of a session: what each answer and each offer of ours is written from. Ports,
/// order and labels stay as they are from the first answer to the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Stays the same for the whole session. Source: RFC 8866 §5.2.
    session_id: u64,
    /// Goes up with each text that differs from the one before.
    version: u64,
    /// The last text without its o= line.
    last: String,
    /// One entry an m= line, in the client's order.
    pub lines: Vec<Line>,
}

/// Our side of one m= line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Kind, profile and formats of the client's line.
    kind: String,
    proto: String,
    formats: Vec<String>,
    label: Option<String>,
    mid: Option<String>,
    rtcp_mux: bool,
    direction: Direction,
    events: Vec<(u8, u32)>,
    #[serde(default)]
    noise: Vec<(u8, u32)>,
    codecs: Vec<Codec>,
    /// The key of what we send, and which of the client's lines it answers.
    #[serde(default)]
    crypto: Option<Answered>,
    /// Whether the client has no use for the stream now, or sends it as nobody can decode.
    off: bool,
    /// The stream that is taken in for it; `None` refuses it with port 0.
    pub taken: Option<Taken>,
    /// Whether we send as well.
    #[serde(skip)]
    sends: bool,
}

/// A stream that is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Index of the stream in its call; `None` where nothing is recorded and nothing listens.
    pub stream: Option<u8>,
    /// Where its packets go.
    pub address: SocketAddr,
}

impl Description {
    /// Our side without any stream yet.
    pub fn new(session_id: u64) -> Self {
        Self { session_id, version: session_id, last: String::new(), lines: Vec::new() }
    }

    /// Takes over what the client's text says of each line. Lines that it has and we do not
    /// are added, refused until they are [`Line::taken`]; ours that it lacks are kept as
    /// they were, for a client that may come back to them.
    pub fn follow(&mut self, offer: &Offer) {
        for (at, media) in offer.media.iter().enumerate() {
            match self.lines.get_mut(at) {
                Some(line) => line.follow(media),
                None => self.lines.push(Line::new(media)),
            }
        }
    }

    /// A line of ours in an offer that we make: PCMU, PCMA and telephone events.
    pub fn offer_line(&mut self, label: Option<String>, taken: Option<Taken>) {
        let codec = |encoding: Encoding| Codec {
            payload_type: encoding.static_payload_type().unwrap_or_default(),
            rtpmap: encoding.codec().rtpmap(),
            fmtp: None,
            format: None,
        };
        self.lines.push(Line {
            kind: "audio".to_owned(),
            proto: "RTP/AVP".to_owned(),
            formats: Vec::new(),
            label,
            mid: None,
            rtcp_mux: false,
            direction: Direction::Sendonly,
            events: vec![(101, 8_000)],
            noise: Vec::new(),
            codecs: vec![codec(Encoding::Pcmu), codec(Encoding::Pcma)],
            crypto: None,
            off: false,
            taken,
            sends: false,
        });
    }

    /// The text of an answer in which media flows both ways. `lines` m= lines are written.
    pub fn two_way(&mut self, own: IpAddr, lines: usize) -> Vec<u8> {
        for line in &mut self.lines {
            line.sends = true;
        }
        self.text(own, lines, true)
    }

    /// The text. `lines` m= lines are written: as many as the client's text has. With
    /// `listening` false, each is inactive.
    pub fn text(&mut self, own: IpAddr, lines: usize, listening: bool) -> Vec<u8> {
        let mut body = format!("s=-\r\nc={}\r\nt=0 0\r\n", connection(own));
        for line in self.lines.iter().take(lines) {
            line.write(&mut body, own, listening);
        }
        if body != self.last {
            self.version += u64::from(!self.last.is_empty());
            self.last.clone_from(&body);
        }
        let origin = format!("v=0\r\no=optag {} {} {}\r\n", self.session_id, self.version, connection(own));
        (origin + &body).into_bytes()
    }
}

impl Line {
    fn new(media: &Media) -> Self {
        let mut line = Self {
            kind: String::new(),
            proto: String::new(),
            formats: Vec::new(),
            label: None,
            mid: None,
            rtcp_mux: false,
            direction: Direction::Inactive,
            events: Vec::new(),
            noise: Vec::new(),
            codecs: Vec::new(),
            crypto: None,
            off: false,
            taken: None,
            sends: false,
        };
        line.follow(media);
        line
    }

    /// The stream's label, where the client gave one.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The key of what we send, where the stream is encrypted.
    pub fn own_key(&self) -> Option<&SrtpKey> {
        self.crypto.as_ref().map(Answered::key)
    }

    /// Answers with this format alone, beside key events and comfort noise.
    pub fn choose(&mut self, payload_type: u8) {
        self.codecs.retain(|codec| codec.payload_type == payload_type);
    }

    fn follow(&mut self, media: &Media) {
        self.kind.clone_from(&media.kind);
        self.proto.clone_from(&media.proto);
        self.formats.clone_from(&media.formats);
        self.label = media.label.clone().or(self.label.take());
        self.mid.clone_from(&media.mid);
        self.rtcp_mux = media.rtcp_mux;
        self.direction = media.direction;
        self.events.clone_from(&media.events);
        self.noise.clone_from(&media.noise);
        self.codecs.clone_from(&media.codecs);
        self.crypto = media.chosen_crypto().and_then(|offered| Answered::to(offered, self.crypto.take()));
        let unreadable = media.is_secure() && self.crypto.is_none();
        self.off = !media.is_audio() || media.is_multicast() || unreadable || media.codecs.is_empty();
    }

    /// Our stream, as long as the client's line has a use for it.
    fn live(&self) -> Option<Taken> {
        self.taken.filter(|_| !self.off)
    }

    fn write(&self, out: &mut String, own: IpAddr, listening: bool) {
        let others = self.noise.iter().chain(&self.events).map(|(payload_type, _)| *payload_type);
        let known: Vec<u8> = self.codecs.iter().map(|c| c.payload_type).chain(others).collect();
        let formats: Vec<String> = match (self.live(), known.is_empty()) {
            (Some(_), false) => known.iter().map(u8::to_string).collect(),
            _ if self.formats.is_empty() => vec!["0".to_owned()],
            _ => self.formats.clone(),
        };
        let port = self.live().map_or(0, |taken| taken.address.port());
        let _ = write!(out, "m={} {port} {} {}\r\n", self.kind, self.proto, formats.join(" "));
        let taken = match self.live() {
            Some(taken) => taken,
            None => {
                self.write_names(out);
                return;
            }
        };
        if taken.address.ip() != own && !taken.address.ip().is_unspecified() {
            let _ = write!(out, "c={}\r\n", connection(taken.address.ip()));
        }
        for codec in &self.codecs {
            let _ = write!(out, "a=rtpmap:{} {}\r\n", codec.payload_type, codec.rtpmap);
            if let Some(fmtp) = &codec.fmtp {
                let _ = write!(out, "a=fmtp:{} {fmtp}\r\n", codec.payload_type);
            }
        }
        for (payload_type, clock_hz) in &self.noise {
            let _ = write!(out, "a=rtpmap:{payload_type} CN/{clock_hz}\r\n");
        }
        for (payload_type, clock_hz) in &self.events {
            let _ = write!(out, "a=rtpmap:{payload_type} telephone-event/{clock_hz}\r\n");
            let _ = write!(out, "a=fmtp:{payload_type} 0-15\r\n");
        }
        self.write_names(out);
        if let Some(crypto) = &self.crypto {
            let _ = write!(out, "a=crypto:{}\r\n", crypto.text());
        }
        if self.rtcp_mux {
            out.push_str("a=rtcp-mux\r\n");
        }
        let direction = match (listening, self.sends) {
            (false, _) => Direction::Inactive,
            (true, false) => self.direction.answered(),
            (true, true) => self.direction.reversed(),
        };
        let _ = write!(out, "a={}\r\n", direction.name());
    }

    fn write_names(&self, out: &mut String) {
        for (name, value) in [("label", &self.label), ("mid", &self.mid)] {
            if let Some(value) = value {
                let _ = write!(out, "a={name}:{value}\r\n");
            }
        }
    }
}

fn connection(ip: IpAddr) -> String {
    format!("IN {} {ip}", if ip.is_ipv4() { "IP4" } else { "IP6" })
}

//! The reader of session descriptions.

use std::net::IpAddr;

use super::crypto::Crypto;
use super::{Codec, Direction, MEDIA_LINES, Media, Offer, SDP_BYTES, SdpError};
use crate::feed::PayloadFormat;
use optag_media::codec::{Encoding, table};

/// Comfort noise. Source: RFC 3389 §4.
const COMFORT_NOISE: u8 = 13;

/// Reads a description. Lines that cannot be read are skipped; c= and direction at the
/// start of the text count for each m= line that has none of its own.
///
/// Errors: no m= line, or beyond the caps.
pub fn parse(text: &[u8]) -> Result<Offer, SdpError> {
    if text.len() > SDP_BYTES {
        return Err(SdpError::TooLong);
    }
    let text = String::from_utf8_lossy(text);
    let mut session = Section::default();
    let mut sections: Vec<(MLine, Section)> = Vec::new();
    let mut readable = false;
    for line in text.split(['\n', '\r']) {
        let Some((kind, value)) = line.trim_end().split_once('=') else { continue };
        if kind.trim() == "m" {
            let m = MLine::read(value);
            readable |= m.is_some();
            sections.push((m.unwrap_or_else(|| MLine::refused(value)), Section::default()));
            if sections.len() > MEDIA_LINES {
                return Err(SdpError::TooLong);
            }
            continue;
        }
        let section = sections.last_mut().map_or(&mut session, |(_, section)| section);
        section.read(kind.trim(), value.trim());
    }
    if !readable {
        return Err(SdpError::NoMedia);
    }
    let groups = std::mem::take(&mut session.groups);
    let media = sections.into_iter().map(|(m, section)| media(m, section, &session)).collect();
    let mut offer = Offer { media, groups };
    for set in offer.alternatives() {
        let plain = |line: &usize| offer.media[*line].is_audio() && !offer.media[*line].is_secure();
        let plain_too = set.iter().any(plain);
        set.into_iter().for_each(|line| offer.media[line].plain_too = plain_too);
    }
    Ok(offer)
}

/// The four fields of an m= line.
struct MLine {
    kind: String,
    port: u16,
    proto: String,
    formats: Vec<String>,
}

impl MLine {
    fn read(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let (kind, port, proto) = (words.next()?, words.next()?, words.next()?);
        let port = port.split('/').next()?.parse().ok()?;
        let formats = words.map(str::to_owned).take(64).collect();
        Some(Self { kind: kind.to_owned(), port, proto: proto.to_owned(), formats })
    }

    /// A line that cannot be read has its place in the answer all the same (RFC 3264 §6).
    fn refused(value: &str) -> Self {
        let mut words = value.split_whitespace();
        let kind = words.next().unwrap_or("audio").to_owned();
        let proto = words.nth(1).unwrap_or("RTP/AVP").to_owned();
        Self { kind, port: 0, proto, formats: words.map(str::to_owned).take(64).collect() }
    }
}

/// Lines of the session or of one m= line.
#[derive(Default)]
struct Section {
    /// What c= names: an address, or something that is none.
    address: Option<Option<IpAddr>>,
    groups: Vec<(String, Vec<String>)>,
    direction: Option<Direction>,
    label: Option<String>,
    mid: Option<String>,
    rtpmap: Vec<(u8, String)>,
    fmtp: Vec<(u8, String)>,
    crypto: Vec<Crypto>,
    rtcp_mux: bool,
    rtcp: Option<(u16, Option<IpAddr>)>,
    record_paused: Option<bool>,
}

impl Section {
    fn read(&mut self, kind: &str, value: &str) {
        match kind {
            "c" => {
                let address = value.split_whitespace().nth(2).unwrap_or_default();
                let bare = address.split(['/', '%']).next().unwrap_or_default().trim_matches(['[', ']']);
                self.address = Some(bare.parse().ok().map(|ip: IpAddr| ip.to_canonical()));
            }
            "a" => {
                let (name, rest) = value.split_once(':').unwrap_or((value, ""));
                self.attribute(&name.trim().to_ascii_lowercase(), rest.trim());
            }
            _ => {}
        }
    }

    fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "sendrecv" => self.direction = Some(Direction::Sendrecv),
            "sendonly" => self.direction = Some(Direction::Sendonly),
            "recvonly" => self.direction = Some(Direction::Recvonly),
            "inactive" => self.direction = Some(Direction::Inactive),
            "label" if !value.is_empty() => self.label = Some(value.to_owned()),
            "mid" if !value.is_empty() => self.mid = Some(value.to_owned()),
            "group" if self.groups.len() < MEDIA_LINES => {
                let mut words = value.split_whitespace().map(str::to_owned);
                self.groups.extend(words.next().map(|kind| (kind, words.take(MEDIA_LINES).collect())));
            }
            "rtpmap" => self.rtpmap.extend(typed(value)),
            "fmtp" => self.fmtp.extend(typed(value)),
            "crypto" => self.crypto.extend(Crypto::parse(value)),
            "rtcp-mux" => self.rtcp_mux = true,
            // Source: RFC 3605 §2.1.
            "rtcp" => {
                let mut words = value.split_whitespace();
                let port = words.next().and_then(|port| port.parse().ok()).filter(|port| *port != 0);
                let ip = words.nth(2).and_then(|ip| ip.parse().ok());
                self.rtcp = port.map(|port| (port, ip)).or(self.rtcp);
            }
            "record" => self.record_paused = Some(matches!(value, "off" | "paused")),
            _ => {}
        }
    }
}

/// `97 value` of rtpmap and fmtp.
fn typed(value: &str) -> Option<(u8, String)> {
    let (number, rest) = value.split_once(char::is_whitespace)?;
    let number = number.parse::<u8>().ok().filter(|n| *n < 128)?;
    Some((number, rest.trim().to_owned()))
}

fn media(m: MLine, section: Section, session: &Section) -> Media {
    let mut media = Media {
        address: section.address.or(session.address).flatten(),
        plain_too: false,
        heard_from: None,
        direction: section.direction.or(session.direction).unwrap_or_default(),
        label: section.label,
        mid: section.mid,
        codecs: Vec::new(),
        events: Vec::new(),
        noise: Vec::new(),
        rtcp_mux: section.rtcp_mux,
        rtcp: section.rtcp,
        crypto: section.crypto,
        record_paused: section.record_paused.or(session.record_paused).unwrap_or(false),
        kind: m.kind,
        port: m.port,
        proto: m.proto,
        formats: m.formats,
    };
    let mut types: Vec<u8> = Vec::new();
    for payload_type in media.formats.iter().filter_map(|f| f.parse().ok()).filter(|n| *n < 128) {
        if !types.contains(&payload_type) {
            types.push(payload_type);
        }
    }
    for payload_type in types {
        let mapped = section.rtpmap.iter().find(|(number, _)| *number == payload_type);
        let Some(rtpmap) = mapped.map(|(_, map)| map.clone()).or_else(|| static_map(payload_type)) else {
            continue;
        };
        let (name, clock_hz, channels) = split_map(&rtpmap);
        if name.eq_ignore_ascii_case("telephone-event") {
            media.events.push((payload_type, clock_hz));
        } else if name.eq_ignore_ascii_case("CN") {
            media.noise.push((payload_type, clock_hz));
        } else {
            let fmtp = section.fmtp.iter().find(|(number, _)| *number == payload_type);
            let fmtp = fmtp.map(|(_, text)| text.clone());
            let known = Encoding::from_sdp(name, clock_hz, channels, fmtp.as_deref().unwrap_or_default());
            media.codecs.extend(known.map(|encoding| {
                let format = Some(PayloadFormat { payload_type, encoding });
                Codec { payload_type, rtpmap: rtpmap.clone(), fmtp, format }
            }));
        }
    }
    media
}

/// What a payload type means that no rtpmap explains.
///
/// Source: RFC 3551 §6.
fn static_map(payload_type: u8) -> Option<String> {
    match payload_type {
        COMFORT_NOISE => Some("CN/8000".to_owned()),
        _ => table::by_static_payload_type(payload_type).map(table::Codec::rtpmap),
    }
}

/// Name, clock and channels of an rtpmap.
fn split_map(map: &str) -> (&str, u32, u8) {
    let mut parts = map.split('/').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let clock_hz = parts.next().and_then(|n| n.parse().ok()).unwrap_or(8_000);
    (name, clock_hz, parts.next().and_then(|n| n.parse().ok()).unwrap_or(1))
}

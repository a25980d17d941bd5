//! Offers as sent by different equipment: order and wording of the session description, form of the metadata,
//! header fields. In: a call. Out: an [`Offer`].
//!
//! Source: RFC 7866 §7 and RFC 7865 for the plain one; the others follow messages captured from the
//! equipment, or its vendors' documentation.

use std::net::IpAddr;

use crate::load::srtp;
use optag_media::codec::coded::Codec;
use optag_media::rtp::srtp::SrtpKey;

/// Tag of our keys in descriptions, unlikely to be chosen by chance.
pub const CRYPTO_TAG: u32 = 37;

/// The equipment whose offers are imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// According to the standards.
    Plain,
    /// Oracle (Acme Packet): older names of ids, large labels, a vendor element for the calling party.
    Oracle,
    /// Cisco CUBE: a third body part, addresses at each line.
    Cube,
    /// Cisco CUBE without SIPREC metadata: one header field per participant.
    CubeHeaders,
    /// Ribbon: prefixed elements, its own call data, labels in reverse order of the speakers.
    Ribbon,
    /// AudioCodes: bare line feeds in the metadata, identifiers of contact-centre equipment.
    AudioCodes,
    /// BroadWorks: metadata first, part headers without spaces, lengths in the parts.
    BroadWorks,
    /// OpenSIPS: the newer media type, quoted boundary, metadata last.
    OpenSips,
    /// An INVITE without an offer: the server makes it, our ACK has the answer.
    Delayed,
}

impl Shape {
    /// All shapes, in the order of a mixed run.
    pub const ALL: [Shape; 9] = [
        Shape::Plain,
        Shape::Oracle,
        Shape::Cube,
        Shape::CubeHeaders,
        Shape::Ribbon,
        Shape::AudioCodes,
        Shape::BroadWorks,
        Shape::OpenSips,
        Shape::Delayed,
    ];

    /// Labels of the first and the second line.
    const fn labels(self) -> [&'static str; 2] {
        match self {
            Shape::Oracle => ["16777227", "16777228"],
            Shape::OpenSips => ["caller", "callee"],
            _ => ["1", "2"],
        }
    }

    /// The index of the line with the caller's voice.
    pub const fn caller_line(self) -> usize {
        match self {
            Shape::Ribbon => 1,
            _ => 0,
        }
    }
}

/// The data of a recorded call in its metadata.
#[derive(Clone, Debug)]
pub struct CallInfo {
    /// Unique name of the call.
    pub name: String,
    /// Calling number.
    pub caller_number: String,
    /// Called number.
    pub called_number: String,
    /// The caller's name.
    pub caller_name: String,
    /// Codec of both streams.
    pub codec: Codec,
    /// Keys of the caller's and the employee's stream, if encrypted.
    pub keys: Option<[SrtpKey; 2]>,
    /// Source address of the streams.
    pub ip: IpAddr,
}

/// Direction of the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Sendonly,
    /// Inactive: the call is on hold.
    Inactive,
}

/// The content of an INVITE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Additional header fields, with line ends.
    pub fields: String,
    /// The body; empty for a delayed offer.
    pub body: String,
}

/// The initial offer of a session.
pub fn offer(shape: Shape, info: &CallInfo) -> Offer {
    let sdp = sdp(shape, info, Direction::Sendonly, 1);
    let xml = metadata(shape, info);
    let session = "Content-Disposition: session;handling=required\r\n";
    let recording = "Content-Disposition: recording-session\r\n";
    let part = |kind: &str, more: &str, body: &str| {
        format!("--optag-load\r\nContent-Type: {kind}\r\n{more}\r\n{body}\r\n")
    };
    let (old, new) = ("application/rs-metadata", "application/rs-metadata+xml");
    let (kind, body) = match shape {
        Shape::Plain | Shape::Delayed => (
            "multipart/mixed;boundary=optag-load",
            part("application/sdp", "", &sdp) + &part(new, recording, &xml) + "--optag-load--\r\n",
        ),
        Shape::Oracle | Shape::Ribbon => (
            "multipart/mixed; boundary=optag-load",
            part("application/sdp", session, &sdp) + &part(new, recording, &xml) + "--optag-load-- \r\n",
        ),
        Shape::Cube => (
            "multipart/mixed;boundary=optag-load",
            part("application/sdp", session, &sdp)
                + &part(new, recording, &xml)
                + &part("application/gtd", "Content-Disposition: signal;handling=optional\r\n", "IAM,\r\n"),
        ),
        Shape::CubeHeaders => ("application/sdp", sdp),
        Shape::AudioCodes => (
            "multipart/mixed;boundary=optag-load",
            part("application/sdp", "", &sdp)
                + &part(old, recording, &xml.replace("\r\n", "\n"))
                + "--optag-load--",
        ),
        Shape::BroadWorks => {
            let bare = |kind: &str, body: &str| {
                format!(
                    "--optag-load\r\nContent-Type:{kind}\r\nContent-Length:{}\r\n\r\n{body}\r\n",
                    body.len()
                )
            };
            (
                "multipart/mixed;boundary=optag-load",
                bare(new, &xml) + &bare("application/sdp", &sdp) + "--optag-load--\r\n",
            )
        }
        Shape::OpenSips => (
            "multipart/mixed;boundary=\"optag-load\"",
            part("application/sdp", "", &sdp) + &part(new, recording, &xml) + "--optag-load--\r\n",
        ),
    };
    let mut fields = match shape {
        Shape::CubeHeaders => format!(
            "X-Cisco-Recording-Participant: sip:{}@{ip};media-index=\"0\"\r\n\
             X-Cisco-Recording-Participant: sip:{}@{ip};media-index=\"1\"\r\n",
            info.caller_number,
            info.called_number,
            ip = host(info.ip),
        ),
        _ => "Require: siprec\r\n".to_owned(),
    };
    if shape == Shape::Delayed {
        let xml = metadata(shape, info);
        fields.push_str(&format!("Content-Type: {new}\r\nContent-Disposition: recording-session\r\n"));
        return Offer { fields, body: xml };
    }
    fields.push_str(&format!("Content-Type: {kind}\r\n"));
    Offer { fields, body }
}

/// A description of our streams. `version` increases with each.
pub fn sdp(shape: Shape, info: &CallInfo, direction: Direction, version: u32) -> String {
    let ip = info.ip;
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let of_line = matches!(shape, Shape::Cube | Shape::Ribbon);
    let session = if of_line { String::new() } else { format!("c=IN {family} {ip}\r\n") };
    let mut text = format!("v=0\r\no=load 7 {version} IN {family} {ip}\r\ns=-\r\n{session}t=0 0\r\n");
    let (codec, direction) = (
        info.codec,
        match direction {
            Direction::Sendonly => "sendonly",
            Direction::Inactive => "inactive",
        },
    );
    for (at, label) in shape.labels().into_iter().enumerate() {
        let side = usize::from(at != shape.caller_line());
        let key = info.keys.as_ref().map(|keys| &keys[side]);
        let profile = if key.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
        text.push_str(&format!("m=audio {} {profile} {} 101\r\n", 40_000 + 2 * at, codec.payload_type()));
        if of_line {
            text.push_str(&format!("c=IN {family} {ip}\r\n"));
        }
        text.push_str(&format!(
            "a=rtpmap:{} {}\r\na=rtpmap:101 telephone-event/{clock}\r\na=fmtp:101 0-15\r\na={direction}\r\na=label:{label}\r\n",
            codec.payload_type(),
            codec.rtpmap(),
            clock = codec.clock_hz(),
        ));
        if let Some(fmtp) = codec.fmtp() {
            text.push_str(&format!("a=fmtp:{} {fmtp}\r\n", codec.payload_type()));
        }
        if let Some(key) = key {
            let (suite, inline) = (key.suite().name(), srtp::inline(key));
            text.push_str(&format!("a=crypto:{CRYPTO_TAG} {suite} inline:{inline}\r\n"));
        }
    }
    text
}

fn host(ip: IpAddr) -> String {
    if ip.is_ipv4() { ip.to_string() } else { format!("[{ip}]") }
}

/// The metadata of a call.
fn metadata(shape: Shape, info: &CallInfo) -> String {
    let host = host(info.ip);
    let CallInfo { name, caller_number, called_number, caller_name, .. } = info;
    let [first, second] = shape.labels();
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n";
    match shape {
        Shape::Oracle => {
            let party = |id: &str, number: &str, shown: &str, stream: &str, calls: bool| {
                format!(
                    "<participant id=\"{id}\" session=\"{name}\"><nameID aor=\"sip:{number}@{host}\"><name>{shown}</name></nameID>\
                     <send>{stream}</send><associate-time>2026-01-02T03:04:05</associate-time>\
                     <extensiondata xmlns:apkt=\"http://acmepacket.com/siprec/extensiondata\">\
                     <apkt:callingParty>{calls}</apkt:callingParty></extensiondata></participant>\r\n"
                )
            };
            let stream = |id: &str, label: &str| {
                format!(
                    "<stream id=\"{id}\" session=\"{name}\"><label>{label}</label><mode>separate</mode></stream>\r\n"
                )
            };
            format!(
                "{head}<recording xmlns='urn:ietf:params:xml:ns:recording'>\r\n<datamode>complete</datamode>\r\n\
                 <session id=\"{name}\"><associate-time>2026-01-02T03:04:05</associate-time></session>\r\n{}{}{}{}</recording>",
                party("p1", caller_number, caller_name, "s1", true),
                party("p2", called_number, called_number, "s2", false),
                stream("s1", first),
                stream("s2", second),
            )
        }
        Shape::Ribbon => format!(
            "{head}<tns:recording xmlns:tns='urn:ietf:params:xml:ns:recording'><tns:datamode>complete</tns:datamode>\r\n\
             <tns:group group_id=\"g{name}\"><tns:associate-time>1970-05-13T03:29:05Z</tns:associate-time>\
             <callData xmlns='urn:ietf:params:xml:ns:callData'>\
             <fromhdr>\"{caller_name}\" &lt;sip:{caller_number}@{host}&gt;;tag=a</fromhdr>\
             <tohdr>&lt;sip:{called_number}@{host}&gt;</tohdr><gcid>{name}</gcid></callData></tns:group>\r\n\
             <tns:session session_id=\"{name}\"><tns:group-ref>g{name}</tns:group-ref></tns:session>\r\n\
             <tns:participant participant_id=\"p1\"><tns:nameID aor=\"{caller_number}@{host}\"><tns:name xml:lang=\"en\">{caller_name}</tns:name></tns:nameID></tns:participant>\r\n\
             <tns:participant participant_id=\"p2\"><tns:nameID aor=\"{called_number}@{host}\"><tns:name> </tns:name></tns:nameID></tns:participant>\r\n\
             <tns:stream stream_id=\"s1\" session_id=\"{name}\"><tns:label>{first}</tns:label></tns:stream>\
             <tns:stream stream_id=\"s2\" session_id=\"{name}\"><tns:label>{second}</tns:label></tns:stream>\r\n\
             <tns:participantstreamassoc participant_id=\"p1\"><tns:send>s2</tns:send><tns:recv>s1</tns:recv></tns:participantstreamassoc>\r\n\
             <tns:participantstreamassoc participant_id=\"p2\"><tns:send>s1</tns:send><tns:recv>s2</tns:recv></tns:participantstreamassoc>\r\n\
             </tns:recording>"
        ),
        _ => {
            let more = match shape {
                Shape::AudioCodes => {
                    format!("<ac:AvayaUCID xmlns=\"urn:ietf:params:xml:ns:Avaya\">{name}</ac:AvayaUCID>\r\n")
                }
                Shape::Cube => format!("<sipSessionID>{name};remote={name}</sipSessionID>\r\n"),
                _ => String::new(),
            };
            format!(
                "{head}<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\">\r\n<datamode>complete</datamode>\r\n\
                 <group group_id=\"g{name}\"><associate-time>2026-01-02T03:04:05Z</associate-time></group>\r\n\
                 <session session_id=\"{name}\"><group-ref>g{name}</group-ref>{more}</session>\r\n\
                 <participant participant_id=\"p1\"><nameID aor=\"sip:{caller_number}@{host}\"><name>{caller_name}</name></nameID></participant>\r\n\
                 <participant participant_id=\"p2\"><nameID aor=\"sip:{called_number}@{host}\"/></participant>\r\n\
                 <stream stream_id=\"s1\" session_id=\"{name}\"><label>{first}</label></stream>\r\n\
                 <stream stream_id=\"s2\" session_id=\"{name}\"><label>{second}</label></stream>\r\n\
                 <participantstreamassoc participant_id=\"p1\"><send>s1</send><recv>s2</recv></participantstreamassoc>\r\n\
                 <participantstreamassoc participant_id=\"p2\"><send>s2</send><recv>s1</recv></participantstreamassoc>\r\n\
                 </recording>"
            )
        }
    }
}

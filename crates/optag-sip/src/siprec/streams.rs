//! Selects which of a client's streams are recorded, and their setup for the engine.
//!
//! In: an offer and who takes part. Out: streams for the [`Feed`](crate::feed),
//! one decision per m= line: which stream it became, or why none.

use crate::feed::{EventFormat, ExpectedSource, NewStream, RtcpPlan, SrtpPlan, StreamMedia};
use crate::sdp::{Media, Offer};
use crate::siprec::metadata::merged::View;
use crate::siprec::parties::{Hints, Parties, role};
use crate::siprec::settings::MediaSource;
use optag_core::call::{RefusedStreams, StreamRole};
use optag_core::limit::{STREAMS_PER_CALL, TEXT_CHARS};
use optag_media::rtp::srtp::SrtpKey;

/// Offered keys per stream that are tried.
const KEYS_OF_STREAM: usize = 4;

/// The decision about an m= line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamDecision {
    /// Recorded as the stream with this index.
    Stream(u8),
    /// Not audio: video, text or data.
    NotAudio,
    /// An alternative of a line that is recorded.
    Alternative,
    /// Sent to a multicast group.
    Multicast,
    /// Encrypted without a usable key in the SDP.
    Encrypted,
    /// No supported codec.
    NoCodec,
    /// The call has the maximum number of streams.
    TooMany,
    /// Disabled by the client.
    Unused,
}

/// The streams of an initial offer.
pub fn choose(
    offer: &Offer,
    view: &View,
    hints: &Hints,
    parties: &Parties,
    source: MediaSource,
) -> (Vec<NewStream>, Vec<StreamDecision>) {
    let spare = spare(offer, |_| false);
    let usable = count(offer, &spare);
    let (mut streams, mut decisions) = (Vec::new(), Vec::new());
    for (at, media) in offer.media.iter().enumerate() {
        let decision = match refused(media) {
            Some(decision) => decision,
            None if spare.contains(&at) => StreamDecision::Alternative,
            None if streams.len() >= STREAMS_PER_CALL => StreamDecision::TooMany,
            None => StreamDecision::Stream(streams.len() as u8),
        };
        decisions.push(decision);
        if let StreamDecision::Stream(_) = decision {
            let at = streams.len();
            let written = media.label.clone().unwrap_or_default();
            let role = role(view, hints, parties, &written, at, usable);
            streams.push(NewStream {
                label: unique(&written, &streams),
                role,
                speaker: None,
                media: stream_media(media, source),
            });
        }
    }
    (streams, decisions)
}

/// Lines that are refused because another line of theirs is taken: one that has been, else the first
/// usable one over the address family that the text itself came by, else the first usable one.
pub fn spare(offer: &Offer, taken: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut spare = Vec::new();
    for set in offer.alternatives() {
        let usable: Vec<usize> =
            set.into_iter().filter(|line| refused(&offer.media[*line]).is_none()).collect();
        let near = |line: &&usize| {
            let media = &offer.media[**line];
            let families = media.address.zip(media.heard_from);
            families.is_none_or(|(one, other)| one.is_ipv4() == other.is_ipv4())
        };
        let chosen = usable.iter().find(|line| taken(**line));
        let chosen = chosen.or_else(|| usable.iter().find(near)).or(usable.first()).copied();
        spare.extend(usable.into_iter().filter(|line| Some(*line) != chosen));
    }
    spare
}

/// How many streams an offer describes, `spare` lines left out.
pub fn count(offer: &Offer, spare: &[usize]) -> usize {
    let usable = |(at, media): (usize, &Media)| refused(media).is_none() && !spare.contains(&at);
    offer.media.iter().enumerate().filter(|line| usable(*line)).count()
}

/// A stream of a client that left the offer to us.
pub fn unknown_stream(label: String, role: StreamRole) -> NewStream {
    let format = |payload_type, encoding| crate::feed::PayloadFormat { payload_type, encoding };
    use optag_media::codec::Encoding::{Pcma, Pcmu};
    NewStream {
        label,
        role,
        speaker: None,
        media: StreamMedia {
            formats: vec![format(0, Pcmu), format(8, Pcma)],
            telephone_event: vec![EventFormat { payload_type: 101, clock_hz: 8_000 }],
            ..StreamMedia::default()
        },
    }
}

/// What a line's stream carries.
pub fn stream_media(media: &Media, source: MediaSource) -> StreamMedia {
    let event = |&(payload_type, clock_hz): &(u8, u32)| EventFormat { payload_type, clock_hz };
    let named = media.sender().filter(|_| source == MediaSource::Signalled);
    StreamMedia {
        formats: media.codecs.iter().filter_map(|codec| codec.format).collect(),
        telephone_event: media.events.iter().map(event).collect(),
        comfort_noise: media.noise.iter().map(|(payload_type, _)| *payload_type).collect(),
        source: ExpectedSource {
            ip: named,
            // Where a client takes packets is mostly, and need not be, where it sends them from.
            likely_port: named.map(|_| media.port),
            ..ExpectedSource::default()
        },
        srtp: srtp(media),
        rtcp: RtcpPlan {
            mux: media.rtcp_mux,
            port: media.rtcp.map(|(port, _)| port),
            ip: media.rtcp.and_then(|(_, ip)| ip),
        },
    }
}

/// How a line's packets are protected. The keys of the line that is answered come first; some
/// clients send under another that they offered. Our own key is added by whoever has it.
fn srtp(media: &Media) -> Option<SrtpPlan> {
    media.chosen_crypto()?;
    let receive = media.crypto.iter().flat_map(|crypto| &crypto.keys).take(KEYS_OF_STREAM).cloned();
    Some(SrtpPlan {
        receive: receive.collect(),
        send: None,
        required: media.is_secure() && !media.plain_too,
        roc: 0,
    })
}

/// The stream of a line that a later text adds. `own_key` is the key of what we send, `others`
/// are labels of lines before it.
pub fn added<'a>(
    media: &Media,
    source: MediaSource,
    own_key: Option<&SrtpKey>,
    mut others: impl Iterator<Item = &'a str>,
    at: usize,
    role: StreamRole,
) -> NewStream {
    let written = media.label.as_deref().unwrap_or_default();
    let mut label: String = written.chars().take(TEXT_CHARS - 4).collect();
    if label.is_empty() {
        label = format!("{}", at + 1);
    } else if others.any(|other| other == written) {
        label = format!("{label}-{}", at + 1);
    }
    let mut new = NewStream { label, role, speaker: None, media: stream_media(media, source) };
    if let Some(srtp) = &mut new.media.srtp {
        srtp.send = own_key.cloned();
    }
    new
}

/// EndReason a line can be no stream.
pub fn refused(media: &Media) -> Option<StreamDecision> {
    if media.port == 0 {
        return Some(StreamDecision::Unused);
    }
    if !media.is_audio() {
        return Some(StreamDecision::NotAudio);
    }
    if media.is_multicast() {
        return Some(StreamDecision::Multicast);
    }
    if media.is_without_key() {
        return Some(StreamDecision::Encrypted);
    }
    media.codecs.is_empty().then_some(StreamDecision::NoCodec)
}

/// Counts the audio lines that are not recorded.
pub fn count_refused(refused: &mut RefusedStreams, decisions: &[StreamDecision]) {
    for decision in decisions {
        match decision {
            StreamDecision::Encrypted => refused.encrypted += 1,
            StreamDecision::NoCodec => refused.no_codec += 1,
            StreamDecision::Multicast => refused.multicast += 1,
            StreamDecision::TooMany => refused.no_room += 1,
            StreamDecision::Stream(_)
            | StreamDecision::NotAudio
            | StreamDecision::Alternative
            | StreamDecision::Unused => {}
        }
    }
}

/// A label that no other stream of the call has.
pub fn unique(label: &str, others: &[NewStream]) -> String {
    let mut label: String = label.chars().take(TEXT_CHARS - 4).collect();
    if label.is_empty() {
        label = format!("{}", others.len() + 1);
    }
    let taken = |label: &str| others.iter().any(|stream| stream.label == label);
    if !taken(&label) {
        return label;
    }
    (2..).map(|n| format!("{label}-{n}")).find(|other| !taken(other)).unwrap_or(label)
}

/// Puts the caller on the first channel and the employee on the second, whatever the order of
/// the m= lines.
pub fn caller_first(streams: &mut Vec<NewStream>, decisions: &mut [StreamDecision]) {
    let rank = |role| match role {
        StreamRole::Caller => 0,
        StreamRole::Employee => 1,
        StreamRole::Mixed | StreamRole::Other => 2,
    };
    let mut order: Vec<usize> = (0..streams.len()).collect();
    order.sort_by_key(|at| rank(streams[*at].role));
    for decision in decisions {
        if let StreamDecision::Stream(index) = decision
            && let Some(now) = order.iter().position(|at| *at == usize::from(*index))
        {
            *index = now as u8;
        }
    }
    *streams = order.into_iter().map(|at| streams[at].clone()).collect();
}

//! The body of a stream, and its validation. Keys are write-only: no response and no log line contains them,
//! not even if they are invalid.

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::http::calls::body::Wrong;
use crate::http::calls::offer::{DrawnKey, Offer, draw_key, draw_ssrc};
use optag_core::base64;
use optag_core::call::{RefusedStreams, StreamRole};
use optag_core::limit;
use optag_core::private::Private;
use optag_media::codec::{Encoding, table};
use optag_media::rtp::srtp::{SrtpKey, Suite};
use optag_sip::feed::{
    EventFormat, ExpectedSource, NewStream, PayloadFormat, RtcpPlan, SrtpPlan, StreamMedia,
};

/// The most common payload type for RFC 4733 events.
const TELEPHONE_EVENT: u8 = 101;
/// Maximum initial roll-over counter: one that a call could not reach in a year of 10 ms packets.
const ROC_MOST: u32 = 50_000;

/// The audio of one party.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamBody {
    /// Your label of the stream, unique within the call.
    pub(in crate::http) label: String,
    /// `caller`, `employee`, `mixed` or `other`. Default: the first is the caller, the second the employee; a
    /// single one is mixed; one that joins later is `other`.
    #[schema(value_type = Option<String>)]
    pub(in crate::http) role: Option<StreamRole>,
    /// Number, SIP address, user name, agent id or name of who speaks, where you know it: of employees who object to being
    /// recorded (`[employees]` in the configuration) nothing is kept. It is not stored. In a PUT: who speaks from now on.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub(in crate::http) speaker: Option<Private<String>>,
    /// Its codec.
    #[schema(schema_with = codec_names)]
    codec: Encoding,
    /// Default: the codec's static payload type, if it has one.
    payload_type: Option<u8>,
    /// Payload type of key presses (RFC 4733); null for none.
    #[serde(default = "default_event")]
    #[schema(default = 101)]
    telephone_event: Option<u8>,
    /// The source of the packets. Others are refused. `ip` is required, unless the packets are encrypted or
    /// the configuration has `learn_rtp_source`.
    source: Option<SourceBody>,
    /// Encryption of the packets; default: none.
    #[serde(default, deserialize_with = "quiet")]
    srtp: Option<SrtpBody>,
    /// RTCP parameters.
    #[serde(default)]
    rtcp: RtcpBody,
}

/// A stream's sender.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceBody {
    /// Its address.
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    /// Its port.
    port: Option<u16>,
    /// Its SSRC.
    ssrc: Option<u32>,
}

/// The keys of a stream.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SrtpBody {
    /// `AES_CM_128_HMAC_SHA1_80`, `AES_CM_128_HMAC_SHA1_32`, `AES_256_CM_HMAC_SHA1_80`,
    /// `AES_256_CM_HMAC_SHA1_32`, `AEAD_AES_128_GCM` or `AEAD_AES_256_GCM`.
    suite: String,
    /// Master key and salt, concatenated, in base64 (as after `inline:` in SDP). If omitted when a stream is
    /// announced, one is generated and returned in the response.
    #[schema(format = Password)]
    key: Option<String>,
    /// Master key identifier in hexadecimal, if packets carry one.
    mki: Option<String>,
    /// The sender's initial roll-over counter; default 0.
    roc: Option<u32>,
    /// Key of our RTCP reports, for the same suite and in the same format as `key`. Default: no reports are
    /// sent.
    #[schema(format = Password)]
    report_key: Option<String>,
}

/// RTCP of a stream.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RtcpBody {
    /// Whether it is multiplexed with RTP. Otherwise it uses the following port.
    #[serde(default)]
    mux: bool,
    /// The port on which you receive reports, if it is not the one after your source port.
    port: Option<u16>,
}

/// The names of the codecs in this build, case-insensitive.
fn codec_names() -> Object {
    let described = table::built().map(|codec| {
        let own = codec.static_payload_type.map(|own| format!(", payload type {own}")).unwrap_or_default();
        format!("`{}`: {} ({}){own}", codec.name, codec.title, codec.source)
    });
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(table::names()))
        .description(Some(described.collect::<Vec<_>>().join("; ")))
        .build()
}

fn default_event() -> Option<u8> {
    Some(TELEPHONE_EVENT)
}

/// Deserialises a value that must not appear in error messages.
fn quiet<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    let wrong =
        |_| serde::de::Error::custom("an object is wanted: suite, key, and if needed mki, roc, report_key");
    if value.is_null() { Ok(None) } else { T::deserialize(value).map(Some).map_err(wrong) }
}

/// Why a stream that asks to join can never be recorded as it is: an unknown codec or SRTP suite, packets to a group.
/// `None` where it is only written wrongly.
pub(in crate::http) fn unfit(json: &Value) -> Option<RefusedStreams> {
    let unknown_codec = json["codec"].is_string() && Encoding::deserialize(&json["codec"]).is_err();
    let unknown_suite = json["srtp"]["suite"].as_str().is_some_and(|name| Suite::named(name).is_none());
    let ip = json["source"]["ip"].as_str().and_then(|text| text.parse::<IpAddr>().ok());
    let none = RefusedStreams::default();
    if ip.is_some_and(|ip| ip.is_multicast()) {
        Some(RefusedStreams { multicast: 1, ..none })
    } else if unknown_suite {
        Some(RefusedStreams { encrypted: 1, ..none })
    } else {
        unknown_codec.then_some(RefusedStreams { no_codec: 1, ..none })
    }
}

/// What a stream's body may omit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Leave {
    /// The source of the packets: the first sender is accepted.
    pub source: bool,
    /// The key: one is generated and returned.
    pub key: bool,
}

impl StreamBody {
    /// Validates the body; `at` is the path of the stream with a trailing dot, or empty.
    pub(in crate::http) fn check(&self, at: &str, leave: Leave, wrong: &mut Wrong) {
        wrong.text(&format!("{at}label"), &self.label, limit::TEXT_CHARS);
        let payload_type = self.payload_type.or(self.codec.static_payload_type());
        if payload_type.is_none() {
            wrong.add(format!("{at}payload_type"), "this codec has none of its own: say which");
        } else if self.audio_type() > 127 {
            wrong.add(format!("{at}payload_type"), "0 to 127 is allowed");
        }
        if self.telephone_event.is_some_and(|event| event > 127) {
            wrong.add(format!("{at}telephone_event"), "0 to 127 is allowed");
        } else if self.telephone_event == Some(self.audio_type()) {
            wrong.add(format!("{at}telephone_event"), "this is the payload type of the audio");
        }
        self.check_source(at, leave, wrong);
        if self.source.as_ref().is_some_and(|source| source.port == Some(0)) {
            wrong.add(format!("{at}source.port"), "1 to 65535 is allowed");
        }
        if self.rtcp.port == Some(0) {
            wrong.add(format!("{at}rtcp.port"), "1 to 65535 is allowed");
        }
        if let Some(srtp) = &self.srtp {
            srtp.check(&format!("{at}srtp."), leave, wrong);
        }
    }

    /// Without an address anyone who reaches the port could send audio, and the key press that means yes.
    fn check_source(&self, at: &str, leave: Leave, wrong: &mut Wrong) {
        let ip = self.source.as_ref().and_then(|source| source.ip);
        if ip.is_some_and(|ip| ip.is_unspecified() || ip.is_multicast()) {
            wrong.add(format!("{at}source.ip"), "the address of one machine is wanted");
        } else if ip.is_none() && self.srtp.is_none() && !leave.source {
            wrong.add(
                format!("{at}source.ip"),
                "required: the address that the packets come from. `learn_rtp_source = true` in [api] of \
                 the configuration takes streams without it, from whoever sends first",
            );
        }
    }

    fn audio_type(&self) -> u8 {
        self.payload_type.or(self.codec.static_payload_type()).unwrap_or_default()
    }

    /// The validated stream, and the response's offer for it. `role` is the default role.
    pub(in crate::http) fn stream(mut self, role: StreamRole) -> (NewStream, Offer) {
        let drawn = self.srtp.as_mut().is_some_and(SrtpBody::draw);
        let mut new = self.plan(role);
        let plain = new.media.srtp.is_none() && new.media.source.ssrc.is_none();
        new.media.source.offered_ssrc = plain.then(draw_ssrc).flatten();
        let key = new.media.srtp.as_ref().and_then(|srtp| srtp.receive.first()).filter(|_| drawn);
        let offer = Offer { ssrc: new.media.source.offered_ssrc, srtp: key.map(DrawnKey::of) };
        (new, offer)
    }

    fn plan(self, role: StreamRole) -> NewStream {
        let payload_type = self.audio_type();
        let source = self.source.map_or_else(ExpectedSource::default, |source| ExpectedSource {
            ip: source.ip,
            port: source.port,
            ssrc: source.ssrc,
            ..ExpectedSource::default()
        });
        // Events use the clock rate of the audio that they interrupt (RFC 4733 §2.1).
        let event = |payload_type| EventFormat { payload_type, clock_hz: self.codec.clock_hz() };
        NewStream {
            label: self.label,
            role: self.role.unwrap_or(role),
            speaker: self.speaker,
            media: StreamMedia {
                formats: vec![PayloadFormat { payload_type, encoding: self.codec }],
                telephone_event: self.telephone_event.into_iter().map(event).collect(),
                comfort_noise: Vec::new(),
                source,
                srtp: self.srtp.map(SrtpBody::plan),
                rtcp: RtcpPlan { mux: self.rtcp.mux, port: self.rtcp.port, ip: None },
            },
        }
    }
}

impl SrtpBody {
    fn check(&self, at: &str, leave: Leave, wrong: &mut Wrong) {
        let Some(suite) = Suite::named(&self.suite) else {
            let names = Suite::ALL.map(Suite::name).join(", ");
            return wrong.add(format!("{at}suite"), format!("no suite that is known: {names}"));
        };
        let bytes = suite.secret_bytes();
        if self.key.is_none() && !leave.key {
            wrong.add(format!("{at}key"), "required: the key that is in use, or a new one");
        }
        for (field, key) in [("key", self.key.as_ref()), ("report_key", self.report_key.as_ref())] {
            if key.is_some_and(|key| base64::decode(key).is_none_or(|secret| secret.len() != bytes)) {
                wrong.add(format!("{at}{field}"), format!("{bytes} bytes are wanted, in base64"));
            }
        }
        if self.mki.as_ref().is_some_and(|mki| hex_bytes(mki).is_none()) {
            wrong.add(format!("{at}mki"), "1 to 128 bytes, in hexadecimal");
        }
        if self.roc.is_some_and(|roc| roc > ROC_MOST) {
            wrong.add(format!("{at}roc"), format!("at most {ROC_MOST} is allowed"));
        }
    }

    /// Generates the key if the body has none; returns whether it succeeded.
    fn draw(&mut self) -> bool {
        let wanted = self.key.is_none();
        if wanted {
            self.key = Suite::named(&self.suite).and_then(draw_key);
        }
        wanted
    }

    /// If no key could be generated, the plan has none and every packet fails authentication: a stream meant
    /// to be encrypted is never accepted in the clear.
    fn plan(self) -> SrtpPlan {
        let suite = Suite::named(&self.suite);
        let of = |text: Option<&String>, mki: Vec<u8>| SrtpKey::new(suite?, base64::decode(text?)?, mki).ok();
        let mki = self.mki.as_deref().and_then(hex_bytes).unwrap_or_default();
        let receive = of(self.key.as_ref(), mki).into_iter().collect();
        let send = of(self.report_key.as_ref(), Vec::new());
        SrtpPlan { receive, send, required: true, roc: self.roc.unwrap_or(0) }
    }
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let whole = text.len().is_multiple_of(2) && (2..=256).contains(&text.len()) && text.is_ascii();
    let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    whole.then(|| (0..text.len()).step_by(2).map(digits).collect())?
}

//! Client of the recorder's API for simulated telephones.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::feed::{Admitted, Announcement};
use super::speech::RATE_HZ;
use super::srtp;
use optag_core::clock::WallTime;
use optag_media::fact::Gap;

/// A client with an access token.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: String,
    http: reqwest::Client,
}

/// The recorder's view of a call.
#[derive(Clone, Debug, Deserialize)]
pub struct CallView {
    /// Consent state.
    pub consent: String,
    /// Its outcome.
    pub outcome: Option<OutcomeView>,
    /// Its streams.
    pub streams: Vec<StreamView>,
}

/// Outcome of a call.
#[derive(Clone, Debug, Deserialize)]
pub struct OutcomeView {
    /// The outcome.
    pub outcome: String,
}

/// A stream of a call.
#[derive(Clone, Debug, Deserialize)]
pub struct StreamView {
    /// Its packet counters.
    pub counts: optag_media::fact::StreamCounts,
}

/// Details of a recording.
#[derive(Clone, Debug, Deserialize)]
pub struct RecordingView {
    /// When its first sample was spoken.
    pub recording_started_at: WallTime,
    /// Its duration.
    pub duration_ms: u64,
    /// Its size.
    pub size_bytes: u64,
    /// Spans without media.
    #[serde(default)]
    pub gaps: Vec<Gap>,
}

impl Client {
    /// A client of the recorder at `base`, for example `http://127.0.0.1:8080`.
    ///
    /// Errors: no HTTP client can be created.
    pub fn new(base: &str, token: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), token: token.to_owned(), http })
    }

    /// Announces a two-party call.
    ///
    /// Errors: it is refused, with the recorder's reason.
    pub async fn admit(&self, call: &Announcement) -> anyhow::Result<Admitted> {
        let asked = Instant::now();
        let codec = call.codec;
        let ip = self.local_ip().await.context("cannot determine the local address")?;
        let stream = |side: usize, role: &str| {
            let mut stream = json!({"label": role, "role": role, "codec": codec.name(), "payload_type": codec.payload_type(),
                "source": {"ip": ip, "port": call.source_ports[side]}});
            if let Some(keys) = &call.keys {
                let key = &keys[side];
                stream["srtp"] = json!({"suite": key.suite().name(), "key": srtp::inline(key)});
            }
            stream
        };
        let body = json!({
            "department": call.department,
            "caller_number": call.caller_number,
            "called_number": "70101010",
            "caller_name": call.caller_name,
            "streams": [stream(0, "caller"), stream(1, "employee")],
        });
        let answer = self.json(Method::POST, "/api/v1/calls", Some(body)).await?;
        let address = |n: usize| -> anyhow::Result<SocketAddr> {
            let stream = &answer["streams"][n];
            let ip = stream["address"].as_str().context("response without an address")?;
            let port = stream["port"].as_u64().context("response without a port")?;
            Ok(SocketAddr::new(ip.parse()?, port as u16))
        };
        let id = answer["id"].as_str().context("response without an id")?.to_owned();
        Ok(Admitted::by_api(id, [address(0)?, address(1)?], asked.elapsed()))
    }

    /// Ends a call; returns the recorder's view of it.
    ///
    /// Errors: from the recorder.
    pub async fn end(&self, id: &str) -> anyhow::Result<CallView> {
        let answer = self.json(Method::POST, &format!("/api/v1/calls/{id}/end"), None).await?;
        Ok(serde_json::from_value(answer)?)
    }

    /// The recorder's view of a call that was ended by other means.
    ///
    /// Errors: from the recorder; or it does not report the end within five seconds.
    pub async fn ended(&self, id: &str) -> anyhow::Result<CallView> {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let answer = self.json(Method::GET, &format!("/api/v1/calls/{id}"), None).await?;
            let view: CallView = serde_json::from_value(answer)?;
            if view.outcome.is_some() {
                return Ok(view);
            }
            if Instant::now() > until {
                bail!("the recorder did not report the end of call {id}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A recording, once it is stored: polled until `patience` is over. `None`: there is none.
    ///
    /// Errors: from the recorder.
    pub async fn recording(&self, id: &str, patience: Duration) -> anyhow::Result<Option<RecordingView>> {
        let until = tokio::time::Instant::now() + patience;
        let path = format!("/api/v1/recordings/{id}?purpose=administration");
        loop {
            let (status, body) = self.send(Method::GET, &path, None).await?;
            match status {
                200 => return Ok(Some(serde_json::from_slice(&body)?)),
                404 | 409 if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                404 | 409 | 410 => return Ok(None),
                _ => return Err(problem(status, &body)),
            }
        }
    }

    /// A recording's audio as WAV.
    ///
    /// Errors: from the recorder.
    pub async fn wav(&self, id: &str) -> anyhow::Result<Bytes> {
        let path = format!("/api/v1/recordings/{id}/audio?format=wav&purpose=administration");
        match self.send(Method::GET, &path, None).await? {
            (200, body) => Ok(body),
            (status, body) => Err(problem(status, &body)),
        }
    }

    /// The local address from which the recorder is reached.
    async fn local_ip(&self) -> anyhow::Result<IpAddr> {
        let url = reqwest::Url::parse(&self.base)?;
        let host = url.host_str().context("the recorder's address has no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().context("the recorder's address has no port")?;
        let to = tokio::net::lookup_host((host, port))
            .await?
            .next()
            .context("cannot resolve the recorder's host name")?;
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
        socket.connect(to)?;
        Ok(socket.local_addr()?.ip())
    }

    async fn json(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let (status, answer) = self.send(method, path, body).await?;
        if !(200..300).contains(&status) {
            return Err(problem(status, &answer));
        }
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<(u16, Bytes)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.with_context(|| format!("no response from {}", self.base))?;
        Ok((answer.status().as_u16(), answer.bytes().await?))
    }
}

fn problem(status: u16, body: &[u8]) -> anyhow::Error {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    anyhow::anyhow!(
        "{status} {}",
        json["detail"].as_str().or(json["title"].as_str()).unwrap_or("without a reason")
    )
}

/// The samples of a 16-bit PCM WAV file from the recorder, one list per channel, at 8 kHz: wideband audio is
/// reduced by averaging neighbouring samples.
///
/// Errors: it is not a WAV file.
pub fn wav_channels(wav: &[u8]) -> anyhow::Result<Vec<Vec<i16>>> {
    if wav.len() < 44 || !wav.starts_with(b"RIFF") {
        bail!("not a WAV");
    }
    let channels = usize::from(u16::from_le_bytes([wav[22], wav[23]])).max(1);
    let rate_hz = u32::from_le_bytes([wav[24], wav[25], wav[26], wav[27]]);
    let step = (rate_hz / RATE_HZ).max(1) as usize;
    let samples: Vec<i16> =
        wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let mean = |frames: &[i16], channel: usize| {
        let sum: i32 = frames.iter().skip(channel).step_by(channels).map(|&sample| i32::from(sample)).sum();
        (sum / step as i32) as i16
    };
    let narrow =
        |channel| samples.chunks_exact(channels * step).map(|frames| mean(frames, channel)).collect();
    Ok((0..channels).map(narrow).collect())
}

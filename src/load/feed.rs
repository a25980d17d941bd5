//! Announcement and end of a simulated call: the only place that depends on the kind of signalling. In: an
//! [`Announcement`]. Out: where to send the streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::client::{CallView, Client};
use super::sip::link::Link;
use super::sip::session::{Met, Session};
use super::sip::shape::{CallInfo, Shape};
use super::sip::{Identity, Target};
use optag_media::codec::coded::Codec;
use optag_media::rtp::srtp::SrtpKey;

/// Data of a call to announce.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Its number in the run.
    pub number: usize,
    /// Department called.
    pub department: String,
    /// Calling number.
    pub caller_number: String,
    /// The caller's name.
    pub caller_name: String,
    /// Codec of both streams.
    pub codec: Codec,
    /// The answer, if it is sent in signalling.
    pub signalled_answer: Option<&'static str>,
    /// Keys of the caller's and the employee's stream, if encrypted.
    pub keys: Option<[SrtpKey; 2]>,
    /// Source ports of the two streams.
    pub source_ports: [u16; 2],
}

/// An announced call that the recorder accepted.
pub struct Admitted {
    /// The recorder's id of it; empty if it is not reported.
    pub id: String,
    /// Where to send the caller's and the employee's stream.
    pub to: [SocketAddr; 2],
    /// Time until the recorder accepted it.
    pub after: Duration,
    session: Option<Session>,
}

/// Result of a call.
#[derive(Clone, Debug, Default)]
pub struct Closed {
    /// The recorder's view of it, if the feed provides it.
    pub view: Option<CallView>,
    /// Events of its signalling.
    pub met: Met,
}

/// The way in which calls are announced.
#[derive(Clone)]
pub enum Feed {
    /// The HTTP API.
    Api(Client),
    /// SIPREC.
    Sip(Arc<Sip>),
}

/// A session recording client.
pub struct Sip {
    /// The server.
    pub target: Target,
    /// The client's identity.
    pub identity: Identity,
    /// Offer shapes, used in turn; not empty.
    pub shapes: Vec<Shape>,
    /// Connections to the server, used in turn; not empty.
    pub links: Vec<Arc<Link>>,
    /// The recorder's API, if known: it reports how calls ended.
    pub api: Option<Client>,
    /// Makes the names of calls unique among runs.
    pub run: String,
}

impl Feed {
    /// Announces a call.
    ///
    /// Errors: it is refused, with the recorder's reason.
    pub async fn open(&self, call: &Announcement) -> anyhow::Result<Admitted> {
        match self {
            Feed::Api(client) => client.admit(call).await,
            Feed::Sip(sip) => sip.open(call).await,
        }
    }

    /// Ends a call; returns the recorder's view of it, if the feed provides it.
    ///
    /// Errors: from the recorder.
    pub async fn close(&self, mut call: Admitted) -> anyhow::Result<Closed> {
        match (self, call.session.take()) {
            (Feed::Api(client), _) => {
                Ok(Closed { view: Some(client.end(&call.id).await?), met: Met::default() })
            }
            (Feed::Sip(_), None) => Ok(Closed::default()),
            (Feed::Sip(sip), Some(mut session)) => {
                session.end().await?;
                let view = match &sip.api {
                    Some(api) if !call.id.is_empty() => Some(api.ended(&call.id).await?),
                    _ => None,
                };
                Ok(Closed { view, met: session.met })
            }
        }
    }
}

impl Admitted {
    /// A call accepted through the API.
    pub fn by_api(id: String, to: [SocketAddr; 2], after: Duration) -> Self {
        Self { id, to, after, session: None }
    }

    /// Whether the recorder currently accepts the streams.
    pub fn is_open(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.open)
    }

    /// Waits, answering the recorder's requests in the meantime.
    ///
    /// Errors: the connection to the recorder is lost.
    pub async fn wait(&mut self, span: Duration) -> anyhow::Result<()> {
        match &mut self.session {
            Some(session) => session.serve(span).await,
            None => {
                tokio::time::sleep(span).await;
                Ok(())
            }
        }
    }

    /// Waits until the recorder accepts the streams; returns whether it does within that time.
    ///
    /// Errors: the connection to the recorder is lost.
    pub async fn until_open(&mut self, span: Duration) -> anyhow::Result<bool> {
        match &mut self.session {
            Some(session) => session.until_open(span).await,
            None => Ok(true),
        }
    }

    /// Holds or resumes the call, if the signalling supports it.
    ///
    /// Errors: from the recorder.
    pub async fn hold(&mut self, held: bool) -> anyhow::Result<()> {
        match &mut self.session {
            Some(session) => session.hold(held).await,
            None => Ok(()),
        }
    }

    /// Relays key presses in signalling, if it supports them.
    ///
    /// Errors: from the recorder.
    pub async fn keys(&mut self, keys: &str) -> anyhow::Result<()> {
        match &mut self.session {
            Some(session) => session.keys(keys).await,
            None => Ok(()),
        }
    }
}

impl Sip {
    async fn open(&self, call: &Announcement) -> anyhow::Result<Admitted> {
        let link = Arc::clone(&self.links[call.number % self.links.len()]);
        let info = CallInfo {
            name: format!("{}-{}", self.run, call.number),
            caller_number: call.caller_number.clone(),
            called_number: "70101010".to_owned(),
            caller_name: call.caller_name.clone(),
            codec: call.codec,
            keys: call.keys.clone(),
            ip: link.local.ip(),
        };
        let mut target = self.target.clone();
        if target.user.is_empty() {
            target.user.clone_from(&call.department);
        }
        let consent = call.signalled_answer.map(|answer| format!("X-Recording-Consent: {answer}\r\n"));
        let shape = self.shapes[call.number % self.shapes.len()];
        let extra = consent.unwrap_or_default();
        let session = Session::begin(link, target, &self.identity, shape, info, &extra).await?;
        Ok(Admitted {
            id: session.call.clone(),
            to: session.streams,
            after: session.answered_after,
            session: Some(session),
        })
    }
}

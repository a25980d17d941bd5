//! How a simulated call is announced to the recorder, and how its end is told: the one place
//! that knows by which signalling. In: an [`Announcement`]. Out: where to send the streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::client::{CallView, Client};
use super::sip::link::Link;
use super::sip::session::{Met, Session};
use super::sip::shape::{Shape, Told};
use super::sip::{Identity, Target};
use optag_media::codec::coded::Codec;
use optag_media::rtp::srtp::SrtpKey;

/// A call as it is announced.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Its number in the run.
    pub number: usize,
    /// Department called.
    pub department: String,
    /// Number called from.
    pub caller_number: String,
    /// The caller's name.
    pub caller_name: String,
    /// Coding of both streams.
    pub codec: Codec,
    /// The answer, where signalling is to carry it.
    pub signalled_answer: Option<&'static str>,
    /// Keys of the caller's and the employee's stream, where they are protected.
    pub keys: Option<[SrtpKey; 2]>,
    /// Port that each of the two is sent from.
    pub source_ports: [u16; 2],
}

/// An announced call that the recorder took.
pub struct Admitted {
    /// The recorder's id of it; empty where the way does not tell.
    pub id: String,
    /// Where to send the caller's and the employee's stream.
    pub to: [SocketAddr; 2],
    /// How long it took until the recorder said so.
    pub after: Duration,
    session: Option<Session>,
}

/// How a call ended.
#[derive(Clone, Debug, Default)]
pub struct Closed {
    /// How the recorder saw it, where this way tells.
    pub view: Option<CallView>,
    /// What its signalling met.
    pub met: Met,
}

/// The way by which calls are announced.
#[derive(Clone)]
pub enum Feed {
    /// The HTTP API.
    Api(Client),
    /// SIPREC.
    Sip(Arc<Sip>),
}

/// A recording client.
pub struct Sip {
    /// The server.
    pub target: Target,
    /// Who we are.
    pub identity: Identity,
    /// What calls look like, in turn; not empty.
    pub shapes: Vec<Shape>,
    /// The ways to the server, used in turn; not empty.
    pub links: Vec<Arc<Link>>,
    /// The recorder's API, where it is known: it tells how calls ended.
    pub api: Option<Client>,
    /// Makes the names of calls differ from those of other runs.
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

    /// Tells that a call is over; how the recorder saw it, where this way tells.
    ///
    /// Errors: the recorder's.
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
    /// A call that the API took.
    pub fn by_api(id: String, to: [SocketAddr; 2], after: Duration) -> Self {
        Self { id, to, after, session: None }
    }

    /// Whether the recorder takes the streams at the moment.
    pub fn is_open(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.open)
    }

    /// Lets time pass, and answers what the recorder asks meanwhile.
    ///
    /// Errors: the way to the recorder is gone.
    pub async fn wait(&mut self, span: Duration) -> anyhow::Result<()> {
        match &mut self.session {
            Some(session) => session.serve(span).await,
            None => {
                tokio::time::sleep(span).await;
                Ok(())
            }
        }
    }

    /// Waits until the recorder takes the streams; whether it does within that time.
    ///
    /// Errors: the way to the recorder is gone.
    pub async fn until_open(&mut self, span: Duration) -> anyhow::Result<bool> {
        match &mut self.session {
            Some(session) => session.until_open(span).await,
            None => Ok(true),
        }
    }

    /// Holds the call, or resumes it, where the way has words for it.
    ///
    /// Errors: the recorder's.
    pub async fn hold(&mut self, held: bool) -> anyhow::Result<()> {
        match &mut self.session {
            Some(session) => session.hold(held).await,
            None => Ok(()),
        }
    }

    /// Relays keys by signalling, where the way has words for it.
    ///
    /// Errors: the recorder's.
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
        let told = Told {
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
        let session = Session::begin(link, target, &self.identity, shape, told, &extra).await?;
        Ok(Admitted {
            id: session.call.clone(),
            to: session.streams,
            after: session.answered_after,
            session: Some(session),
        })
    }
}

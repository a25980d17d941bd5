//! Serves a router on a listener, with protection against slow or greedy clients.
//!
//! A connection costs memory and a descriptor, so their number is limited. At the limit a new connection
//! replaces the one that has been idle longest, or whose client has not read its response for longest:
//! clients that open connections and leave them idle keep nobody out. Active connections are kept.

pub mod client_address;
pub(crate) mod client_timeouts;
pub mod health;
pub(crate) mod json;
pub(crate) mod openapi;
pub(crate) mod params;
pub(crate) mod range;
pub(crate) mod request_guard;
pub mod router;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::http::server::client_address::Peer;
use crate::http::server::client_timeouts::{Activity, Busy, Patient};
use crate::metrics::{self, ConnectionClosed};
use optag_core::owner::owner;

/// Pause after accepting failed (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection must have been idle before a new one may replace it.
const IDLE: Duration = Duration::from_secs(1);
/// How often a full listener checks for one.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Limits of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number per address, or per /64 network for IPv6.
    pub per_address: usize,
    /// Time for receiving a request's header, and idle timeout of a connection.
    pub header_timeout: Duration,
    /// How long a response may wait for its client to continue reading.
    pub write_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            per_address: 512,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// An open connection.
struct Open {
    task: AbortHandle,
    /// The owner of its address.
    peer: IpAddr,
    activity: Arc<Activity>,
}

/// The open connections of a listener.
struct Connections {
    tasks: JoinSet<()>,
    open: Vec<Open>,
    limits: ConnectionLimits,
}

impl Connections {
    fn new(limits: ConnectionLimits) -> Self {
        Self { tasks: JoinSet::new(), open: Vec::new(), limits }
    }

    /// Waits until one ends; for ever if there is none.
    async fn ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, ()))) => self.forget(id),
            Some(Err(error)) => self.forget(error.id()),
        }
    }

    fn forget(&mut self, id: Id) {
        self.open.retain(|one| one.task.id() != id);
    }

    /// Closes the connection that has been idle longest, of those from `peer` or of all; returns whether
    /// there was one.
    fn displace(&mut self, peer: Option<IpAddr>) -> bool {
        let candidates = self.open.iter().enumerate().filter(|(_, one)| peer.is_none_or(|ip| ip == one.peer));
        let idle = candidates.map(|(at, one)| (one.activity.idle(), at)).filter(|(idle, _)| *idle >= IDLE);
        let Some((_, at)) = idle.max() else { return false };
        self.open.swap_remove(at).task.abort();
        metrics::connection_closed(ConnectionClosed::Displaced);
        true
    }

    /// Makes room for another connection, or waits for it.
    async fn room(&mut self) {
        while self.open.len() >= self.limits.connections && !self.displace(None) {
            let _ = tokio::time::timeout(LOOK_AGAIN, self.ended()).await;
        }
    }

    /// Whether one more connection of this owner may be accepted.
    fn takes(&mut self, peer: IpAddr) -> bool {
        let theirs = self.open.iter().filter(|one| one.peer == peer).count();
        theirs < self.limits.per_address || self.displace(Some(peer))
    }
}

/// Serves until `shutdown` is ready, then lets open requests finish. Dropping the future closes them.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()>,
) {
    serve_behind(listener, router, limits, shutdown, None).await;
}

/// How TLS is made of a connection: asked anew for each, as certificates change.
pub type Door = Arc<dyn Fn() -> TlsAcceptor + Send + Sync>;

/// The same over TLS where there is a door. A handshake must end within the time for a request's header.
pub async fn serve_behind(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()>,
    door: Option<Door>,
) {
    let (stop, stopping) = watch::channel(false);
    let mut connections = Connections::new(limits);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            () = connections.room() => {}
        }
        tokio::select! {
            () = &mut shutdown => break,
            () = connections.ended() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if connections.takes(owner(peer.ip())) => {
                    let activity = Activity::new();
                    let guest = Guest { peer, activity: activity.clone(), stopping: stopping.clone() };
                    let connection = admit(stream, door.clone(), router.clone(), limits, guest);
                    let task = connections.tasks.spawn(connection);
                    connections.open.push(Open { task, peer: owner(peer.ip()), activity });
                }
                Ok(_) => metrics::connection_closed(ConnectionClosed::Address),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    while connections.tasks.join_next().await.is_some() {}
}

/// Whoever is at the other end of a connection, and what is known of it.
struct Guest {
    peer: SocketAddr,
    activity: Arc<Activity>,
    stopping: watch::Receiver<bool>,
}

async fn admit(
    stream: TcpStream,
    door: Option<Door>,
    router: Router,
    limits: ConnectionLimits,
    guest: Guest,
) {
    let Some(door) = door else { return converse(stream, router, limits, guest).await };
    let shaken = tokio::time::timeout(limits.header_timeout, door().accept(stream)).await;
    match shaken.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
        Ok(stream) => converse(stream, router, limits, guest).await,
        Err(error) => {
            metrics::connection_closed(ConnectionClosed::Handshake);
            tracing::debug!(peer = %guest.peer, %error, "TLS handshake failed");
        }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    limits: ConnectionLimits,
    guest: Guest,
) {
    let Guest { peer, activity, mut stopping } = guest;
    let at_work = activity.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let (answer, answering) = (router.clone().oneshot(request), at_work.answering());
        let activity = Arc::clone(&at_work);
        async move {
            let answer = answer.await;
            drop(answering);
            answer.map(|answer| answer.map(|body| Busy::new(body, activity)))
        }
    });
    let stream = TokioIo::new(Patient::new(stream, activity, limits.write_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .serve_connection(stream, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        if is_stalled(&error) {
            metrics::connection_closed(ConnectionClosed::Stalled);
        }
        tracing::debug!(%error, "a connection ended early");
    }
}

fn is_stalled(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::TimedOut) {
            return true;
        }
        source = error.source();
    }
    false
}

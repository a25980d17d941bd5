//! One request to a receiver. In: a message. Out: whether it was received. A connection of its own, to an address that was
//! looked at before; no redirect is followed, no proxy used, and of the answer only its status is read.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::client::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::is_public;
use super::message::Message;
use super::target::Target;
use crate::pem;

/// How long a receiver may take until it has answered.
const ANSWER: Duration = Duration::from_secs(10);

/// Why an event was not received.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It answered with a status other than 2xx; a redirect is none either.
    #[error("answered {0}")]
    Status(u16),
    /// None of its addresses is public.
    #[error("its name has no address of the public Internet (allow_private = true permits others)")]
    Private,
    /// It did not answer in time.
    #[error("no answer within {} s", ANSWER.as_secs())]
    TimedOut,
    /// It cannot be reached, or is not who it must be.
    #[error("{0}")]
    Unreachable(#[from] io::Error),
}

/// Sends a message.
///
/// Errors: it was not received, or nobody knows whether it was.
pub(super) async fn post(target: &Target, tls: &Tls, message: Message) -> Result<(), Failure> {
    tokio::time::timeout(ANSWER, send(target, tls, message)).await.unwrap_or(Err(Failure::TimedOut))
}

async fn send(target: &Target, tls: &Tls, message: Message) -> Result<(), Failure> {
    let stream = TcpStream::connect(&*addresses(target).await?).await?;
    let connector = tls.0.as_ref().map_err(|error| io::Error::other(error.clone()))?;
    let status = if let Some(connector) = connector {
        let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
        let stream = connector.connect(name, stream).await?;
        status(stream, target, message).await?
    } else {
        status(stream, target, message).await?
    };
    if (200..300).contains(&status) { Ok(()) } else { Err(Failure::Status(status)) }
}

/// Addresses that may be connected to. What was looked at here is what is connected to: a name that resolves to something
/// else a moment later changes nothing.
async fn addresses(target: &Target) -> Result<Vec<SocketAddr>, Failure> {
    let found: Vec<SocketAddr> = match target.host.parse::<IpAddr>() {
        Ok(address) => vec![(address, target.port).into()],
        Err(_) => tokio::net::lookup_host((target.host.as_str(), target.port)).await?.collect(),
    };
    let is_allowed = |one: &SocketAddr| target.allows_private || is_public(one.ip());
    let allowed: Vec<SocketAddr> = found.into_iter().filter(is_allowed).collect();
    if allowed.is_empty() { Err(Failure::Private) } else { Ok(allowed) }
}

/// How a receiver is connected to: nothing where it takes no TLS. Its certificates are read once for a batch, as they may
/// be replaced, and those of the system are many.
pub(super) struct Tls(Result<Option<TlsConnector>, String>);

impl Tls {
    /// As the files are now; what is wrong with them is told by each message.
    pub(super) fn of(target: &Target) -> Self {
        let connector = target.is_https.then(|| connector(target)).transpose();
        Self(connector.map_err(|error| error.to_string()))
    }
}

fn connector(target: &Target) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match &target.ca_file {
        Some(path) => {
            for certificate in pem::certificates(path)? {
                roots.add(certificate).map_err(io::Error::other)?;
            }
        }
        // What of the system's certificates cannot be read is missing, and then nothing chains to it.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The status of the answer.
async fn status(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    target: &Target,
    message: Message,
) -> io::Result<u16> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    let host = match (target.is_https, target.port) {
        (true, 443) | (false, 80) => host,
        (_, port) => format!("{host}:{port}"),
    };
    let request = Request::post(&target.path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/cloudevents+json; charset=UTF-8")
        .header(header::USER_AGENT, concat!("optag/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", message.id)
        .header("webhook-timestamp", message.timestamp)
        .header("webhook-signature", message.signature)
        .body(Body::from(message.body))
        .map_err(io::Error::other)?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(io::Error::other);
    driver.abort();
    Ok(answer?.status().as_u16())
}

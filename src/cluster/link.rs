//! Requests to other nodes. In: an address of the registry and a request. Out: the answer, or that the node cannot be
//! reached. One connection a request: they are rare, and a connection that is kept may lead to a node that is gone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use crate::cluster::tls::NodeTls;

/// How long a node may take until it is connected to.
const CONNECT: Duration = Duration::from_secs(2);
/// How long it may take for the answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest answer: a list of some 20,000 calls. Units: bytes.
const ANSWER_BYTES: usize = 32 << 20;

/// The node did not answer. It may have done what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(String);

/// The way to other nodes.
#[derive(Clone, Debug, Default)]
pub struct Link(Option<Arc<NodeTls>>);

impl Link {
    /// With these certificates; without any, no node is reached.
    pub fn new(tls: Option<Arc<NodeTls>>) -> Self {
        Self(tls)
    }

    /// Asks the node at `address`, which is `host:port`.
    ///
    /// Errors: it cannot be reached, is not who it must be, or did not answer in time.
    pub async fn ask(&self, address: &str, request: Request<Bytes>) -> Result<Response<Bytes>, Unreachable> {
        let asked = tokio::time::timeout(ANSWER, self.try_ask(address, request)).await;
        let asked = asked.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)));
        asked.map_err(|error| Unreachable(error.to_string()))
    }

    async fn try_ask(&self, address: &str, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
        let tls = self.0.as_ref().ok_or_else(|| io::Error::other("[cluster] is not set here"))?;
        if address.is_empty() {
            return Err(io::Error::other("[cluster] is not set there"));
        }
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let connected = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            tls.connector().connect(name, stream).await
        };
        let stream = tokio::time::timeout(CONNECT, connected)
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(connection);
        let asked = async {
            let answer = sender.send_request(request.map(Body::from)).await.map_err(io::Error::other)?;
            let (parts, body) = answer.into_parts();
            let body = to_bytes(Body::new(body), ANSWER_BYTES).await.map_err(io::Error::other)?;
            Ok(Response::from_parts(parts, body))
        };
        let answer = asked.await;
        driver.abort();
        answer
    }
}

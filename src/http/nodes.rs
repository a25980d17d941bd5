//! Requests about calls of other nodes. In: a request that came to the wrong node. Out: the answer of the node that has
//! the call, forwarded once; 503 where that node cannot be reached, and 404 only where the registry knows of no such call.
//!
//! Nodes ask each other over mutually authenticated TLS (`control`), with the actor of the original request.

pub(crate) mod by_id;
pub(crate) mod by_name;
pub(crate) mod callers;
pub mod control;
pub(crate) mod erasures;
pub(crate) mod listing;

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::header::HeaderValue;
use axum::http::{HeaderName, Request, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cluster::identity::Peer;
use crate::cluster::link::{Link, Unreachable};
use crate::cluster::shared_calls::SharedCalls;
use crate::http::access::Actor;
use crate::http::problem::Problem;
use crate::metrics::{self, Forwarded};

/// Seconds after which a request that no node could take may be repeated.
const RETRY_S: u32 = 5;
/// Where answers by name go.
const ANSWERS: &str = "/cluster/v1/answers";
/// Who asks, as the node says that sends the request on: JSON in base64.
const ACTOR: HeaderName = HeaderName::from_static("optag-actor");
/// Tells a node that does not have a call from one whose answer is 404.
const NOT_HERE: HeaderName = HeaderName::from_static("optag-not-here");

/// The other nodes.
#[derive(Debug)]
pub struct Nodes {
    /// Who has which call.
    pub shared: Arc<SharedCalls>,
    /// The way to them.
    pub link: Link,
}

impl Nodes {
    /// Sends a request to another node.
    ///
    /// Errors: it cannot be reached.
    async fn ask(&self, peer: &Peer, request: Request<Bytes>) -> Result<Response<Bytes>, Unreachable> {
        let asked = self.link.ask(&peer.address, request).await;
        match &asked {
            Ok(answer) if answer.headers().contains_key(&NOT_HERE) => metrics::forwarded(Forwarded::NotThere),
            Ok(_) => metrics::forwarded(Forwarded::Answered),
            Err(error) => {
                metrics::forwarded(Forwarded::Unreachable);
                tracing::warn!(node = peer.number, %error, "cannot reach another node");
            }
        }
        asked
    }

    /// Every other node that is not gone.
    fn peers(&self) -> Vec<Peer> {
        self.shared.members.others().into_iter().map(|member| member.peer).collect()
    }

    /// Another node that is not gone.
    fn peer(&self, number: u16) -> Option<Peer> {
        self.peers().into_iter().find(|peer| peer.number == number)
    }
}

/// Asks nodes, all at once: what they say, and the numbers of those of which nothing is heard.
async fn from_each<'a, T, F: Future<Output = Option<T>>>(
    peers: &'a [Peer],
    ask: impl Fn(&'a Peer) -> F,
) -> (Vec<T>, Vec<u16>) {
    let said = futures::future::join_all(peers.iter().map(ask)).await;
    let (mut heard, mut missing) = (Vec::new(), Vec::new());
    for (peer, said) in peers.iter().zip(said) {
        match said {
            Some(said) => heard.push(said),
            None => missing.push(peer.number),
        }
    }
    (heard, missing)
}

/// Who asks, for another node.
fn written(actor: &Actor) -> Option<HeaderValue> {
    HeaderValue::try_from(STANDARD.encode(serde_json::to_vec(actor).ok()?)).ok()
}

/// The same as it was read.
fn read(header: Option<&HeaderValue>) -> Option<Actor> {
    serde_json::from_slice(&STANDARD.decode(header?.as_bytes()).ok()?).ok()
}

fn unreachable(numbers: &[u16], then: &str) -> Problem {
    let nodes: Vec<String> = numbers.iter().map(u16::to_string).collect();
    let node = if nodes.len() > 1 { "nodes" } else { "node" };
    Problem::unavailable(format!("{node} {} cannot be reached; {then}", nodes.join(", ")), RETRY_S)
}

/// Of an answer that is kept, and that nobody has acknowledged.
const KEPT: &str =
    "the answer is kept and takes effect when it is back, and is not acknowledged before: ask again";
/// Of what is not kept.
const NOT_KEPT: &str = "nothing was changed for certain: ask again";

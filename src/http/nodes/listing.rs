//! The calls of all nodes. In: the calls here. Out: those of every node, newest first, and the nodes that did not answer.

use std::cmp::Reverse;

use axum::body::Bytes;
use axum::http::header::HOST;
use axum::http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cluster::identity::Peer;
use crate::http::access::Actor;
use crate::http::nodes::{ACTOR, Nodes, from_each, written};
use optag_core::id::CallId;

/// Where a node lists its own calls, for other nodes.
pub(super) const CALLS: &str = "/api/v1/calls";

/// The same with numbers and names; a node of an earlier version leaves them out.
const WITH_PARTIES: &str = "/api/v1/calls?parties=true";

/// A call as its node shows it.
#[derive(Debug)]
struct Listed {
    id: CallId,
    text: Box<RawValue>,
}

/// The calls of all nodes, newest first, with those `here`, and with the `parties` if wanted; and the numbers of the nodes that did not answer. All nodes
/// are asked at once.
pub(in crate::http) async fn of_all(
    nodes: &Nodes,
    actor: &Actor,
    here: Vec<Box<RawValue>>,
    parties: bool,
) -> (Vec<Box<RawValue>>, Vec<u16>) {
    let peers = nodes.peers();
    let (there, mut missing) = from_each(&peers, |peer| calls_of(nodes, peer, actor, parties)).await;
    let known = here.into_iter().chain(there.into_iter().flatten());
    let mut all: Vec<Listed> = known.filter_map(listed).collect();
    all.sort_by_key(|call| Reverse(call.id));
    // A call that moved to another node may be known to both.
    all.dedup_by_key(|call| call.id);
    missing.sort_unstable();
    (all.into_iter().map(|call| call.text).collect(), missing)
}

/// The calls of another node; none if it does not answer.
async fn calls_of(nodes: &Nodes, peer: &Peer, actor: &Actor, parties: bool) -> Option<Vec<Box<RawValue>>> {
    let place = if parties { WITH_PARTIES } else { CALLS };
    let request = Request::get(place).header(HOST, "optag").header(ACTOR, written(actor)?);
    let answer = nodes.ask(peer, request.body(Bytes::new()).ok()?).await.ok()?;
    // A node of an earlier version lists its calls to nobody else.
    let body = Some(answer).filter(|answer| answer.status() == StatusCode::OK)?.into_body();
    serde_json::from_slice(&body).ok()
}

fn listed(text: Box<RawValue>) -> Option<Listed> {
    #[derive(Deserialize)]
    struct Named {
        id: CallId,
    }
    let id = serde_json::from_str::<Named>(text.get()).ok()?.id;
    Some(Listed { id, text })
}

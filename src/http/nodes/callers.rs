//! Recordings of a caller that other nodes have not delivered yet. In: a number. Out: their ids, by the nodes that have
//! them; 503 where one of the nodes cannot be reached, since nobody else knows what it has.

use std::collections::HashSet;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Request, StatusCode};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use crate::cluster::identity::Peer;
use crate::http::access::{Actor, Permission};
use crate::http::nodes::{ACTOR, NOT_KEPT, Nodes, from_each, unreachable, written};
use crate::http::problem::Problem;
use crate::http::server::json::Body;
use crate::http::services::Services;
use optag_core::id::CallId;
use optag_core::private::Private;

/// Where a node is asked what waits in its spool.
pub(super) const CALLERS: &str = "/cluster/v1/callers";

/// The caller.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallerBody {
    number: Private<String>,
}

#[derive(Serialize)]
struct SentNumber<'a> {
    number: &'a str,
}

impl Nodes {
    /// Recordings of this caller, in the actor's departments, that other nodes have not delivered yet. All nodes are asked
    /// at once.
    ///
    /// Errors: one that is not gone cannot be reached.
    pub(in crate::http) async fn waiting_of_caller(
        &self,
        number: &Private<String>,
        actor: &Actor,
    ) -> Result<HashSet<CallId>, Problem> {
        let (found, missing) = from_each(&self.peers(), |peer| self.waiting_at(peer, number, actor)).await;
        if missing.is_empty() {
            Ok(found.into_iter().flatten().collect())
        } else {
            Err(unreachable(&missing, NOT_KEPT))
        }
    }

    /// None where the node does not answer, or is of a version that does not know the question.
    async fn waiting_at(&self, peer: &Peer, number: &Private<String>, actor: &Actor) -> Option<Vec<CallId>> {
        let body = serde_json::to_vec(&SentNumber { number: number.reveal() }).ok()?;
        let request = Request::post(CALLERS)
            .header(HOST, "optag")
            .header(ACTOR, written(actor)?)
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(body));
        let answer = self.ask(peer, request.ok()?).await.ok()?;
        let body = Some(answer).filter(|answer| answer.status() == StatusCode::OK)?.into_body();
        serde_json::from_slice(&body).ok()
    }
}

/// What this node has not delivered yet, for another one.
pub(super) async fn waiting_here(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Body(CallerBody { number }): Body<CallerBody>,
) -> Result<Json<Vec<CallId>>, Problem> {
    actor.need(Permission::Erase)?;
    Ok(Json(services.requests.waiting_of_caller(number, actor.departments).await))
}

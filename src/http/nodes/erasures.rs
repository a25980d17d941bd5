//! Erasure of a recording that only another node can know: its call is still in that node's spool. In: a request that
//! found nothing here. Out: what the node that recorded the call did; 503 where that node cannot be reached.

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::http::access::Actor;
use crate::http::audited::Purpose;
use crate::http::nodes::{ACTOR, NOT_KEPT, Nodes, unreachable, written};
use crate::http::problem::Problem;
use crate::http::recordings::library::EraseReceipt;
use optag_core::id::CallId;

/// An erasure as it was asked for.
#[derive(Clone, Debug)]
pub(in crate::http) struct AskedErasure {
    pub actor: Actor,
    pub purpose: Option<Purpose>,
    pub reason: String,
    pub request: Option<String>,
    pub accept_missing: bool,
}

impl Nodes {
    /// Asks the node that recorded a call to erase it; none where that is no other node.
    ///
    /// Errors: that node cannot be reached, or refuses.
    pub(in crate::http) async fn erase(
        &self,
        id: CallId,
        asked: &AskedErasure,
    ) -> Option<Result<EraseReceipt, Problem>> {
        let peer = self.peer(id.node())?;
        let failed = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request cannot be sent on");
        let Some(request) = asked.as_sent(id) else { return Some(Err(failed())) };
        let Ok(answer) = self.ask(&peer, request).await else {
            return Some(Err(unreachable(&[peer.number], NOT_KEPT)));
        };
        let (parts, body) = answer.into_parts();
        if parts.status.is_success() {
            return Some(serde_json::from_slice(&body).map_err(|_| failed()));
        }
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = said["detail"].as_str().unwrap_or("the other node gives no reason");
        Some(Err(Problem::new(parts.status, detail)))
    }
}

impl AskedErasure {
    fn as_sent(&self, id: CallId) -> Option<Request<Bytes>> {
        let Self { actor, purpose, reason, request, accept_missing } = self;
        let body = json!({ "reason": reason, "request": request, "accept_missing": accept_missing });
        let purpose = purpose.map(|purpose| format!("?purpose={}", purpose.name())).unwrap_or_default();
        Request::builder()
            .method(Method::DELETE)
            .uri(format!("/api/v1/recordings/{id}{purpose}"))
            .header(HOST, "optag")
            .header(ACTOR, written(actor)?)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string().into())
            .ok()
    }
}

//! Requests about a call by its id. In: a request for a call that is not here. Out: the answer of its node: the one whose
//! number the id has, else the one that the registry names; while that is away, whichever node has it.

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response as Answer};

use crate::cluster::answer::SentAnswer;
use crate::cluster::identity::Peer;
use crate::cluster::membership::Away;
use crate::http::access::{Actor, Permission};
use crate::http::calls::{ConsentBody, WithdrawBody, not_steered, said_by, withdrawn_by};
use crate::http::nodes::{ACTOR, KEPT, NOT_HERE, NOT_KEPT, Nodes, RETRY_S, unreachable, written};
use crate::http::problem::Problem;
use crate::http::server::json::{Body as JsonBody, MaybeBody};
use crate::http::server::request_guard::to_its_end;
use crate::http::services::Services;
use crate::index::EarlyKind;
use axum::extract::FromRequest;
use optag_core::id::CallId;
use optag_core::limit;
use optag_sip::feed::ControlError;

/// Sends what is about a call of another node there; everything else goes on here.
pub(in crate::http) async fn forward(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    request: Request,
    next: Next,
) -> Answer {
    let call = call_of(request.uri().path());
    match (&services.nodes, call) {
        (Some(nodes), Some(id)) if services.feed.call(id).is_none() => {
            let nodes = nodes.clone();
            let sent = match Sent::of(request, actor, id).await {
                Ok(sent) => sent,
                Err(problem) => return problem.into_response(),
            };
            // A change goes on where its client does not wait for it.
            match to_its_end(async move { sent.to_its_node(&nodes).await }).await {
                Ok(Ok(answer)) => relayed(answer),
                Ok(Err(problem)) | Err(problem) => problem.into_response(),
            }
        }
        _ => next.run(request).await,
    }
}

/// The call that a path is about.
pub(super) fn call_of(path: &str) -> Option<CallId> {
    path.strip_prefix("/api/v1/calls/")?.split('/').next()?.parse().ok()
}

/// A request that is to be sent on.
struct Sent {
    id: CallId,
    parts: Parts,
    body: Bytes,
    actor: Actor,
    /// A no or a withdrawal, which is kept where its node cannot be reached.
    answer: Option<SentAnswer>,
}

impl Sent {
    /// Errors: the body is too long, or it is an answer that is invalid or that the actor may not give.
    async fn of(request: Request, actor: Actor, id: CallId) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, limit::REQUEST_BODY_BYTES).await;
        let body = body.map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"))?;
        let answer = answer_in(&parts, &body, &actor).await?;
        Ok(Self { id, parts, body, actor, answer })
    }

    async fn to_its_node(&self, nodes: &Nodes) -> Result<Response<Bytes>, Problem> {
        let shared = &nodes.shared;
        let mut asked = vec![shared.members.number()];
        if let Some(peer) = nodes.peer(self.id.node()).filter(|peer| !asked.contains(&peer.number)) {
            asked.push(peer.number);
            if let Some(answer) = self.ask_owner(nodes, &peer).await? {
                return Ok(answer);
            }
        }
        let no_such_call = || not_steered(ControlError::NoSuchCall(self.id));
        match shared.members.ask(shared.members.index().node_of_call(self.id)).await {
            Ok(None) => Err(no_such_call()),
            Ok(Some(node)) if node == shared.members.number() => Err(no_such_call()),
            Ok(Some(node)) => match nodes.peer(node) {
                Some(peer) => self.ask_owner(nodes, &peer).await?.ok_or_else(no_such_call),
                None => Err(self.not_acknowledged(nodes, node).await),
            },
            Err(Away) => self.ask_others(nodes, &asked).await,
        }
    }

    /// The answer of the node that should have the call; none where it does not.
    ///
    /// Errors: it cannot be reached.
    async fn ask_owner(&self, nodes: &Nodes, peer: &Peer) -> Result<Option<Response<Bytes>>, Problem> {
        match nodes.ask(peer, self.request()?).await {
            Ok(answer) if answer.headers().contains_key(&NOT_HERE) => Ok(None),
            Ok(answer) => Ok(Some(answer)),
            Err(_) => Err(self.not_acknowledged(nodes, peer.number).await),
        }
    }

    /// The registry is away: whoever has the call may answer; that nobody says so proves nothing.
    async fn ask_others(&self, nodes: &Nodes, asked: &[u16]) -> Result<Response<Bytes>, Problem> {
        for member in nodes.shared.members.others() {
            if asked.contains(&member.peer.number) {
                continue;
            }
            if let Ok(answer) = nodes.ask(&member.peer, self.request()?).await
                && !answer.headers().contains_key(&NOT_HERE)
            {
                return Ok(answer);
            }
        }
        Err(Problem::unavailable(
            "the node that has the call is not known while the registry is away",
            RETRY_S,
        ))
    }

    async fn not_acknowledged(&self, nodes: &Nodes, node: u16) -> Problem {
        let kept = match &self.answer {
            Some(answer) => nodes.shared.keep_at(self.id, node, answer).await.is_ok_and(|row| row.is_some()),
            None => false,
        };
        unreachable(&[node], if kept { KEPT } else { NOT_KEPT })
    }

    fn request(&self) -> Result<axum::http::Request<Bytes>, Problem> {
        let failed = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request cannot be sent on");
        let mut request = axum::http::Request::builder()
            .method(self.parts.method.clone())
            .uri(self.parts.uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(axum::http::header::HOST, "optag")
            .header(ACTOR, written(&self.actor).ok_or_else(failed)?);
        if let Some(kind) = self.parts.headers.get(CONTENT_TYPE) {
            request = request.header(CONTENT_TYPE, kind);
        }
        request.body(self.body.clone()).map_err(|_| failed())
    }
}

/// The no or the withdrawal of a request, checked as the node that has the call would. None of an actor who is bound to
/// some departments: only the node that has the call knows its department.
async fn answer_in(parts: &Parts, body: &Bytes, actor: &Actor) -> Result<Option<SentAnswer>, Problem> {
    let again = || Request::from_parts(parts.clone(), Body::from(body.clone()));
    if !actor.departments.are_all() {
        return Ok(None);
    }
    let control = match parts.uri.path().rsplit('/').next() {
        Some("consent") if parts.method == Method::POST => {
            actor.need(Permission::Answer)?;
            said_by(actor, JsonBody::<ConsentBody>::from_request(again(), &()).await?.0)?
        }
        Some("withdraw") if parts.method == Method::POST => {
            actor.need(Permission::Withdraw)?;
            withdrawn_by(actor, MaybeBody::<WithdrawBody>::from_request(again(), &()).await?.0)?
        }
        _ => return Ok(None),
    };
    Ok(SentAnswer::of(&control).filter(|answer| answer.kind() != EarlyKind::Yes))
}

/// Another node's answer as ours.
fn relayed(answer: Response<Bytes>) -> Answer {
    let (parts, body) = answer.into_parts();
    let mut relayed = (parts.status, body).into_response();
    relayed.headers_mut().remove(CONTENT_TYPE);
    for name in [CONTENT_TYPE, LOCATION, RETRY_AFTER] {
        if let Some(value) = parts.headers.get(&name) {
            relayed.headers_mut().insert(name, value.clone());
        }
    }
    relayed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_of_a_path_is_found_and_no_other_path_has_one() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        for rest in ["", "/consent", "/streams/a"] {
            assert_eq!(call_of(&format!("/api/v1/calls/{id}{rest}")), id.parse().ok(), "{rest}");
        }
        for path in ["/api/v1/calls", "/api/v1/calls/x/end", &format!("/api/v1/recordings/{id}")] {
            assert_eq!(call_of(path), None, "{path}");
        }
    }
}

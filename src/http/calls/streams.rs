//! `/api/v1/calls/{id}/streams`: adding, changing and removing streams during a call.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header::LOCATION};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::Value;

use crate::http::access::{Actor, Permission};
use crate::http::calls::body::{CallAnswer, StreamPlace, Wrong};
use crate::http::calls::offer::Offer;
use crate::http::calls::stream_body::{self, Leave, StreamBody};
use crate::http::calls::{not_steered, steer};
use crate::http::problem::Problem;
use crate::http::server::json::{Body, typed};
use crate::http::server::params::Id;
use crate::http::server::request_guard::to_its_end;
use crate::http::services::Services;
use optag_core::call::{RefusedStreams, StreamRole};
use optag_core::id::CallId;
use optag_core::limit;
use optag_sip::feed::{Control, ControlError, NewStream};

/// Adds a stream and opens a port for it. Its channel is silent until now.
#[utoipa::path(post, path = "/api/v1/calls/{id}/streams", tag = "calls", params(("id" = String, Path)),
    request_body = StreamBody, responses(
    (status = 201, body = StreamPlace, headers(("Location" = String, description = "The stream"))),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn join(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    Body(json): Body<Value>,
) -> Result<Response, Problem> {
    actor.need(Permission::Calls)?;
    actor.reach_call(&services, id)?;
    let (asked, unfit) = (json["label"].as_str().unwrap_or_default().to_owned(), stream_body::unfit(&json));
    let (stream, offer) = wanted(json, services.learn_rtp_source).inspect_err(|_| {
        if let Some(refused) = unfit {
            services.feed.stream_refused(id, &asked, refused);
        }
    })?;
    let stream = Box::new(stream);
    let label = stream.label.clone();
    let feed = services.feed.clone();
    let view = to_its_end(async move {
        let added = feed.control(id, Control::AddStream(stream)).await;
        let full = || feed.call(id).is_some_and(|view| view.streams.len() >= limit::STREAMS_PER_CALL);
        let no_room = match &added {
            Err(ControlError::PortsUsedUp | ControlError::Quota) => true,
            Err(ControlError::BadStream(_)) => full(),
            _ => false,
        };
        if no_room {
            feed.stream_refused(id, &asked, RefusedStreams { no_room: 1, ..Default::default() });
        }
        added
    })
    .await?;
    let view = view.map_err(not_steered)?;
    let joined = view.streams.iter().find(|stream| stream.label == label);
    let joined = joined.ok_or_else(|| not_steered(ControlError::NotDurable))?;
    let (address, port) = (joined.address.ip(), joined.address.port());
    let place = StreamPlace { label: label.clone(), address, port, offer };
    let location = HeaderValue::try_from(format!("/api/v1/calls/{id}/streams/{}", encoded(&label)))
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the stream has no place"))?;
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(place)).into_response())
}

/// The stream that a body asks for, and the response's offer for it.
fn wanted(json: Value, learns: bool) -> Result<(NewStream, Offer), Problem> {
    let body: StreamBody = typed(json)?;
    let mut wrong = Wrong(Vec::new());
    body.check("", Leave { source: learns, key: true }, &mut wrong);
    if wrong.0.is_empty() { Ok(body.stream(StreamRole::Other)) } else { Err(Problem::fields(wrong.0)) }
}

/// Changes a stream's codec, payload types, sender or keys; label, role, channel and port stay the same. Keys
/// that stay keep their roll-over counters.
#[utoipa::path(put, path = "/api/v1/calls/{id}/streams/{label}", tag = "calls",
    params(("id" = String, Path), ("label" = String, Path)), request_body = StreamBody, responses(
    (status = 200, body = CallAnswer),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn change(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path((id, label)): Path<(String, String)>,
    Body(body): Body<StreamBody>,
) -> Result<Json<CallAnswer>, Problem> {
    actor.need(Permission::Calls)?;
    let (id, stream, role) = find(&services, &actor, &id, &label)?;
    let mut wrong = Wrong(Vec::new());
    body.check("", Leave { source: services.learn_rtp_source, key: false }, &mut wrong);
    if body.label != label {
        wrong.add("label", "the label of a stream does not change");
    }
    if body.role.is_some_and(|other| other != role) {
        wrong.add("role", "the role of a stream does not change");
    }
    if !wrong.0.is_empty() {
        return Err(Problem::fields(wrong.0));
    }
    let (NewStream { mut media, speaker, .. }, _) = body.stream(role);
    if let Some(speaker) = speaker {
        let _ = steer(&services, id, Control::Speaker { stream, speaker }).await?;
    }
    // The SSRC offered at the announcement remains valid.
    media.source.offered_ssrc = None;
    let control = Control::Renegotiate { stream, media: Box::new(media) };
    steer(&services, id, control).await
}

/// Stops a stream. Its channel remains, silent from now on; a PUT restores it.
#[utoipa::path(delete, path = "/api/v1/calls/{id}/streams/{label}", tag = "calls",
    params(("id" = String, Path), ("label" = String, Path)), responses(
    (status = 200, body = CallAnswer),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn drop_stream(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path((id, label)): Path<(String, String)>,
) -> Result<Json<CallAnswer>, Problem> {
    actor.need(Permission::Calls)?;
    let (id, stream, _) = find(&services, &actor, &id, &label)?;
    steer(&services, id, Control::DropStream { stream }).await
}

/// The call, and the index and role of the stream with this label.
fn find(
    services: &Services,
    actor: &Actor,
    id: &str,
    label: &str,
) -> Result<(CallId, u8, StreamRole), Problem> {
    let id: CallId =
        id.parse().map_err(|error: optag_core::id::BadCallId| Problem::field("id", error.to_string()))?;
    actor.reach_call(services, id)?;
    let view = services.feed.call(id).ok_or_else(|| not_steered(ControlError::NoSuchCall(id)))?;
    let found = view.streams.iter().position(|stream| stream.label == label);
    let at =
        found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "the call has no stream of this label"))?;
    Ok((id, at as u8, view.streams[at].role))
}

/// A label as a path segment.
fn encoded(label: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let one = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    label.bytes().map(one).collect()
}

//! `/api/v1/recordings/{id}/audio`: a recording as a file, complete or in part.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderName, Response, StatusCode};

use crate::http::access::{Actor, Permission};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::problem::Problem;
use crate::http::reached::Reached;
use crate::http::recordings::library::{AudioFormat, AudioRequest, ByteRange};
use crate::http::recordings::{audit, audit_failure, unanswered};
use crate::http::server::params::{Id, Params};
use crate::http::services::Services;
use crate::http::standing::{Standing, while_standing};
use optag_core::call::StreamVerdict;

/// Header of an exported recording: the verdict on each stream, in channel order.
pub const VERDICTS: &str = "optag-verdicts";

/// The value of [`VERDICTS`].
pub(in crate::http) fn verdicts(verdicts: &[StreamVerdict]) -> String {
    verdicts.iter().map(|verdict| verdict.name()).collect::<Vec<_>>().join(", ")
}

/// Plays a recording, or exports it with `export=true`.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/audio", tag = "recordings", params(
    ("id" = String, Path),
    ("format" = Option<String>, Query, description = "opus (as stored, the default) or wav"),
    ("channel" = Option<u8>, Query, description = "One channel alone, from 0"),
    ("export" = Option<bool>, Query, description = "true: take it out as a file; needs that permission"),
    ("purpose" = String, Query, description = "training, caller_request or administration; or the header Optag-Purpose"),
    ("Range" = Option<String>, Header, description = "One range of bytes"),
), responses(
    (status = 200, content_type = "audio/ogg", description = "The file; with `export`, the header Optag-Verdicts has the verdict on each stream"),
    (status = 206, content_type = "audio/ogg", description = "A part of it"),
    (status = 416, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn audio(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    standing: Option<Extension<Standing>>,
    Id(id): Id,
    mut params: Params,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let format = match params.text("format").as_deref() {
        None | Some("opus") => AudioFormat::Opus,
        Some("wav") => AudioFormat::Wav,
        Some(_) => {
            params.wrong("format", "opus or wav is allowed");
            AudioFormat::Opus
        }
    };
    let channel: Option<u8> = params.parsed("channel", "a channel's number, from 0");
    let export = params.parsed("export", "true or false").unwrap_or(false);
    let permission = if export { Permission::Export } else { Permission::Listen };
    actor.need(permission)?;
    let purpose = params.allowed_purpose(&actor, permission)?;
    params.finish()?;
    let recording = actor.reach(&services, id).await?;
    let wanted = Wanted { format, channel, export, purpose, detail: None };
    let standing = standing.map(|Extension(standing)| standing);
    serve(&services, &actor, standing, recording, wanted, &headers).await
}

/// What is served of a recording, and why.
pub(in crate::http) struct Wanted {
    /// The file's format.
    pub format: AudioFormat,
    /// One channel alone.
    pub channel: Option<u8>,
    /// As a file to keep.
    pub export: bool,
    /// The purpose, for the audit.
    pub purpose: Option<Purpose>,
    /// What else the audit log says.
    pub detail: Option<String>,
}

/// Audits, then answers with the audio or the part of it that the request asks for.
pub(in crate::http) async fn serve(
    services: &Services,
    actor: &Actor,
    standing: Option<Standing>,
    recording: Reached,
    wanted: Wanted,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let Wanted { format, channel, export, purpose, detail } = wanted;
    let (id, action) = (recording.id(), if export { AuditAction::Export } else { AuditAction::Playback });
    let (extension, media_type) = match format {
        AudioFormat::Opus => ("opus", "audio/ogg; codecs=opus"),
        AudioFormat::Wav => ("wav", "audio/wav"),
    };
    let name = channel.map_or_else(|| format!("{id}"), |channel| format!("{id}-{channel}"));
    let tag = format!("\"{name}.{extension}\"");
    let range = range(headers, &tag);
    audit(services, actor, action, purpose, Some(id), detail).await?;
    let request = AudioRequest { recording, format, channel, range };
    let file = match services.library.audio(request).await {
        Ok(file) => file,
        Err(error) => {
            audit_failure(services, actor, AuditAction::NotServed, purpose, id).await;
            return Err(unanswered(error));
        }
    };
    let whole = match export {
        true => services.library.get(recording).await.ok(),
        false => None,
    };
    let disposition = if export { "attachment" } else { "inline" };
    let mut answer = Response::builder()
        .header(CONTENT_TYPE, media_type)
        .header(ACCEPT_RANGES, "bytes")
        .header(ETAG, &tag)
        .header(CONTENT_LENGTH, file.part.end - file.part.start)
        .header(CONTENT_DISPOSITION, format!("{disposition}; filename=\"{name}.{extension}\""));
    if let Some(detail) = whole {
        answer = answer.header(VERDICTS, verdicts(&detail.summary.verdicts));
    }
    if range.is_some() {
        let last = file.part.end.saturating_sub(1);
        let shown = format!("bytes {}-{last}/{}", file.part.start, file.total_bytes);
        answer = answer.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, shown);
    }
    answer
        .body(Body::from_stream(while_standing(file.bytes, standing)))
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "cannot build the response headers"))
}

/// The requested range, unless `If-Range` names another version of the file.
fn range(headers: &HeaderMap, tag: &str) -> Option<ByteRange> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match text(IF_RANGE) {
        Some(version) if version.trim() != tag => None,
        _ => ByteRange::parse(text(RANGE)?),
    }
}

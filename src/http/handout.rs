//! `/api/v1/recordings/{id}/handout`: what is handed to the person whom a recording is about:
//! audio and cover sheet in one file. Audited before its first byte.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{Response, StatusCode};
use axum::{Extension, body::Bytes};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::access::{Actor, Permission};
use super::audit::{AuditAction, AuditEntry, Purpose};
use super::json::Body as Json;
use super::library::{Audio, AudioFormat, AudioRequest, RecordingDetail};
use super::params::{Id, Params};
use super::problem::Problem;
use super::recordings::{audit, unanswered};
use super::router::Services;
use crate::base::id::CallId;
use crate::base::private::Private;
use crate::call::StreamRole;
use crate::disclosure::package::{self, PASSPHRASE_CHARS};
use crate::disclosure::sheet::{Action, Language, Sheet, Use};

/// Blocks that may wait for a slow listener.
const WAITING: usize = 8;
/// Size of a block. Units: bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// How a recording is handed out. All of it may be left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HandOutBody {
    /// `wav` (16-bit PCM, plays anywhere) or `opus` (as it was coded).
    pub format: Format,
    /// Only the caller's own voice, where it has a channel of its own.
    pub own_voice_only: bool,
    /// Language of the cover sheet: `en` or `da`.
    #[schema(value_type = String)]
    pub language: Language,
    /// At least 12 characters: the package is an age file that they open. Without: a plain ZIP archive.
    #[schema(value_type = Option<String>)]
    pub passphrase: Option<Private<String>>,
}

/// An audio format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// 16-bit PCM.
    Wav,
    /// Ogg Opus, as stored.
    Opus,
}

impl Default for HandOutBody {
    fn default() -> Self {
        Self { format: Format::Wav, own_voice_only: false, language: Language::English, passphrase: None }
    }
}

/// Hands a recording out: audio and cover sheet in a ZIP archive, sealed where a passphrase is given.
#[utoipa::path(post, path = "/api/v1/recordings/{id}/handout", tag = "recordings", params(
    ("id" = String, Path),
    ("purpose" = String, Query, description = "caller_request or administration; or the header Optag-Purpose"),
), request_body = HandOutBody, responses(
    (status = 200, content_type = "application/zip", description = "The package"),
    (status = 410, body = Problem, content_type = "application/problem+json"),
))]
pub async fn hand_out(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    mut params: Params,
    Json(body): Json<HandOutBody>,
) -> Result<Response<Body>, Problem> {
    actor.need(Permission::Export)?;
    let purpose = params.allowed_purpose(&actor)?;
    let short = |phrase: &Private<String>| phrase.reveal().chars().count() < PASSPHRASE_CHARS;
    if body.passphrase.as_ref().is_some_and(short) {
        params.wrong("passphrase", format!("at least {PASSPHRASE_CHARS} characters"));
    }
    params.finish()?;
    package(&services, &actor.name, purpose, id, body, None).await
}

/// Audits, then opens the package. `detail` goes into the audit.
pub(super) async fn package(
    services: &Services,
    actor: &str,
    purpose: Option<Purpose>,
    id: CallId,
    body: HandOutBody,
    detail: Option<String>,
) -> Result<Response<Body>, Problem> {
    let detail_of = services.library.get(id).await.map_err(unanswered)?;
    let channel = own_channel(&detail_of, body.own_voice_only)?;
    let entry = Actor { name: actor.to_owned(), role: super::access::Role::Admin };
    audit(services, &entry, AuditAction::HandOut, purpose, Some(id), detail).await?;
    let (format, file) = match body.format {
        Format::Wav => (AudioFormat::Wav, "recording.wav"),
        Format::Opus => (AudioFormat::Opus, "recording.opus"),
    };
    let unknown = |_| Problem::unavailable("the audit cannot be read, so the cover sheet cannot be made", 5);
    let uses = services.audit.about(id).await.map_err(unknown)?;
    let texts = cover(services, &detail_of, &uses, &body, file);
    let request = AudioRequest { id, format, channel, range: None };
    let audio = services.library.audio(request).await.map_err(unanswered)?;
    let sealed = body.passphrase.is_some();
    let (extension, media_type) =
        if sealed { ("zip.age", "application/octet-stream") } else { ("zip", "application/zip") };
    Response::builder()
        .header(CONTENT_TYPE, media_type)
        .header(CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.{extension}\""))
        .body(stream(audio, texts, file, body.passphrase))
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer has no valid head"))
}

/// The caller's channel, where only that is wanted.
fn own_channel(detail: &RecordingDetail, own_voice_only: bool) -> Result<Option<u8>, Problem> {
    if !own_voice_only {
        return Ok(None);
    }
    let place = detail.streams.iter().position(|stream| stream.role == StreamRole::Caller);
    let none = || Problem::field("own_voice_only", "the caller has no channel alone in this recording");
    place.map(|place| Some(place as u8)).ok_or_else(none)
}

/// The cover sheet in both forms.
fn cover(
    services: &Services,
    detail: &RecordingDetail,
    audited: &[AuditEntry],
    body: &HandOutBody,
    file: &str,
) -> Vec<(String, String)> {
    let uses: Vec<Use> = audited.iter().filter_map(used).collect();
    let summary = &detail.summary;
    let sheet = Sheet {
        language: body.language,
        id: summary.id,
        department: &summary.department,
        started_at: summary.started_at,
        recorded_at: summary.recording_started_at,
        duration_ms: summary.duration_ms,
        caller_number: summary.caller_number.reveal(),
        called_number: summary.called_number.reveal(),
        caller_name: summary.caller_name.as_ref().map(|name| name.reveal().as_str()),
        expires_at: summary.expires_at,
        consent: &detail.consent,
        uses: &uses,
        file,
        own_voice_only: body.own_voice_only,
        made_at: services.clock.wall(),
        owner: &services.owner,
    };
    vec![("cover.txt".to_owned(), sheet.text()), ("cover.html".to_owned(), sheet.html())]
}

fn used(entry: &AuditEntry) -> Option<Use> {
    let action = match entry.action {
        AuditAction::View => Action::Viewed,
        AuditAction::Playback => Action::Heard,
        AuditAction::Export | AuditAction::HandOut => Action::HandedOut,
        AuditAction::Import => Action::Imported,
        _ => return None,
    };
    let purpose = entry.purpose.map_or("", Purpose::name);
    Some(Use { at: entry.at, actor: entry.actor.clone(), action, purpose })
}

/// Packs while the client reads. A failure on the way ends the answer early.
fn stream(
    audio: Audio,
    texts: Vec<(String, String)>,
    file: &'static str,
    passphrase: Option<Private<String>>,
) -> Body {
    let (to, from) = mpsc::channel(WAITING);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut bytes = audio.bytes;
        let next = move || runtime.block_on(bytes.next()).map(|part| part.map_err(std::io::Error::other));
        let source = Source { next, chunk: Bytes::new() };
        let mut out = Blocks { to, block: Vec::with_capacity(BLOCK_BYTES) };
        let packed = package::write(&mut out, &texts, (file, source), passphrase.as_ref());
        if let Err(error) = packed.and_then(|()| std::io::Write::flush(&mut out)) {
            let _ = out.to.blocking_send(Err(error));
        }
    });
    Body::from_stream(futures::stream::unfold(
        from,
        |mut from| async move { Some((from.recv().await?, from)) },
    ))
}

/// A stream of parts as a blocking reader.
struct Source<F> {
    next: F,
    chunk: Bytes,
}

impl<F: FnMut() -> Option<std::io::Result<Bytes>>> std::io::Read for Source<F> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.chunk.is_empty() {
            match (self.next)() {
                None => return Ok(0),
                Some(part) => self.chunk = part?,
            }
        }
        let length = self.chunk.len().min(into.len());
        into[..length].copy_from_slice(&self.chunk.split_to(length));
        Ok(length)
    }
}

/// A writer whose bytes go to the client in blocks.
struct Blocks {
    to: mpsc::Sender<std::io::Result<Bytes>>,
    block: Vec<u8>,
}

impl std::io::Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        if block.is_empty() {
            return Ok(());
        }
        self.to.blocking_send(Ok(block.into())).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

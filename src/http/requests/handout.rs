//! `/api/v1/recordings/{id}/handout`: the package for the person recorded: audio and cover sheet in one file.
//! Audited before its first byte.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{Response, StatusCode, response};
use axum::{Extension, body::Bytes};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::disclosure::package::{self, PASSPHRASE_CHARS};
use crate::disclosure::sheet::{Action, Language, Sheet, Use};
use crate::http::access::{Actor, Permission, Role};
use crate::http::audited::{AuditAction, AuditEntry, Purpose};
use crate::http::problem::Problem;
use crate::http::reached::Reached;
use crate::http::recordings::library::{Audio, AudioFormat, AudioRequest, RecordingDetail};
use crate::http::recordings::playback::{VERDICTS, verdicts};
use crate::http::recordings::{audit, audit_failure, unanswered};
use crate::http::server::json::Body as Json;
use crate::http::server::params::{Id, Params};
use crate::http::services::Services;
use crate::http::standing::{Standing, while_standing};
use optag_core::call::{Prompt, StreamRole};
use optag_core::private::Private;

/// Maximum number of blocks buffered for a slow client.
const WAITING: usize = 2;
/// Size of a block. Units: bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// Options of a hand-out. Every field is optional.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HandOutBody {
    /// `wav` (16-bit PCM, plays anywhere) or `opus` (as stored).
    pub format: Format,
    /// Only the caller's own voice, if it has a separate channel.
    pub own_voice_only: bool,
    /// Language of the cover sheet: `en` or `da`.
    #[schema(value_type = String)]
    pub language: Language,
    /// At least 12 characters: the package is an age file encrypted with it. Without one: a plain ZIP
    /// archive.
    #[schema(value_type = Option<String>)]
    pub passphrase: Option<Private<String>>,
}

/// An audio format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// 16-bit PCM.
    Wav,
    /// Ogg Opus, as stored.
    Opus,
}

impl Format {
    /// Name of the audio file.
    const fn file(self) -> &'static str {
        match self {
            Self::Wav => "recording.wav",
            Self::Opus => "recording.opus",
        }
    }

    const fn of_audio(self) -> AudioFormat {
        match self {
            Self::Wav => AudioFormat::Wav,
            Self::Opus => AudioFormat::Opus,
        }
    }
}

impl Default for HandOutBody {
    fn default() -> Self {
        Self { format: Format::Wav, own_voice_only: false, language: Language::English, passphrase: None }
    }
}

/// Hands out a recording: audio and cover sheet in a ZIP archive, encrypted if a passphrase is given.
#[utoipa::path(post, path = "/api/v1/recordings/{id}/handout", tag = "recordings", params(
    ("id" = String, Path),
    ("purpose" = String, Query, description = "caller_request or administration; or the header Optag-Purpose"),
), request_body = HandOutBody, responses(
    (status = 200, content_type = "application/zip", description = "The package"),
    (status = 410, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn hand_out(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    standing: Option<Extension<Standing>>,
    Id(id): Id,
    mut params: Params,
    Json(body): Json<HandOutBody>,
) -> Result<Response<Body>, Problem> {
    actor.need(Permission::Export)?;
    let purpose = params.allowed_purpose(&actor, Permission::Export)?;
    let short = |phrase: &Private<String>| phrase.reveal().chars().count() < PASSPHRASE_CHARS;
    if body.passphrase.as_ref().is_some_and(short) {
        params.wrong("passphrase", format!("at least {PASSPHRASE_CHARS} characters"));
    }
    params.finish()?;
    let recording = actor.reach(&services, id).await?;
    let by = HandedBy { actor: &actor.name, standing: standing.map(|Extension(standing)| standing) };
    package(&services, by, purpose, recording, body, Noted::default()).await
}

/// Who hands a recording out.
pub(in crate::http) struct HandedBy<'a> {
    /// For the audit.
    pub actor: &'a str,
    /// Whether they still may.
    pub standing: Option<Standing>,
}

/// How a hand-out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Ended {
    /// The whole package was sent.
    Whole,
    /// Nothing was sent.
    NotServed,
    /// Only a part was sent.
    BrokenOff,
}

/// What else is to be written down of a hand-out.
#[derive(Default)]
pub(in crate::http) struct Noted {
    /// In the audit log.
    pub detail: Option<String>,
    /// Once its end is known; not where nothing was opened.
    pub ended: Option<NoteEnd>,
}

/// Writes down how a hand-out ended.
pub(in crate::http) type NoteEnd = Box<dyn FnOnce(Ended) -> BoxFuture<'static, ()> + Send>;

/// Audits, then opens the package; its first block is ready on return. A hand-out that fails after its audit entry is
/// audited too.
pub(in crate::http) async fn package(
    services: &Services,
    by: HandedBy<'_>,
    purpose: Option<Purpose>,
    recording: Reached,
    body: HandOutBody,
    noted: Noted,
) -> Result<Response<Body>, Problem> {
    let id = recording.id();
    let detail_of = services.library.get(recording).await.map_err(unanswered)?;
    let channel = own_channel(&detail_of, body.own_voice_only)?;
    let entry = Actor::with_role(by.actor, Role::Contact);
    audit(services, &entry, AuditAction::HandOut, purpose, Some(id), noted.detail).await?;
    let opened = open(services, &detail_of, channel, recording, body).await;
    let (answer, blocks) = match opened {
        Ok(opened) => opened,
        Err(problem) => {
            audit_failure(services, &entry, AuditAction::NotServed, purpose, id).await;
            return Err(problem);
        }
    };
    let blocks = while_standing(blocks, by.standing);
    let (services, runtime) = (services.clone(), tokio::runtime::Handle::current());
    let ended = move |ended: Ended| {
        runtime.spawn(async move {
            let failure = match ended {
                Ended::Whole => None,
                Ended::NotServed => Some(AuditAction::NotServed),
                Ended::BrokenOff => Some(AuditAction::BrokenOff),
            };
            if let Some(action) = failure {
                audit_failure(&services, &entry, action, purpose, id).await;
            }
            if let Some(note) = noted.ended {
                note(ended).await;
            }
        });
    };
    answer
        .body(Body::from_stream(Watched::new(blocks, ended)))
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "cannot build the response headers"))
}

/// Opens the audio and prepares its first block.
async fn open(
    services: &Services,
    detail_of: &RecordingDetail,
    channel: Option<u8>,
    recording: Reached,
    body: HandOutBody,
) -> Result<(response::Builder, BoxStream<'static, io::Result<Bytes>>), Problem> {
    let id = recording.id();
    let (file, format) = (body.format.file(), body.format.of_audio());
    let unknown = |_| Problem::unavailable("the audit cannot be read, so the cover sheet cannot be made", 5);
    let uses = services.audit.about(id).await.map_err(unknown)?;
    let (text, html) = cover(services, detail_of, &uses, &body);
    let texts = vec![("cover.txt".to_owned(), text), ("cover.html".to_owned(), html)];
    let request = AudioRequest { recording, format, channel, range: None };
    let audio = services.library.audio(request).await.map_err(unanswered)?;
    let sealed = body.passphrase.is_some();
    let (extension, media_type) =
        if sealed { ("zip.age", "application/octet-stream") } else { ("zip", "application/zip") };
    let blocks = pack(audio, texts, file, body.passphrase).await.map_err(|error| {
        tracing::warn!(recording = %id, %error, "a package could not be made");
        Problem::unavailable("the recording cannot be read now", 5)
    })?;
    let answer = Response::builder()
        .header(CONTENT_TYPE, media_type)
        .header(VERDICTS, verdicts(&detail_of.summary.verdicts))
        .header(CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.{extension}\""));
    Ok((answer, blocks))
}

/// The caller's channel, if only that is requested.
fn own_channel(detail: &RecordingDetail, own_voice_only: bool) -> Result<Option<u8>, Problem> {
    if !own_voice_only {
        return Ok(None);
    }
    let place = detail.streams.iter().position(|stream| stream.role == StreamRole::Caller);
    let none = || Problem::field("own_voice_only", "the caller has no channel alone in this recording");
    place.map(|place| Some(place as u8)).ok_or_else(none)
}

/// The cover sheet in both forms: text, and HTML.
pub(in crate::http) fn cover(
    services: &Services,
    detail: &RecordingDetail,
    audited: &[AuditEntry],
    body: &HandOutBody,
) -> (String, String) {
    let uses = uses(audited);
    let summary = &detail.summary;
    let departments = services.requests.departments();
    let named = departments.iter().find(|one| one.id == summary.department);
    let prompts: Vec<Prompt> = departments.iter().flat_map(|one| one.prompts.iter().cloned()).collect();
    let sheet = Sheet {
        language: body.language,
        id: summary.id,
        department: named.map_or(&summary.department, |one| &one.name),
        started_at: summary.started_at,
        recorded_at: summary.recording_started_at,
        duration_ms: summary.duration_ms,
        caller_number: summary.caller_number.reveal(),
        called_number: summary.called_number.reveal(),
        caller_name: summary.caller_name.as_ref().map(|name| name.reveal().as_str()),
        expires_at: summary.expires_at,
        consent: &detail.consent,
        prompts: &prompts,
        uses: &uses,
        file: body.format.file(),
        own_voice_only: body.own_voice_only,
        made_at: services.clock.wall(),
        owner: &services.owner,
    };
    (sheet.text(), sheet.html())
}

/// The accesses to list, oldest first. A failure cancels the preceding access of the same actor; an interrupted
/// hand-out is listed as such.
pub(in crate::http) fn uses(audited: &[AuditEntry]) -> Vec<Use> {
    let mut uses: Vec<Use> = Vec::new();
    for entry in audited {
        let last = || uses.iter().rposition(|one| one.actor == entry.actor && one.action.served());
        match entry.action {
            AuditAction::NotServed => drop(last().map(|at| uses.remove(at))),
            AuditAction::BrokenOff => {
                if let Some(at) = last() {
                    uses[at].action = Action::BrokenOff;
                }
            }
            _ => uses.extend(used(entry)),
        }
    }
    // They come node by node.
    uses.sort_by_key(|one| one.at);
    uses
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

/// Produces the package while the client reads; the first block is ready on return. A later failure ends the
/// response early.
///
/// Errors: nothing could be produced.
async fn pack(
    audio: Audio,
    texts: Vec<(String, String)>,
    file: &'static str,
    passphrase: Option<Private<String>>,
) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
    let (to, mut from) = mpsc::channel(WAITING);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut bytes = audio.bytes;
        let next = move || runtime.block_on(bytes.next()).map(|part| part.map_err(io::Error::other));
        let source = Source { next, chunk: Bytes::new() };
        let mut out = Blocks { to, block: Vec::with_capacity(BLOCK_BYTES) };
        let packed = package::write(&mut out, &texts, (file, source), passphrase.as_ref());
        if let Err(error) = packed.and_then(|()| io::Write::flush(&mut out)) {
            let _ = out.to.blocking_send(Err(error));
        }
    });
    let first = from.recv().await.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
    let rest = stream::unfold(from, |mut from| async move { Some((from.recv().await?, from)) });
    Ok(stream::iter([Ok(first)]).chain(rest).boxed())
}

/// A response body that reports how its sending ended.
struct Watched<F: FnOnce(Ended)> {
    blocks: BoxStream<'static, io::Result<Bytes>>,
    sent_bytes: u64,
    ended: Option<F>,
}

impl<F: FnOnce(Ended)> Watched<F> {
    fn new(blocks: BoxStream<'static, io::Result<Bytes>>, ended: F) -> Self {
        Self { blocks, sent_bytes: 0, ended: Some(ended) }
    }

    /// Reports the end, once.
    fn end(&mut self, whole: bool) {
        let end = match (whole, self.sent_bytes) {
            (true, _) => Ended::Whole,
            (false, 0) => Ended::NotServed,
            (false, _) => Ended::BrokenOff,
        };
        if let Some(ended) = self.ended.take() {
            ended(end);
        }
    }
}

impl<F: FnOnce(Ended) + Unpin> Stream for Watched<F> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.blocks.poll_next_unpin(context);
        match &polled {
            Poll::Ready(Some(Ok(block))) => self.sent_bytes += block.len() as u64,
            Poll::Ready(Some(Err(_))) => self.end(false),
            Poll::Ready(None) => self.end(true),
            _ => {}
        }
        polled
    }
}

impl<F: FnOnce(Ended)> Drop for Watched<F> {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// A stream of parts as a blocking reader.
struct Source<F> {
    next: F,
    chunk: Bytes,
}

impl<F: FnMut() -> Option<io::Result<Bytes>>> io::Read for Source<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
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
    to: mpsc::Sender<io::Result<Bytes>>,
    block: Vec<u8>,
}

impl io::Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        if block.is_empty() {
            return Ok(());
        }
        self.to.blocking_send(Ok(block.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

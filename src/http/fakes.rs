//! Fakes of everything that the API uses, and a client that calls the router in-process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use serde_json::Value;
use tower::ServiceExt;

use super::access::{Actor, Departments, Role};
use super::reached::Reached;
use crate::auth::password_sign_in::PasswordSignIns;
use crate::auth::second_factor::FactorKey;
use crate::auth::settings::SignInSettings;
use crate::auth::sign_ins::SignIns;
use crate::auth::tokens::Tokens;
use crate::auth::users::Users;
use crate::cases::register::Cases;
use crate::disclosure::links::Links;
use crate::disclosure::owner::Owner;
use crate::http::audited::{Audit, AuditAction, AuditEntry, AuditError, Purpose};
use crate::http::drains::{DrainState, Drains};
use crate::http::oversight::Oversight;
use crate::http::oversight::ages::{AgeCount, AgesFound, ExpiryCount};
use crate::http::oversight::audit_search::{AuditFound, AuditQuery, ChainView, FoundEntry, Unusual};
use crate::http::oversight::health::{NodeView, OutcomeCount, StoreTest};
use crate::http::recordings::library::*;
use crate::http::requests::*;
use crate::http::server::health::Check;
use crate::http::server::router::{Limits, router};
use crate::http::services::Services;
use crate::index::{Index, IndexPlace};
use optag_core::call::consent::ConsentError;
use optag_core::call::{ConsentState, Department, RefusedStreams, StreamRole, StreamVerdict};
use optag_core::clock::{OsClock, WallTime};
use optag_core::id::CallId;
use optag_core::locked::Secret;
use optag_core::private::Private;
use optag_media::fact::StreamCounts;
use optag_sip::feed::*;

/// The caller's number, which must not appear in log lines.
pub(crate) const NUMBER: &str = "+4512345678";
/// The caller's name, which must not appear in log lines.
pub(crate) const NAME: &str = "Karen Blixen";
/// Content of the one recording.
pub(crate) const FILE: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Returns prepared results, and records requests.
#[derive(Default)]
pub(crate) struct Fake {
    pub admitted: Mutex<Vec<NewCall>>,
    pub controls: Mutex<Vec<Control>>,
    pub searches: Mutex<Vec<SearchQuery>>,
    pub opened: Mutex<Vec<AudioRequest>>,
    pub erased: Mutex<Vec<String>>,
    pub wanted: Mutex<Vec<CandidateQuery>>,
    pub audited: Mutex<Vec<AuditEntry>>,
    pub sought: Mutex<Vec<AuditQuery>>,
    /// Where the audit log is broken.
    pub broken: Mutex<Option<String>>,
    pub audit_fails: AtomicBool,
    /// Whether audio begins and never ends.
    pub endless: AtomicBool,
    pub refuse: Mutex<Option<AdmitError>>,
    pub forbid: Mutex<Option<ConsentError>>,
    pub fail: Mutex<Option<LibraryError>>,
    pub fail_audio: Mutex<Option<LibraryError>>,
    pub pending: AtomicBool,
    pub held: Mutex<Option<WallTime>>,
    pub drained: Mutex<Vec<Option<Duration>>>,
    pub no_ports: AtomicBool,
    pub refused_streams: Mutex<Vec<(CallId, String, RefusedStreams)>>,
}

pub(crate) fn id() -> CallId {
    "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()
}

fn view() -> CallView {
    CallView {
        id: id(),
        department: "demo".into(),
        external_id: None,
        parties: Some(Parties {
            caller_number: Private::new(NUMBER.into()),
            called_number: Private::new("+4587654321".into()),
            caller_name: Some(Private::new(NAME.into())),
        }),
        started_at: WallTime::from_unix_micros(0),
        ended_at: None,
        consent: ConsentState::Granted,
        paused: false,
        outcome: None,
        streams: vec![StreamView {
            label: "a".into(),
            role: StreamRole::Caller,
            address: "[::1]:20000".parse().unwrap(),
            counts: StreamCounts::default(),
        }],
    }
}

fn summary() -> RecordingSummary {
    RecordingSummary {
        recording_started_at: WallTime::default(),
        id: id(),
        department: "demo".into(),
        started_at: WallTime::from_unix_micros(0),
        duration_ms: 1_000,
        caller_number: Private::new(NUMBER.into()),
        called_number: Private::new("+4587654321".into()),
        caller_name: Some(Private::new(NAME.into())),
        external_id: None,
        expires_at: WallTime::from_unix_micros(0).plus_days(90),
        size_bytes: FILE.len() as u64,
        state: RecordingState::Stored,
        verdicts: vec![StreamVerdict::Ok, StreamVerdict::Late],
    }
}

impl Drains for Fake {
    fn drain(&self, limit: Option<Duration>) -> DrainState {
        self.drained.lock().unwrap().push(limit);
        DrainState { calls: 1, left_s: limit.map_or(1_800, |limit| limit.as_secs()) }
    }
}

impl Feed for Fake {
    fn admit(&self, call: NewCall) -> BoxFuture<'_, Result<Admitted, AdmitError>> {
        let streams = (0..call.streams.len()).map(|at| format!("127.0.0.1:{}", 20_000 + at).parse().unwrap());
        let admitted = Admitted { id: id(), consent: ConsentState::Asked, streams: streams.collect() };
        let refused = self.refuse.lock().unwrap().clone();
        async move {
            tokio::task::yield_now().await;
            self.admitted.lock().unwrap().push(call);
            refused.map_or(Ok(admitted), Err)
        }
        .boxed()
    }

    fn control(&self, call: CallId, control: Control) -> BoxFuture<'_, Result<CallView, ControlError>> {
        let joined = match &control {
            Control::AddStream(stream) => Some(StreamView {
                label: stream.label.clone(),
                role: stream.role,
                address: "127.0.0.1:20010".parse().unwrap(),
                counts: StreamCounts::default(),
            }),
            _ => None,
        };
        self.controls.lock().unwrap().push(control);
        let forbidden = *self.forbid.lock().unwrap();
        let no_ports = joined.is_some() && self.no_ports.load(Ordering::Relaxed);
        async move {
            match forbidden {
                _ if call != id() => Err(ControlError::NoSuchCall(call)),
                _ if no_ports => Err(ControlError::PortsUsedUp),
                Some(error) => Err(error.into()),
                None => {
                    let mut view = view();
                    view.streams.extend(joined);
                    Ok(view)
                }
            }
        }
        .boxed()
    }

    fn stream_refused(&self, call: CallId, label: &str, refused: RefusedStreams) {
        self.refused_streams.lock().unwrap().push((call, label.to_owned(), refused));
    }

    fn keep(&self, _: CallId, _: Private<String>) {}

    fn call(&self, call: CallId) -> Option<CallView> {
        (call == id()).then(view)
    }

    fn calls(&self) -> Vec<CallView> {
        vec![view()]
    }

    fn answer_here(&self, _: Private<String>, _: Control) -> BoxFuture<'_, Result<Named, ControlError>> {
        async { Ok(Named::default()) }.boxed()
    }

    fn answer_by_name(
        &self,
        _: Private<String>,
        control: Control,
    ) -> BoxFuture<'_, Result<Named, ControlError>> {
        self.controls.lock().unwrap().push(control);
        async { Ok(Named::default()) }.boxed()
    }

    fn consents(&self) -> tokio::sync::broadcast::Receiver<(CallId, ConsentState)> {
        tokio::sync::broadcast::channel(1).1
    }
}

impl Fake {
    fn or_fail<T>(&self, value: T) -> Result<T, LibraryError> {
        self.fail.lock().unwrap().clone().map_or(Ok(value), Err)
    }
}

impl Library for Fake {
    fn search(&self, query: SearchQuery) -> BoxFuture<'_, Result<Page, LibraryError>> {
        let recordings = if query.within.cover("demo") { vec![summary()] } else { Vec::new() };
        let page = Page {
            page: query.page,
            page_size: query.page_size,
            total: recordings.len() as u64,
            recordings,
            total_is_least: false,
            next: None,
        };
        self.searches.lock().unwrap().push(query);
        async move { self.or_fail(page) }.boxed()
    }

    fn within(
        &self,
        ids: Vec<CallId>,
        departments: Departments,
    ) -> BoxFuture<'_, Result<Vec<CallId>, LibraryError>> {
        let covered = ids.into_iter().filter(|one| *one == id() && departments.cover("demo")).collect();
        async move { self.or_fail(covered) }.boxed()
    }

    fn get(&self, _: Reached) -> BoxFuture<'_, Result<RecordingDetail, LibraryError>> {
        let detail = RecordingDetail {
            summary: summary(),
            ended_at: None,
            ended_by: None,
            streams: Vec::new(),
            counts: Vec::new(),
            consent: Vec::new(),
            gaps: Vec::new(),
            object: None,
            context: Default::default(),
        };
        async move { self.or_fail(detail) }.boxed()
    }

    fn waveform(&self, _: Reached) -> BoxFuture<'_, Result<Waveform, LibraryError>> {
        let waveform = Waveform { every_ms: 100, channels: vec![vec![0, 200], vec![90, 0]] };
        async move { self.or_fail(waveform) }.boxed()
    }

    fn audio(&self, request: AudioRequest) -> BoxFuture<'_, Result<Audio, LibraryError>> {
        self.opened.lock().unwrap().push(request);
        let total_bytes = FILE.len() as u64;
        async move {
            if let Some(error) = self.fail_audio.lock().unwrap().clone() {
                return Err(error);
            }
            let part = request.range.map_or(Ok(0..total_bytes), |range| range.resolve(total_bytes))?;
            let bytes = Bytes::from_static(&FILE[part.start as usize..part.end as usize]);
            let bytes = futures::stream::iter([Ok(bytes)]);
            let bytes = match self.endless.load(Ordering::Relaxed) {
                true => bytes.chain(futures::stream::pending()).boxed(),
                false => bytes.boxed(),
            };
            self.or_fail(Audio { total_bytes, part, bytes })
        }
        .boxed()
    }
}

impl Audit for Fake {
    fn append(&self, entry: AuditEntry) -> BoxFuture<'_, Result<(), AuditError>> {
        async move {
            if self.audit_fails.load(Ordering::Relaxed) {
                return Err(AuditError("the disk is full".into()));
            }
            self.audited.lock().unwrap().push(entry);
            Ok(())
        }
        .boxed()
    }

    fn about(&self, recording: CallId) -> BoxFuture<'_, Result<Vec<AuditEntry>, AuditError>> {
        let audited = self.audited.lock().unwrap();
        let about = audited.iter().filter(|entry| entry.recording == Some(recording)).cloned().collect();
        async move { Ok(about) }.boxed()
    }

    fn pseudonym(&self, text: &str) -> String {
        format!("hidden-{}", text.len())
    }
}

fn held() -> HoldView {
    let (reason, by) = ("case".to_owned(), "test".to_owned());
    let (until, at) = (WallTime::default(), WallTime::default());
    HoldView { id: id(), until, reason, lawful_basis: None, by, at }
}

impl Requests for Fake {
    fn time_zone(&self) -> &str {
        "Europe/Copenhagen"
    }

    fn departments(&self) -> Arc<[Department]> {
        let one = |id: &str, name: &str| Department {
            id: id.into(),
            name: name.into(),
            numbers: Vec::new(),
            record: true,
            retention_days: 90,
            keys: Default::default(),
            consent_timeout: Duration::from_secs(30),
            prompts: Vec::new(),
            asked_before: false,
        };
        [one("demo", "Citizen service"), one("elsewhere", "Elsewhere")].into()
    }

    fn public_key(&self) -> String {
        "00".repeat(32)
    }

    fn verify(&self, text: String) -> BoxFuture<'_, Result<Option<receipts::Verified>, LibraryError>> {
        let receipts =
            vec![receipts::VerifiedReceipt { verdict: receipts::Verdict::NoReceipt, content: None }];
        let verified = (!text.is_empty()).then_some(receipts::Verified { receipts });
        async move { self.or_fail(verified) }.boxed()
    }

    fn candidates(&self, wanted: CandidateQuery) -> BoxFuture<'_, Result<CandidatePage, LibraryError>> {
        let fit = Fit {
            score: 0.9,
            number: Some("same".into()),
            called_number: None,
            name: None,
            minutes_off: Some(3),
            reasons: vec![FitReason::NumberSame, FitReason::NameUnknown, FitReason::TimeNear],
        };
        let candidate = CandidateView { recording: summary(), fit };
        let candidates = if wanted.within.cover("demo") { vec![candidate] } else { Vec::new() };
        let window = wanted.window;
        self.wanted.lock().unwrap().push(wanted);
        let page = CandidatePage {
            candidates,
            total: 1,
            truncated: false,
            from: window.map(|window| window.from),
            to: window.map(|window| window.to),
        };
        async move { self.or_fail(page) }.boxed()
    }

    fn of_caller(
        &self,
        _: Private<String>,
        within: Departments,
    ) -> BoxFuture<'_, Result<Vec<CallId>, LibraryError>> {
        let all = if within.cover("demo") { vec![id()] } else { Vec::new() };
        async move { self.or_fail(all) }.boxed()
    }

    fn waiting_of_caller(&self, _: Private<String>, within: Departments) -> BoxFuture<'_, Vec<CallId>> {
        let all = if within.cover("demo") { vec![id()] } else { Vec::new() };
        async move { all }.boxed()
    }

    fn preview(&self, recording: Reached) -> BoxFuture<'_, Result<ErasurePreview, LibraryError>> {
        let preview = ErasurePreview {
            id: recording.id(),
            state: "stored",
            copies: Vec::new(),
            store_answers: true,
            spool_key: false,
            index_row: true,
            held_until: *self.held.lock().unwrap(),
        };
        async move { self.or_fail(preview) }.boxed()
    }

    fn erase(
        &self,
        recording: Reached,
        request: Option<String>,
        _accept_missing: bool,
    ) -> BoxFuture<'_, Result<EraseReceipt, LibraryError>> {
        self.erased.lock().unwrap().push(request.unwrap_or_default());
        let state = if self.pending.load(Ordering::Relaxed) { EraseState::Pending } else { EraseState::Done };
        let steps = vec![EraseStep { name: "deletion log".into(), done: true }];
        let id = recording.id();
        let held = self.held.lock().unwrap().map(|until| LibraryError::Held { until, reason: "case".into() });
        let receipt = (state == EraseState::Done).then(|| {
            serde_json::value::RawValue::from_string(r#"{"kind": "erasure-receipt"}"#.to_owned()).unwrap()
        });
        let receipt = EraseReceipt { id, state, steps, receipt, refused: None };
        async move { held.map_or_else(|| self.or_fail(receipt), Err) }.boxed()
    }

    fn receipt(&self, recording: Reached) -> BoxFuture<'_, Result<EraseReceipt, LibraryError>> {
        self.erase(recording, None, false)
    }

    fn hold(
        &self,
        recording: Reached,
        hold: NewHold,
        actor: Actor,
    ) -> BoxFuture<'_, Result<HoldView, LibraryError>> {
        let (id, NewHold { until, reason, lawful_basis }) = (recording.id(), hold);
        let view = HoldView { id, until, reason, lawful_basis, by: actor.name, at: WallTime::default() };
        async move { self.or_fail(view) }.boxed()
    }

    fn release(&self, _: Reached) -> BoxFuture<'_, Result<bool, LibraryError>> {
        async move { self.or_fail(true) }.boxed()
    }

    fn holds(&self) -> BoxFuture<'_, Result<Vec<HoldView>, LibraryError>> {
        async move { self.or_fail(vec![held()]) }.boxed()
    }

    fn retention_report(
        &self,
        at: Option<WallTime>,
        job: Option<u64>,
    ) -> BoxFuture<'_, Result<ReportAnswer, LibraryError>> {
        if let Some(job) = job {
            let running = ReportAnswer::Running(ReportProgress { job, looked_at: 1 });
            return async move { self.or_fail(running) }.boxed();
        }
        let report = RetentionReport {
            at: at.unwrap_or_default(),
            made_at: WallTime::default(),
            limit_days: 90,
            grace_s: 0,
            clean: true,
            parts: vec![ReportPart {
                name: "index",
                answers: true,
                there: 1,
                oldest_at: None,
                too_old: 1,
                amiss: 0,
                notes: vec![id().to_string()],
            }],
            held: vec![held()],
        };
        async move { self.or_fail(ReportAnswer::Done(report)) }.boxed()
    }

    fn confirm_clock(&self) -> BoxFuture<'_, Result<ClockView, LibraryError>> {
        let view = ClockView { trusted: WallTime::default(), wall: WallTime::default() };
        async move { self.or_fail(view) }.boxed()
    }

    fn audit_page(&self, after: u64, _: usize) -> BoxFuture<'_, Result<AuditPage, LibraryError>> {
        let raw = |text: String| serde_json::value::RawValue::from_string(text).unwrap();
        let about = raw(format!(r#"{{"entry":{{"action":"playback","recording":"{}"}}}}"#, id()));
        let search = raw(r#"{"entry":{"action":"search","recording":null}}"#.to_owned());
        let lines = vec![about, search];
        let page = AuditPage { lines, checkpoints: Vec::new(), last: after, more: false };
        async move { self.or_fail(page) }.boxed()
    }
}

fn found(broken: Option<String>) -> AuditFound {
    let entry = AuditEntry {
        at: WallTime::from_unix_micros(0),
        actor: "ada".into(),
        action: AuditAction::Playback,
        purpose: Some(Purpose::Training),
        recording: Some(id()),
        detail: Some("request 2026-0042".to_owned().into()),
    };
    let search = AuditEntry { action: AuditAction::Search, recording: None, ..entry.clone() };
    let chain = ChainView { intact: broken.is_none(), first: 1, last: 7, checkpoints: 2, fault: broken };
    let entries = vec![FoundEntry { sequence: 7, entry }, FoundEntry { sequence: 6, entry: search }];
    AuditFound { entries, next: Some(6), chain }
}

impl Oversight for Fake {
    fn audit_search(&self, wanted: AuditQuery) -> BoxFuture<'_, Result<AuditFound, LibraryError>> {
        self.sought.lock().unwrap().push(wanted);
        let found = found(self.broken.lock().unwrap().clone());
        async move { self.or_fail(found) }.boxed()
    }

    fn unusual(
        &self,
        at: WallTime,
        within: Departments,
    ) -> BoxFuture<'_, Result<(i64, Vec<Unusual>), LibraryError>> {
        let recordings = vec![id()];
        let one = Unusual { kind: "own_name", actor: "ada".into(), at, count: 1, usual: None, recordings };
        let found = if within.cover("demo") { vec![one] } else { Vec::new() };
        async move { self.or_fail((30, found)) }.boxed()
    }

    fn ages(&self, within: Departments) -> BoxFuture<'_, Result<AgesFound, LibraryError>> {
        let at = WallTime::from_unix_micros(0).plus_days(40);
        let demo = || "demo".to_owned();
        let found = AgesFound {
            at,
            limit_days: 90,
            ages: vec![
                AgeCount { department: demo(), days: 0, count: 3 },
                AgeCount { department: demo(), days: 12, count: 1 },
                AgeCount { department: demo(), days: 91, count: 2 },
            ],
            expiries: vec![ExpiryCount { department: demo(), day: jiff::civil::date(1970, 2, 10), count: 5 }],
        };
        let none = AgesFound { at, limit_days: 90, ..AgesFound::default() };
        let found = if within.cover("demo") { found } else { none };
        async move { self.or_fail(found) }.boxed()
    }

    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        let check =
            |name, ok, detail: &str| Check { name, ok, optional: true, reason: None, detail: detail.into() };
        let away = self.fail.lock().unwrap().is_some();
        async move { vec![check("spool", true, ""), check("store", !away, "403 Forbidden")] }.boxed()
    }

    fn try_store(&self) -> BoxFuture<'_, StoreTest> {
        let ok = self.fail.lock().unwrap().is_none();
        async move { StoreTest { ok, took_ms: 12, detail: (!ok).then(|| "403 Forbidden".to_owned()) } }
            .boxed()
    }

    fn nodes(&self) -> BoxFuture<'_, Result<Vec<NodeView>, LibraryError>> {
        let (state, version) = ("ready", "0.2.0".to_owned());
        let node = NodeView { number: 1, state, version, calls: 2, capacity_calls: 100, silent_s: 1 };
        async move { self.or_fail(vec![node]) }.boxed()
    }

    fn outcomes(&self, _: WallTime) -> BoxFuture<'_, Result<Vec<OutcomeCount>, LibraryError>> {
        let (outcome, cause) = ("not_recorded".to_owned(), "refused".to_owned());
        let one = OutcomeCount { department: "demo".into(), outcome, cause, count: 4 };
        async move { self.or_fail(vec![one]) }.boxed()
    }
}

/// The router on fakes.
#[derive(Clone)]
pub(crate) struct Api {
    pub fake: Arc<Fake>,
    pub tokens: Arc<Tokens>,
    pub users: Arc<Users>,
    pub router: Router,
    pub index: Index,
    _dir: Arc<tempfile::TempDir>,
}

/// A response.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a problem of `status` and returns its field.
    pub(crate) fn problem(&self, status: u16) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{text}");
        let json = self.json();
        assert!(
            json["type"].is_string() && json["title"].is_string() && json["detail"].is_string(),
            "{text}"
        );
        assert_eq!(json["status"], status);
        json["field"].as_str().unwrap_or_default().to_owned()
    }
}

impl Api {
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self::of(limits, false, SignInSettings::default())
    }

    /// One whose users come from a provider.
    pub(crate) fn with_sign_in(sign_in: SignInSettings) -> Self {
        Self::of(Limits::default(), false, sign_in)
    }

    /// One that accepts streams without a source.
    pub(crate) fn that_learns() -> Self {
        Self::of(Limits::default(), true, SignInSettings::default())
    }

    fn of(limits: Limits, learn_rtp_source: bool, sign_in: SignInSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::lazy(&IndexPlace::Sqlite(dir.path().join("index.sqlite")), "45").unwrap();
        let (user_index, users_of) = (index.clone(), index.clone());
        let users = Users::new(index.clone(), Arc::new(OsClock), sign_in.clone());
        let users = Arc::new(users);
        let key = FactorKey::new(&Secret::copy_of(&[7; 32])).unwrap();
        let tokens = Tokens::open(index, &dir.path().join("tokens.json"), Arc::new(OsClock)).unwrap();
        let tokens = Arc::new(tokens);
        let fake = Arc::new(Fake::default());
        let index = Index::lazy(&IndexPlace::Sqlite(dir.path().join("index.sqlite")), "45").unwrap();
        let services = Services {
            feed: fake.clone(),
            library: fake.clone(),
            audit: fake.clone(),
            requests: fake.clone(),
            oversight: fake.clone(),
            tokens: tokens.clone(),
            sign_ins: Arc::new(SignIns::new(user_index.clone(), tokens.clone(), Arc::new(OsClock), sign_in)),
            users: users.clone(),
            passwords: Arc::new(PasswordSignIns::new(user_index, Arc::new(OsClock), key)),
            provider: None,
            clock: Arc::new(OsClock),
            cases: Arc::new(Cases::new(index.clone(), jiff::tz::TimeZone::UTC)),
            links: Arc::new(Links::new(index, dir.path().join("links.json"))),
            owner: Arc::new(Owner { public_url: "https://calls.example".into(), ..Owner::default() }),
            drains: fake.clone(),
            learn_rtp_source,
            nodes: None,
        };
        let router = router(services, limits);
        Self { fake, tokens, users, router, index: users_of, _dir: Arc::new(dir) }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        Answer { status: head.status, headers: head.headers, bytes: to_bytes(body, 1 << 20).await.unwrap() }
    }

    /// Sends a request with `role`, in-process.
    pub(crate) async fn as_role(
        &self,
        role: Role,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        self.send(request(role, method, path, body)).await
    }

    /// Sends a request as an actor, in-process.
    pub(crate) async fn as_actor(
        &self,
        actor: Actor,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = request(Role::Admin, method, path, body);
        request.extensions_mut().insert(actor);
        self.send(request).await
    }

    /// Posts as an admin; the response body is not read.
    pub(crate) async fn unread(&self, path: &str, body: &Value) -> axum::http::Response<Body> {
        let request = request(Role::Admin, Method::POST, path, Some(body));
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.as_role(Role::Admin, Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.as_role(Role::Admin, Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.as_role(Role::Admin, Method::DELETE, path, None).await
    }
}

fn request(role: Role, method: Method, path: &str, body: Option<&Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
    let mut request = request.body(body).unwrap();
    request.extensions_mut().insert(Actor::with_role("test", role));
    request
}

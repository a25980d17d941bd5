//! A feed that admits everything and records what it is asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use optag_core::call::{Answer, ConsentKeys, ConsentState, Department};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;
use optag_sip::feed::{AdmitError, Admitted, CallView, Control, ControlError, Feed, NewCall, StreamView};
use optag_sip::sip::allow_list::AllowList;
use optag_sip::siprec::parties::Departments;
use optag_sip::siprec::settings::Config;

/// History of a call.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub new: NewCall,
    pub controls: Vec<Control>,
    pub view: CallView,
    /// Departments that consent was given to.
    pub granted: Vec<String>,
}

impl Seen {
    /// Whether audio would be kept.
    pub(crate) fn is_open(&self) -> bool {
        self.view.consent == ConsentState::Granted && !self.view.paused && self.view.ended_at.is_none()
    }
}

/// Every call, by its id.
pub(crate) struct FakeFeed {
    pub calls: Mutex<HashMap<CallId, Seen>>,
    pub refuse: Mutex<Option<AdmitError>>,
    pub slow: Mutex<Duration>,
    pub refuse_streams: Mutex<Option<ControlError>>,
    pub kept: Mutex<HashMap<CallId, Private<String>>>,
    pub consents: tokio::sync::broadcast::Sender<(CallId, ConsentState)>,
}

impl Default for FakeFeed {
    fn default() -> Self {
        Self {
            calls: Mutex::default(),
            refuse: Mutex::default(),
            slow: Mutex::default(),
            refuse_streams: Mutex::default(),
            kept: Mutex::default(),
            consents: tokio::sync::broadcast::Sender::new(64),
        }
    }
}

impl FakeFeed {
    /// All calls, in order of admission.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let mut all: Vec<Seen> = self.calls.lock().unwrap().values().cloned().collect();
        all.sort_by_key(|seen| seen.view.id);
        all
    }

    pub(crate) fn take(&self, new: NewCall) -> Result<Admitted, AdmitError> {
        if let Some(error) = self.refuse.lock().unwrap().clone() {
            return Err(error);
        }
        let mut calls = self.calls.lock().unwrap();
        let at = calls.len();
        let id = CallId::new_at(WallTime::from_unix_micros(1_700_000_000_000_000 + at as i64 * 1_000_000));
        let consent = if new.department == "private" { ConsentState::Unknown } else { ConsentState::Asked };
        let port = |n: usize| SocketAddr::from(([127, 0, 0, 1], (20_000 + at * 16 + n * 2) as u16));
        let streams: Vec<SocketAddr> = (0..new.streams.len()).map(port).collect();
        let views = new.streams.iter().zip(&streams).map(|(stream, address)| StreamView {
            label: stream.label.clone(),
            role: stream.role,
            address: *address,
            counts: Default::default(),
        });
        let view = CallView {
            parties: None,
            id,
            department: new.department.clone(),
            external_id: new.external_id.clone(),
            started_at: WallTime::default(),
            ended_at: None,
            consent,
            paused: false,
            outcome: None,
            streams: views.collect(),
        };
        calls.insert(id, Seen { new, controls: Vec::new(), view, granted: Vec::new() });
        Ok(Admitted { id, consent, streams })
    }

    pub(crate) fn apply(&self, id: CallId, control: Control) -> Result<CallView, ControlError> {
        let mut calls = self.calls.lock().unwrap();
        let seen = calls.get_mut(&id).filter(|seen| seen.view.ended_at.is_none());
        let seen = seen.ok_or(ControlError::NoSuchCall(id))?;
        match &control {
            Control::Answer { answer: Answer::Yes, .. } => {
                seen.view.consent = ConsentState::Granted;
                seen.granted.push(seen.view.department.clone());
            }
            Control::Transfer { department, .. } => {
                seen.view.consent = match seen.granted.contains(department) {
                    true => ConsentState::Granted,
                    false if department == "private" => ConsentState::Unknown,
                    false => ConsentState::Asked,
                };
                seen.view.department.clone_from(department);
            }
            Control::Pause => seen.view.paused = true,
            Control::Resume => seen.view.paused = false,
            Control::Answer { answer: Answer::No, .. } => seen.view.consent = ConsentState::Refused,
            Control::Withdraw { .. } => seen.view.consent = ConsentState::Withdrawn,
            Control::AddStream(stream) => {
                if let Some(error) = self.refuse_streams.lock().unwrap().clone() {
                    return Err(error);
                }
                let first = seen.view.streams[0].address;
                seen.view.streams.push(StreamView {
                    label: stream.label.clone(),
                    role: stream.role,
                    address: SocketAddr::new(first.ip(), first.port() + 2 * seen.view.streams.len() as u16),
                    counts: Default::default(),
                });
            }
            Control::End => seen.view.ended_at = Some(WallTime::default()),
            _ => {}
        }
        seen.controls.push(control);
        Ok(seen.view.clone())
    }
}

impl Feed for FakeFeed {
    fn admit(&self, call: NewCall) -> BoxFuture<'_, Result<Admitted, AdmitError>> {
        async move {
            let slow = *self.slow.lock().unwrap();
            tokio::time::sleep(slow).await;
            self.take(call)
        }
        .boxed()
    }

    fn control(&self, id: CallId, control: Control) -> BoxFuture<'_, Result<CallView, ControlError>> {
        async move { self.apply(id, control) }.boxed()
    }

    fn stream_refused(&self, _: CallId, _: &str, _: optag_core::call::RefusedStreams) {}

    fn keep(&self, id: CallId, text: Private<String>) {
        self.kept.lock().unwrap().insert(id, text);
    }

    fn call(&self, id: CallId) -> Option<CallView> {
        self.calls.lock().unwrap().get(&id).map(|seen| seen.view.clone())
    }

    fn calls(&self) -> Vec<CallView> {
        self.seen().into_iter().map(|seen| seen.view).collect()
    }

    fn answer_here(
        &self,
        _: Private<String>,
        _: Control,
    ) -> BoxFuture<'_, Result<optag_sip::feed::Named, ControlError>> {
        async { Ok(Default::default()) }.boxed()
    }

    fn answer_by_name(
        &self,
        _: Private<String>,
        _: Control,
    ) -> BoxFuture<'_, Result<optag_sip::feed::Named, ControlError>> {
        async { Ok(Default::default()) }.boxed()
    }

    fn consents(&self) -> tokio::sync::broadcast::Receiver<(CallId, ConsentState)> {
        self.consents.subscribe()
    }
}

/// Settings with the departments `demo` (70102030, takes what is left) and `private` (70102031).
pub(crate) fn config() -> Config {
    let department = |id: &str, number: &str| Department {
        id: id.into(),
        name: id.into(),
        numbers: vec![number.into()],
        record: id != "private",
        retention_days: 90,
        keys: ConsentKeys::default(),
        consent_timeout: Duration::from_secs(30),
        prompts: Default::default(),
        asked_before: false,
    };
    Config {
        clients: AllowList::default(),
        credentials: None,
        advertised: None,
        departments: Departments {
            all: vec![department("demo", "70102030"), department("private", "70102031")],
            country_code: "45".into(),
            otherwise: Some("demo".into()),
        },
        rules: Default::default(),
        consent: Default::default(),
        until_consent: Default::default(),
        plain_calls: false,
        when_unavailable: Default::default(),
        media_source: Default::default(),
        info_keys: true,
        unknown_party: Default::default(),
        profiles: Vec::new(),
        streams_max: 100_000,
        streams_per_client: 100_000,
        sessions_max: 5_000,
        secret: [9; 32],
    }
}

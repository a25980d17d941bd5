//! One call of the plan, with what its caller and others say meanwhile at nodes drawn at random.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::calling::{Call, Voices};
use super::notes::{Notes, Told, line};
use super::plan::{Answer, CallPlan, Refusal};
use super::site::{NODES, Site};

/// How often whoever passes an answer on tries, each time at some node.
const TRIES: u32 = 4;
/// Pause between them.
const PAUSE: Duration = Duration::from_millis(700);

/// What the calls of a run have in common.
#[derive(Clone)]
pub(super) struct Run {
    pub site: Arc<Site>,
    pub notes: Arc<Notes>,
    pub voices: Arc<Voices>,
    pub token: String,
}

impl Run {
    /// Asks some node; which one, and its answer.
    pub(super) async fn ask_any(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (usize, Option<(u16, Value)>) {
        let node = self.notes.draw(NODES as u64) as usize;
        (node, self.site.ask(node, &self.token, method, path, body).await)
    }

    /// Plays the call to its end.
    pub(super) async fn play(self, n: usize, plan: CallPlan) {
        tokio::time::sleep(plan.begins).await;
        let name = format!("chaos-{n}");
        match plan.answer {
            Answer::EarlyYes => self.tell_by_name(n, &name, "yes").await,
            Answer::EarlyNo => self.tell_by_name(n, &name, "no").await,
            _ => {}
        }
        let fields = match plan.answer {
            Answer::Yes => "X-Recording-Consent: yes\r\n",
            Answer::No => "X-Recording-Consent: no\r\n",
            _ => "",
        };
        let began = Instant::now();
        let mut call = match Call::begin(&self.voices, self.site.network.hub.ip.into(), &name, fields).await {
            Ok(call) => call,
            Err(error) => return self.notes.change(n, format!("not taken: {error:#}"), |_| {}),
        };
        let id = call.id();
        self.notes.change(n, format!("taken as {id}, {:?}", plan.answer), |note| {
            (note.id, note.began) = (id.clone(), Some(began));
            match plan.answer {
                Answer::Yes => note.yes = Some(Instant::now()),
                Answer::No => note.no = Told::Done,
                _ => {}
            }
        });
        match plan.answer {
            Answer::Key => {
                let taken = call.press("1").await;
                self.notes.change(n, format!("key 1: {taken}"), |_| {});
                self.look(n, &id).await;
            }
            Answer::ById => self.answer_by_id(n, &id, "yes").await,
            Answer::ByName => self.tell_by_name(n, &name, "yes").await,
            Answer::EarlyYes => self.look(n, &id).await,
            _ => {}
        }
        let until = began + plan.lasts;
        let mut goes_on = true;
        if let Some((after, refusal)) = plan.refusal {
            goes_on = call.goes_on((began + after).saturating_duration_since(Instant::now())).await;
            if goes_on {
                self.refuse(n, &name, &id, refusal, &mut call).await;
            }
        }
        if goes_on {
            goes_on = call.goes_on(until.saturating_duration_since(Instant::now())).await;
        }
        let ended = Instant::now();
        let (said, answered) = call.end().await;
        let how = if goes_on { "ended" } else { "was ended" };
        let line = format!("{how} after {said:?}, BYE answered: {answered}");
        self.notes.change(n, line, |note| note.ended = Some(ended));
    }

    async fn refuse(&self, n: usize, name: &str, id: &str, refusal: Refusal, call: &mut Call) {
        match refusal {
            Refusal::NoByName => self.tell_by_name(n, name, "no").await,
            Refusal::NoById => self.answer_by_id(n, id, "no").await,
            Refusal::Withdrawal => {
                let body = json!({"how": "system"});
                self.control(n, &format!("/api/v1/calls/{id}/withdraw"), body, "withdrawal").await;
            }
            Refusal::Keys => {
                let taken = call.press("*9").await;
                self.notes.change(n, format!("keys *9: {taken}"), |note| {
                    note.no = note.no.max(Told::Unanswered);
                });
            }
        }
    }

    async fn answer_by_id(&self, n: usize, id: &str, answer: &str) {
        let body = json!({"answer": answer, "how": "system"});
        self.control(n, &format!("/api/v1/calls/{id}/consent"), body, answer).await;
    }

    /// Asks nodes in turn until one acknowledges or says that it cannot be.
    async fn control(&self, n: usize, path: &str, body: Value, what: &str) {
        for _ in 0..TRIES {
            let (node, answer) = self.ask_any("POST", path, Some(body.clone())).await;
            let told = told(&answer, &[200]);
            let said = format!("{what} by id at node {}: {}", node + 1, line(&answer));
            self.notes.change(n, said, |note| {
                if what == "yes" {
                    note.yes = note.yes.or((told == Told::Done).then(Instant::now));
                } else {
                    note.no = note.no.max(told);
                }
            });
            if told == Told::Done || matches!(answer, Some((404 | 409 | 422, _))) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The same by name. A yes counts only once the call is seen to have it; a no where there was no such call yet counts
    /// for one that begins later.
    async fn tell_by_name(&self, n: usize, name: &str, answer: &str) {
        let body = json!({"call_id": format!("{name}@load"), "answer": answer, "how": "system"});
        for _ in 0..TRIES {
            let (node, given) = self.ask_any("POST", "/api/v1/consents", Some(body.clone())).await;
            let told = told(&given, &[200, 202]);
            let calls = given.as_ref().map(|(_, given)| given["calls"].to_string()).unwrap_or_default();
            let said = format!("{answer} by name at node {}: {} {calls}", node + 1, line(&given));
            self.notes.change(n, said, |note| {
                let reached = calls.contains(&note.id) && !note.id.is_empty();
                let is_early = note.began.is_none();
                let told = if reached || is_early { told } else { told.min(Told::Unanswered) };
                match answer {
                    "yes" if reached => note.yes = note.yes.or((told == Told::Done).then(Instant::now)),
                    "yes" => {}
                    _ => note.no = note.no.max(told),
                }
            });
            if told == Told::Done || matches!(given, Some((409 | 422, _))) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Looks whether the call has a yes by now.
    async fn look(&self, n: usize, id: &str) {
        for _ in 0..TRIES {
            tokio::time::sleep(PAUSE).await;
            let (node, view) = self.ask_any("GET", &format!("/api/v1/calls/{id}"), None).await;
            let granted = view.as_ref().is_some_and(|(_, view)| view["consent"] == "granted");
            if granted {
                let said = format!("node {} says granted", node + 1);
                return self.notes.change(n, said, |note| note.yes = note.yes.or(Some(Instant::now())));
            }
        }
    }
}

/// What an answer means, where these statuses acknowledge.
pub(super) fn told(answer: &Option<(u16, Value)>, acknowledged: &[u16]) -> Told {
    match answer {
        None => Told::Unanswered,
        Some((status, _)) if acknowledged.contains(status) => Told::Done,
        // Refused for the moment: it may be kept and take effect later (`docs/guide/nodes.md`).
        Some((503, _)) => Told::Unanswered,
        Some(_) => Told::Nothing,
    }
}

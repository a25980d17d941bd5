//! Answers by an identifier of a call, whichever node has it or will have it. In: an answer and a name. Out: the calls
//! that have it; or it is durable in the registry and waits.
//!
//! While the registry is away, every known node is asked: a no is acknowledged only if all of them answered and one has
//! the call, a yes if one has. A node that was heard a moment ago and is silent now may have a call that the registry
//! does not show; it is asked as well before a no is acknowledged.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HOST};
use serde::{Deserialize, Serialize};

use crate::cluster::answer::SentAnswer;
use crate::cluster::identity::Peer;
use crate::cluster::membership::{Away, LEASE};
use crate::http::calls::not_steered;
use crate::http::nodes::{ANSWERS, KEPT, NOT_KEPT, Nodes, RETRY_S, from_each, unreachable};
use crate::http::problem::Problem;
use crate::index::EarlyKind;
use optag_core::id::CallId;
use optag_core::private::Private;
use optag_sip::feed::{Control, ControlError, Feed, Named};

/// Time after which a node that is silent and cannot be reached is taken to have ended.
const PRESUMED_GONE: Duration = Duration::from_secs(60);

/// An answer as one node gives it to another.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NamedAnswer {
    pub name: Private<String>,
    pub answer: SentAnswer,
}

/// What became of it there.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct NamedResult {
    pub reached: Vec<CallId>,
    pub missed: Vec<(CallId, String)>,
    /// Status and detail, where it reached none of the calls that there are.
    pub refused: Option<(u16, String)>,
}

impl NamedResult {
    /// Of the calls here.
    pub(super) fn of(given: Result<Named, ControlError>) -> Self {
        match given {
            Ok(Named { reached, missed }) => Self { reached, missed, refused: None },
            Err(error) => {
                let problem = not_steered(error);
                let refused = Some((problem.status().as_u16(), problem.detail));
                Self { refused, ..Self::default() }
            }
        }
    }

    fn found_any(&self) -> bool {
        !self.reached.is_empty() || !self.missed.is_empty() || self.refused.is_some()
    }
}

/// An answer on its way.
pub(in crate::http) struct ByName<'a> {
    pub nodes: &'a Nodes,
    pub feed: &'a dyn Feed,
    pub name: Private<String>,
    pub control: Control,
}

impl ByName<'_> {
    /// Gives it, or keeps it.
    ///
    /// Errors: 503 where it is not acknowledged; what its calls said where none of them took it.
    pub(in crate::http) async fn give(self) -> Result<Named, Problem> {
        let Some(answer) = SentAnswer::of(&self.control) else {
            return Err(not_steered(ControlError::Unsupported("give this by name")));
        };
        match self.nodes.shared.nodes_of(self.name.reveal()).await {
            Ok(owners) => self.give_known(&answer, owners).await,
            Err(Away) => self.give_all(&answer).await,
        }
    }

    async fn give_known(&self, answer: &SentAnswer, owners: Vec<u16>) -> Result<Named, Problem> {
        let (shared, name) = (&self.nodes.shared, self.name.reveal());
        let stands = answer.kind() != EarlyKind::Yes;
        let (given, missing) = self.give_to(answer, self.owners(&owners)).await;
        if !missing.is_empty() {
            return Err(self.not_acknowledged(answer, &missing).await);
        }
        if given.found_any() {
            return named(given);
        }
        if stands {
            let (given, missing) = self.give_to(answer, self.silent(&owners)).await;
            if !missing.is_empty() {
                return Err(self.not_acknowledged(answer, &missing).await);
            }
            if given.found_any() {
                return named(given);
            }
        }
        let away = |_| Problem::unavailable("the registry of nodes does not answer", RETRY_S);
        let kept = shared.keep(name, answer).await.map_err(away)?;
        let row = kept.ok_or_else(|| not_steered(ControlError::TooManyPending))?;
        // A call admitted in the meantime has not received it, or has taken it itself.
        let owners = shared.nodes_of(name).await.map_err(away)?;
        if owners.is_empty() {
            return Ok(Named::default());
        }
        let index = shared.members.index();
        // A yes is for one call, which has it where it is not here any more.
        if !stands && !shared.members.ask(index.take_yes(&row)).await.map_err(away)? {
            return Ok(Named::default());
        }
        let (given, missing) = self.give_to(answer, self.owners(&owners)).await;
        if !missing.is_empty() {
            return Err(unreachable(&missing, if stands { KEPT } else { NOT_KEPT }));
        }
        if !given.found_any() {
            // They ended in the meantime.
            if !stands {
                shared.keep(name, answer).await.map_err(away)?;
            }
            return Ok(Named::default());
        }
        if stands {
            // Where this fails, calls that begin later have it as well.
            let _ = shared.members.ask(index.retire_early(&row)).await;
        }
        named(given)
    }

    /// The registry is away: nothing can be kept, and nobody says who has the call.
    async fn give_all(&self, answer: &SentAnswer) -> Result<Named, Problem> {
        let (given, missing) = self.give_to(answer, self.nodes.peers()).await;
        if answer.kind() != EarlyKind::Yes && !missing.is_empty() {
            return Err(unreachable(&missing, NOT_KEPT));
        }
        if given.found_any() {
            return named(given);
        }
        Err(Problem::unavailable(
            "no node has a call of this name, and an answer cannot be kept while the registry of nodes is away",
            RETRY_S,
        ))
    }

    /// Keeps a no for calls whose nodes could not be reached.
    async fn not_acknowledged(&self, answer: &SentAnswer, missing: &[u16]) -> Problem {
        let stands = answer.kind() != EarlyKind::Yes;
        let kept = async { self.nodes.shared.keep(self.name.reveal(), answer).await };
        let kept = stands && kept.await.is_ok_and(|row| row.is_some());
        unreachable(missing, if kept { KEPT } else { NOT_KEPT })
    }

    /// The other nodes that have calls of the name.
    fn owners(&self, numbers: &[u16]) -> Vec<Peer> {
        let me = self.nodes.shared.members.number();
        let others = numbers.iter().filter(|number| **number != me);
        let unknown = |number: u16| Peer { number, address: String::new() };
        others.map(|&number| self.nodes.peer(number).unwrap_or_else(|| unknown(number))).collect()
    }

    /// Nodes that may have calls which the registry does not show.
    fn silent(&self, asked: &[u16]) -> Vec<Peer> {
        let others = self.nodes.shared.members.others().into_iter();
        let silent = others.filter(|one| one.silent_for > LEASE && one.silent_for < PRESUMED_GONE);
        silent.map(|one| one.peer).filter(|peer| !asked.contains(&peer.number)).collect()
    }

    /// Gives it to the calls here and to those of `peers`; and which of these could not be reached.
    async fn give_to(&self, answer: &SentAnswer, peers: Vec<Peer>) -> (NamedResult, Vec<u16>) {
        let here = self.feed.answer_here(self.name.clone(), self.control.clone());
        let there = from_each(&peers, |peer| self.ask(peer, answer));
        let (here, (there, missing)) = tokio::join!(here, there);
        let mut all = NamedResult::of(here);
        for given in there {
            all.reached.extend(given.reached);
            all.missed.extend(given.missed);
            all.refused = all.refused.or(given.refused);
        }
        (all, missing)
    }

    async fn ask(&self, peer: &Peer, answer: &SentAnswer) -> Option<NamedResult> {
        let body = NamedAnswer { name: self.name.clone(), answer: answer.clone() };
        let request = axum::http::Request::post(ANSWERS)
            .header(HOST, "optag")
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(serde_json::to_vec(&body).ok()?));
        let said = self.nodes.ask(peer, request.ok()?).await.ok()?;
        match said.status() {
            StatusCode::OK => serde_json::from_slice(said.body()).ok(),
            status => {
                tracing::warn!(node = peer.number, %status, "another node did not take an answer");
                None
            }
        }
    }
}

/// The result of an answer; an error only if it reached no call but should have reached one.
fn named(given: NamedResult) -> Result<Named, Problem> {
    match given.refused {
        Some((status, detail)) if given.reached.is_empty() => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            Err(match status {
                StatusCode::SERVICE_UNAVAILABLE => Problem::unavailable(detail, RETRY_S),
                status => Problem::new(status, detail),
            })
        }
        _ => Ok(Named { reached: given.reached, missed: given.missed }),
    }
}

//! The recorder as one of several nodes: its heartbeat, its calls as other nodes find them, and answers that others left
//! for them. In: the registry and what waits there. Out: answers given, rows put right. Part of [`Recorder`].

use std::time::Instant;

use crate::cluster::membership::{Away, BEAT};
use crate::cluster::shared_calls::Found;
use crate::index::{EarlyKind, NodeState};
use crate::recorder::*;

/// Time between two looks for answers whose time is over.
const COUNT: Duration = Duration::from_secs(10);

/// What a round must know of those before it.
#[derive(Debug, Default)]
struct Rounds {
    beaten: Option<Instant>,
    counted: Option<Instant>,
    /// The rows that an earlier process left were looked through.
    settled: bool,
}

impl Recorder {
    /// Renews the lease and does what other nodes ask for, until it is dropped.
    pub async fn follow_nodes(self: Arc<Self>) {
        let Some(shared) = self.shared.clone() else { return };
        let rounds = async {
            let mut rounds = Rounds::default();
            loop {
                self.round(&shared, &mut rounds).await;
                tokio::select! {
                    () = tokio::time::sleep(BEAT) => {}
                    () = shared.woken() => {}
                }
            }
        };
        tokio::join!(rounds, shared.follow());
    }

    /// Says to the registry what this node does.
    ///
    /// Errors: it does not answer.
    pub async fn tell_nodes(&self, state: NodeState) -> Result<(), Away> {
        match &self.shared {
            Some(shared) => shared.members.beat(state, self.live_calls.live()).await,
            None => Ok(()),
        }
    }

    /// The last that other nodes hear: all calls are over, and nobody need wait for this node.
    pub async fn leave_nodes(&self) {
        let Some(shared) = &self.shared else { return };
        let left = async {
            shared.forget_ended().await?;
            shared.put_right(Vec::new, async |_| ()).await?;
            self.tell_nodes(NodeState::Gone).await
        };
        if left.await.is_err() {
            tracing::warn!(
                "cannot sign off in the registry of nodes; others wait for this node until it is back"
            );
        }
    }

    async fn round(&self, shared: &SharedCalls, rounds: &mut Rounds) {
        if rounds.beaten.is_none_or(|at| at.elapsed() >= BEAT) {
            rounds.beaten = Some(Instant::now());
            let draining = self.draining.load(Ordering::Acquire);
            let state = if draining { NodeState::Draining } else { NodeState::Ready };
            let told = self.tell_nodes(state).await;
            metrics::registry_up(told.is_ok() && shared.members.shared().is_ok());
            if told.is_err() {
                return;
            }
        }
        if shared.members.take_stale() {
            let first = !std::mem::replace(&mut rounds.settled, true);
            if self.put_right(shared, first).await.is_err() {
                rounds.settled = !first;
                shared.members.set_stale();
                return;
            }
        }
        if shared.forget_ended().await.is_err() {
            return;
        }
        let (found, _) = shared.pay().await;
        let waiting = shared.waiting().await.unwrap_or_default();
        for (call, found) in found.into_iter().chain(waiting) {
            self.give_found(shared, call, found).await;
        }
        if rounds.counted.is_none_or(|at| at.elapsed() >= COUNT)
            && let Ok((waiting, expired)) = shared.members.ask(shared.members.index().expire_early()).await
        {
            rounds.counted = Some(Instant::now());
            metrics::early_answers(waiting, expired);
        }
    }

    /// Enters all calls, and takes out those that are over. After a start, those are calls that a crash ended: what
    /// was left for them meanwhile is for their recordings.
    async fn put_right(&self, shared: &SharedCalls, first: bool) -> Result<(), Away> {
        let over = async |waiting: Vec<(CallId, Found)>| {
            for (call, found) in waiting {
                if first && found.answer.kind() != EarlyKind::Yes && self.erase_over(call).await.is_ok() {
                    shared.note_given(call, &found.id).await;
                }
            }
        };
        shared.put_right(|| self.live_calls.live_names(), over).await
    }

    /// Gives a call what was left for it.
    async fn give_found(&self, shared: &SharedCalls, call: CallId, found: Found) {
        let Found { id, answer } = found;
        let kind = answer.kind();
        let view = self.live_calls.get(call);
        let given = match &view {
            // It has what it would get.
            Some(view) if kind != EarlyKind::Yes && view.consent == ConsentState::Withdrawn => Ok(()),
            Some(view) if view.outcome.is_none() => self.try_control(call, answer.into()).await.map(drop),
            _ if kind == EarlyKind::Yes => Ok(()),
            // It ended before it could be asked.
            _ => self.erase_over(call).await,
        };
        match given {
            Err(error @ ControlError::NotDurable) => {
                tracing::warn!(%call, %error, "cannot give a call the answer that waits for it; trying again");
                return;
            }
            Err(ControlError::NoSuchCall(_) | ControlError::Consent(ConsentError::Ended))
                if kind != EarlyKind::Yes =>
            {
                if self.erase_over(call).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::info!(%call, %error, "an answer that waited for a call changes nothing"),
            Ok(()) => tracing::info!(%call, kind = ?kind, "a call has the answer that waited for it"),
        }
        shared.note_given(call, &id).await;
    }

    /// Erases what was recorded of a call that is over.
    async fn erase_over(&self, call: CallId) -> Result<(), ControlError> {
        if self.live_calls.get(call).is_some() {
            return self.withdraw_ended(call).await.map(drop);
        }
        self.erasure.order(call, Cause::Withdrawal).await.map_err(|_| ControlError::NotDurable)?;
        let erasure = Arc::clone(&self.erasure);
        // The sweeper retries whatever cannot be reached now.
        tokio::spawn(async move { drop(erasure.complete(call, Cause::Withdrawal).await) });
        Ok(())
    }

    /// Before a yes: a no that waits for the call stands. Where it cannot be looked for, the yes holds until it can.
    pub(super) async fn give_standing_no(&self, id: CallId) -> Result<(), ControlError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        match shared.standing_no(id, &self.live_calls.names(id)).await {
            Ok(Some(no)) => Box::pin(self.try_control(id, no.answer.into())).await.map(drop),
            Ok(None) | Err(Away) => Ok(()),
        }
    }
}

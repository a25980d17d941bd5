//! Consent answers addressed to a call by an external name. In: an answer and a name. Out: the answer applied to every
//! call of that name, or the call for which it failed; if there is none, it is stored as pending. Part of [`Recorder`].

use crate::index::EarlyKind;
use crate::recorder::*;

impl Recorder {
    pub(super) async fn try_answer(
        &self,
        name: Private<String>,
        answer: Control,
    ) -> Result<Named, ControlError> {
        let given = self.give_live(&name, &answer).await;
        if given.is_empty() {
            let pending = answer.answer().ok_or(ControlError::Unsupported("keep this for a call"))?;
            let wanted = pending.leads_to();
            self.keep_pending(name.clone(), pending).await?;
            // A call announced in the meantime has not received it, or has taken it itself.
            let mut given = Vec::new();
            for call in self.live_calls.named(name.reveal()) {
                let taken = self.answer_pending(call, std::slice::from_ref(name.reveal())).await;
                let stands = self.live_calls.get(call).map(|view| view.consent);
                given.push((call, taken.and_then(|taken| has_it(taken, stands, wanted))));
            }
            return named(given);
        }
        named(given)
    }

    /// Gives an answer to the calls of a name that are in progress here; there may be none.
    pub(super) async fn answer_live(
        &self,
        name: &Private<String>,
        answer: &Control,
    ) -> Result<Named, ControlError> {
        named(self.give_live(name, answer).await)
    }

    /// What became of it in each of them; a call that the engine does not have yet, or any more, is none.
    async fn give_live(
        &self,
        name: &Private<String>,
        answer: &Control,
    ) -> Vec<(CallId, Result<(), ControlError>)> {
        let mut given = Vec::new();
        for call in self.live_calls.named(name.reveal()) {
            match self.try_control(call, answer.clone()).await {
                Err(ControlError::NoSuchCall(_)) => {}
                done => given.push((call, done.map(drop))),
            }
        }
        given
    }

    async fn keep_pending(&self, name: Private<String>, answer: GivenAnswer) -> Result<(), ControlError> {
        let (pending, now) = (self.pending_answers.clone(), self.clock.wall());
        let kept = tokio::task::spawn_blocking(move || pending.keep(now, name.reveal(), answer)).await;
        match kept {
            Ok(Ok(())) => Ok(()),
            Ok(Err(NotKept::TooMany)) => Err(ControlError::TooManyPending),
            Ok(Err(NotKept::Disk(error))) => {
                tracing::error!(%error, "cannot save an answer that arrived before its call");
                Err(ControlError::NotDurable)
            }
            Err(_) => Err(ControlError::NotDurable),
        }
    }

    /// Gives a call its pending answer, if there is one; returns whether there was. Serialised per call: a
    /// caller that finds none sees the call in the state after the previous one.
    ///
    /// Errors: there is one, but the call has not received it.
    pub(super) async fn answer_pending(&self, id: CallId, names: &[String]) -> Result<bool, ControlError> {
        let _turn = self.answering.lock(id).await;
        let (pending, now, keys) = (self.pending_answers.clone(), self.clock.wall(), names.to_vec());
        let taken = tokio::task::spawn_blocking(move || pending.take(now, &keys)).await;
        let Ok(Ok(answer)) = taken else { return Err(ControlError::NotDurable) };
        // A no of the one place or the other stands: what comes after it is refused.
        let mut answers: Vec<Control> = answer.into_iter().map(Control::from).collect();
        if let Some(shared) = &self.shared
            && let Some(found) = shared.take(id, names).await
        {
            let at = if found.answer.kind() == EarlyKind::Yes { answers.len() } else { 0 };
            answers.insert(at, found.answer.into());
        }
        let mut answers = answers.into_iter();
        let Some(first) = answers.next() else { return Ok(false) };
        let given = Box::pin(self.try_control(id, first)).await.map(|_| true);
        for answer in answers {
            if let Err(error) = Box::pin(self.try_control(id, answer)).await {
                tracing::debug!(call = %id, %error, "a second pending answer changes nothing");
            }
        }
        given
    }

    /// Gives pending answers to calls resumed after a restart: the process may have ended between a call's
    /// admission and its answer.
    pub async fn answer_resumed(&self, calls: &HashSet<CallId>) {
        for &call in calls {
            let waits = self.live_calls.get(call).is_some_and(|view| view.consent == ConsentState::Asked);
            if !waits {
                continue;
            }
            if let Err(error) = self.answer_pending(call, &self.live_calls.names(call)).await {
                tracing::error!(%call, %error, "cannot apply pending consent answer");
            }
        }
    }
}

/// Whether a call has the answer for its identifier: it was given just now, or the call is in the resulting
/// state. A yes is for one call, which may have been another one.
fn has_it(given: bool, stands: Option<ConsentState>, wanted: ConsentState) -> Result<(), ControlError> {
    if given || stands == Some(wanted) { Ok(()) } else { Err(ControlError::AnotherHasIt) }
}

/// The result of an answer; an error only if it reached no call but should have reached one.
fn named(given: Vec<(CallId, Result<(), ControlError>)>) -> Result<Named, ControlError> {
    let (mut named, mut first) = (Named::default(), None);
    for (call, given) in given {
        match given {
            Ok(()) => named.reached.push(call),
            Err(error) => {
                named.missed.push((call, error.to_string()));
                first = first.or(Some(error));
            }
        }
    }
    match first {
        Some(error) if named.reached.is_empty() => Err(error),
        _ => Ok(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_another_took_the_answer_from_has_not_got_it() {
        use ConsentState::{Asked, Granted, Refused};
        assert!(has_it(true, Some(Granted), Granted).is_ok());
        assert!(has_it(false, Some(Granted), Granted).is_ok(), "its announcement took it");
        assert!(matches!(has_it(false, Some(Asked), Granted), Err(ControlError::AnotherHasIt)));
        assert!(has_it(false, Some(Refused), Granted).is_err());
        assert!(has_it(false, None, Granted).is_err(), "it is over");
    }
}

//! The cases of an index. In: steps, each with the revision of the case that whoever takes it had seen. Out: the case as it
//! stands then; a step that was taken already changes nothing.
//!
//! *Invariant:* of steps from one revision, on whichever nodes, one counts. *Invariant:* a closed case holds nothing of what
//! the caller told.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::cases::case::{Asked, Case, CaseNumber, Content, Decision, Done, Outcome, Told, Unreadable};
use crate::cases::deadline;
use crate::cases::state::{State, Step};
use crate::index::{CaseCounts, CaseQuery, CaseRow, Index, IndexError};
use crate::metrics;
use optag_core::clock::{Clock, WallTime};
use optag_core::hex::hex;
use optag_core::id::CallId;

/// Time between two counts for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(30);
/// How often a result is written anew where another step came in between.
const TRIES: u32 = 50;

/// A request of a caller as it is taken down.
#[derive(Clone, Debug)]
pub struct NewCase {
    /// By which the same form sent twice opens one case.
    pub key: Option<String>,
    /// Department id; none: of all departments.
    pub department: Option<String>,
    /// What is asked for.
    pub asked: Asked,
    /// Day of receipt.
    pub received_on: Date,
    /// What the caller said.
    pub told: Told,
}

/// A step that someone takes.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which.
    pub step: Step,
    /// The revision of the case that they saw.
    pub from: i64,
    /// Who.
    pub by: String,
    /// When.
    pub at: WallTime,
    /// What was asked, by which the same step is recognised.
    pub asked: String,
}

impl Change {
    /// What stands in the case of this step, and tells nobody what was asked.
    fn mark(&self) -> String {
        let text = format!("{}\0{}", self.by, self.asked);
        let hash = hex(digest(&SHA256, text.as_bytes()).as_ref());
        format!("{}:{}:{hash}", self.step.name(), self.from)
    }
}

/// A case after a step.
#[derive(Clone, Debug)]
pub struct Taken {
    /// As it stands.
    pub case: Case,
    /// Whether the step had been taken before: nothing changed.
    pub again: bool,
}

/// Why a step is not taken.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// Someone else took a step meanwhile.
    #[error("the case was changed meanwhile; look at it again")]
    Changed,
    /// The state does not allow it.
    #[error("the case is {0}: this is not possible any more, or not yet")]
    NotNow(State),
    /// Some results are not final.
    #[error("the case is not closed: what was decided is not complete for each recording")]
    Unfinished,
    /// A day is outside the calendar.
    #[error("beyond the calendar")]
    Calendar,
    /// The time limit is over, or was extended before.
    #[error("the time limit is extended once, within the first month")]
    TooLate,
    /// The case is closed, and its old text is still in a file of the index.
    #[error(
        "the case is closed, but its text is still in a file of the index, which another process reads: close it again"
    )]
    NotForgotten,
    /// The case cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The case cannot be written.
    #[error("the case cannot be written: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// The cases of an index.
#[derive(Debug)]
pub struct Cases {
    index: Index,
    zone: TimeZone,
}

impl Cases {
    /// The cases of `index`, whose days are those of a time zone.
    pub fn new(index: Index, zone: TimeZone) -> Self {
        Self { index, zone }
    }

    /// The day of an instant, in the calendar of the cases.
    pub fn day_of(&self, at: WallTime) -> Date {
        deadline::day_of(at, &self.zone)
    }

    /// Opens a case, or returns the one that its key opened before.
    ///
    /// Errors: not durable; a day beyond the calendar.
    pub async fn open(&self, new: NewCase, by: &str, now: WallTime) -> Result<Case, CaseError> {
        let due_on = deadline::due_on(new.received_on, false).ok_or(CaseError::Calendar)?;
        let row = CaseRow {
            number: String::new(),
            open_key: new.key,
            department: new.department.unwrap_or_default(),
            state: State::Open.name().to_owned(),
            revision: 1,
            asked: new.asked.name().to_owned(),
            received_on: new.received_on.to_string(),
            due_on: due_on.to_string(),
            due_at: deadline::end_of(due_on, &self.zone).ok_or(CaseError::Calendar)?,
            extended: false,
            opened_by: by.to_owned(),
            opened_at: now,
            decision: None,
            ground: None,
            decided_by: None,
            decided_at: None,
            closed_by: None,
            closed_at: None,
            counts: "{}".to_owned(),
            last_step: Step::Open.name().to_owned(),
            content: serde_json::to_string(&Content { told: new.told, ..Content::default() })?.into(),
        };
        Ok(Case::of(self.index.open_case(&row, self.day_of(now).year()).await?)?)
    }

    /// The case of a number.
    ///
    /// Errors: it cannot be read.
    pub async fn get(&self, number: &CaseNumber) -> Result<Option<Case>, CaseError> {
        let row = self.index.case(&number.to_string()).await?;
        Ok(row.map(Case::of).transpose()?)
    }

    /// Cases, the most urgent first.
    ///
    /// Errors: they cannot be read.
    pub async fn list(&self, query: &CaseQuery) -> Result<Vec<Case>, CaseError> {
        let rows = self.index.cases(query).await?;
        Ok(rows.into_iter().map(Case::of).collect::<Result<_, _>>()?)
    }

    /// Takes a step: `apply` changes the case. A step that led to what the case is now is not taken again.
    ///
    /// Errors: of `apply`; the state does not allow the step; someone else changed the case since the revision that was
    /// seen; it may not be durable.
    pub async fn take(
        &self,
        case: Case,
        change: &Change,
        apply: impl FnOnce(&mut Case) -> Result<(), CaseError>,
    ) -> Result<Taken, CaseError> {
        let mark = change.mark();
        if case.row.last_step == mark {
            return Ok(Taken { case, again: true });
        }
        if case.row.revision != change.from {
            return Err(CaseError::Changed);
        }
        if !case.state.allows(change.step) {
            return Err(CaseError::NotNow(case.state));
        }
        let mut next = case;
        apply(&mut next)?;
        next.row.revision = change.from + 1;
        next.row.last_step.clone_from(&mark);
        let row = next.into_row()?;
        if self.index.put_case(&row, change.from).await? {
            return Ok(Taken { case: Case::of(row)?, again: false });
        }
        match self.index.case(&row.number).await?.filter(|now| now.last_step == mark) {
            Some(now) => Ok(Taken { case: Case::of(now)?, again: true }),
            None => Err(CaseError::Changed),
        }
    }

    /// Extends the time limit.
    ///
    /// Errors: as [`Cases::take`]; it was extended before, or the first month is over.
    pub async fn extend(&self, case: Case, change: &Change, reason: String) -> Result<Taken, CaseError> {
        self.take(case, change, |case| {
            let received: Date = case.row.received_on.parse().map_err(|_| CaseError::Calendar)?;
            if case.row.extended || change.at > case.row.due_at {
                return Err(CaseError::TooLate);
            }
            let due_on = deadline::due_on(received, true).ok_or(CaseError::Calendar)?;
            case.row.due_at = deadline::end_of(due_on, &self.zone).ok_or(CaseError::Calendar)?;
            case.row.due_on = due_on.to_string();
            case.row.extended = true;
            if let Some(content) = &mut case.content {
                content.extension_reason = Some(reason.into());
            }
            Ok(())
        })
        .await
    }

    /// Closes a case: what the caller said is gone from then on.
    ///
    /// Errors: as [`Cases::take`]; results are not final; the old text is still in a file of the index.
    pub async fn close(&self, case: Case, change: &Change) -> Result<Taken, CaseError> {
        if case.state == State::Closed && case.row.closed_by.as_ref() == Some(&change.by) {
            self.forget().await?;
            return Ok(Taken { case, again: true });
        }
        let taken = self
            .take(case, change, |case| {
                let is_final = |done: &Done| done.outcome.is_final();
                let refused = case.decision() == Some(Decision::Refuse);
                let all = case.all_chosen().iter().all(|one| one.result.as_ref().is_some_and(is_final));
                if !refused && !all {
                    return Err(CaseError::Unfinished);
                }
                case.row.counts = serde_json::to_string(&case.counts())?;
                (case.row.closed_by, case.row.closed_at) = (Some(change.by.clone()), Some(change.at));
                case.row.open_key = None;
                (case.state, case.content) = (State::Closed, None);
                Ok(())
            })
            .await?;
        self.forget().await?;
        Ok(taken)
    }

    async fn forget(&self) -> Result<(), CaseError> {
        self.index.forget_closed_cases().await.map_err(|error| match error {
            IndexError::ReadByOthers => CaseError::NotForgotten,
            error => error.into(),
        })
    }

    /// Notes what was done with recordings of a case. What is final stays, unless the new outcome is final too. A closed case
    /// stays as it is.
    ///
    /// Errors: not durable.
    pub async fn note(
        &self,
        number: &CaseNumber,
        done: &[(CallId, Done)],
    ) -> Result<Option<Case>, CaseError> {
        for _ in 0..TRIES {
            let Some(mut case) = self.get(number).await? else { return Ok(None) };
            if !noted(&mut case, done) {
                return Ok(Some(case));
            }
            let from = case.row.revision;
            case.row.revision = from + 1;
            let row = case.into_row()?;
            if self.index.put_case(&row, from).await? {
                return Ok(Some(Case::of(row)?));
            }
        }
        Err(CaseError::Changed)
    }

    /// Notes a link that was made for a recording of a case, whatever was done before; returns the hash of the link that it
    /// replaces.
    ///
    /// Errors: the case is closed or has no such recording any more; not durable.
    pub async fn note_link(
        &self,
        number: &CaseNumber,
        recording: CallId,
        made: Done,
    ) -> Result<Option<String>, CaseError> {
        for _ in 0..TRIES {
            let Some(mut case) = self.get(number).await? else { return Err(CaseError::Changed) };
            let state = case.state;
            let chosen = case.content.as_mut().map(|content| &mut content.chosen);
            let one = chosen.and_then(|all| all.iter_mut().find(|one| one.id == recording));
            let Some(one) = one else { return Err(CaseError::NotNow(state)) };
            let replaced = one.result.replace(made.clone()).and_then(|done| done.link);
            let from = case.row.revision;
            case.row.revision = from + 1;
            if self.index.put_case(&case.into_row()?, from).await? {
                return Ok(replaced);
            }
        }
        Err(CaseError::Changed)
    }

    /// How many cases are not closed, and how many of them are overdue.
    ///
    /// Errors: they cannot be read.
    pub async fn counts(&self, now: WallTime) -> Result<CaseCounts, CaseError> {
        Ok(self.index.case_counts(now).await?)
    }

    /// Makes this node's key of receipts known to all nodes, and counts open and overdue cases for the metrics, until
    /// dropped.
    pub async fn publish(self: Arc<Self>, public_key: String, clock: Arc<dyn Clock>) {
        let mut is_known = false;
        loop {
            is_known = is_known || self.index.put_signing_key(&public_key, clock.wall()).await.is_ok();
            // While the index is away the last counts stand; that it is away is a metric of its own.
            if let Ok(counts) = self.counts(clock.wall()).await {
                metrics::cases(counts.open, counts.overdue);
            }
            tokio::time::sleep(COUNT_EVERY).await;
        }
    }
}

/// Enters results; returns whether any of them changed.
fn noted(case: &mut Case, done: &[(CallId, Done)]) -> bool {
    let Some(content) = &mut case.content else { return false };
    let mut changed = false;
    for one in &mut content.chosen {
        let Some((_, new)) = done.iter().find(|(id, _)| *id == one.id) else { continue };
        let before = one.result.as_ref().map(|done| done.outcome);
        let stays = before
            .is_some_and(|before| before.is_final() && before != Outcome::Held && !new.outcome.is_final());
        let same =
            one.result.as_ref().is_some_and(|old| old.outcome == new.outcome && old.detail == new.detail);
        if !stays && !same {
            one.result = Some(new.clone());
            changed = true;
        }
    }
    changed
}

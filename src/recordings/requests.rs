//! [`Requests`] on top of index, store, spool and deletion log: candidates, erasures and receipts, holds,
//! pages of the audit log. The retention report is in `erasure::report`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::audit::AuditLog;
use crate::delivery::queue::DeliveryQueue;
use crate::erasure::deletion_log::Cause;
use crate::erasure::holds::{Hold, HoldError};
use crate::erasure::receipt;
use crate::erasure::report::{Reporter, hold_view};
use crate::erasure::report_runs::Reports;
use crate::erasure::service::EraseService;
use crate::erasure::steps::{EraseError, Step};
use crate::http::access::{Actor, Departments};
use crate::http::reached::Reached;
use crate::http::recordings::library::{EraseReceipt, EraseState, EraseStep, LibraryError, RecordingState};
use crate::http::requests::receipts::Verified;
use crate::http::requests::{
    AuditPage, CandidatePage, CandidateQuery, ClockView, ErasurePreview, HoldView, NewHold, ReportAnswer,
    Requests,
};
use crate::index::{Candidate, Wanted};
use crate::recorder::live_calls::LiveCalls;
use crate::recorder::settings;
use crate::recordings::undelivered::{SEARCHED_MOST, row_of};
use crate::recordings::views::{copy_view, view};
use crate::recordings::{audit_page, receipts};
use crate::stores::Stores;
use crate::time::second_source::TimeKeeper;
use optag_core::call::{CallFacts, Department};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;
use optag_storage::store::names;

/// Requests concerning recordings.
pub struct RequestService {
    /// Spool, store and index.
    pub stores: Stores,
    /// Erasures, and the recordings that must not be served.
    pub erasure: Arc<EraseService>,
    /// Calls in progress.
    pub live_calls: Arc<LiveCalls>,
    /// Calls to be delivered.
    pub deliveries: Arc<DeliveryQueue>,
    /// Trusted time.
    pub time: Arc<TimeKeeper>,
    /// The audit log.
    pub audit: AuditLog,
    /// The departments.
    pub departments: settings::Departments,
    /// Default time zone of callers.
    pub time_zone: String,
    /// How long after its expiry something may still be present. Units: s.
    pub grace_s: u64,
    /// Longest retention of any department. Units: days.
    pub keep_days: u8,
    /// Reports in progress.
    pub reports: Reports,
}

impl Requests for RequestService {
    fn time_zone(&self) -> &str {
        &self.time_zone
    }

    fn departments(&self) -> Arc<[Department]> {
        self.departments.now()
    }

    fn public_key(&self) -> String {
        self.erasure.guard.signer.public_key()
    }

    fn verify(&self, text: String) -> BoxFuture<'_, Result<Option<Verified>, LibraryError>> {
        async move {
            let verified = receipts::verify(&text, self.public_key(), &self.stores.index).await;
            verified.map_err(|_| LibraryError::IndexDown)
        }
        .boxed()
    }

    fn candidates(&self, query: CandidateQuery) -> BoxFuture<'_, Result<CandidatePage, LibraryError>> {
        async move {
            self.in_step()?;
            let wanted = Wanted {
                number: query.number,
                called_number: query.called_number,
                name: query.name,
                department: query.department,
                within: query.within,
                window: query.window.map(|window| (window.from, window.to)),
                around: query.window.and_then(|window| window.around),
                most: query.most,
            };
            let found = self.stores.index.candidates(&wanted).await.map_err(|_| LibraryError::IndexDown)?;
            let mut all: Vec<(Candidate, RecordingState)> =
                found.candidates.into_iter().map(|one| (one, RecordingState::Stored)).collect();
            let waiting = self.undelivered(SEARCHED_MOST).await.into_iter().filter_map(|facts| {
                let row = row_of(facts, &self.deliveries);
                let indexed = all.iter().any(|(one, _)| one.row.id == row.id);
                if indexed { None } else { self.stores.index.judge(row, &wanted) }
            });
            let waiting: Vec<_> = waiting.map(|one| (one, RecordingState::Spooled)).collect();
            let known = found.total + waiting.len() as u64;
            all.extend(waiting);
            let listed = all.len();
            let ids: Vec<CallId> = all.iter().map(|(one, _)| one.row.id).collect();
            let ordered = self.erasure.ordered_among(&ids).await.map_err(|_| LibraryError::IndexDown)?;
            all.retain(|(one, _)| !ordered.contains(&one.row.id) && !self.erasure.has_expired(&one.row));
            let total = known.saturating_sub((listed - all.len()) as u64);
            all.sort_by(|one, other| other.0.score.total_cmp(&one.0.score));
            all.truncate(query.most);
            Ok(CandidatePage {
                candidates: all.into_iter().map(|(one, state)| view(one, state, &wanted)).collect(),
                total,
                truncated: found.truncated,
                from: query.window.map(|window| window.from),
                to: query.window.map(|window| window.to),
            })
        }
        .boxed()
    }

    fn of_caller(
        &self,
        number: Private<String>,
        within: Departments,
    ) -> BoxFuture<'_, Result<Vec<CallId>, LibraryError>> {
        async move {
            self.in_step()?;
            let index = &self.stores.index;
            // What is delivered meanwhile has its row before it leaves the spool.
            let mut ids = self.waiting_of_caller(number.clone(), within.clone()).await;
            let indexed = index.of_caller(number.reveal(), &within).await;
            ids.extend(indexed.map_err(|_| LibraryError::IndexDown)?);
            Ok(ids)
        }
        .boxed()
    }

    fn waiting_of_caller(&self, number: Private<String>, within: Departments) -> BoxFuture<'_, Vec<CallId>> {
        async move {
            // All of them: an erasure must not leave one out.
            let waiting = self.undelivered(usize::MAX).await.into_iter();
            let of_caller = |facts: &CallFacts| {
                self.stores.index.same_number(facts.caller_number.reveal(), number.reveal())
            };
            waiting
                .filter(|facts| within.cover(&facts.department) && of_caller(facts))
                .map(|facts| facts.id)
                .collect()
        }
        .boxed()
    }

    fn preview(&self, recording: Reached) -> BoxFuture<'_, Result<ErasurePreview, LibraryError>> {
        async move {
            let id = recording.id();
            let row = self.stores.index.get(id).await.map_err(|_| LibraryError::IndexDown)?;
            let spool_key = self.stores.spool.calls().contains(&id);
            let copies = self.stores.store.copies(&names::stem(id)).await;
            let state = if self.live_calls.is_live(id) {
                "live"
            } else if self.erasure.is_ordered(id).await.map_err(|_| LibraryError::IndexDown)? {
                "erased"
            } else if row.as_ref().is_some_and(|row| row.erased_at.is_none()) {
                "stored"
            } else if spool_key {
                "spooled"
            } else {
                "unknown"
            };
            let held = self.erasure.guard.holds.standing(id, self.erasure.clock.wall());
            Ok(ErasurePreview {
                id,
                state,
                store_answers: copies.is_ok(),
                copies: copies.unwrap_or_default().into_iter().map(copy_view).collect(),
                spool_key,
                index_row: row.is_some_and(|row| row.caller_number.is_some()),
                held_until: held.map(|hold| hold.until),
            })
        }
        .boxed()
    }

    fn erase(
        &self,
        recording: Reached,
        request: Option<String>,
        accept_missing: bool,
    ) -> BoxFuture<'_, Result<EraseReceipt, LibraryError>> {
        async move {
            let id = recording.id();
            if self.live_calls.is_live(id) {
                return Err(LibraryError::NotReady);
            }
            let known = self.erasure.is_ordered(id).await.map_err(|_| LibraryError::IndexDown)?
                || self.deliveries.contains(id)
                || self.stores.spool.calls().contains(&id)
                || self.stores.index.get(id).await.map_err(|_| LibraryError::IndexDown)?.is_some();
            if !known {
                return Err(LibraryError::NotFound);
            }
            self.erasure.order_for(id, Cause::Request, request).await.map_err(|error| match error {
                EraseError::Held(hold) => LibraryError::Held { until: hold.until, reason: hold.reason },
                error => {
                    tracing::error!(call = %id, %error, "erasure order rejected");
                    match error {
                        EraseError::Index(_) => LibraryError::IndexDown,
                        error @ (EraseError::Waits(_) | EraseError::Unregistered) => {
                            LibraryError::Apart(error.to_string())
                        }
                        _ => LibraryError::StoreDown,
                    }
                }
            })?;
            if accept_missing {
                self.erasure.accept_missing(id).map_err(|error| {
                    tracing::error!(call = %id, %error, "cannot save the acceptance of a missing recording");
                    LibraryError::StoreDown
                })?;
            }
            let undone = match self.erasure.completes(id) {
                false => None,
                true => {
                    self.erasure.await_clear_spool(id).await;
                    self.erasure.complete(id, Cause::Request).await.err()
                }
            };
            if let Some((step, error)) = &undone {
                tracing::warn!(call = %id, step = step.name(), %error, "erasure incomplete, will retry");
            }
            self.receipt_of(id, undone.map(|(step, _)| step))
        }
        .boxed()
    }

    fn receipt(&self, recording: Reached) -> BoxFuture<'_, Result<EraseReceipt, LibraryError>> {
        let id = recording.id();
        async move {
            // Another node may have ordered or completed it a moment ago.
            if self.erasure.completes(id) || self.erasure.learn_order(id).await.is_ok() {
                return self.receipt_of(id, None);
            }
            self.receipt_of(id, None).map_err(|error| match error {
                LibraryError::NotFound => LibraryError::IndexDown,
                error => error,
            })
        }
        .boxed()
    }

    fn hold(
        &self,
        recording: Reached,
        new: NewHold,
        actor: Actor,
    ) -> BoxFuture<'_, Result<HoldView, LibraryError>> {
        async move {
            let id = recording.id();
            let erasure = &self.erasure;
            let index = &erasure.stores.index;
            let row = index.get(id).await.map_err(|_| LibraryError::IndexDown)?;
            let row = row.ok_or(LibraryError::NotFound)?;
            let hold = Hold {
                id,
                until: new.until,
                reason: new.reason,
                lawful_basis: new.lawful_basis,
                by: actor.name,
                at: erasure.clock.wall(),
            };
            if erasure.log.is_erased(id) {
                return Err(LibraryError::Erased);
            }
            let node = erasure.node().map_err(|error| LibraryError::Apart(error.to_string()))?;
            let placed = erasure.guard.holds.place(index, hold.clone(), row.expires_at, node).await;
            placed.map(|()| hold_view(hold)).map_err(not_held)
        }
        .boxed()
    }

    fn release(&self, recording: Reached) -> BoxFuture<'_, Result<bool, LibraryError>> {
        async move {
            let (erasure, at) = (&self.erasure, self.erasure.clock.wall());
            erasure.guard.holds.release(&erasure.stores.index, recording.id(), at).await.map_err(not_held)
        }
        .boxed()
    }

    fn holds(&self) -> BoxFuture<'_, Result<Vec<HoldView>, LibraryError>> {
        async move {
            let all = self.erasure.guard.holds.refresh(&self.erasure.stores.index).await.map_err(not_held)?;
            Ok(all.into_iter().map(hold_view).collect())
        }
        .boxed()
    }

    fn retention_report(
        &self,
        at: Option<WallTime>,
        job: Option<u64>,
    ) -> BoxFuture<'_, Result<ReportAnswer, LibraryError>> {
        let reporter = Reporter {
            erasure: Arc::clone(&self.erasure),
            time: Arc::clone(&self.time),
            grace_s: self.grace_s,
            keep_days: self.keep_days,
        };
        let make = move |looked_at: Arc<AtomicU64>| async move { reporter.report(at, &looked_at).await };
        async move { self.reports.get(at, job, make).await }.boxed()
    }

    fn confirm_clock(&self) -> BoxFuture<'_, Result<ClockView, LibraryError>> {
        async move {
            let trusted = self.time.confirm_by_owner();
            Ok(ClockView { trusted, wall: self.time.clock.machine_wall() })
        }
        .boxed()
    }

    fn audit_page(&self, after: u64, most: usize) -> BoxFuture<'_, Result<AuditPage, LibraryError>> {
        let audit = self.audit.clone();
        async move {
            let page = tokio::task::spawn_blocking(move || audit_page::read(&audit, after, most)).await;
            page.unwrap_or(Err(LibraryError::Damaged))
        }
        .boxed()
    }
}

impl RequestService {
    fn in_step(&self) -> Result<(), LibraryError> {
        match self.erasure.guard.in_step() {
            true => Ok(()),
            false => Err(LibraryError::OutOfStep),
        }
    }

    /// The deletion log's state of an erasure; `undone` is the step that just failed.
    fn receipt_of(&self, id: CallId, undone: Option<Step>) -> Result<EraseReceipt, LibraryError> {
        let history = tokio::task::block_in_place(|| self.erasure.log.history(id));
        let (order, done) = history.map_err(|_| LibraryError::IndexDown)?.ok_or(LibraryError::NotFound)?;
        let Some(done) = done else {
            let undone = undone.unwrap_or(Step::Store);
            let steps = Step::ALL.map(|step| EraseStep { name: step.name().into(), done: step < undone });
            return Ok(EraseReceipt {
                id,
                state: EraseState::Pending,
                steps: steps.into(),
                receipt: None,
                refused: None,
            });
        };
        let signed = receipt::sign(&self.erasure.guard.signer, order, done);
        let receipt = signed
            .and_then(|signed| serde_json::value::to_raw_value(&signed))
            .map_err(|_| LibraryError::Damaged)?;
        let steps = Step::ALL.map(|step| EraseStep { name: step.name().into(), done: true });
        Ok(EraseReceipt {
            id,
            state: EraseState::Done,
            steps: steps.into(),
            receipt: Some(receipt),
            refused: None,
        })
    }
}

fn not_held(error: HoldError) -> LibraryError {
    match error {
        HoldError::Erased => LibraryError::Erased,
        HoldError::Waits(_) => LibraryError::Apart(error.to_string()),
        HoldError::Io(_) | HoldError::Index(_) => {
            tracing::error!(%error, "cannot read or write legal holds");
            LibraryError::IndexDown
        }
        refused => LibraryError::HoldRefused(refused.to_string()),
    }
}

//! The retention report: whether, at a given time, anything was kept longer than allowed. Checks the index, every copy in
//! the store with its date, the spool and the deletion log, and whether index and store have the same recordings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;

use crate::erasure::comparison::Comparison;
use crate::erasure::holds::Hold;
use crate::erasure::service::EraseService;
use crate::http::requests::{HoldView, ReportPart, RetentionReport};
use crate::time::second_source::TimeKeeper;
use optag_core::clock::{Clock, WallTime};
use optag_core::error_chain::causes;
use optag_core::limit;
use optag_storage::store::names;
use optag_storage::store::versions::StoredCopy;

/// Maximum number of items named in one part.
const NAMED: usize = 20;

/// Creates retention reports.
pub struct Reporter {
    /// Store, index, spool and deletion log.
    pub erasure: Arc<EraseService>,
    /// Trusted time.
    pub time: Arc<TimeKeeper>,
    /// Time allowed for an erasure after the expiry date. Units: s.
    pub grace_s: u64,
    /// Longest retention period of any department. Units: days.
    pub keep_days: u8,
}

impl Reporter {
    /// Reports on `at`, or on the present; counts the objects checked in the store.
    pub async fn report(&self, at: Option<WallTime>, looked_at: &AtomicU64) -> RetentionReport {
        // A past moment can be judged only by dates.
        let compares = at.is_none();
        let made_at = self.erasure.clock.wall();
        let at = at.unwrap_or(made_at);
        let holds = &self.erasure.guard.holds;
        let refreshed = holds.refresh(&self.erasure.stores.index).await;
        let held = refreshed.unwrap_or_else(|error| {
            tracing::warn!(%error, "the retention report knows holds as this node saw them last");
            holds.known_here()
        });
        let held: Vec<Hold> = held.into_iter().filter(|hold| hold.until > at).collect();
        let (store, compared) = self.store_parts(at, &held, compares, looked_at).await;
        let mut parts = vec![self.index_part(at, &held).await, store];
        parts.extend(compared);
        parts.extend(self.rules_part().await);
        parts.extend([self.spool_part(at), self.log_part(at), self.clock_part()]);
        RetentionReport {
            at,
            made_at,
            limit_days: limit::RETENTION_DAYS,
            grace_s: self.grace_s,
            clean: parts.iter().all(|part| part.answers && part.too_old == 0 && part.amiss == 0),
            parts,
            held: held.into_iter().map(hold_view).collect(),
        }
    }

    fn grace_us(&self) -> i64 {
        self.grace_s as i64 * 1_000_000
    }

    /// Whether a recording of this start should have been erased by `at`, the grace period included.
    fn is_too_old(&self, started_at: WallTime, at: WallTime) -> bool {
        started_at.plus_days(i64::from(limit::RETENTION_DAYS)).plus_micros(self.grace_us()) < at
    }

    async fn index_part(&self, at: WallTime, held: &[Hold]) -> ReportPart {
        let mut part = part("index");
        let most = NAMED + held.len();
        match self.erasure.stores.index.aged(at, self.grace_us(), most as u32).await {
            Err(error) => part.fails(causes(&error)),
            Ok(aged) => {
                part.there = aged.live;
                part.oldest_at = aged.oldest_started_at;
                let (excused, late): (Vec<_>, Vec<_>) =
                    aged.overdue.into_iter().partition(|one| held.iter().any(|hold| hold.id == one.id));
                part.too_old = aged.overdue_total - excused.len() as u64;
                part.notes.extend(late.into_iter().take(NAMED).map(|one| match one.erased_at {
                    Some(erased) => format!("{}: due {}, erased {erased}", one.id, one.expires_at),
                    None => format!("{}: due {}, not erased", one.id, one.expires_at),
                }));
            }
        }
        part
    }

    /// Checks every copy, versions and unfinished uploads included. Age is that of the call, from the object's name;
    /// the store's own date is given where it is later. The same listing is compared with the index.
    async fn store_parts(
        &self,
        at: WallTime,
        held: &[Hold],
        compares: bool,
        looked_at: &AtomicU64,
    ) -> (ReportPart, Option<ReportPart>) {
        let mut part = part("store");
        let mut comparing = compares.then(|| Comparison::new(&self.erasure.stores, &self.erasure.log));
        let mut failed = None;
        let mut pages = self.erasure.stores.store.walk(names::PREFIX);
        loop {
            let page = match pages.next().await {
                None => break,
                Some(Ok(page)) => page,
                Some(Err(error)) => {
                    part.fails(error.to_string());
                    failed = Some("store listing incomplete".to_owned());
                    break;
                }
            };
            if let Some(unseen) = page.unseen {
                part.fails(unseen);
            }
            looked_at.fetch_add(page.copies.len() as u64, Ordering::Relaxed);
            for copy in page.copies {
                if let Some(comparing) = comparing.as_mut().filter(|_| failed.is_none())
                    && let Err(error) = comparing.copy(&copy).await
                {
                    failed = Some(causes(&error));
                }
                self.age(&mut part, &copy, at, held);
            }
        }
        if let Some(admin) = self.erasure.stores.store.admin() {
            match admin.uploads_below(names::PREFIX).await {
                Ok(uploads) => uploads.iter().for_each(|copy| self.age(&mut part, copy, at, held)),
                Err(error) => part.fails(format!("cannot list unfinished uploads: {error}")),
            }
        }
        let Some(comparing) = comparing else { return (part, None) };
        (part, Some(compared(comparing, failed).await))
    }

    /// Checks the age of one copy.
    fn age(&self, part: &mut ReportPart, copy: &StoredCopy, at: WallTime, held: &[Hold]) {
        let id = names::parse(&copy.key).map(|(id, _)| id);
        let Some(made) = id.map(|id| id.admitted_at()).or(copy.stored_at) else { return };
        // Copies made after that moment are irrelevant.
        if made > at {
            return;
        }
        part.there += 1;
        part.oldest_at = Some(part.oldest_at.map_or(made, |oldest: WallTime| oldest.min(made)));
        let excused = id.is_some_and(|id| held.iter().any(|hold| hold.id == id));
        if self.is_too_old(made, at) && !excused {
            part.too_old += 1;
            if part.notes.len() < NAMED {
                let stored = copy.stored_at.map_or("unknown".into(), |at| at.to_string());
                part.notes.push(format!("{}: made {made}, stored {stored}", copy.name()));
            }
        }
    }

    /// Foreign lifecycle rules that affect recordings; none if the store has no lifecycle rules.
    async fn rules_part(&self) -> Option<ReportPart> {
        let mut part = part("bucket rules");
        match self.erasure.stores.store.admin()?.touching(self.keep_days).await {
            Ok(touching) => {
                part.there = touching.len() as u64;
                part.amiss = touching.iter().filter(|one| one.harms).count() as u64;
                part.notes = touching.iter().map(|one| format!("`{}` {}", one.rule, one.does)).collect();
            }
            Err(error) => part.notes.push(format!("cannot read foreign lifecycle rules: {error}")),
        }
        Some(part)
    }

    fn spool_part(&self, at: WallTime) -> ReportPart {
        let mut part = part("spool");
        for id in self.erasure.stores.spool.calls().into_iter().filter(|id| id.admitted_at() <= at) {
            let made = id.admitted_at();
            part.there += 1;
            part.oldest_at = Some(part.oldest_at.map_or(made, |oldest: WallTime| oldest.min(made)));
            if self.is_too_old(made, at) {
                part.too_old += 1;
                part.notes.push(format!("{id}: made {made}"));
            }
        }
        part.notes.truncate(NAMED);
        part
    }

    /// Ordered erasures of which a copy may be left.
    fn log_part(&self, at: WallTime) -> ReportPart {
        let mut part = part("deletion log");
        for order in self.erasure.log.open_orders().into_iter().filter(|order| order.at <= at) {
            part.there += 1;
            part.oldest_at = Some(part.oldest_at.map_or(order.at, |oldest: WallTime| oldest.min(order.at)));
            if self.is_too_old(order.id.admitted_at(), at) {
                part.too_old += 1;
            }
            part.notes.push(format!("{}: ordered {}, a copy may be left", order.id, order.at));
        }
        part.notes.truncate(NAMED);
        if !self.erasure.guard.in_step() {
            part.fails("missing entries recorded by index or store: run `optag replay-deletions`".into());
        }
        part
    }

    fn clock_part(&self) -> ReportPart {
        let mut part = part("clock");
        if !self.time.is_confirmed() {
            let (wall, trusted) = (self.time.clock.machine_wall(), self.time.clock.wall());
            part.fails(format!("clock jumped to {wall}; confirmed time is at least {trusted}"));
        }
        part
    }
}

/// Result of the comparison, as a part of the report.
async fn compared(comparing: Comparison<'_>, failed: Option<String>) -> ReportPart {
    let mut part = part("compared");
    let found = match failed {
        None => comparing.end().await.map_err(|error| causes(&error)),
        // The remaining rows cannot be reported as missing.
        Some(why) => Ok(comparing.found).inspect(|_| part.fails(why)),
    };
    match found {
        Ok(found) => {
            part.there = found.rows;
            part.amiss = found.count();
            let disordered = found.disordered;
            part.notes.extend(found.summary());
            if disordered {
                part.fails("store does not list in name order: differences are unreliable".into());
            }
        }
        Err(why) => part.fails(why),
    }
    part
}

impl ReportPart {
    fn fails(&mut self, why: String) {
        self.answers = false;
        self.notes.insert(0, why);
    }
}

/// A hold as shown by the API.
pub(crate) fn hold_view(hold: Hold) -> HoldView {
    let Hold { id, until, reason, lawful_basis, by, at } = hold;
    HoldView { id, until, reason, lawful_basis, by, at }
}

fn part(name: &'static str) -> ReportPart {
    ReportPart { name, answers: true, there: 0, oldest_at: None, too_old: 0, amiss: 0, notes: Vec::new() }
}

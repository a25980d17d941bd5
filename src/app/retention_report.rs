//! The report on retention: whether, at a moment, anything was older than it may be. Looks at the
//! index, at every copy in the store with its date, at the spool and at the deletion log.

use crate::app::stewarding::{Stewarding, hold_view};
use crate::archive::key;
use crate::base::clock::{Clock, WallTime};
use crate::base::limit;
use crate::http::steward::{ReportPart, RetentionReport};
use crate::retention::holds::Hold;

/// Things that are named one by one.
const NAMED: usize = 20;

impl Stewarding {
    /// Reports on `at`, or on now.
    pub(super) async fn report(&self, at: Option<WallTime>) -> RetentionReport {
        let made_at = self.erasing.clock.wall();
        let at = at.unwrap_or(made_at);
        let held: Vec<Hold> =
            self.erasing.custody.holds.all().into_iter().filter(|hold| hold.until > at).collect();
        let parts = vec![
            self.index_part(at, &held).await,
            self.store_part(at, &held).await,
            self.spool_part(at),
            self.log_part(at),
            self.clock_part(),
        ];
        RetentionReport {
            at,
            made_at,
            limit_days: limit::RETENTION_DAYS,
            grace_s: self.grace_s,
            clean: parts.iter().all(|part| part.answers && part.too_old == 0),
            parts,
            held: held.into_iter().map(hold_view).collect(),
        }
    }

    fn grace_us(&self) -> i64 {
        self.grace_s as i64 * 1_000_000
    }

    /// Whether something of this start had to be gone by `at`, and was given its time to go.
    fn is_too_old(&self, started_at: WallTime, at: WallTime) -> bool {
        started_at.plus_days(i64::from(limit::RETENTION_DAYS)).plus_micros(self.grace_us()) < at
    }

    async fn index_part(&self, at: WallTime, held: &[Hold]) -> ReportPart {
        let mut part = part("index");
        let most = NAMED + held.len();
        match self.erasing.index.aged(at, self.grace_us(), most as u32).await {
            Err(error) => part.fails(error.to_string()),
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

    /// Every copy, versions and unfinished uploads among them. Its age is the call's, which its name
    /// tells; the store's own date is named where it is later.
    async fn store_part(&self, at: WallTime, held: &[Hold]) -> ReportPart {
        let mut part = part("store");
        let copies = match self.erasing.store.copies(key::PREFIX).await {
            Ok(copies) => copies,
            Err(error) => {
                part.fails(error.to_string());
                return part;
            }
        };
        for copy in copies {
            let id = key::parse(&copy.key).map(|(id, _)| id);
            let Some(made) = id.map(|id| id.admitted_at()).or(copy.stored_at) else { continue };
            // What came after that moment says nothing of it.
            if made > at {
                continue;
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
        part
    }

    fn spool_part(&self, at: WallTime) -> ReportPart {
        let mut part = part("spool");
        for id in self.erasing.spool.calls().into_iter().filter(|id| id.admitted_at() <= at) {
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

    /// Erasures that were ordered and of which a copy may be left.
    fn log_part(&self, at: WallTime) -> ReportPart {
        let mut part = part("deletion log");
        for order in self.erasing.log.open_orders().into_iter().filter(|order| order.at <= at) {
            part.there += 1;
            part.oldest_at = Some(part.oldest_at.map_or(order.at, |oldest: WallTime| oldest.min(order.at)));
            if self.is_too_old(order.id.admitted_at(), at) {
                part.too_old += 1;
            }
            part.notes.push(format!("{}: ordered {}, a copy may be left", order.id, order.at));
        }
        part.notes.truncate(NAMED);
        if !self.erasing.custody.in_step() {
            part.fails("it is behind what index or store have seen: run `optag replay-deletions`".into());
        }
        part
    }

    fn clock_part(&self) -> ReportPart {
        let mut part = part("clock");
        if !self.time.is_confirmed() {
            let (wall, trusted) = (self.time.clock.machine_wall(), self.time.clock.wall());
            part.fails(format!("it jumped to {wall}; certain is only that it is {trusted} or later"));
        }
        part
    }
}

impl ReportPart {
    fn fails(&mut self, why: String) {
        self.answers = false;
        self.notes.insert(0, why);
    }
}

fn part(name: &'static str) -> ReportPart {
    ReportPart { name, answers: true, there: 0, oldest_at: None, too_old: 0, notes: Vec::new() }
}

//! Retention reports in progress, and the last finished ones. A report takes as long as listing the store, longer than a
//! request may.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::http::recordings::library::LibraryError;
use crate::http::requests::{ReportAnswer, ReportProgress, RetentionReport};
use optag_core::clock::WallTime;

/// How long a request waits for its report; a repeated request continues to wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum number of reports kept, finished ones included.
const KEPT: usize = 8;

/// Reports by number.
#[derive(Debug)]
pub struct Reports {
    jobs: Mutex<BTreeMap<u64, Arc<Job>>>,
    next: AtomicU64,
    /// One report at a time lists the store.
    turn: Arc<Semaphore>,
}

impl Default for Reports {
    fn default() -> Self {
        let turn = Arc::new(Semaphore::new(1));
        Self { jobs: Mutex::default(), next: AtomicU64::new(1), turn }
    }
}

#[derive(Debug)]
struct Job {
    at: Option<WallTime>,
    looked_at: Arc<AtomicU64>,
    done: watch::Sender<Option<RetentionReport>>,
}

impl Reports {
    /// The report with that number, or the one on `at`, started by `make` unless it is in progress. It continues
    /// whether or not a request waits.
    ///
    /// Errors: no report with that number any more, or too many in progress.
    pub async fn get<F>(
        &self,
        at: Option<WallTime>,
        number: Option<u64>,
        make: impl FnOnce(Arc<AtomicU64>) -> F,
    ) -> Result<ReportAnswer, LibraryError>
    where
        F: Future<Output = RetentionReport> + Send + 'static,
    {
        let (number, job) = self.find(at, number, make)?;
        let mut done = job.done.subscribe();
        let waited = tokio::time::timeout(PATIENCE, done.wait_for(Option::is_some)).await;
        match waited.ok().and_then(Result::ok).and_then(|report| report.clone()) {
            Some(report) => Ok(ReportAnswer::Done(report)),
            None => Ok(ReportAnswer::Running(ReportProgress {
                job: number,
                looked_at: job.looked_at.load(Ordering::Relaxed),
            })),
        }
    }

    fn find<F>(
        &self,
        at: Option<WallTime>,
        number: Option<u64>,
        make: impl FnOnce(Arc<AtomicU64>) -> F,
    ) -> Result<(u64, Arc<Job>), LibraryError>
    where
        F: Future<Output = RetentionReport> + Send + 'static,
    {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = number {
            return jobs.get(&number).map(|job| (number, Arc::clone(job))).ok_or(LibraryError::NotFound);
        }
        let runs = |job: &Job| job.done.borrow().is_none();
        if let Some((number, job)) = jobs.iter().find(|(_, job)| runs(job) && job.at == at) {
            return Ok((*number, Arc::clone(job)));
        }
        while jobs.len() >= KEPT {
            let finished = jobs.iter().find(|(_, job)| !runs(job)).map(|(number, _)| *number);
            // All are in progress: try again later.
            jobs.remove(&finished.ok_or(LibraryError::NotReady)?);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let job = Arc::new(Job { at, looked_at: Arc::default(), done: watch::Sender::new(None) });
        jobs.insert(number, Arc::clone(&job));
        let (made, turn) = (make(Arc::clone(&job.looked_at)), Arc::clone(&self.turn));
        let making = Arc::clone(&job);
        tokio::spawn(async move {
            let _turn = turn.acquire().await;
            let report = made.await;
            making.done.send_replace(Some(report));
        });
        Ok((number, job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> RetentionReport {
        RetentionReport {
            at: WallTime::default(),
            made_at: WallTime::default(),
            limit_days: 90,
            grace_s: 0,
            clean: true,
            parts: Vec::new(),
            held: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_report_is_made_once_and_found_again_by_its_number() {
        let (reports, begun) = (Reports::default(), AtomicU64::new(0));
        let make = |looked_at: Arc<AtomicU64>| {
            begun.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(Duration::from_secs(12)).await;
                looked_at.store(7, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                report()
            }
        };
        let running = ReportProgress { job: 1, looked_at: 0 };
        assert_eq!(reports.get(None, None, make).await.unwrap(), ReportAnswer::Running(running.clone()));
        // An equal request waits for the same report.
        assert_eq!(reports.get(None, None, make).await.unwrap(), ReportAnswer::Running(running));
        assert_eq!(reports.get(None, Some(1), make).await.unwrap(), ReportAnswer::Done(report()));
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        assert!(matches!(reports.get(None, Some(9), make).await, Err(LibraryError::NotFound)));
        // A finished report does not answer a new request.
        let again = reports.get(None, None, make).await.unwrap();
        assert!(matches!(again, ReportAnswer::Running(ReportProgress { job: 2, .. })), "{again:?}");
        for day in 0..20 {
            let at = Some(WallTime::default().plus_days(day));
            let answer = reports.get(at, None, |_| std::future::ready(report())).await;
            assert!(answer.is_ok() || matches!(answer, Err(LibraryError::NotReady)), "{answer:?}");
        }
        assert!(reports.jobs.lock().unwrap().len() <= KEPT);
    }
}

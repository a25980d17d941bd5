//! Background checks: the bucket's lifecycle rule (every five minutes), foreign rules that apply to recordings,
//! object locks, and the audit log (signed checkpoints, removal of expired entries).

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::TryStreamExt;

use crate::audit::accesses::Accesses;
use crate::erasure::service::EraseService;
use crate::metrics;
use optag_core::limit;
use optag_storage::store::s3::admin::S3Admin;
use optag_storage::store::s3::rules::{Drift, Touching};
use optag_storage::store::{Store, StoreError, names};

/// Interval between checks of the bucket's rules.
const LIFECYCLE: Duration = Duration::from_secs(300);
/// Name of the job to install our rule.
const LIFECYCLE_JOB: &str = "lifecycle rule";
/// Interval between removals of expired audit entries.
const PRUNE: Duration = Duration::from_secs(86_400);

/// Monitors the bucket's lifecycle rules.
pub struct RulesWatch {
    /// The bucket.
    pub store: Store,
    /// Whether our rule is to be installed.
    pub manage: bool,
    /// Where nodes agree which of them installs our rule.
    turns: Arc<EraseService>,
    /// Longest retention period of any department. Units: days.
    keep_days: AtomicU8,
    wrong: Mutex<Vec<String>>,
    /// Why this node could not install our rule when it was last its turn.
    not_installed: Mutex<Option<String>>,
    /// Effects of foreign rules when they were last read.
    foreign: Mutex<Vec<String>>,
}

impl RulesWatch {
    /// A watch that has not checked yet.
    pub fn new(turns: Arc<EraseService>, manage: bool, keep_days: u8) -> Self {
        let (store, keep_days) = (turns.stores.store.clone(), keep_days.into());
        Self {
            store,
            manage,
            turns,
            keep_days,
            wrong: Mutex::default(),
            not_installed: Mutex::default(),
            foreign: Mutex::default(),
        }
    }

    /// What is wrong, by the last check; empty if nothing is.
    pub fn wrong(&self) -> String {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).join("; ")
    }

    /// Sets the longest retention period of any department, from the next check on. Units: days.
    pub fn set_keep_days(&self, keep_days: u8) {
        self.keep_days.store(keep_days, Ordering::Relaxed);
    }

    /// Checks periodically until dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.look().await;
            tokio::time::sleep(LIFECYCLE).await;
        }
    }

    /// Checks once: reinstalls our rule if it has drifted, and logs that.
    pub async fn look(&self) {
        let mut wrong = Vec::new();
        if let Some(admin) = self.store.admin() {
            wrong.extend(self.rule(admin).await);
            wrong.extend(lock(admin).await);
            wrong.extend(self.others(admin).await);
        }
        metrics::lifecycle_ok(wrong.is_empty());
        *self.wrong.lock().unwrap_or_else(PoisonError::into_inner) = wrong;
    }

    async fn rule(&self, admin: &S3Admin) -> Option<String> {
        if !self.manage {
            return None;
        }
        // One node at a time, as each reads all rules and writes them back. Where nobody can say whose turn it is, all do.
        if matches!(self.turns.takes_job(LIFECYCLE_JOB, LIFECYCLE / 2).await, Ok(false)) {
            return self.not_installed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        let wrong = self.install(admin).await;
        self.not_installed.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&wrong);
        wrong
    }

    async fn install(&self, admin: &S3Admin) -> Option<String> {
        match admin.install_lifecycle(limit::RETENTION_DAYS).await {
            Ok(None) => None,
            Ok(Some(Drift::Missing)) if self.is_unused().await => {
                tracing::info!("bucket lifecycle rule installed in a bucket without recordings");
                None
            }
            Ok(Some(drift)) => {
                tracing::error!(?drift, "bucket lifecycle rule had drifted and was reinstalled");
                metrics::lifecycle_drifted();
                None
            }
            Err(error) => {
                tracing::error!(%error, "cannot install the bucket lifecycle rule");
                Some(format!("cannot install the bucket lifecycle rule: {error}"))
            }
        }
    }

    /// Whether the bucket is known to have no recording: a new one has no rule of ours to lose.
    async fn is_unused(&self) -> bool {
        let listed = self.store.list(names::PREFIX);
        let mut recordings = listed
            .try_skip_while(|object| std::future::ready(Ok(object.key.starts_with(names::PROBE_PREFIX))));
        matches!(recordings.try_next().await, Ok(None))
    }

    /// Foreign rules that affect our objects. If they cannot be read, the last result is kept. A store without
    /// lifecycle rules has none.
    async fn others(&self, admin: &S3Admin) -> Vec<String> {
        let touching = match admin.touching(self.keep_days.load(Ordering::Relaxed)).await {
            Ok(touching) => touching,
            Err(error) if knows_no_rules(&error) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "foreign lifecycle rules cannot be read");
                let mut wrong = self.foreign().clone();
                // If our own rule is to be installed, that error is reported already.
                wrong.extend((!self.manage).then(|| format!("the lifecycle rules cannot be read: {error}")));
                return wrong;
            }
        };
        let (harmful, harmless): (Vec<_>, Vec<_>) = touching.into_iter().partition(|one| one.harms);
        metrics::foreign_rules(harmful.len(), harmless.len());
        for one in &harmless {
            tracing::info!(rule = %one.rule, does = %one.does, "foreign lifecycle rule affects recordings");
        }
        for one in &harmful {
            tracing::error!(rule = %one.rule, does = %one.does, "foreign lifecycle rule endangers recordings");
        }
        let said = |one: Touching| format!("the lifecycle rule `{}` {}", one.rule, one.does);
        let wrong: Vec<String> = harmful.into_iter().map(said).collect();
        self.foreign().clone_from(&wrong);
        wrong
    }

    fn foreign(&self) -> MutexGuard<'_, Vec<String>> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn knows_no_rules(error: &StoreError) -> bool {
    let why = error.to_string();
    ["NotImplemented", "MethodNotAllowed"].iter().any(|code| why.contains(code))
}

/// An object lock added later prevents erasure.
async fn lock(admin: &S3Admin) -> Option<String> {
    match admin.refuse_long_lock(limit::RETENTION_DAYS).await {
        Err(error @ StoreError::Config(_)) => {
            tracing::error!(%error, "object lock prevents erasure within the retention limit");
            Some(error.to_string())
        }
        // An unavailable store is reported elsewhere.
        Ok(()) | Err(_) => None,
    }
}

/// Signs checkpoints of the audit log, shares what is not shared yet of its accesses, and removes expired entries.
pub struct AuditCare {
    /// Store, signing key and clock.
    pub erasure: Arc<EraseService>,
    /// Audit log, and the accesses of all nodes.
    pub accesses: Accesses,
    /// Interval between checkpoints.
    pub interval: Duration,
    /// Retention of entries. Units: days.
    pub keep_days: u32,
    /// A further directory for checkpoints.
    pub dir: Option<PathBuf>,
}

impl AuditCare {
    /// Runs until dropped.
    pub async fn run(self) {
        let mut pruned: Option<Instant> = None;
        loop {
            if pruned.is_none_or(|at| at.elapsed() >= PRUNE) {
                self.prune().await;
                pruned = Some(Instant::now());
            }
            if let Err(error) = self.accesses.copy().await {
                tracing::warn!(%error, "cannot share accesses of the audit log, will retry");
            }
            self.checkpoint().await;
            tokio::time::sleep(self.interval).await;
        }
    }

    async fn checkpoint(&self) {
        let at = self.erasure.clock.wall();
        if let Err(error) = self.erasure.anchor_audit(&self.accesses.log, at, self.dir.as_deref()).await {
            metrics::audit_anchored(false);
            tracing::error!(%error, "cannot sign the audit log");
        }
    }

    async fn prune(&self) {
        let now = self.erasure.clock.wall();
        let until = now.plus_days(-i64::from(self.keep_days));
        let log = &self.accesses.log;
        let pruned = tokio::task::block_in_place(|| log.prune(until, &self.erasure.guard.signer, now));
        match pruned {
            Ok(0) => {}
            Ok(entries) => tracing::info!(entries, "expired audit entries removed"),
            Err(error) => tracing::error!(%error, "cannot prune the audit log"),
        }
        if let Err(error) = self.accesses.index.forget_accesses(until).await {
            tracing::warn!(%error, "cannot remove expired accesses from the index, will retry");
        }
    }
}

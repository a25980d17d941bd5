//! Looks after what nobody asks for: the bucket's expiry rule (every five minutes, so that drift is
//! told within a quarter of an hour), the bucket's locks, and the audit (signed checkpoints, entries
//! whose time is up).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::app::erasing::Erasing;
use crate::archive::s3_admin::S3Admin;
use crate::archive::store::StoreError;
use crate::audit::AuditLog;
use crate::base::limit;
use crate::metrics;

/// Time between two looks at the bucket's rules.
const LIFECYCLE: Duration = Duration::from_secs(300);
/// Time between two looks for entries of the audit whose time is up.
const PRUNE: Duration = Duration::from_secs(86_400);

/// Whether the bucket's rules are as they must be.
pub struct RulesWatch {
    /// What looks.
    pub erasing: Arc<Erasing>,
    /// Whether our rule is to be there.
    pub manage: bool,
    ok: AtomicBool,
}

impl RulesWatch {
    /// A watch that has not looked yet.
    pub fn new(erasing: Arc<Erasing>, manage: bool) -> Self {
        Self { erasing, manage, ok: AtomicBool::new(true) }
    }

    /// What was found last.
    pub fn is_ok(&self) -> bool {
        self.ok.load(Ordering::Acquire)
    }

    /// Looks until it is dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.look().await;
            tokio::time::sleep(LIFECYCLE).await;
        }
    }

    /// Looks once: sets our rule where it is not as it must be, and says so.
    pub async fn look(&self) {
        let ok = match self.erasing.store.admin() {
            Some(admin) => self.rule(admin).await && lock(admin).await,
            None => true,
        };
        self.ok.store(ok, Ordering::Release);
        metrics::lifecycle_ok(ok);
    }

    async fn rule(&self, admin: &S3Admin) -> bool {
        if !self.manage {
            return true;
        }
        match admin.install_lifecycle(limit::RETENTION_DAYS).await {
            Ok(None) => true,
            Ok(Some(drift)) => {
                tracing::error!(?drift, "the bucket's expiry rule was not as it must be; it was set again");
                metrics::lifecycle_drifted();
                true
            }
            Err(error) => {
                tracing::error!(%error, "the bucket's expiry rule could not be set");
                false
            }
        }
    }
}

/// A lock that came later keeps recordings from being erased.
async fn lock(admin: &S3Admin) -> bool {
    match admin.refuse_long_lock(limit::RETENTION_DAYS).await {
        Err(error @ StoreError::Config(_)) => {
            tracing::error!(%error, "recordings cannot be erased as promised");
            false
        }
        // A store that does not answer is told of elsewhere.
        Ok(()) | Err(_) => true,
    }
}

/// Signs the audit's end now and then, and lets go of what is older than it is kept.
pub struct AuditCare {
    /// Store, signature and clock.
    pub erasing: Arc<Erasing>,
    /// The trail.
    pub audit: AuditLog,
    /// Time between checkpoints.
    pub interval: Duration,
    /// Days that entries are kept.
    pub keep_days: u32,
    /// A directory elsewhere that gets each checkpoint too.
    pub dir: Option<PathBuf>,
}

impl AuditCare {
    /// Works until it is dropped.
    pub async fn run(self) {
        let mut pruned: Option<Instant> = None;
        loop {
            if pruned.is_none_or(|at| at.elapsed() >= PRUNE) {
                self.prune();
                pruned = Some(Instant::now());
            }
            self.checkpoint().await;
            tokio::time::sleep(self.interval).await;
        }
    }

    async fn checkpoint(&self) {
        let at = self.erasing.clock.wall();
        if let Err(error) = self.erasing.anchor_audit(&self.audit, at, self.dir.as_deref()).await {
            metrics::audit_anchored(false);
            tracing::error!(%error, "the audit could not be signed");
        }
    }

    fn prune(&self) {
        let now = self.erasing.clock.wall();
        let until = now.plus_days(-i64::from(self.keep_days));
        let pruned =
            tokio::task::block_in_place(|| self.audit.prune(until, &self.erasing.custody.signer, now));
        match pruned {
            Ok(0) => {}
            Ok(entries) => tracing::info!(entries, "entries of the audit were let go as their time was up"),
            Err(error) => tracing::error!(%error, "the audit could not be pruned"),
        }
    }
}

//! The sweeper: every minute or so, what has outlived its limit is erased, open erasures are
//! tried again, and the lifecycle rule is looked at. Judges by trusted time alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::app::erasing::Erasing;
use crate::base::clock::{Clock, WallTime};
use crate::base::limit;
use crate::metrics;
use crate::retention::deletion_log::Cause;
use crate::retention::sweep;
use crate::retention::trusted_time::{Look, Trusted, judge, remember};

/// Sweeps after which the store is listed and the lifecycle rule looked at again.
const RARELY: u32 = 10;

/// Sweeps.
pub struct Sweeper {
    /// What it erases through.
    pub erasing: Arc<Erasing>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Where the last trusted look at the clocks is kept.
    pub state_file: PathBuf,
    /// Time between sweeps.
    pub interval: Duration,
    /// Whether our lifecycle rule is to be there.
    pub manage_lifecycle: bool,
}

impl Sweeper {
    /// Sweeps until it is dropped.
    pub async fn run(self) {
        let mut round = 0u32;
        loop {
            let rarely = round.is_multiple_of(RARELY);
            round = round.wrapping_add(1);
            if rarely {
                self.look_at_lifecycle().await;
            }
            match self.trusted_time() {
                Trusted::Is(now) => self.sweep(now, rarely).await,
                Trusted::Unconfirmed { at_least, wall } => {
                    tracing::error!(
                        %at_least, %wall,
                        "the wall clock has jumped; expiry goes by the time that certainly has passed"
                    );
                    self.sweep(at_least, rarely).await;
                }
            }
            self.erasing.complete_open().await;
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Orders the erasure of everything whose time is up at `now`.
    pub(super) async fn sweep(&self, now: WallTime, list_store: bool) {
        let mut due = match sweep::due_in_index(&self.erasing.index, now).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "the index could not be swept");
                Vec::new()
            }
        };
        if list_store {
            match sweep::due_in_store(&self.erasing.store, now).await {
                Ok(old) => due.extend(old),
                Err(error) => tracing::warn!(%error, "the store could not be swept"),
            }
        }
        let oldest = now.plus_days(-i64::from(limit::RETENTION_DAYS));
        if let Err(error) = self.erasing.index.forget_accounts(oldest).await {
            tracing::warn!(%error, "old accounts of calls could not be removed");
        }
        due.extend(self.erasing.spool.calls().into_iter().filter(|&id| sweep::is_over(id, now)));
        for id in due {
            if let Err(error) = self.erasing.order(id, Cause::Expiry).await {
                tracing::error!(call = %id, %error, "a recording whose time is up could not be erased");
                return;
            }
        }
    }

    async fn look_at_lifecycle(&self) {
        let Some(admin) = self.erasing.store.admin().filter(|_| self.manage_lifecycle) else {
            metrics::lifecycle_ok(true);
            return;
        };
        match admin.install_lifecycle(limit::RETENTION_DAYS).await {
            Ok(None) => metrics::lifecycle_ok(true),
            Ok(Some(drift)) => {
                tracing::warn!(?drift, "the bucket's expiry rule was not as it must be; it was set");
                metrics::lifecycle_ok(true);
            }
            Err(error) => {
                tracing::error!(%error, "the bucket's expiry rule could not be set");
                metrics::lifecycle_ok(false);
            }
        }
    }

    fn trusted_time(&self) -> Trusted {
        let Some(now) = look(&*self.clock) else {
            // Without the time since boot there is only the wall clock, and it proves nothing.
            return Trusted::Unconfirmed { at_least: WallTime::default(), wall: self.clock.wall() };
        };
        let last =
            std::fs::read(&self.state_file).ok().and_then(|json| serde_json::from_slice::<Look>(&json).ok());
        let trusted = judge(last.as_ref(), &now, None);
        let kept = serde_json::to_vec(&remember(&now, trusted)).map_err(std::io::Error::from);
        let draft = self.state_file.with_extension("new");
        let written = kept
            .and_then(|json| std::fs::write(&draft, json))
            .and_then(|()| std::fs::rename(&draft, &self.state_file));
        if let Err(error) = written {
            tracing::warn!(%error, "the look at the clocks could not be kept");
        }
        trusted
    }
}

fn look(clock: &dyn Clock) -> Option<Look> {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let secs: f64 = uptime.split(' ').next()?.parse().ok()?;
    Some(Look { wall: clock.wall(), since_boot_us: (secs * 1e6) as i64, boot_id })
}

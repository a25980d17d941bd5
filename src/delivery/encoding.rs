//! Encodes what calls left packed, on threads of low priority, when the engine has time to spare or it becomes due. In:
//! a call's records. Out: the same with Opus packets, one after the other as the delivery takes them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use futures::FutureExt;

use crate::metrics;
use optag_core::clock::{Clock, WallTime};
use optag_core::id::CallId;
use optag_media::fact::{Form, MediaBlock};
use optag_storage::archive::assemble::AssembleError;
use optag_storage::archive::deferred::encoded;
use optag_storage::archive::deliver::{Bodies, Records, Source};
use optag_storage::spool::Spool;
use optag_storage::spool::record::Body;

/// Share of a tick below which the engine has time to spare.
const SPARE: f64 = 0.50;
/// How often a thread that waits for time looks again.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Bodies that may wait for the delivery.
const WAITING: usize = 64;
/// Age of a call from which its audio is encoded whatever the load: half of the shortest retention.
const DUE_AFTER_ADMISSION: Duration = Duration::from_secs(12 * 3_600);

/// The share of a tick that the engine takes.
pub type Load = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Tells when there is time to encode; clones share it.
#[derive(Clone)]
pub struct SpareTime {
    running: Option<Running>,
}

#[derive(Clone)]
struct Running {
    load: Load,
    clock: Arc<dyn Clock>,
    within: Duration,
    draining: Arc<AtomicBool>,
}

/// Whether a call's audio may be encoded now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Now,
    /// The engine needs the time.
    Later,
    /// Never: the spool has nothing of the call any more.
    Gone,
    /// Not in this process: the recorder ends, and the next start does it.
    Ending,
}

/// Why a call's audio is not encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTurn {
    /// It was delivered, or erased.
    #[error("the spool has nothing of the call any more")]
    Gone,
    /// The next start does it.
    #[error("the recorder is ending")]
    Ending,
}

impl SpareTime {
    /// All of it: no call is in progress.
    pub fn all() -> Self {
        Self { running: None }
    }

    /// What an engine of this load leaves. Audio is encoded at the latest so long after its call's end, from half of that
    /// on whatever the load; not any more while the recorder is `draining`.
    pub fn of(load: Load, clock: Arc<dyn Clock>, within: Duration, draining: Arc<AtomicBool>) -> Self {
        Self { running: Some(Running { load, clock, within, draining }) }
    }

    /// Whether a call that ended then may be encoded now; `is_held` says whether the spool has it, and is asked only
    /// where that counts.
    pub fn turn(&self, id: CallId, ended_at: WallTime, is_held: impl FnOnce() -> bool) -> Turn {
        let Some(Running { load, clock, within, draining }) = &self.running else { return Turn::Now };
        let now = clock.wall();
        let is_over = |from: WallTime, limit: Duration| now.micros_since(from) >= limit.as_micros() as i64;
        let is_due = is_over(ended_at, *within / 2) || is_over(id.admitted_at(), DUE_AFTER_ADMISSION);
        let is_draining = draining.load(Ordering::Relaxed);
        match !is_draining && (is_due || load() < SPARE) {
            true => Turn::Now,
            false if !is_held() => Turn::Gone,
            false if is_draining => Turn::Ending,
            false => Turn::Later,
        }
    }

    /// Waits for a call's turn.
    ///
    /// Errors: there will be none.
    pub async fn wait(&self, id: CallId, ended_at: WallTime, spool: &Spool) -> Result<(), NoTurn> {
        self.wait_with(id, ended_at, spool, tokio::time::sleep).await
    }

    /// The same on a thread that nothing else needs.
    fn wait_blocking(&self, id: CallId, ended_at: WallTime, spool: &Spool) -> Result<(), NoTurn> {
        let sleep = |time| {
            std::thread::sleep(time);
            std::future::ready(())
        };
        // It never yields, as the thread sleeps within.
        self.wait_with(id, ended_at, spool, sleep).now_or_never().unwrap_or(Err(NoTurn::Ending))
    }

    async fn wait_with<S: Future<Output = ()>>(
        &self,
        id: CallId,
        ended_at: WallTime,
        spool: &Spool,
        sleep: impl Fn(Duration) -> S,
    ) -> Result<(), NoTurn> {
        loop {
            match self.turn(id, ended_at, || spool.holds(id)) {
                Turn::Now => return Ok(()),
                Turn::Gone => return Err(NoTurn::Gone),
                Turn::Ending => return Err(NoTurn::Ending),
                Turn::Later => sleep(LOOK_EVERY).await,
            }
        }
    }
}

/// A recording whose packed audio is encoded on a thread of its own, block by block as the time allows.
pub fn encoding(source: Source, spool: Spool, id: CallId, ended_at: WallTime, spare: SpareTime) -> Source {
    let Source { records, secret } = source;
    let encoded = move || {
        let (joined, bodies) = records()?.into_parts();
        let (to, from) = sync_channel(WAITING);
        let (spool, spare) = (spool.clone(), spare.clone());
        let turn = move || {
            let waited = spare.wait_blocking(id, ended_at, &spool);
            waited.map_err(|none| AssembleError::Io(none.to_string()))
        };
        let thread = std::thread::Builder::new().name("encode-later".into());
        let spawned = thread.spawn(move || {
            yield_to_others();
            if catch_unwind(AssertUnwindSafe(|| encode(bodies, turn, &to))).is_err() {
                // Without this the records would seem to end here.
                let _ = to.send(Err(AssembleError::Io("encoding failed".into())));
            }
        });
        spawned.map_err(|error| AssembleError::Io(error.to_string()))?;
        Ok(Records::new(joined, from.into_iter()))
    };
    Source { records: Arc::new(encoded), secret }
}

fn encode(
    bodies: Bodies,
    turn: impl Fn() -> Result<(), AssembleError>,
    to: &SyncSender<Result<Body, AssembleError>>,
) {
    let in_turn = bodies.map(|body| {
        if let Ok(Body::Media(MediaBlock { form: Form::Packed(_), lengths, .. })) = &body {
            turn()?;
            metrics::backlog_encoded(lengths.len() as u64);
        }
        body
    });
    for body in encoded(in_turn) {
        let failed = body.is_err();
        // Where the delivery gave up, so does this.
        if to.send(body).is_err() || failed {
            return;
        }
    }
}

/// From here on this thread runs when no other wants to.
fn yield_to_others() {
    // SAFETY: the call takes three numbers; 0 is the calling thread (setpriority(2), "C library/kernel differences").
    // Where the system refuses, the thread is one like the others.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

#[cfg(test)]
mod tests;

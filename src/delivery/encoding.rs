//! Encodes what calls left packed, on threads of low priority, when the engine has time to spare or it becomes due. In:
//! a call's records. Out: the same with Opus packets, one after the other as the delivery takes them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

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
    /// The next start does it.
    Never,
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

    /// Whether a call that ended then may be encoded now.
    pub fn turn(&self, id: CallId, ended_at: WallTime) -> Turn {
        let Some(Running { load, clock, within, draining }) = &self.running else { return Turn::Now };
        let now = clock.wall();
        let is_over = |from: WallTime, limit: Duration| now.micros_since(from) >= limit.as_micros() as i64;
        let is_due = is_over(ended_at, *within / 2) || is_over(id.admitted_at(), DUE_AFTER_ADMISSION);
        match (draining.load(Ordering::Relaxed), is_due || load() < SPARE) {
            (true, _) => Turn::Never,
            (false, true) => Turn::Now,
            (false, false) => Turn::Later,
        }
    }

    /// Waits for a call's turn. False: the recorder ends, or there is nothing to encode any more.
    pub async fn wait(&self, id: CallId, ended_at: WallTime, spool: &Spool) -> bool {
        loop {
            match self.turn(id, ended_at) {
                Turn::Now => return true,
                Turn::Never => return false,
                Turn::Later if !spool.holds(id) => return false,
                Turn::Later => tokio::time::sleep(LOOK_EVERY).await,
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
        let turn = move || loop {
            match spare.turn(id, ended_at) {
                Turn::Now => return Ok(()),
                Turn::Never => return Err(AssembleError::Io("the recorder is ending".into())),
                Turn::Later if !spool.holds(id) => {
                    return Err(AssembleError::Io("the spool has nothing of the call any more".into()));
                }
                Turn::Later => std::thread::sleep(LOOK_EVERY),
            }
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

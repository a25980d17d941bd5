//! Settles calls that ended: recordings go to the store, then into the index, then the spool
//! lets go; of the others only the outcome is written down. Tries for ever, with growing pauses.

use std::sync::Arc;
use std::time::Instant;

use crate::app::backoff::Backoff;
use crate::app::erasing::Erasing;
use crate::app::settling::{Closing, Settling};
use crate::archive::deliver::{DeliverError, deliver};
use crate::archive::recording::AssembleError;
use crate::archive::store::StoreError;
use crate::base::id::CallId;
use crate::call::Outcome;
use crate::call::outcome::LossCause;
use crate::index::{CallRow, IndexError};
use crate::metrics;
use crate::spool::SpoolError;

/// Why a call is not settled yet.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl SettleError {
    /// Whether trying again is no use: the records themselves are no good.
    fn is_final(&self) -> bool {
        matches!(self, Self::Deliver(DeliverError::Assemble(error)) if !matches!(error, AssembleError::Io(_)))
    }
}

/// One worker: settles calls one after the other until it is dropped.
pub async fn work(settling: Arc<Settling>, erasing: Arc<Erasing>) {
    let mut backoff = Backoff::default();
    loop {
        let closing = settling.next().await;
        let id = closing.id;
        match settle(&closing, &erasing).await {
            Ok(()) => {
                settling.done(id);
                backoff.reset();
            }
            Err(error) if error.is_final() => {
                tracing::error!(call = %id, %error, "a recording is lost: its records are no good");
                let lost = Outcome::Lost(LossCause::Damaged);
                metrics::call_ended(lost);
                let written = put_outcome(&closing, lost, &erasing).await;
                // The records stay in the spool for whoever can mend them, until their time is up.
                if written.is_ok() { settling.done(id) } else { settling.retry(id) }
            }
            Err(error) => {
                metrics::upload_failed();
                tracing::warn!(call = %id, %error, "a call is not settled yet");
                settling.retry(id);
                tokio::time::sleep(backoff.next(random())).await;
            }
        }
    }
}

async fn settle(closing: &Closing, erasing: &Erasing) -> Result<(), SettleError> {
    let id = closing.id;
    let _turn = erasing.turns.lock(id).await;
    if closing.ended.outcome == Outcome::Recorded && !erasing.log.is_erased(id) {
        let started = Instant::now();
        let reader = {
            let spool = erasing.spool.clone();
            tokio::task::spawn_blocking(move || spool.read(id)).await??
        };
        let bodies = reader.filter_map(|body| match body {
            Ok(body) => Some(Ok(body)),
            // What is damaged is missing: the recording is made of the rest, and says so.
            Err(error) if error.is_damage() => None,
            Err(error) => Some(Err(AssembleError::Io(error.to_string()))),
        });
        let manifest = match deliver(bodies, &erasing.store).await {
            Err(DeliverError::Store(StoreError::Conflict)) => return conflict(id),
            delivered => delivered?,
        };
        erasing.index.put_recording(&manifest).await?;
        metrics::stored(manifest.audio_bytes, started.elapsed());
    }
    put_outcome(closing, closing.ended.outcome, erasing).await?;
    if closing.spooled {
        let spool = erasing.spool.clone();
        tokio::task::spawn_blocking(move || spool.destroy_key(id)).await??;
    }
    Ok(())
}

/// Another object has the name of ours: nothing is overwritten, a person must look.
fn conflict(id: CallId) -> Result<(), SettleError> {
    tracing::error!(call = %id, "the store has another object under this recording's name");
    Err(DeliverError::Store(StoreError::Conflict).into())
}

async fn put_outcome(closing: &Closing, outcome: Outcome, erasing: &Erasing) -> Result<(), SettleError> {
    let row = CallRow {
        id: closing.id,
        department: closing.department.clone(),
        ended_at: closing.ended.at,
        outcome,
    };
    Ok(erasing.index.put_call(&row).await?)
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the pauses are only less spread.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

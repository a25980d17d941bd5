//! Sends what waits, for as long as this node has the job. In: events that are due. Out: requests, and when those that were
//! not received are sent again.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use super::message::Message;
use super::post::{Failure, Tls, post};
use super::target::Target;
use crate::cluster::membership::Membership;
use crate::index::{DueEvent, Index, IndexError};
use crate::metrics::{self, Webhook};
use optag_core::clock::Clock;

/// Name of the job to send to a receiver.
const JOB: &str = "webhook ";
/// How long a node has a job without taking it again: longer than a batch may take.
const LEASE: Duration = Duration::from_secs(60);
/// Time between two looks where nothing is due.
const LOOK: Duration = Duration::from_secs(1);
/// Events of a receiver that are sent in one batch, and at a time.
const BATCH: u32 = 64;
const AT_A_TIME: usize = 16;
/// First and longest wait before an event is sent again.
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(3_600);
/// How long an event is tried to be sent.
const GIVEN_UP: Duration = Duration::from_secs(7 * 86_400);
/// Looks between two looks for what is too old.
const ROUNDS: u64 = 300;

/// What sends events.
pub struct Webhooks {
    /// Where events wait.
    pub index: Index,
    /// Who receives them.
    pub targets: Vec<Target>,
    /// The nodes; none where this is the only one.
    pub members: Option<Arc<Membership>>,
    /// Clock of the time stamps that receivers compare with theirs.
    pub clock: Arc<dyn Clock>,
}

impl Webhooks {
    /// Sends until dropped. A receiver that does not answer delays no other.
    pub async fn run(self) {
        futures::future::join_all(self.targets.iter().map(|target| self.follow(target))).await;
    }

    async fn follow(&self, target: &Target) {
        let mut was_well = true;
        for round in 0u64.. {
            let looked = self.look(target, round).await;
            if let Err(error) = &looked
                && was_well
            {
                tracing::warn!(webhook = target.id, %error, "cannot read which events wait; they are sent later");
            }
            was_well = looked.is_ok();
            if !matches!(looked, Ok(true)) {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// One look at what is due; whether more may be.
    async fn look(&self, target: &Target, round: u64) -> Result<bool, IndexError> {
        let node = self.members.as_ref().map_or(0, |members| members.number());
        let job = format!("{JOB}{}", target.id);
        if self.members.is_some() && node == 0 || !self.index.take_job(&job, node, LEASE).await? {
            // Another node sends, and says what waits.
            metrics::webhook_waits(&target.id, 0, Duration::ZERO);
            return Ok(false);
        }
        if round.is_multiple_of(ROUNDS) {
            let dropped = self.index.drop_events(&target.id, GIVEN_UP).await?;
            if dropped > 0 {
                tracing::error!(webhook = target.id, dropped, "events given up: not received for a week");
                metrics::webhook(&target.id, Webhook::Dropped, dropped);
            }
        }
        let more = self.send_due(target).await?;
        let (waiting, oldest) = self.index.events_waiting(&target.id).await?;
        metrics::webhook_waits(&target.id, waiting, oldest);
        Ok(more)
    }

    /// Sends a batch of what is due; whether more may be, and all of this was received.
    async fn send_due(&self, target: &Target) -> Result<bool, IndexError> {
        let due = self.index.due_events(&target.id, BATCH).await?;
        let is_full = due.len() == BATCH as usize;
        if due.is_empty() {
            return Ok(false);
        }
        let tls = Tls::of(target);
        let sending = due.into_iter().map(|event| self.send(target, &tls, event));
        let results: Vec<Result<bool, IndexError>> =
            futures::stream::iter(sending).buffer_unordered(AT_A_TIME).collect().await;
        let mut all = true;
        for received in results {
            all &= received?;
        }
        Ok(is_full && all)
    }

    /// Sends an event; whether it was received.
    async fn send(&self, target: &Target, tls: &Tls, event: DueEvent) -> Result<bool, IndexError> {
        let now_s = self.clock.wall().as_unix_micros() / 1_000_000;
        let posted = match target.keys() {
            Ok(keys) => post(target, tls, Message::new(&event, now_s, &keys)).await,
            Err(error) => Err(Failure::Unreachable(error)),
        };
        let Err(error) = posted else {
            metrics::webhook(&target.id, Webhook::Delivered, 1);
            self.index.event_sent(event.seq).await?;
            return Ok(true);
        };
        metrics::webhook(&target.id, Webhook::Failed, 1);
        let wait = wait(event.attempts);
        tracing::warn!(
            webhook = target.id, call = %event.recording, event = event.kind.name(), %error, again_s = wait.as_secs(),
            "event not received"
        );
        self.index.event_failed(event.seq, wait).await?;
        Ok(false)
    }
}

/// Doubles with each attempt.
fn wait(attempts: u32) -> Duration {
    FIRST.saturating_mul(1 << attempts.min(20)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let seconds: Vec<u64> =
            [0, 1, 2, 9, 10, 31, u32::MAX].map(|attempts| wait(attempts).as_secs()).into();
        assert_eq!(seconds, [5, 10, 20, 2_560, 3_600, 3_600, 3_600]);
    }
}

//! Recovery after a crash, and the follower of durable events: ended calls are queued for delivery, withdrawn ones erased.
//!
//! In: the contents of the spool at the start, then its events. Out: calls to deliver, erasures ordered. Not
//! here: calls that are resumed (`resume`).

use std::sync::Arc;

use crate::delivery::queue::{Closing, DeliveryQueue};
use crate::erasure::deletion_log::Cause;
use crate::erasure::service::EraseService;
use crate::recorder::live_calls::LiveCalls;
use crate::recorder::resume::Resumed;
use crate::stores::durable::durable;
use optag_core::call::outcome::LossCause;
use optag_core::call::{ConsentState, Outcome};
use optag_media::fact::{Ended, EndedBy};
use optag_storage::spool::DurableEvent;
use optag_storage::spool::record::{Body, SpoolRecord};
use optag_storage::spool::recover::Recovered;

/// Handles what a crash left, on this disk or one moved here: open calls that are not resumed end where their
/// audio ends, then all are queued for delivery.
///
/// Errors: the spool cannot be written, or an erasure cannot be ordered.
pub async fn settle_recovered(
    recovered: &Recovered,
    resumed: &Resumed,
    erasure: &EraseService,
    queue: &DeliveryQueue,
) -> anyhow::Result<()> {
    if recovered.damaged + recovered.bad_segments + recovered.missing_segments + recovered.unreadable_bytes
        > 0
        || recovered.damaged_keys > 0
    {
        tracing::warn!(
            damaged = recovered.damaged,
            bad_segments = recovered.bad_segments,
            missing_segments = recovered.missing_segments,
            damaged_keys = recovered.damaged_keys,
            unreadable_bytes = recovered.unreadable_bytes,
            "spool has torn or damaged records; recovering intact records one by one"
        );
    }
    let mut closings = Vec::new();
    for call in recovered.calls.iter().filter(|call| !resumed.calls.contains(&call.id)) {
        if erasure.log.is_erased(call.id) {
            erasure.order(call.id, Cause::Request).await?;
            continue;
        }
        let ended = call.closed.clone().unwrap_or_else(|| Ended {
            at: erasure.clock.wall(),
            by: EndedBy::Recovered,
            outcome: recovered_outcome(call.consent.as_ref().map(|record| record.state), call.frames),
            frames: call.frames,
            streams: vec![],
        });
        if call.closed.is_none() {
            let record = SpoolRecord { call: call.id, body: Body::Closed(ended.clone()) };
            if erasure.stores.spool.append(vec![record]).is_err() {
                anyhow::bail!("cannot write the ends of recovered calls to the spool");
            }
            crate::metrics::call_ended(ended.outcome);
        }
        let department = call.facts.as_ref().map(|facts| facts.department.clone()).unwrap_or_default();
        let packed_frames = erasure.stores.spool.packed(call.id).frames;
        closings.push(Closing { id: call.id, department, ended, spooled: true, packed_frames });
    }
    // Only durable records can be read back: waits for the ends just written.
    if !durable(&erasure.stores.spool).await {
        anyhow::bail!("cannot write to the spool");
    }
    for closing in closings {
        queue.add(closing);
    }
    let open = erasure.log.open_orders().len();
    tracing::info!(calls = recovered.calls.len(), erasures = open, "spool recovered");
    Ok(())
}

fn recovered_outcome(consent: Option<ConsentState>, frames: u32) -> Outcome {
    match consent {
        Some(ConsentState::Withdrawn) => Outcome::Withdrawn,
        // There is audio only if a yes permitted it, whatever was answered to the next department.
        Some(_) if frames > 0 => EndedBy::Recovered.of_recorded(),
        Some(ConsentState::Refused) => Outcome::Refused,
        _ => Outcome::Lost(LossCause::Restart),
    }
}

/// Input of the follower of the spool's events, in order.
pub enum Followed {
    /// Something about a call is durable.
    Event(Box<DurableEvent>),
    /// Confirmed once everything sent before has been processed.
    Barrier(tokio::sync::oneshot::Sender<()>),
}

/// Queues durably ended calls for delivery, and erases durably withdrawn ones. The thread ends with its
/// senders.
pub fn follow_durable(
    events: std::sync::mpsc::Receiver<Followed>,
    queue: Arc<DeliveryQueue>,
    live_calls: Arc<LiveCalls>,
    erasure: Arc<EraseService>,
) {
    let runtime = tokio::runtime::Handle::current();
    // Each call sends a handful of events in its lifetime, so the number of calls bounds this queue.
    std::thread::spawn(move || {
        for followed in events {
            let event = match followed {
                Followed::Event(event) => *event,
                Followed::Barrier(done) => {
                    let _ = done.send(());
                    continue;
                }
            };
            match event.body {
                Body::Closed(ended) => {
                    if ended.by == EndedBy::Recovered {
                        continue;
                    }
                    let department =
                        live_calls.get(event.call).map(|view| view.department).unwrap_or_default();
                    let packed_frames = erasure.stores.spool.packed(event.call).frames;
                    queue.add(Closing { id: event.call, department, ended, spooled: true, packed_frames });
                }
                Body::Consent(record) if record.state == ConsentState::Withdrawn => {
                    let erasure = Arc::clone(&erasure);
                    runtime.spawn(async move {
                        if let Err(error) = erasure.withdraw_in_call(event.call).await {
                            tracing::error!(call = %event.call, %error, "cannot order the erasure of a withdrawn recording");
                        }
                    });
                }
                _ => {}
            }
        }
    });
}

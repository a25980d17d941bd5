//! From the engine to the spool: facts of each tick become records; live calls and metrics are updated at the
//! same time.

use std::sync::Arc;

use crate::delivery::queue::{Closing, DeliveryQueue};
use crate::metrics;
use crate::recorder::live_calls::LiveCalls;
use optag_core::call::{ConsentHow, ConsentState, Outcome};
use optag_core::id::CallId;
use optag_media::call::output::{Fact, Output};
use optag_media::call::snapshot::CallSnapshot;
use optag_media::engine::Sink;
use optag_media::fact::{Ended, EndedBy};
use optag_storage::spool::Spool;
use optag_storage::spool::record::{Body, SpoolRecord};

/// The engine's output. Runs on the tick thread: it locks only the map of live calls.
pub struct EngineSink {
    /// Destination of the records.
    pub spool: Spool,
    /// Calls as shown by the API.
    pub live_calls: Arc<LiveCalls>,
    /// Queue for calls that end without spool records.
    pub deliveries: Arc<DeliveryQueue>,
}

impl Sink for EngineSink {
    fn push(&mut self, batch: Vec<Output>) -> Result<(), Vec<Output>> {
        let mut batch = batch;
        batch.retain(|output| !self.settle_unspooled(output));
        if self.spool.is_backed_up() {
            // Checked before records are made, since it may happen in every tick.
            return Err(batch);
        }
        let records: Vec<_> = batch
            .into_iter()
            .map(|output| SpoolRecord { call: output.call, body: Body::from(output.fact) })
            .collect();
        let news: Vec<_> = records.iter().filter_map(News::of).collect();
        let appended = self.spool.append(records);
        // If only audio is returned, the rest was accepted.
        let taken = match &appended {
            Ok(()) => true,
            Err(back) => back.iter().all(|record| matches!(record.body, Body::Media(_))),
        };
        if taken {
            for news in news {
                self.tell(news);
            }
        }
        appended.map_err(|back| back.into_iter().filter_map(as_output).collect())
    }
}

impl EngineSink {
    /// A call that is not recorded, or whose key was destroyed by a withdrawal, has no records; its end is
    /// handled here.
    fn settle_unspooled(&self, output: &Output) -> bool {
        let Fact::Ended(ended) = &output.fact else { return false };
        if !matches!(ended.outcome, Outcome::NotSelected | Outcome::Withdrawn) {
            return false;
        }
        let department = self.live_calls.get(output.call).map(|view| view.department).unwrap_or_default();
        let (id, ended) = (output.call, ended.clone());
        let news = ended.clone();
        let closing = Closing { id, department, ended, spooled: false, packed_frames: 0 };
        if !self.deliveries.add(closing) {
            metrics::outcome_row_dropped();
        }
        self.tell(News::Ended(id, news));
        true
    }

    fn tell(&self, news: News) {
        match news {
            News::Consent(call, state, how) => {
                self.live_calls.set_consent(call, state);
                if state != ConsentState::Asked {
                    metrics::consent_changed(state, how);
                }
            }
            News::Ended(call, ended) => {
                self.live_calls.end(call, &ended);
                metrics::call_ended(ended.outcome);
                if ended.by == EndedBy::Shutdown {
                    metrics::call_cut();
                }
            }
        }
    }
}

/// Updates for live calls and metrics.
enum News {
    Consent(CallId, ConsentState, ConsentHow),
    Ended(CallId, Ended),
}

impl News {
    fn of(record: &SpoolRecord) -> Option<Self> {
        match &record.body {
            Body::Consent(consent) => Some(News::Consent(record.call, consent.state, consent.how)),
            Body::Closed(ended) => Some(News::Ended(record.call, ended.clone())),
            _ => None,
        }
    }
}

fn as_output(record: SpoolRecord) -> Option<Output> {
    let fact = match record.body {
        Body::CallState(text) => Fact::State(Box::new(CallSnapshot::from_text(text.reveal())?)),
        Body::Opened(_) | Body::Described(_) | Body::DialogState(_) => return None,
        Body::Consent(consent) => Fact::Consent(consent),
        Body::Media(block) => Fact::Media(block),
        Body::Joined(facts) => Fact::Joined(facts),
        Body::Gap(gap) => Fact::Gap(gap),
        Body::Closed(ended) => Fact::Ended(ended),
    };
    Some(Output { call: record.call, fact })
}

#[cfg(test)]
mod tests;

//! The functions by which what sends webhooks records.

use std::time::Duration;

use ::metrics::{counter, gauge};

use super::catalog as c;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhook {
    /// It was received.
    Delivered,
    /// It was not received and is sent again.
    Failed,
    /// It was given up.
    Dropped,
}

/// So many events for a receiver had this result.
pub fn webhook(receiver: &str, result: Webhook, events: u64) {
    let result = match result {
        Webhook::Delivered => "delivered",
        Webhook::Failed => "failed",
        Webhook::Dropped => "dropped",
    };
    let receiver = receiver.to_owned();
    counter!(c::WEBHOOKS_TOTAL.name, "webhook" => receiver, "result" => result).increment(events);
}

/// How many events wait for a receiver, and for how long the oldest.
pub fn webhook_waits(receiver: &str, waiting: u64, oldest: Duration) {
    gauge!(c::WEBHOOKS_WAITING.name, "webhook" => receiver.to_owned()).set(waiting as f64);
    gauge!(c::WEBHOOKS_OLDEST_SECONDS.name, "webhook" => receiver.to_owned()).set(oldest.as_secs_f64());
}

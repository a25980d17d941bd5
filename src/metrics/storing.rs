//! The functions by which what looks after the store records.

use std::time::Duration;

use ::metrics::{counter, gauge};

use super::catalog as c;
use super::record::flag;

/// How long the call that ended first waits for its delivery.
pub fn delivery_waits(oldest: Duration) {
    gauge!(c::DELIVERY_WAITS_SECONDS.name).set(oldest.as_secs_f64());
}

/// Something that a newer program stored was met.
pub fn newer_format(what: &'static str) {
    counter!(c::NEWER_FORMATS_TOTAL.name, "format" => what).increment(1);
}

/// An erasure could not be certified.
pub fn erasure_unproven() {
    counter!(c::ERASURES_UNPROVEN_TOTAL.name).increment(1);
}

/// The bucket's expiry rule was set again.
pub fn lifecycle_drifted() {
    counter!(c::LIFECYCLE_DRIFTS_TOTAL.name).increment(1);
}

/// Whether the store answered.
pub fn store_up(up: bool) {
    gauge!(c::STORE_UP.name).set(flag(up));
}

/// Whether the bucket's expiry rule is as it must be.
pub fn lifecycle_ok(ok: bool) {
    gauge!(c::LIFECYCLE_OK.name).set(flag(ok));
}

/// Lifecycle rules of others that reach what we store.
pub fn foreign_rules(harmful: usize, harmless: usize) {
    gauge!(c::FOREIGN_RULES.name, "effect" => "harmful").set(harmful as f64);
    gauge!(c::FOREIGN_RULES.name, "effect" => "harmless").set(harmless as f64);
}

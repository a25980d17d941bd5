//! Takes calls in, and lets those there are give way, as the load permits. In: calls that ask, the state of the load. Out:
//! calls that are encoded at once or later, and refusals.

use super::{CARRIED, Runner};
use crate::call::plan::{CallPlan, EngineError};
use crate::call::{Call, CallSettings};
use crate::engine::load_shedding::{Admission, Calls};
use crate::engine::request::Reply;
use crate::stats::TickStats;
use crate::stream::coder::When;

impl Runner {
    pub(super) fn admit(&mut self, plan: CallPlan, reply: Reply) {
        let has_room = self.calls.len() < self.config.max_calls && self.carried.waiting() < CARRIED;
        self.may_spill = plan.may_spill;
        let encodes = match self.load_shedding.admits(self.count(|_| true), plan.may_spill) {
            Admission::Now if has_room => When::Now,
            Admission::Later if has_room => When::Later,
            _ => return reply(Err(EngineError::Full)),
        };
        let spilled = u64::from(encodes == When::Later);
        self.stats.add(&TickStats { calls_spilled: spilled, ..TickStats::default() });
        let (streams, sockets): (Vec<_>, Vec<_>) = plan.streams.into_iter().unzip();
        let now = self.clock.mono();
        let make = |mut settings: CallSettings| {
            settings.capture.encodes = encodes;
            Call::new(plan.rules, streams, settings, now)
        };
        self.add_slot(make, sockets, plan.gauges, reply);
    }

    /// Lets calls that record be encoded later where all of them take too long: those that came last first, of which the
    /// least is encoded yet.
    pub(super) fn give_way(&mut self, recording: Calls) {
        let wanted = self.load_shedding.gives_way(recording);
        if wanted == 0 || !self.may_spill {
            return;
        }
        let complexity = self.config.call.capture.opus.complexity;
        let recording = self.calls.iter_mut().rev().filter(|slot| slot.call.is_recording());
        let gave_way =
            recording.filter_map(|slot| slot.call.encode_later(complexity).then_some(())).take(wanted);
        let gave_way = gave_way.count();
        self.load_shedding.gave_way(gave_way);
        self.stats.add(&TickStats { calls_spilled: gave_way as u64, ..TickStats::default() });
    }

    /// How many more calls fit, without and with spilling.
    pub(super) fn rooms(&self) -> [usize; 2] {
        let places = self.config.max_calls.saturating_sub(self.calls.len());
        let places = if self.carried.waiting() < CARRIED { places } else { 0 };
        let calls = self.count(|_| true);
        [false, true].map(|may_spill| self.load_shedding.room(calls, may_spill).min(places))
    }

    /// Calls of this kind, by when they are encoded.
    pub(super) fn count(&self, is_meant: impl Fn(&Call) -> bool) -> Calls {
        let mut calls = Calls::default();
        for slot in self.calls.iter().filter(|slot| is_meant(&slot.call)) {
            *(if slot.call.encodes_later() { &mut calls.later } else { &mut calls.now }) += 1;
        }
        calls
    }
}

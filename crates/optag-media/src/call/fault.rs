//! A call whose processing failed: a panic in its share of a tick, in a command, or at its end.
//!
//! What was handed on is kept, as after a kill. From the last frame made until now there is a gap with reason
//! *fault*; end and outcome have the same cause. `slot` catches the panic; a panic of the engine itself ends
//! the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::call::output::Fact;
use crate::call::{Call, Now};
use crate::fact::{EndedBy, Gap, GapReason, StreamIndex};
use crate::timebase::{self, FRAME_AXIS};
use optag_core::id::CallId;

/// Runs what may panic; `None` if it did.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Runs the engine. If the engine itself panics, no call of the process would be recorded any more: the
/// process aborts, and the next one resumes its calls.
pub(crate) fn run_or_abort(engine: impl FnOnce()) {
    if caught(engine).is_none() {
        tracing::error!("the media engine failed; the process ends so that its calls go on in the next");
        std::process::abort();
    }
}

/// Steps at which a test can make processing fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Before datagrams are read.
    Read,
    /// Frames of one stream are made, those of the next are not.
    Frames,
    /// A command is about to be applied.
    Command,
    /// Consent is withdrawn, but nothing has been wiped yet.
    Wipe,
}

/// Marks that a step is reached. Does nothing except in tests.
#[inline]
pub(crate) fn reached(_call: CallId, _step: Step) {
    #[cfg(any(test, feature = "fault-injection"))]
    inject::strike(_call, _step);
}

impl Call {
    /// Ends the call without touching its audio again, because processing it failed. What was handed on is
    /// kept.
    pub fn fail(&mut self, now: Now) {
        let captures: Vec<_> = self.streams.iter_mut().filter_map(|stream| stream.capture.take()).collect();
        if self.is_ended() {
            return;
        }
        if let Some(zero) = self.zero {
            let made = self.frames_out;
            for mut capture in captures {
                capture.end();
                let gaps = capture.closed_gaps.drain(..).filter(|gap| gap.from_frame < made);
                self.facts.extend(gaps.map(|gap| Fact::Gap(Gap { to_frame: gap.to_frame.min(made), ..gap })));
            }
            self.report_spool_gap(true);
            let heard = (timebase::length(now.mono.since(zero)) / FRAME_AXIS) as u32;
            self.frames_out = made.max(heard);
            let reason = if self.closed { GapReason::Paused } else { GapReason::Fault };
            let (from_frame, to_frame) = (made, self.frames_out);
            if to_frame > from_frame {
                let streams = (0..self.streams.len() as u8).map(StreamIndex);
                let gaps = streams.map(|stream| Gap { stream, from_frame, to_frame, reason });
                self.facts.extend(gaps.map(Fact::Gap));
            }
        }
        if let Some(record) = self.consent.end(now.wall) {
            self.facts.push(Fact::Consent(record));
        }
        self.close(now, EndedBy::Fault);
    }
}

/// Fault injection.
#[cfg(any(test, feature = "fault-injection"))]
pub mod inject {
    use std::sync::{Mutex, PoisonError};

    use crate::call::fault::{CallId, Step};

    static ARMED: Mutex<Vec<(CallId, Step)>> = Mutex::new(Vec::new());

    /// Makes processing panic the next time that this call reaches this step.
    pub fn arm(call: CallId, step: Step) {
        ARMED.lock().unwrap_or_else(PoisonError::into_inner).push((call, step));
    }

    /// Panics if requested for this step.
    pub fn strike(call: CallId, step: Step) {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = armed.iter().position(|one| *one == (call, step)) {
            armed.swap_remove(at);
            drop(armed);
            panic!("a test makes {step:?} fail");
        }
    }
}

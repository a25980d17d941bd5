//! Facts that a sink did not take, until it does. In: what came back. Out: the same, in order, in bounded
//! room: of what a call needs to go on the last is kept, gaps that follow each other become one.
//! Consent, streams that joined and ends are always kept.

use std::collections::HashMap;

use crate::call::output::{Fact, Output};
use crate::fact::{Gap, GapReason, StreamIndex};
use optag_core::id::CallId;

/// Gaps of one call that are kept apart; with more, the last one grows over what lies between, none of which
/// reached the sink.
const GAPS: usize = 64;

/// The facts, audio aside.
#[derive(Default)]
pub struct Carried {
    facts: Vec<Option<Output>>,
    /// Where the last state of each call stands.
    states: HashMap<CallId, usize>,
    /// Where the last gap of each stream stands.
    gaps: HashMap<(CallId, StreamIndex), usize>,
    /// Gaps of each call.
    counts: HashMap<CallId, usize>,
    /// Facts that are part of others by now.
    merged: u64,
    /// Facts that wait.
    live: usize,
}

impl Carried {
    /// Facts that wait.
    pub fn waiting(&self) -> usize {
        self.live
    }

    /// Takes everything, in order, and how many facts were merged into others.
    pub fn take(&mut self) -> (Vec<Output>, u64) {
        let all = std::mem::take(self);
        (all.facts.into_iter().flatten().collect(), all.merged)
    }

    /// Keeps a fact that is no audio.
    pub fn keep(&mut self, output: Output) {
        match &output.fact {
            Fact::State(_) => {
                // The last counts, and what it says may rest on the facts before it.
                if let Some(earlier) = self.states.insert(output.call, self.facts.len()) {
                    self.facts[earlier] = None;
                    self.live -= 1;
                    self.merged += 1;
                }
            }
            Fact::Gap(gap) => {
                if self.merges(output.call, *gap) {
                    self.merged += 1;
                    return;
                }
                self.gaps.insert((output.call, gap.stream), self.facts.len());
                *self.counts.entry(output.call).or_default() += 1;
            }
            _ => {}
        }
        self.facts.push(Some(output));
        self.live += 1;
        if self.facts.len() > 2 * self.live + GAPS {
            self.close_up();
        }
    }

    /// Whether the gap is part of the stream's last one now.
    fn merges(&mut self, call: CallId, gap: Gap) -> bool {
        let many = self.counts.get(&call).is_some_and(|&count| count >= GAPS);
        let Some(&place) = self.gaps.get(&(call, gap.stream)) else { return false };
        let Some(Some(Output { fact: Fact::Gap(last), .. })) = self.facts.get_mut(place) else {
            return false;
        };
        let follows =
            last.reason == gap.reason && (last.from_frame..=last.to_frame).contains(&gap.from_frame);
        if !follows && !many {
            return false;
        }
        if !follows {
            last.reason = GapReason::Spool;
        }
        last.from_frame = last.from_frame.min(gap.from_frame);
        last.to_frame = last.to_frame.max(gap.to_frame);
        true
    }

    /// Closes up the places of states that were replaced.
    fn close_up(&mut self) {
        let mut next = 0;
        let moved: Vec<usize> = self
            .facts
            .iter()
            .map(|fact| {
                next += usize::from(fact.is_some());
                next.saturating_sub(1)
            })
            .collect();
        self.facts.retain(Option::is_some);
        self.states.values_mut().chain(self.gaps.values_mut()).for_each(|place| *place = moved[*place]);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::call::CallRules;
    use crate::call::snapshot::CallSnapshot;
    use optag_core::call::{ConsentHow, ConsentKeys, ConsentRecord, ConsentState, Evidence, Question};
    use optag_core::clock::MonoTime;

    fn id(n: u8) -> CallId {
        CallId::from_bytes([n; 16])
    }

    fn gap(call: u8, from_frame: u32, to_frame: u32, reason: GapReason) -> Output {
        Output {
            call: id(call),
            fact: Fact::Gap(Gap { stream: StreamIndex(0), from_frame, to_frame, reason }),
        }
    }

    fn consent(call: u8) -> Output {
        let record = ConsentRecord {
            state: ConsentState::Granted,
            how: ConsentHow::Key,
            at: Default::default(),
            prompt_version: None,
            evidence: Evidence::Clock,
            terms: None,
        };
        Output { call: id(call), fact: Fact::Consent(record) }
    }

    fn state(call: u8, at: u64) -> Output {
        let question = Question::new("demo", true, ConsentKeys::default(), Duration::from_secs(30));
        let rules = CallRules { id: id(call), question, prompt_version: None };
        let saved = CallSnapshot::new(rules, &[], &[], MonoTime::from_nanos(at));
        Output { call: id(call), fact: Fact::State(Box::new(saved)) }
    }

    #[test]
    fn of_what_a_call_needs_to_go_on_the_last_is_kept_behind_what_it_rests_on() {
        let mut carried = Carried::default();
        for n in 0..5_000 {
            carried.keep(state((n % 3) as u8, n));
            carried.keep(gap(1, n as u32 * 5, n as u32 * 5 + 5, GapReason::Spool));
            if n == 4_000 {
                carried.keep(consent(0));
            }
            assert!(carried.facts.len() < 200, "{n}");
        }
        assert_eq!(carried.waiting(), 5);
        let (facts, _) = carried.take();
        let states: Vec<_> = facts
            .iter()
            .filter_map(|output| match &output.fact {
                Fact::State(saved) => Some((output.call, saved.at)),
                _ => None,
            })
            .collect();
        let at = MonoTime::from_nanos;
        assert_eq!(states, [(id(2), at(4_997)), (id(0), at(4_998)), (id(1), at(4_999))]);
        assert_eq!(gaps(&facts, 1), [(0, 25_000, GapReason::Spool)]);
        let consent = facts.iter().position(|output| matches!(output.fact, Fact::Consent(_)));
        let last = facts.iter().rposition(|output| matches!(output.fact, Fact::State(_)));
        assert!(consent < last);
    }

    fn gaps(outputs: &[Output], call: u8) -> Vec<(u32, u32, GapReason)> {
        let ours = outputs.iter().filter(|output| output.call == id(call));
        let spans = ours.filter_map(|output| match output.fact {
            Fact::Gap(gap) => Some((gap.from_frame, gap.to_frame, gap.reason)),
            _ => None,
        });
        spans.collect()
    }

    #[test]
    fn hours_of_refusal_keep_one_gap_a_stream_and_every_consent() {
        let mut carried = Carried::default();
        for frame in 0..100_000 {
            for call in 1..=2 {
                carried.keep(gap(call, frame * 5, frame * 5 + 5, GapReason::Spool));
            }
            if frame % 10_000 == 0 {
                carried.keep(consent(1));
            }
        }
        assert_eq!(carried.waiting(), 12);
        let (facts, merged) = carried.take();
        assert_eq!(gaps(&facts, 1), [(0, 500_000, GapReason::Spool)]);
        assert_eq!((facts.len(), merged), (12, 199_998));
        assert_eq!(carried.waiting(), 0);
    }

    #[test]
    fn gaps_that_do_not_follow_each_other_stay_apart_up_to_a_number_and_none_shrinks() {
        let mut carried = Carried::default();
        let all: Vec<_> = (0..1_000).map(|n| (n * 10, n * 10 + 3)).collect();
        for (n, &(from, to)) in all.iter().enumerate() {
            let reason = if n % 2 == 0 { GapReason::Held } else { GapReason::Lost };
            carried.keep(gap(1, from, to, reason));
        }
        let (facts, _) = carried.take();
        let kept = gaps(&facts, 1);
        assert_eq!(kept.len(), GAPS);
        assert_eq!(kept[1], (10, 13, GapReason::Lost));
        assert!(all.iter().all(|&(from, to)| kept.iter().any(|&(f, t, _)| f <= from && t >= to)));
        assert_eq!(kept[GAPS - 1].2, GapReason::Spool);
    }
}

//! Many asked calls in simulated time, with every failure at every step, against an independent reading of the
//! rules. `ASKS=100000 cargo test ask::machine::simulation` runs more.

use super::tests::rules;
use super::*;
use optag_core::call::KeySource;

/// xorshift: the same calls from the same seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn one_in(&mut self, most: u64) -> bool {
        self.below(most) == 0
    }
}

/// The world around one ask, with what it knows to be true.
struct World {
    chance: Chance,
    now: MonoTime,
    coming: Vec<(MonoTime, Event)>,
    heard_at: Option<MonoTime>,
    lost: u32,
    /// The clip in progress: its number, beginning, loss before it, length in packets; and whether its end was sent.
    clip: Option<(u32, MonoTime, u32, u32)>,
    /// Ends of questions that a caller has heard completely, with the loss before them.
    complete: Option<(MonoTime, u32, u32)>,
    choices: u32,
    question: usize,
    answers: Vec<Answer>,
    sent_on: Vec<Answer>,
    ends: Vec<Outcome>,
    gone: bool,
    refused: bool,
}

impl World {
    fn later(&mut self, ms: u64, event: Event) {
        self.coming.push((self.now + Duration::from_millis(ms), event));
    }

    fn carry_out(&mut self, machine: &Machine, action: Action) {
        assert!(self.ends.is_empty(), "{action:?} after the end");
        match action {
            Action::Play(clip, Clip::Question(at)) => {
                let question = &machine.rules.questions[at];
                if at != self.question {
                    self.choices += 1;
                    self.complete = None;
                }
                self.question = at;
                self.clip = Some((clip, self.now, self.lost, question.packets));
                let lasts = question.lasts.as_millis() as u64;
                match self.chance.below(40) {
                    0 => self.later(100, Event::MediaFailed),
                    1 => {}
                    2 => self.later(lasts + 99, Event::Played(clip)),
                    _ => self.later(lasts, Event::Played(clip)),
                }
            }
            Action::Play(clip, Clip::Confirmation(_)) => {
                self.clip = None;
                if !self.chance.one_in(10) {
                    self.later(2_000, Event::Played(clip));
                }
            }
            Action::Quiet => self.clip = None,
            Action::Keep(number, given) => {
                if given.answer == Answer::Yes {
                    let (_, key) = given.keys.expect("a yes has keys");
                    let (end, before, packets) = self.complete.expect("a yes to a question that was heard");
                    assert!(key.at >= end, "pressed before the end of the question");
                    assert!(
                        u64::from(self.lost - before) * 100 <= 5 * u64::from(packets),
                        "too much was lost"
                    );
                }
                self.answers.push(given.answer);
                match self.chance.below(12) {
                    0 => {}
                    1 => self.later(10, Event::Kept(number, false)),
                    2 => self.later(700, Event::Kept(number, true)),
                    _ => self.later(5, Event::Kept(number, true)),
                }
            }
            Action::SendOn(answer) => {
                if answer == Answer::Yes {
                    assert_eq!(self.answers.last(), Some(&Answer::Yes));
                }
                self.sent_on.push(answer);
                let works = !self.chance.one_in(20);
                self.refused = !works;
                self.later(20, Event::SentOn(works));
            }
            Action::End(outcome) => self.ends.push(outcome),
        }
    }

    /// What the caller and the network do with this event.
    fn happens(&mut self, event: &Event) {
        match event {
            Event::Heard => self.heard_at = self.heard_at.or(Some(self.now)),
            Event::Lost(packets) => self.lost = self.lost.max(*packets),
            Event::CallerGone => self.gone |= self.ends.is_empty(),
            Event::Played(clip) => {
                let Some((current, began, before, packets)) = self.clip else { return };
                let flowed = self.heard_at.is_some_and(|at| at <= began + Duration::from_millis(200));
                let lossy = u64::from(self.lost - before) * 100 > 5 * u64::from(packets);
                if current == *clip && flowed && !lossy && self.complete.is_none() {
                    self.complete = Some((self.now, before, packets));
                }
            }
            _ => {}
        }
        if let Some((_, before, packets)) = self.complete
            && u64::from(self.lost - before) * 100 > 5 * u64::from(packets)
        {
            self.complete = None;
        }
    }
}

/// Lets one call happen; returns its outcome.
fn call(seed: u64) -> Outcome {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..5 {
        chance.next();
    }
    let mut rules = rules();
    if chance.one_in(3) {
        rules.confirmations = [Some(Duration::from_secs(2)); 2];
    }
    let start = MonoTime::from_nanos(1_000_000_000);
    let mut world = World {
        chance,
        now: start,
        coming: Vec::new(),
        heard_at: None,
        lost: 0,
        clip: None,
        complete: None,
        choices: 0,
        question: 0,
        answers: Vec::new(),
        sent_on: Vec::new(),
        ends: Vec::new(),
        gone: false,
        refused: false,
    };
    let mut machine = Machine::new(rules, start);
    // What the caller and the network will do, whatever happens.
    if !world.chance.one_in(20) {
        let (ready, heard) = (world.chance.below(550), world.chance.below(1_200));
        world.later(ready, Event::Ready);
        if !world.chance.one_in(15) {
            world.later(heard, Event::Heard);
        }
    }
    for _ in 0..world.chance.below(4) {
        let ms = world.chance.below(25_000);
        let key = ['1', '1', '1', '2', '5', '8', '*', '9'][world.chance.below(8) as usize];
        let by = KeySource::Event;
        let pressed_at = world.now + Duration::from_millis(ms);
        let negotiated = !world.chance.one_in(10);
        let press = KeyPress { key, at: pressed_at, timestamp: 1, ssrc: 2, source: None, by, negotiated };
        world.later(ms + world.chance.0 % 30, Event::Key(press));
    }
    if world.chance.one_in(4) {
        let (at, packets) = (world.chance.below(15_000), world.chance.below(40) as u32);
        world.later(at, Event::Lost(packets));
        world.later(at + 5_000, Event::Lost(packets * 2));
    }
    for event in [Event::CallerGone, Event::MediaFailed, Event::Stop] {
        if world.chance.one_in(10) {
            let at = world.chance.below(25_000);
            world.later(at, event);
        }
    }
    let mut out = Vec::new();
    for _ in 0..1_000 {
        let event = world.coming.iter().enumerate().min_by_key(|(at, (time, _))| (*time, *at));
        let event = event.map(|(at, (time, _))| (at, *time));
        match (event, machine.next_timeout()) {
            (Some((at, time)), deadline) if deadline.is_none_or(|deadline| time < deadline) => {
                world.now = world.now.max(time);
                let (_, event) = world.coming.remove(at);
                world.happens(&event);
                machine.handle(world.now, event, &mut out);
            }
            (_, Some(deadline)) => {
                world.now = world.now.max(deadline);
                machine.handle_timeout(world.now, &mut out);
            }
            (_, None) => break,
        }
        for action in std::mem::take(&mut out) {
            world.carry_out(&machine, action);
        }
    }
    let [outcome] = world.ends[..] else { panic!("seed {seed}: outcomes {:?}", world.ends) };
    assert_eq!(machine.outcome(), Some(outcome), "seed {seed}");
    // Each call is sent on, but for those that hang up; a refusal of the caller's side is its own outcome.
    assert_eq!(
        world.sent_on.len(),
        usize::from(!(outcome == Outcome::CallerGone && world.sent_on.is_empty())),
        "seed {seed}"
    );
    assert_eq!(outcome == Outcome::SendFailed, world.refused && !world.gone, "seed {seed}");
    assert!(outcome != Outcome::CallerGone || world.gone, "seed {seed}");
    // What is left standing is a yes only where the call went on with one.
    let stands = world.answers.last() == Some(&Answer::Yes);
    assert_eq!(stands, outcome == Outcome::Yes, "seed {seed}: {:?}", world.answers);
    let bound = OWN_DELAY + 2 * OVERDUE * world.choices;
    // Sending on is the telephone system's own time.
    let own = machine.own_delay(world.now).saturating_sub(Duration::from_millis(20));
    assert!(own <= bound, "seed {seed}: {own:?}");
    outcome
}

#[test]
fn invariant_02_of_many_asked_calls_none_is_dropped_or_held_up_and_none_says_yes_to_half_a_question() {
    let calls = std::env::var("ASKS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let mut counted = [0_u32; Outcome::ALL.len()];
    for seed in 0..calls {
        counted[call(seed) as usize] += 1;
    }
    println!("{calls} calls, seeds from 0:");
    for outcome in Outcome::ALL {
        println!("  {:12} {}", outcome.name(), counted[outcome as usize]);
    }
    assert_eq!(counted.iter().map(|count| u64::from(*count)).sum::<u64>(), calls);
    use Outcome::{CallerGone, MediaFailed, No, NotHeard, NotKept, SendFailed, Silence, Stopping, Yes};
    for outcome in [Yes, No, Silence, NotHeard, CallerGone, MediaFailed, NotKept, Stopping, SendFailed] {
        assert!(counted[outcome as usize] > 0, "{outcome:?} never came about");
    }
}

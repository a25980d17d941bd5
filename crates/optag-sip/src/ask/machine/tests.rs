use super::*;
use optag_core::call::{ConsentKeys, KeySource};

fn at(ms: u64) -> MonoTime {
    MonoTime::from_nanos(ms * 1_000_000)
}

fn press(key: char, ms: u64) -> KeyPress {
    KeyPress { key, at: at(ms), timestamp: 0, ssrc: 7, source: None, by: KeySource::Event, negotiated: true }
}

pub(super) fn question(version: &str, seconds: u64) -> Question {
    Question {
        version: version.into(),
        lasts: Duration::from_secs(seconds),
        packets: seconds as u32 * 50,
        keys: ConsentKeys::default(),
    }
}

pub(super) fn rules() -> Rules {
    Rules {
        questions: vec![question("da", 4), question("en", 3)],
        languages: vec![('8', 1)],
        confirmations: [None; 2],
        answer: Duration::from_secs(5),
        loss_percent: 5,
    }
}

/// A machine with the time, to be told things.
struct Ask {
    machine: Machine,
    out: Vec<Action>,
}

impl Ask {
    fn new(rules: Rules) -> Self {
        Self { machine: Machine::new(rules, at(0)), out: Vec::new() }
    }

    /// One whose question is played from 20 ms on.
    fn playing(rules: Rules) -> Self {
        let mut ask = Self::new(rules);
        ask.tell(0, Event::Ready);
        assert_eq!(ask.tell(20, Event::Heard), [Action::Play(1, Clip::Question(0))]);
        ask
    }

    /// One whose question was heard at 4,020 ms.
    fn asked(rules: Rules) -> Self {
        let mut ask = Self::playing(rules);
        assert_eq!(ask.tell(4_020, Event::Played(1)), []);
        ask
    }

    fn tell(&mut self, ms: u64, event: Event) -> Vec<Action> {
        self.machine.handle_timeout(at(ms), &mut self.out);
        self.machine.handle(at(ms), event, &mut self.out);
        std::mem::take(&mut self.out)
    }

    fn key(&mut self, ms: u64, key: char) -> Vec<Action> {
        self.tell(ms, Event::Key(press(key, ms)))
    }

    /// What is done by then.
    fn wait(&mut self, ms: u64) -> Vec<Action> {
        self.machine.handle_timeout(at(ms), &mut self.out);
        std::mem::take(&mut self.out)
    }
}

/// Answers that are to be kept.
fn kept(actions: &[Action]) -> Vec<(u32, Answer)> {
    let keep = |action: &Action| match action {
        Action::Keep(number, given) => Some((*number, given.answer)),
        _ => None,
    };
    actions.iter().filter_map(keep).collect()
}

#[test]
fn a_yes_after_the_question_is_kept_and_goes_on_with_the_call() {
    let mut ask = Ask::asked(rules());
    let done = ask.key(4_500, '1');
    assert_eq!(done[0], Action::Quiet);
    let Action::Keep(1, given) = &done[1] else { panic!("{done:?}") };
    assert_eq!((given.answer, given.keys.as_ref().unwrap().0.as_str()), (Answer::Yes, "1"));
    assert_eq!(ask.tell(4_510, Event::Kept(1, true)), [Action::SendOn(Answer::Yes)]);
    assert_eq!(ask.tell(4_520, Event::SentOn(true)), [Action::End(Outcome::Yes)]);
    assert!(ask.machine.own_delay(at(9_000)) <= Duration::from_millis(40));
    assert_eq!(ask.tell(4_530, Event::CallerGone), [], "it is over");
}

#[test]
fn a_yes_before_the_end_of_the_question_is_none_and_a_no_is_one() {
    let mut ask = Ask::playing(rules());
    assert_eq!(ask.key(4_000, '1'), []);
    assert_eq!(ask.tell(4_020, Event::Played(1)), []);
    assert_eq!(ask.key(4_100, '1'), [], "pressed before the end could be heard");
    assert_eq!(kept(&ask.key(4_200, '1')), [(1, Answer::Yes)]);
    let mut ask = Ask::playing(rules());
    assert_eq!(kept(&ask.key(300, '2')), [(1, Answer::No)]);
    assert_eq!(ask.tell(310, Event::Kept(1, true)), [Action::SendOn(Answer::No)]);
    assert_eq!(ask.tell(311, Event::SentOn(true)), [Action::End(Outcome::No)]);
}

#[test]
fn half_an_answer_before_the_end_of_the_question_is_not_completed_after_it() {
    let mut own = rules();
    own.questions[0].keys.yes = "11".into();
    let mut ask = Ask::playing(own);
    ask.key(3_900, '1');
    ask.tell(4_020, Event::Played(1));
    assert_eq!(ask.key(4_300, '1'), []);
    assert_eq!(kept(&ask.key(4_500, '1')), [(1, Answer::Yes)]);
}

#[test]
fn the_question_is_repeated_once_and_then_silence_is_a_no() {
    let mut ask = Ask::asked(rules());
    assert_eq!(ask.wait(9_019), []);
    assert_eq!(ask.wait(9_020), [Action::Play(2, Clip::Question(0))]);
    assert_eq!(ask.tell(13_020, Event::Played(2)), []);
    let done = ask.wait(18_020);
    assert_eq!(kept(&done), [(1, Answer::No)]);
    assert_eq!(ask.tell(18_030, Event::Kept(1, true)), [Action::SendOn(Answer::No)]);
    assert_eq!(ask.tell(18_030, Event::SentOn(true)), [Action::End(Outcome::Silence)]);
    assert!(ask.machine.own_delay(at(0)) <= Duration::from_millis(40));
}

#[test]
fn while_the_question_is_repeated_an_answer_to_its_first_hearing_counts() {
    let mut ask = Ask::asked(rules());
    ask.wait(9_020);
    assert_eq!(kept(&ask.key(9_500, '1')), [(1, Answer::Yes)]);
}

#[test]
fn a_question_that_began_before_media_flowed_was_not_heard() {
    let mut ask = Ask::new(rules());
    ask.tell(0, Event::Ready);
    assert_eq!(ask.wait(300), [Action::Play(1, Clip::Question(0))], "it is not waited for any longer");
    ask.tell(900, Event::Heard);
    ask.tell(4_300, Event::Played(1));
    assert_eq!(ask.key(4_600, '1'), []);
    assert_eq!(
        ask.wait(5_300),
        [Action::Play(2, Clip::Question(0))],
        "at once, not after the time to answer"
    );
    ask.tell(9_300, Event::Played(2));
    assert_eq!(kept(&ask.key(9_600, '1')), [(1, Answer::Yes)]);
}

#[test]
fn invariant_02_a_question_of_which_too_much_was_lost_was_not_heard_whenever_that_becomes_known() {
    // Before its end.
    let mut ask = Ask::playing(rules());
    ask.tell(3_000, Event::Lost(11));
    ask.tell(4_020, Event::Played(1));
    assert_eq!(ask.key(4_500, '1'), []);
    assert_eq!(ask.wait(5_020), [Action::Play(2, Clip::Question(0))]);
    // What was lost before does not count against the repetition.
    ask.tell(6_000, Event::Lost(12));
    ask.tell(9_020, Event::Played(2));
    assert_eq!(kept(&ask.key(9_500, '1')), [(1, Answer::Yes)]);
    // After the answer, while it is kept.
    let done = ask.tell(9_510, Event::Lost(60));
    assert_eq!(kept(&done).last(), Some(&(3, Answer::No)), "{done:?}");
    assert_eq!(ask.tell(9_520, Event::Kept(1, true)), [], "the yes, which counts no longer");
    assert_eq!(ask.tell(9_530, Event::Kept(3, true)), [Action::SendOn(Answer::No)]);
    assert_eq!(ask.tell(9_530, Event::SentOn(true)), [Action::End(Outcome::NotHeard)]);
    // A little is lost always.
    let mut ask = Ask::asked(rules());
    ask.tell(4_200, Event::Lost(10));
    assert_eq!(kept(&ask.key(4_500, '1')), [(1, Answer::Yes)]);
}

#[test]
fn another_language_is_another_question_that_must_be_heard() {
    let mut ask = Ask::playing(rules());
    assert_eq!(ask.key(1_000, '8'), [Action::Play(2, Clip::Question(1))]);
    ask.tell(1_010, Event::Played(1));
    assert_eq!(ask.key(1_500, '1'), []);
    ask.tell(4_000, Event::Played(2));
    let done = ask.key(4_500, '1');
    let Some(Action::Keep(_, given)) = done.get(1) else { panic!("{done:?}") };
    assert_eq!((given.question, given.answer), (1, Answer::Yes));
}

#[test]
fn whatever_fails_the_call_goes_on_without_a_yes() {
    // The leg never opens.
    let mut ask = Ask::new(rules());
    assert_eq!(kept(&ask.wait(500)), [(1, Answer::No)]);
    // It fails, or the player is late.
    let failed: [fn(&mut Ask) -> Vec<Action>; 3] =
        [|ask| ask.tell(500, Event::MediaFailed), |ask| ask.wait(4_120), |ask| ask.tell(500, Event::Stop)];
    for (fail, outcome) in
        failed.into_iter().zip([Outcome::MediaFailed, Outcome::MediaFailed, Outcome::Stopping])
    {
        let mut ask = Ask::playing(rules());
        assert_eq!(kept(&fail(&mut ask)), [(1, Answer::No)]);
        // Nor can the answer be kept.
        assert_eq!(ask.wait(4_700), [Action::SendOn(Answer::No)]);
        assert_eq!(ask.tell(4_710, Event::SentOn(true)), [Action::End(outcome)]);
    }
}

#[test]
fn a_yes_that_is_not_kept_in_time_or_whose_call_is_not_sent_on_is_taken_back() {
    let mut ask = Ask::asked(rules());
    ask.key(4_500, '1');
    let done = ask.wait(5_000);
    assert_eq!(kept(&done), [(2, Answer::No)]);
    assert_eq!(done.last(), Some(&Action::SendOn(Answer::No)));
    assert_eq!(ask.tell(5_001, Event::SentOn(true)), [Action::End(Outcome::NotKept)]);
    for (last, outcome) in
        [(Event::SentOn(false), Outcome::SendFailed), (Event::CallerGone, Outcome::CallerGone)]
    {
        let mut ask = Ask::asked(rules());
        ask.key(4_500, '1');
        ask.tell(4_501, Event::Kept(1, true));
        let done = ask.tell(4_600, last);
        assert_eq!((kept(&done), done.last()), (vec![(2, Answer::No)], Some(&Action::End(outcome))));
    }
}

#[test]
fn an_answer_is_confirmed_before_the_call_goes_on_and_not_for_ever() {
    let confirmed = || Rules { confirmations: [Some(Duration::from_secs(2)), None], ..rules() };
    let mut ask = Ask::asked(confirmed());
    let done = ask.key(4_500, '1');
    assert!(done.contains(&Action::Play(2, Clip::Confirmation(Answer::Yes))), "{done:?}");
    assert_eq!(ask.tell(4_510, Event::Kept(1, true)), []);
    assert_eq!(ask.tell(6_500, Event::Played(2)), [Action::SendOn(Answer::Yes)]);
    let mut ask = Ask::asked(confirmed());
    ask.key(4_500, '1');
    ask.tell(4_510, Event::Kept(1, true));
    assert_eq!(ask.wait(6_600), [Action::SendOn(Answer::Yes)], "its end is not waited for for ever");
}

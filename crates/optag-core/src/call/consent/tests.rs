//! The cases of `docs/reference/consent.md`, one by one.

use std::time::Duration;

use super::*;
use crate::call::ConsentKeys;
use crate::call::terms::{Prompt, Question};
use crate::clock::MonoTime;

const AT: WallTime = WallTime::from_unix_micros(0);

fn at_secs(secs: u64) -> MonoTime {
    MonoTime::from_nanos(secs * 1_000_000_000)
}

fn prompt(version: &str, covers: &[&str]) -> Prompt {
    Prompt {
        version: version.into(),
        language: "da".into(),
        text: String::new(),
        text_sha256: format!("text of {version}"),
        audio_sha256: Some(format!("audio of {version}")),
        audio_file: None,
        covers: covers.iter().map(|id| (*id).to_owned()).collect(),
        keys: None,
    }
}

fn question(department: &str, selected: bool, prompts: Vec<Prompt>) -> Question {
    Question {
        prompts,
        retention_days: 30,
        ..Question::new(department, selected, ConsentKeys::default(), Duration::from_secs(30))
    }
}

fn asked() -> ConsentMachine {
    ConsentMachine::new(question("a", true, vec![]), None, at_secs(0))
}

type Step<'a> = &'a dyn Fn(&mut ConsentMachine) -> Option<ConsentRecord>;
type Said = Result<Option<ConsentState>, ConsentError>;

fn send(m: &mut ConsentMachine, secs: u64, input: ConsentInput) -> Said {
    m.handle(at_secs(secs), AT, input, ConsentHow::Key, None, Evidence::Clock)
        .map(|change| change.map(|record| record.state))
}

fn move_to(m: &mut ConsentMachine, secs: u64, to: Question) -> Said {
    m.transfer(at_secs(secs), AT, to, None, Evidence::Clock).map(|change| change.map(|record| record.state))
}

const YES: ConsentInput = ConsentInput::Answer(Answer::Yes);
const NO: ConsentInput = ConsentInput::Answer(Answer::No);

#[test]
fn only_a_timely_yes_opens_the_gate() {
    let mut m = asked();
    assert!(!m.is_open());
    assert_eq!(send(&mut m, 29, YES), Ok(Some(ConsentState::Granted)));
    assert!(m.is_open());
    assert_eq!(send(&mut m, 29, YES), Ok(None), "a yes twice is one");
}

#[test]
fn a_key_in_a_call_whose_caller_was_asked_before_is_no_yes_and_the_answer_from_before_is() {
    let question = || Question { asked_before: true, ..question("a", true, vec![]) };
    let mut m = ConsentMachine::new(question(), None, at_secs(0));
    let (keys, by) = ("1".to_owned(), crate::call::KeySource::Event);
    let in_call =
        Evidence::Keys { keys: keys.clone(), stream: 0, rtp_timestamp: 1, ssrc: 2, by, source: None };
    let before = Evidence::Asked { keys, pressed_at: AT, rtp_timestamp: 1, ssrc: 2, by, source: None };
    let mut say = |input, evidence: &Evidence| {
        let done = m.handle(at_secs(1), AT, input, ConsentHow::Key, None, evidence.clone());
        done.map(|change| change.map(|record| record.state))
    };
    assert_eq!(say(YES, &in_call), Err(ConsentError::AskedBefore));
    assert_eq!(say(YES, &before), Ok(Some(ConsentState::Granted)));
    assert_eq!(say(ConsentInput::Withdraw, &in_call), Ok(Some(ConsentState::Withdrawn)));
    let mut m = ConsentMachine::new(question(), None, at_secs(0));
    assert_eq!(send(&mut m, 1, NO), Ok(Some(ConsentState::Refused)));
}

#[test]
fn no_answer_is_a_no_and_a_late_yes_stays_one() {
    let mut m = asked();
    assert_eq!(m.expire(at_secs(29), AT), None);
    assert_eq!(send(&mut m, 30, YES), Err(ConsentError::AlreadyRefused));
    assert_eq!(m.expire(at_secs(30), AT).unwrap().how, ConsentHow::Timeout);
    assert_eq!(send(&mut m, 31, YES), Err(ConsentError::AlreadyRefused));
    assert!(!m.is_open());
}

#[test]
fn an_unselected_department_is_never_recorded() {
    let mut m = ConsentMachine::new(question("a", false, vec![]), None, at_secs(0));
    assert_eq!(send(&mut m, 1, YES), Err(ConsentError::NotAsked));
    assert_eq!(m.expire(at_secs(99), AT), None);
    assert!(!m.was_asked());
}

#[test]
fn a_no_after_a_yes_takes_it_back_and_nothing_opens_it_again() {
    let mut m = asked();
    send(&mut m, 1, YES).unwrap();
    assert_eq!(send(&mut m, 2, NO), Ok(Some(ConsentState::Withdrawn)));
    assert_eq!(send(&mut m, 3, YES), Err(ConsentError::AlreadyWithdrawn));
    assert_eq!(move_to(&mut m, 4, question("b", true, vec![])), Ok(None));
    assert_eq!(send(&mut m, 5, YES), Err(ConsentError::AlreadyWithdrawn));
    assert!(!m.is_open() && !m.stands());
}

#[test]
fn the_record_names_what_the_caller_heard() {
    let both = vec![prompt("2", &["a"]), prompt("3-en", &["a"])];
    let mut m = ConsentMachine::new(question("a", true, both.clone()), None, at_secs(0));
    let say = |m: &mut ConsentMachine, version: Option<&str>| {
        m.handle(at_secs(1), AT, YES, ConsentHow::Key, version.map(str::to_owned), Evidence::Clock)
    };
    let record = say(&mut m, None).unwrap().unwrap();
    let terms = record.terms.unwrap();
    assert_eq!(
        (record.prompt_version.as_deref(), terms.text_sha256.as_deref()),
        (Some("2"), Some("text of 2"))
    );
    assert_eq!(
        (terms.department.as_str(), terms.retention_days, terms.language.as_deref()),
        ("a", 30, Some("da"))
    );

    let mut m = ConsentMachine::new(question("a", true, both.clone()), Some("3-en"), at_secs(0));
    assert_eq!(say(&mut m, None).unwrap().unwrap().prompt_version.as_deref(), Some("3-en"));
    let mut m = ConsentMachine::new(question("a", true, both.clone()), None, at_secs(0));
    assert_eq!(say(&mut m, Some("1")), Err(ConsentError::UnknownPrompt), "a yes to nobody knows what");
    assert!(!m.is_open());
    // A no is a no, whatever prompt was heard.
    assert_eq!(send(&mut m, 2, NO), Ok(Some(ConsentState::Refused)));
    // Without prompts in the configuration the version is stored as reported.
    let record = say(&mut asked(), Some("7")).unwrap().unwrap();
    assert_eq!((record.prompt_version.as_deref(), record.terms.unwrap().text_sha256), (Some("7"), None));
}

#[test]
fn the_prompts_own_keys_count_where_it_tells_some() {
    let keys = ConsentKeys { yes: "5".into(), ..ConsentKeys::default() };
    let own = Prompt { keys: Some(keys), ..prompt("en", &["a"]) };
    let question = question("a", true, vec![prompt("da", &["a"]), own]);
    assert_eq!(ConsentMachine::new(question.clone(), None, at_secs(0)).keys().yes, "1");
    assert_eq!(ConsentMachine::new(question, Some("en"), at_secs(0)).keys().yes, "5");
}

#[test]
fn a_department_that_the_prompt_named_is_covered_and_another_is_asked_about_anew() {
    let covering = vec![prompt("1", &["a", "b"])];
    let mut m = ConsentMachine::new(question("a", true, covering.clone()), None, at_secs(0));
    send(&mut m, 1, YES).unwrap();
    assert_eq!(move_to(&mut m, 2, question("b", true, covering.clone())), Ok(Some(ConsentState::Granted)));
    assert!(m.is_open());
    assert_eq!(move_to(&mut m, 3, question("c", true, vec![])), Ok(Some(ConsentState::Asked)));
    assert!(!m.is_open() && m.stands(), "closed at once; what there is stays");
    assert_eq!(send(&mut m, 32, YES), Ok(Some(ConsentState::Granted)));
    assert_eq!(move_to(&mut m, 33, question("d", false, vec![])), Ok(Some(ConsentState::Unknown)));
    assert_eq!(send(&mut m, 34, YES), Err(ConsentError::NotAsked));
    assert_eq!(move_to(&mut m, 35, question("a", true, covering)), Ok(Some(ConsentState::Granted)));
}

#[test]
fn a_no_to_a_second_question_leaves_the_first_answer_alone_and_is_not_asked_again() {
    let mut m = asked();
    send(&mut m, 1, YES).unwrap();
    move_to(&mut m, 2, question("b", true, vec![])).unwrap();
    assert_eq!(send(&mut m, 3, NO), Ok(Some(ConsentState::Refused)));
    assert!(m.stands());
    assert_eq!(move_to(&mut m, 4, question("a", true, vec![])), Ok(Some(ConsentState::Granted)));
    assert_eq!(move_to(&mut m, 5, question("b", true, vec![])), Ok(Some(ConsentState::Refused)));
    assert_eq!(send(&mut m, 6, YES), Err(ConsentError::AlreadyRefused));
    assert_eq!(send(&mut m, 7, ConsentInput::Withdraw), Ok(Some(ConsentState::Withdrawn)));
    assert!(!m.stands());
}

#[test]
fn a_yes_from_before_the_transfer_is_no_answer_to_the_next_question() {
    let mut m = asked();
    send(&mut m, 1, YES).unwrap();
    move_to(&mut m, 5, question("b", true, vec![])).unwrap();
    assert_eq!(send(&mut m, 4, YES), Err(ConsentError::BeforeQuestion));
    assert!(!m.is_open());
    assert_eq!(send(&mut m, 5, YES), Ok(Some(ConsentState::Granted)));
}

#[test]
fn an_unanswered_second_question_is_a_no_to_it_alone() {
    let mut m = asked();
    send(&mut m, 1, YES).unwrap();
    move_to(&mut m, 2, question("b", true, vec![])).unwrap();
    assert_eq!(m.next_timeout(), Some(at_secs(32)));
    assert_eq!(m.expire(at_secs(32), AT).unwrap().state, ConsentState::Refused);
    assert!(m.stands() && !m.is_open());
}

#[test]
fn after_the_end_nothing_is_taken() {
    let mut m = asked();
    send(&mut m, 1, YES).unwrap();
    assert_eq!(m.end(AT), None);
    for input in [YES, NO, ConsentInput::Withdraw] {
        assert_eq!(send(&mut m, 2, input), Err(ConsentError::Ended));
    }
    assert_eq!(move_to(&mut m, 3, question("b", true, vec![])), Err(ConsentError::Ended));
    assert!(!m.is_open() && m.stands());
}

#[test]
fn a_machine_resumed_from_its_records_is_the_one_that_wrote_them() {
    let covering = vec![prompt("1", &["a", "b"])];
    let steps: [Step<'_>; 6] = [
        &|m| m.handle(at_secs(1), AT, YES, ConsentHow::Key, None, Evidence::Clock).unwrap(),
        &|m| m.transfer(at_secs(2), AT, question("c", true, vec![]), None, Evidence::Clock).unwrap(),
        &|m| m.handle(at_secs(3), AT, NO, ConsentHow::Key, None, Evidence::Clock).unwrap(),
        &|m| m.transfer(at_secs(4), AT, question("d", false, vec![]), None, Evidence::Clock).unwrap(),
        &|m| m.transfer(at_secs(5), AT, question("b", true, vec![]), None, Evidence::Clock).unwrap(),
        &|m| {
            m.handle(at_secs(6), AT, ConsentInput::Withdraw, ConsentHow::Key, None, Evidence::Clock).unwrap()
        },
    ];
    let mut m = ConsentMachine::new(question("a", true, covering), None, at_secs(0));
    let mut records = Vec::new();
    let known = |department: &str, m: &ConsentMachine| {
        let mut m = m.clone();
        let to = question(department, true, vec![]);
        m.transfer(at_secs(9), AT, to, None, Evidence::Clock).unwrap();
        m.state()
    };
    for step in steps {
        records.extend(step(&mut m));
        let again = ConsentMachine::resume(m.question().clone(), &records, at_secs(32));
        assert_eq!(
            (again.state(), again.stands(), again.was_asked()),
            (m.state(), m.stands(), m.was_asked())
        );
        for department in ["a", "b", "c", "d"] {
            assert_eq!(known(department, &again), known(department, &m), "{department}: {records:?}");
        }
    }
    // A department that does not occur in the records is not open.
    let elsewhere = ConsentMachine::resume(question("x", true, vec![]), &records[..1], at_secs(32));
    assert!(!elsewhere.is_open());
}

#[test]
fn a_saved_machine_that_is_older_than_the_last_record_catches_up_and_opens_for_nobody_else() {
    let mut m = asked();
    let saved = m.clone();
    let yes = m.handle(at_secs(1), AT, YES, ConsentHow::Key, None, Evidence::Clock).unwrap().unwrap();
    let mut later = saved.clone();
    later.catch_up(&yes);
    assert!(later.is_open() && later.stands());
    later.catch_up(&yes);
    assert_eq!(later.state(), ConsentState::Granted, "the same record twice changes nothing");
    let covering = question("b", true, vec![prompt("1", &["a", "b"])]);
    let mut elsewhere = ConsentMachine::new(covering, None, at_secs(0));
    let yes = elsewhere.handle(at_secs(1), AT, YES, ConsentHow::Key, None, Evidence::Clock).unwrap().unwrap();
    let mut here = saved;
    here.catch_up(&yes);
    assert!(!here.is_open(), "a yes to another department's question opens nothing here");
}

#[test]
fn audio_stands_only_on_a_yes_that_was_not_taken_back() {
    let record = |state, how| ConsentRecord {
        state,
        how,
        at: AT,
        prompt_version: None,
        evidence: Evidence::Clock,
        terms: None,
    };
    let key = |state| record(state, ConsentHow::Key);
    use ConsentState::{Asked, Granted, Refused, Withdrawn};
    let moved = record(Asked, ConsentHow::Transfer);
    for (records, stands) in [
        (vec![], false),
        (vec![key(Granted)], true),
        (vec![key(Refused)], false),
        (vec![key(Granted), key(Withdrawn)], false),
        (vec![key(Withdrawn), key(Granted)], false),
        (vec![key(Granted), key(Refused)], false),
        (vec![key(Granted), moved.clone(), key(Refused)], true),
        (vec![key(Granted), moved, key(Refused), key(Withdrawn)], false),
    ] {
        assert_eq!(standing(&records).is_some(), stands, "{records:?}");
    }
}

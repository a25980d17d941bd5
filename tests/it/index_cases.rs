//! Requests of callers on each database that the index can lie in: steps of two nodes at once, numbers, and what closing
//! leaves.

use std::sync::Arc;

use jiff::tz::TimeZone;
use optag::cases::case::{Asked, Case, Chosen, Decision, Done, Outcome, Told};
use optag::cases::register::{CaseError, Cases, Change, NewCase};
use optag::cases::state::{State, Step};
use optag::index::{CaseQuery, Departments, Index, IndexPlace};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use tokio::sync::Barrier;

use crate::index::found_in_files;
use crate::postgres::Postgres;

const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);
const PERSONAL: [&str; 3] = ["87651234", "Grace Hopper", "by the blue door"];

/// Two nodes on one index, on each database.
async fn on_two_nodes(check: impl AsyncFn(&Arc<Cases>, &Arc<Cases>, Option<&std::path::Path>)) {
    let node = async |place: &IndexPlace| {
        Arc::new(Cases::new(
            Index::open(place, "45").await.unwrap(),
            TimeZone::get("Europe/Copenhagen").unwrap(),
        ))
    };
    let dir = tempfile::tempdir().unwrap();
    let file = IndexPlace::Sqlite(dir.path().join("index.sqlite"));
    check(&node(&file).await, &node(&file).await, Some(dir.path())).await;
    if let Some(postgres) = Postgres::start() {
        check(&node(&postgres.place()).await, &node(&postgres.place()).await, None).await;
    }
}

fn new(key: Option<&str>, department: &str) -> NewCase {
    NewCase {
        key: key.map(str::to_owned),
        department: Some(department.to_owned()).filter(|id| !id.is_empty()),
        asked: Asked::Erase,
        received_on: "2026-09-21".parse().unwrap(),
        told: Told {
            number: Some(PERSONAL[0].to_owned().into()),
            name: Some(PERSONAL[1].to_owned().into()),
            note: Some(PERSONAL[2].to_owned().into()),
            ..Told::default()
        },
    }
}

fn change(step: Step, from: i64, by: &str) -> Change {
    Change { step, from, by: by.to_owned(), at: NOW, asked: String::new() }
}

async fn get(cases: &Cases, case: &Case) -> Case {
    cases.get(&case.row.number.parse().unwrap()).await.unwrap().unwrap()
}

fn chosen(id: CallId) -> Chosen {
    Chosen { id, department: "demo".into(), started_at: NOW, duration_ms: 1, result: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_steps_of_two_nodes_at_once_one_counts() {
    on_two_nodes(async |one, two, _| {
        for round in 0..8 {
            let case = one.open(new(None, "demo"), "inger", NOW).await.unwrap();
            let barrier = Arc::new(Barrier::new(6));
            let tries = (0..6).map(|n| {
                let cases = Arc::clone(if n % 2 == 0 { one } else { two });
                let (barrier, case) = (Arc::clone(&barrier), case.clone());
                tokio::spawn(async move {
                    barrier.wait().await;
                    let change = change(Step::Decide, 1, &format!("contact {n}"));
                    let decide = |case: &mut Case| {
                        case.state = State::Decided;
                        case.row.decision = Some(Decision::Refuse.name().to_owned());
                        case.row.decided_by = Some(change.by.clone());
                        Ok(())
                    };
                    (n, cases.take(case, &change, decide).await)
                })
            });
            let mut won = Vec::new();
            for done in futures::future::join_all(tries).await {
                match done.unwrap() {
                    (n, Ok(taken)) => won.push((n, taken.again)),
                    (_, Err(CaseError::Changed)) => {}
                    (n, Err(error)) => panic!("{n}: {error}"),
                }
            }
            assert_eq!(won.len(), 1, "round {round}: {won:?}");
            let case = get(two, &case).await;
            assert_eq!((case.row.decided_by, won[0].1), (Some(format!("contact {}", won[0].0)), false));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_step_sent_to_both_nodes_at_once_is_one_step() {
    on_two_nodes(async |one, two, _| {
        let case = one.open(new(None, "demo"), "inger", NOW).await.unwrap();
        let barrier = Barrier::new(2);
        let extend = async |cases: &Cases| {
            barrier.wait().await;
            let asked = change(Step::Extend, 1, "inger");
            cases.extend(case.clone(), &asked, "many requests".to_owned()).await.unwrap()
        };
        let (here, there) = tokio::join!(extend(one), extend(two));
        assert!(here.again != there.again, "one of them is the first");
        let after = get(one, &case).await;
        assert_eq!((after.row.revision, after.row.due_on.as_str()), (2, "2026-12-21"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_of_all_nodes_have_numbers_of_their_own_and_a_form_sent_twice_opens_one() {
    on_two_nodes(async |one, two, _| {
        let barrier = Arc::new(Barrier::new(12));
        let open = (0..12).map(|n| {
            let (cases, barrier) = (Arc::clone(if n % 2 == 0 { one } else { two }), Arc::clone(&barrier));
            // The last four are one form.
            let form = new((n >= 8).then_some("a1b2c3d4"), "demo");
            tokio::spawn(async move {
                barrier.wait().await;
                cases.open(form, "inger", NOW).await.unwrap().row.number
            })
        });
        let mut numbers: Vec<String> = Vec::new();
        for number in futures::future::join_all(open).await {
            numbers.push(number.unwrap());
        }
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), 9, "{numbers:?}");
        assert!(numbers.iter().all(|number| number.starts_with("2026-")), "{numbers:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_two_nodes_are_both_noted_and_what_is_final_stays() {
    on_two_nodes(async |one, two, _| {
        let case = one.open(new(None, "demo"), "inger", NOW).await.unwrap();
        let ids = [CallId::from_bytes([1; 16]), CallId::from_bytes([2; 16])];
        let choose = |case: &mut Case| {
            case.content.as_mut().unwrap().chosen = ids.map(chosen).into();
            Ok(())
        };
        let case = one.take(case, &change(Step::Choose, 1, "inger"), choose).await.unwrap().case;
        let number = case.row.number.parse().unwrap();
        let barrier = Barrier::new(2);
        let note = async |cases: &Cases, id: CallId| {
            barrier.wait().await;
            let done = [(id, Done::new(Outcome::Erased, NOW))];
            cases.note(&number, &done).await.unwrap();
        };
        tokio::join!(note(one, ids[0]), note(two, ids[1]));
        let late = [(ids[0], Done::new(Outcome::Erasing, NOW))];
        one.note(&number, &late).await.unwrap();
        let seen = get(two, &case).await;
        assert_eq!(seen.counts().into_iter().collect::<Vec<_>>(), [(Outcome::Erased, 2)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_case_leaves_nothing_of_what_was_told_in_any_file() {
    on_two_nodes(async |one, two, dir| {
        let case = one.open(new(None, "demo"), "inger", NOW).await.unwrap();
        let extended =
            one.extend(case, &change(Step::Extend, 1, "inger"), PERSONAL[2].to_owned()).await.unwrap();
        let refuse = |case: &mut Case| {
            case.state = State::Decided;
            case.row.decision = Some(Decision::Refuse.name().to_owned());
            Ok(())
        };
        let decided = two.take(extended.case, &change(Step::Decide, 2, "inger"), refuse).await.unwrap().case;
        if let Some(dir) = dir {
            assert!(!found_in_files(dir, &PERSONAL).is_empty(), "the test looks in the wrong place");
        }
        let closed = one.close(decided, &change(Step::Close, 3, "bo")).await.unwrap().case;
        assert_eq!((closed.state, &closed.content), (State::Closed, &None));
        let seen = get(two, &closed).await;
        assert_eq!(seen.row.closed_by.as_deref(), Some("bo"));
        if let Some(dir) = dir {
            assert_eq!(found_in_files(dir, &PERSONAL), Vec::<String>::new());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_are_listed_by_department_and_counted_by_their_time_limit() {
    on_two_nodes(async |one, two, _| {
        let index_of = async |department: &str| one.open(new(None, department), "inger", NOW).await.unwrap();
        let (demo, tax, all) = (index_of("demo").await, index_of("tax").await, index_of("").await);
        let listed = async |within: Departments, states: &[&str], after: Option<&Case>| {
            let states = states.iter().map(|state| (*state).to_owned()).collect();
            let after = after.map(|case| case.row.number.clone());
            let found = two.list(&CaseQuery { within, states, after, most: 10 }).await.unwrap();
            found.into_iter().map(|case| case.row.number).collect::<Vec<_>>()
        };
        let of = |cases: &[&Case]| cases.iter().map(|case| case.row.number.clone()).collect::<Vec<_>>();
        assert_eq!(listed(Departments::All, &["open", "decided"], None).await, of(&[&demo, &tax, &all]));
        assert_eq!(listed(Departments::only(["tax"]), &["open"], None).await, of(&[&tax]));
        assert_eq!(listed(Departments::only::<&str>([]), &[], None).await, of(&[]));
        assert_eq!(listed(Departments::All, &[], Some(&demo)).await, of(&[&tax, &all]));
        assert_eq!(listed(Departments::All, &["closed"], None).await, of(&[]));
        let counts = async |days| two.counts(NOW.plus_days(days)).await.unwrap();
        assert_eq!((counts(0).await.open, counts(0).await.overdue), (3, 0));
        assert_eq!((counts(31).await.open, counts(31).await.overdue), (3, 3));
    })
    .await;
}

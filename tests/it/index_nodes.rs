//! What nodes share in the index, on each database that it can lie in: who there is, who has a call, and answers that
//! wait for one.

use std::time::Duration;

use optag::index::{Beat, EarlyKind, Index, IndexPlace, NewEarly, NodeState, Waits};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

use crate::erasure::becomes;
use crate::index::on_each;

const MINUTE: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;

fn beat(id: &str) -> Beat {
    Beat {
        id: id.into(),
        address: format!("{id}.example:7946"),
        state: NodeState::Ready,
        capacity_calls: 100,
        calls: 3,
        names_key: "k".into(),
    }
}

fn call(n: i64) -> CallId {
    CallId::new_at(WallTime::from_unix_micros(1_700_000_000_000_000 + n))
}

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

async fn keep(index: &Index, kind: EarlyKind, of: &[&str], kept_for: Duration) -> String {
    let of = names(of);
    let new = NewEarly { kind, waits: Waits::Named(&of), answer: "{}", kept_for };
    index.keep_early(new).await.unwrap().expect("there is room")
}

#[tokio::test]
async fn nodes_have_a_number_each_and_show_when_they_were_heard_last() {
    on_each(async |index| {
        assert!(index.beat(&beat("a")).await.unwrap().is_empty(), "not registered yet");
        let (a, b) = tokio::join!(async { index.join(&beat("a"), None).await.unwrap() }, async {
            index.join(&beat("b"), None).await.unwrap()
        });
        assert!(a != b && [a, b].iter().all(|number| (1..3).contains(number)), "{a} {b}");
        assert_eq!(index.join(&beat("a"), Some(9)).await.unwrap(), a, "it has one");
        assert_eq!(index.join(&beat("c"), Some(a)).await.unwrap(), 3, "that is another's");
        assert_eq!(index.join(&beat("d"), Some(700)).await.unwrap(), 700, "as it was in another database");
        let told = Beat { state: NodeState::Draining, calls: 5, ..beat("b") };
        let all = index.beat(&told).await.unwrap();
        let b = all.iter().find(|node| node.number == b).unwrap();
        assert!(b.beat == told && b.silent_for < MINUTE && b.version == env!("CARGO_PKG_VERSION"), "{b:?}");
        let of_c = call(1);
        index.name_calls(3, &[(of_c, names(&["x"]))]).await.unwrap();
        assert!(!index.lose_node(3, MINUTE).await.unwrap(), "it was heard");
        assert!(!index.lose_node(99, NOW).await.unwrap(), "there is none");
        assert_eq!(index.node_of_call(of_c).await.unwrap(), Some(3));
        becomes("c is lost", async || index.lose_node(3, NOW).await.unwrap()).await;
        assert_eq!(index.node_of_call(of_c).await.unwrap(), None);
        assert!(!index.lose_node(3, NOW).await.unwrap(), "it is gone already");
        assert_eq!(index.beat(&beat("c")).await.unwrap().len(), 4, "back all the same");
        index.beat(&Beat { state: NodeState::Gone, ..beat("d") }).await.unwrap();
        let left: Vec<_> = index.nodes().await.unwrap().into_iter().map(|node| node.beat.id).collect();
        assert!(left.len() == 3 && !left.contains(&"d".to_owned()), "{left:?}");
        assert_eq!(index.join(&beat("e"), None).await.unwrap(), 701, "no number is given twice");
    })
    .await;
}

#[tokio::test]
async fn the_nodes_of_a_name_are_found_until_its_calls_are_over() {
    on_each(async |index| {
        let (one, two, three) = (call(1), call(2), call(3));
        index.name_calls(1, &[(one, names(&["x", "y", "x"])), (two, vec![])]).await.unwrap();
        index.name_calls(2, &[(three, names(&["x"]))]).await.unwrap();
        index.name_calls(1, &[(one, names(&["z"]))]).await.unwrap();
        assert_eq!(index.nodes_of_names(&names(&["x"])).await.unwrap(), [1, 2]);
        assert_eq!(index.nodes_of_names(&names(&["z", "none"])).await.unwrap(), [1]);
        assert_eq!(index.nodes_of_names(&[]).await.unwrap(), [0; 0]);
        let calls: std::collections::HashSet<_> = index.calls_of_node(1).await.unwrap().into_iter().collect();
        assert_eq!(calls, [one, two].into());
        assert_eq!(index.node_of_call(three).await.unwrap(), Some(2));
        index.unname_calls(&[one, three]).await.unwrap();
        assert_eq!(index.nodes_of_names(&names(&["x", "y", "z"])).await.unwrap(), [0; 0]);
        assert_eq!(
            (index.node_of_call(one).await.unwrap(), index.node_of_call(two).await.unwrap()),
            (None, Some(1))
        );
        // More than one statement takes.
        let many: Vec<_> = (10..700).map(|n| (call(n), names(&["x", "y"]))).collect();
        index.name_calls(3, &many).await.unwrap();
        assert_eq!(index.calls_of_node(3).await.unwrap().len(), many.len());
        index.unname_calls(&many.iter().map(|(id, _)| *id).collect::<Vec<_>>()).await.unwrap();
        assert_eq!(index.nodes_of_names(&names(&["x"])).await.unwrap(), [0; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_yes_is_taken_once_however_many_ask_and_a_no_stands_until_its_time_is_over() {
    on_each(async |index| {
        let yes = keep(index, EarlyKind::Yes, &["a", "b"], MINUTE).await;
        let found = index.early_for(&names(&["b", "x"]), NOW).await.unwrap();
        assert_eq!((found.len(), found[0].kind, &found[0].id), (1, EarlyKind::Yes, &yes));
        let takers = futures::future::join_all((0..8).map(|_| index.take_yes(&yes))).await;
        assert_eq!(takers.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
        assert!(
            index.early_for(&names(&["a"]), MINUTE).await.unwrap().is_empty(),
            "by its other name as well"
        );

        let no = keep(index, EarlyKind::No, &["a"], MINUTE).await;
        for _ in 0..2 {
            let standing = index.early_for(&names(&["a"]), NOW).await.unwrap();
            assert_eq!((standing.len(), standing[0].kind, &standing[0].id), (1, EarlyKind::No, &no));
            index.early_given(&no).await.unwrap();
        }
        // One that was given to those it was for, or whose time is over, stands for who had to look for it before.
        index.retire_early(&no).await.unwrap();
        let short = keep(index, EarlyKind::No, &["c"], NOW).await;
        for (name, id) in [("a", &no), ("c", &short)] {
            assert!(index.early_for(&names(&[name]), NOW).await.unwrap().is_empty());
            assert_eq!(index.early_for(&names(&[name]), MINUTE).await.unwrap()[0].id, *id);
        }
        // A later answer replaces an earlier one under any of its names.
        keep(index, EarlyKind::No, &["d", "e"], MINUTE).await;
        keep(index, EarlyKind::Yes, &["e"], MINUTE).await;
        let left = index.early_for(&names(&["d", "e"]), MINUTE).await.unwrap();
        assert_eq!(left.iter().map(|one| one.kind).collect::<Vec<_>>(), [EarlyKind::Yes]);
        // A no goes before a yes, whichever came first.
        keep(index, EarlyKind::No, &["f"], MINUTE).await;
        let both = index.early_for(&names(&["e", "f"]), NOW).await.unwrap();
        assert_eq!(both.iter().map(|one| one.kind).collect::<Vec<_>>(), [EarlyKind::No, EarlyKind::Yes]);
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_the_calls_of_a_node_is_found_by_the_node_alone() {
    on_each(async |index| {
        let (one, two) = (call(1), call(2));
        index.name_calls(1, &[(one, names(&["x", "y"]))]).await.unwrap();
        index.name_calls(2, &[(two, names(&["y"]))]).await.unwrap();
        let no = keep(index, EarlyKind::No, &["x", "y"], MINUTE).await;
        keep(index, EarlyKind::Yes, &["z"], MINUTE).await;
        let at = NewEarly {
            kind: EarlyKind::Withdraw,
            waits: Waits::At(call(9), 2),
            answer: "{\"kind\":\"withdraw\"}",
            kept_for: MINUTE,
        };
        let at = index.keep_early(at).await.unwrap().unwrap();
        let waiting = async |node| {
            let all = index.early_for_node(node).await.unwrap();
            let mut all: Vec<_> = all.into_iter().map(|(call, answer)| (call, answer.id)).collect();
            all.sort();
            all
        };
        assert_eq!(waiting(1).await, [(one, no.clone())], "once, though by two names");
        let mut both = vec![(two, no.clone()), (call(9), at.clone())];
        let is_the_withdrawal = |found: &Vec<(CallId, String)>| found.iter().any(|(_, id)| *id == at);
        both.retain(|(_, id)| *id == no);
        let found = waiting(2).await;
        assert!(is_the_withdrawal(&found) && found.len() == 2 && found.contains(&both[0]), "{found:?}");
        index.early_given(&at).await.unwrap();
        assert_eq!(waiting(2).await, both, "it is for one call, which has it");
        index.retire_early(&no).await.unwrap();
        assert!(waiting(1).await.is_empty() && waiting(2).await.is_empty());
        assert!(index.take_yes("none").await.is_ok_and(|taken| !taken));
    })
    .await;
}

#[tokio::test]
async fn answers_whose_time_is_over_are_counted_by_one_node() {
    on_each(async |index| {
        keep(index, EarlyKind::No, &["a"], NOW).await;
        keep(index, EarlyKind::Yes, &["b"], NOW).await;
        keep(index, EarlyKind::Yes, &["c"], MINUTE).await;
        assert_eq!(index.expire_early().await.unwrap(), (1, 2));
        assert_eq!(index.expire_early().await.unwrap(), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn invariant_12_there_is_an_end_to_the_answers_that_wait() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("index.sqlite");
    let index = Index::open(&IndexPlace::Sqlite(file.clone()), "45").await.unwrap();
    let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 9999)
                INSERT INTO early_answers (id, kind, answer, kept_at_us, expires_at_us)
                SELECT CAST(n AS TEXT), 'no', '', 1, 9000000000000000000 FROM n";
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::raw_sql(fill).execute(&mut connection).await.unwrap();
    keep(&index, EarlyKind::No, &["the last"], MINUTE).await;
    let of = names(&["one more"]);
    let new = NewEarly { kind: EarlyKind::No, waits: Waits::Named(&of), answer: "{}", kept_for: MINUTE };
    assert_eq!(index.keep_early(new).await.unwrap(), None);
    keep(&index, EarlyKind::Yes, &["the last"], MINUTE).await;
}

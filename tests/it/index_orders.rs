//! What nodes decide together about a recording, on each database that the index can lie in: held or erased, swept by one
//! node, completed by one node.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use optag::index::{
    Beat, Claim, Decided, DoneRow, EXPIRY, HoldRow, Index, IndexPlace, NodeState, OrderRow, Placed, Placing,
    WITHDRAWAL,
};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_storage::archive::manifest::Manifest;

use crate::index::{manifest, on_each};
use crate::postgres::Postgres;

const NOW_US: i64 = 1_700_000_000_000_000;

fn at(seconds: i64) -> WallTime {
    WallTime::from_unix_micros(NOW_US + seconds * 1_000_000)
}

/// A recording that expires long after any clock, and another that did long before.
fn recording(n: i64) -> Manifest {
    manifest(4_000_000_000 + n, "12345678", "Ada", "demo")
}

fn hold(id: CallId) -> HoldRow {
    HoldRow {
        id,
        until: WallTime::from_unix_micros(5_000_000_000_000_000),
        reason: "case 17".into(),
        lawful_basis: None,
        by: "ada".into(),
        at: at(0),
    }
}

fn placing(node: u16) -> Placing {
    Placing { limit: WallTime::from_unix_micros(4_500_000_000_000_000), most: 1_000, node }
}

fn order(id: CallId, cause: &str, node: u16) -> OrderRow {
    OrderRow { id, cause: cause.into(), request: None, at: at(1), node, spool_clear: false, done: None }
}

fn done(order: OrderRow, gone: &[&str]) -> OrderRow {
    let gone = gone.iter().map(|name| (*name).to_owned()).collect();
    OrderRow { done: Some(DoneRow { at: at(9), gone, accepted_missing: false }), ..order }
}

fn beat(id: &str) -> Beat {
    Beat {
        id: id.into(),
        address: String::new(),
        state: NodeState::Ready,
        capacity_calls: 1,
        calls: 0,
        names_key: "k".into(),
    }
}

/// Two handles, as two nodes have them, on each database.
async fn on_two(check: impl AsyncFn(&Index, &Index)) {
    let dir = tempfile::tempdir().unwrap();
    let file = IndexPlace::Sqlite(dir.path().join("index.sqlite"));
    let (one, two) = (Index::open(&file, "45").await.unwrap(), Index::open(&file, "45").await.unwrap());
    check(&one, &two).await;
    if let Some(postgres) = Postgres::start() {
        let place = postgres.place();
        let (one, two) = (Index::open(&place, "45").await.unwrap(), Index::open(&place, "45").await.unwrap());
        check(&one, &two).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_16_of_a_hold_and_an_order_at_the_same_time_on_two_nodes_one_wins() {
    on_two(async |one, two| {
        let (mut held, mut erased) = (0, 0);
        for n in 0..60 {
            let made = recording(n);
            let id = made.id();
            one.put_recording(&made).await.unwrap();
            let start = Arc::new(tokio::sync::Barrier::new(2));
            let (first, second) = (Arc::clone(&start), start);
            let (placing_on, ordering_on) = (one.clone(), two.clone());
            let placed = tokio::spawn(async move {
                first.wait().await;
                placing_on.put_hold(&hold(id), placing(1)).await.unwrap()
            });
            let ordered = tokio::spawn(async move {
                second.wait().await;
                // Each of the ways in which a node orders.
                match n % 2 {
                    0 => ordering_on.decide_order(&order(id, "request", 2), true).await.unwrap(),
                    _ => {
                        let now = WallTime::from_unix_micros(4_900_000_000_000_000);
                        let claim = Claim { now, since: None, node: 2, waits: true, most: 100 };
                        let (claimed, _) = ordering_on.claim_due(claim).await.unwrap();
                        match claimed.contains(&id) {
                            true => Decided::Ordered(order(id, EXPIRY, 2)),
                            false => Decided::Held(hold(id)),
                        }
                    }
                }
            });
            match (placed.await.unwrap(), ordered.await.unwrap()) {
                (Placed::InForce, Decided::Held(by)) => {
                    assert_eq!(by, hold(id));
                    held += 1;
                }
                (Placed::Erased, Decided::Ordered(_)) => erased += 1,
                both => panic!("{n}: {both:?}"),
            }
        }
        println!("held {held}, erased {erased}");
        assert_eq!(one.holds().await.unwrap().len(), held);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_16_each_recording_that_expired_is_claimed_by_one_node() {
    on_two(async |one, two| {
        let mut all = HashSet::new();
        for n in 0..300 {
            let due = manifest(1_000 + n, "12345678", "Ada", "demo");
            one.put_recording(&due).await.unwrap();
            all.insert(due.id());
        }
        let sweep = async |index: Index, node: u16| {
            let mut mine = Vec::new();
            loop {
                let claim = Claim { now: at(0), since: None, node, waits: true, most: 7 };
                let (claimed, _) = index.claim_due(claim).await.unwrap();
                if claimed.is_empty() {
                    return mine;
                }
                mine.extend(claimed);
            }
        };
        let (mine, theirs) = tokio::join!(sweep(one.clone(), 1), sweep(two.clone(), 2));
        println!("{} and {}", mine.len(), theirs.len());
        // What another node held locked in the last round is left for the next.
        let left = sweep(one.clone(), 1).await;
        assert_eq!(mine.len() + theirs.len() + left.len(), 300, "each once");
        assert_eq!(mine.iter().chain(&theirs).chain(&left).copied().collect::<HashSet<_>>(), all);
        let open = one.open_orders(2, None).await.unwrap();
        assert_eq!(open.iter().map(|row| row.id).collect::<HashSet<_>>(), theirs.into_iter().collect());
    })
    .await;
}

#[tokio::test]
async fn invariant_16_a_withdrawal_is_stopped_by_no_hold_and_a_node_that_shares_nothing_is_waited_for() {
    on_each(async |index| {
        let (one, two) = (recording(1), recording(2));
        for one in [&one, &two] {
            index.put_recording(one).await.unwrap();
        }
        assert_eq!(index.put_hold(&hold(one.id()), placing(0)).await.unwrap(), Placed::InForce);
        let withdrawn = index.decide_order(&order(one.id(), WITHDRAWAL, 0), true).await.unwrap();
        assert_eq!(withdrawn, Decided::Ordered(order(one.id(), WITHDRAWAL, 0)));
        assert_eq!(index.put_hold(&hold(one.id()), placing(0)).await.unwrap(), Placed::Erased);
        // A node of an earlier version, which has its holds in a file.
        let (old, new) =
            (index.join(&beat("old"), None).await.unwrap(), index.join(&beat("new"), None).await.unwrap());
        index.set_holds_shared(new).await.unwrap();
        let request = order(two.id(), "request", new);
        assert_eq!(index.decide_order(&request, true).await.unwrap(), Decided::Waits(old));
        assert_eq!(index.put_hold(&hold(two.id()), placing(new)).await.unwrap(), Placed::Waits(old));
        let claim = Claim { now: at(0), since: None, node: new, waits: true, most: 10 };
        assert_eq!(index.claim_due(claim).await.unwrap(), (vec![], Some(old)));
        assert!(index.lose_node(old, Duration::ZERO).await.unwrap(), "it is declared lost");
        assert_eq!(index.decide_order(&request, true).await.unwrap(), Decided::Ordered(request));
    })
    .await;
}

#[tokio::test]
async fn invariant_16_an_order_is_completed_once_and_its_completion_is_known_to_all() {
    on_each(async |index| {
        let (one, two) = (recording(1).id(), recording(2).id());
        let first = order(one, "request", 1);
        assert_eq!(index.decide_order(&first, true).await.unwrap(), Decided::Ordered(first.clone()));
        let second = order(one, "request", 2);
        assert_eq!(
            index.decide_order(&second, true).await.unwrap(),
            Decided::Ordered(first.clone()),
            "the earlier"
        );
        assert_eq!(index.ordered_among(&[one, two]).await.unwrap(), [one].into());
        assert_eq!(index.open_orders(1, None).await.unwrap(), std::slice::from_ref(&first));
        index.confirm_spool(&[one]).await.unwrap();
        assert!(index.orders(&[one]).await.unwrap()[0].spool_clear);
        index.order_done(&done(first.clone(), &["a", "b"])).await.unwrap();
        index.order_done(&done(first.clone(), &["c"])).await.unwrap();
        let row = index.orders(&[one]).await.unwrap().remove(0);
        assert_eq!(
            row.done.as_ref().map(|done| done.gone.as_slice()),
            Some(&["a".to_owned(), "b".into()][..])
        );
        assert_eq!(index.orders_after(None).await.unwrap(), std::slice::from_ref(&row));
        let now_us = index.database_time_us().await.unwrap();
        assert_eq!(index.orders_changed(now_us).await.unwrap(), [row]);
        assert_eq!(index.gone_among(&[one, two]).await.unwrap(), [one].into());
        // It reappears, and one node completes it anew.
        assert!(index.reopen_order(&order(one, "request", 2)).await.unwrap());
        assert!(!index.reopen_order(&order(one, "request", 1)).await.unwrap(), "another node does");
        assert!(index.gone_among(&[one]).await.unwrap().is_empty());
        // One that no table has, as its log knows it.
        index.order_done(&done(order(two, "withdrawal", 1), &[])).await.unwrap();
        assert!(index.orders(&[two]).await.unwrap()[0].done.is_some());
        index.enter_orders(&[order(two, "request", 3)]).await.unwrap();
        assert!(index.orders(&[two]).await.unwrap()[0].done.is_some(), "what is there stays");
    })
    .await;
}

#[tokio::test]
async fn the_orders_of_a_node_that_ended_are_taken_over_and_those_of_a_live_one_are_not() {
    let Some(postgres) = Postgres::start() else { return };
    let index = Index::open(&postgres.place(), "45").await.unwrap();
    let mut nodes = Vec::new();
    for id in ["a", "b", "c"] {
        nodes.push(index.join(&beat(id), None).await.unwrap());
    }
    for (n, node) in [(1, nodes[0]), (2, nodes[1]), (3, 99)] {
        index.enter_orders(&[order(recording(n).id(), "expiry", node)]).await.unwrap();
    }
    index.order_done(&done(order(recording(4).id(), "expiry", nodes[1]), &[])).await.unwrap();
    assert_eq!(
        index.claim_orders_of_dead(nodes[2], 10).await.unwrap(),
        1,
        "of the one that is not registered"
    );
    assert!(index.lose_node(nodes[1], Duration::ZERO).await.unwrap());
    assert_eq!(index.claim_orders_of_dead(nodes[2], 10).await.unwrap(), 1, "what is complete stays");
    assert_eq!(index.open_orders(nodes[0], None).await.unwrap().len(), 1);
    assert_eq!(index.open_orders(nodes[2], None).await.unwrap().len(), 2);
    let job = |node: u16, lease| index.take_job("scan", node, lease);
    assert!(job(1, Duration::from_secs(60)).await.unwrap() && !job(2, Duration::ZERO).await.unwrap());
    assert!(job(1, Duration::ZERO).await.unwrap(), "whoever has it goes on");
    assert!(job(2, Duration::ZERO).await.unwrap(), "its time is over");
}

#[tokio::test]
async fn a_program_works_with_tables_of_a_later_one_unless_they_need_more_than_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("index.sqlite");
    let place = IndexPlace::Sqlite(file.clone());
    drop(Index::open(&place, "45").await.unwrap());
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9000, 'later', TRUE, x'00', 0)";
    sqlx::raw_sql(later).execute(&mut connection).await.unwrap();
    let index = Index::open(&place, "45").await.unwrap();
    index.probe().await.unwrap();
    index.put_recording(&recording(1)).await.unwrap();
    sqlx::raw_sql("UPDATE schema_floor SET floor = 9000").execute(&mut connection).await.unwrap();
    let refused = Index::open(&place, "45").await.unwrap().probe().await.unwrap_err();
    let why = optag_core::error_chain::causes(&refused);
    assert!(why.contains("needs a program that knows migration 9000"), "{why}");
}

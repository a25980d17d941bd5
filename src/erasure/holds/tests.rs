use super::*;
use crate::index::{Claim, Decided, IndexPlace, OrderRow, WITHDRAWAL};

fn at(day: i64) -> WallTime {
    WallTime::from_unix_micros(1_700_000_000_000_000).plus_days(day)
}

fn hold(until: i64, basis: Option<&str>) -> Hold {
    Hold {
        id: CallId::new_at(at(0)),
        until: at(until),
        reason: "case 17/2026".into(),
        lawful_basis: basis.map(str::to_owned),
        by: "ada".into(),
        at: at(1),
    }
}

fn holds(dir: &Path, policy: HoldPolicy) -> Holds {
    Holds::open(&dir.join("holds.json"), policy).unwrap()
}

fn allowed() -> HoldPolicy {
    HoldPolicy { allowed: true, lawful_bases: vec!["GDPR 17(3)(e)".into()], ends_anyway: false }
}

async fn index(dir: &Path, name: &str) -> Index {
    Index::open(&IndexPlace::Sqlite(dir.join(name)), "45").await.unwrap()
}

async fn ordered(index: &Index, id: CallId, cause: &str, day: i64) -> Decided {
    let order = OrderRow {
        id,
        cause: cause.into(),
        request: None,
        at: at(day),
        node: 0,
        spool_clear: false,
        done: None,
    };
    index.decide_order(&order, true).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_held_where_holds_are_off_and_nothing_past_the_limit_without_a_basis() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), "index").await;
    let off = holds(dir.path(), HoldPolicy::default());
    let placed = off.place(&index, hold(5, None), at(90), 0).await;
    assert!(matches!(placed, Err(HoldError::Off)));
    let on = holds(dir.path(), allowed());
    on.place(&index, hold(90, None), at(90), 0).await.unwrap();
    for basis in [None, Some("because")] {
        let refused = on.place(&index, hold(91, basis), at(90), 0).await;
        assert!(matches!(refused, Err(HoldError::NoBasis { .. })), "{refused:?}");
    }
    on.place(&index, hold(91, Some("GDPR 17(3)(e)")), at(90), 0).await.unwrap();
    assert!(matches!(on.place(&index, hold(1, None), at(90), 0).await, Err(HoldError::Over)));
    let past_its_limit = on.place(&index, hold(5, Some("GDPR 17(3)(e)")), at(1), 0).await;
    assert!(matches!(past_its_limit, Err(HoldError::Erased)), "its day's key may be destroyed at any time");
    let ends = holds(dir.path(), HoldPolicy { ends_anyway: true, ..allowed() });
    let refused = ends.place(&index, hold(91, Some("GDPR 17(3)(e)")), at(90), 0).await;
    assert!(matches!(refused, Err(HoldError::EndsAnyway { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_survives_stops_what_it_must_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), "index").await;
    let one = hold(30, None);
    holds(dir.path(), allowed()).place(&index, one.clone(), at(90), 0).await.unwrap();
    let again = holds(dir.path(), allowed());
    assert_eq!(again.standing(one.id, at(29)), Some(one.clone()));
    assert_eq!(ordered(&index, one.id, "request", 29).await, Decided::Held(one.clone().into()));
    assert!(matches!(ordered(&index, one.id, "request", 30).await, Decided::Ordered(_)), "its time is up");
    let refused = again.place(&index, one.clone(), at(90), 0).await;
    assert!(matches!(refused, Err(HoldError::Erased)), "what is ordered to be erased cannot be held");
    let (two, three) = (hold(30, None), hold(30, None));
    for hold in [&two, &three] {
        again.place(&index, hold.clone(), at(90), 0).await.unwrap();
    }
    let withdrawn = ordered(&index, two.id, WITHDRAWAL, 2).await;
    assert!(matches!(withdrawn, Decided::Ordered(_)), "a withdrawal ignores holds");
    assert!(again.release(&index, three.id, at(3)).await.unwrap());
    assert!(!again.release(&index, three.id, at(3)).await.unwrap());
    assert!(matches!(ordered(&index, three.id, "request", 4).await, Decided::Ordered(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_a_file_of_holds_is_taken_over_once_and_before_anything_is_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (hold(30, None), hold(30, None));
    std::fs::write(dir.path().join("holds.json"), serde_json::to_vec(&[&one, &two]).unwrap()).unwrap();
    let shared = index(dir.path(), "index").await;
    let first = holds(dir.path(), allowed());
    assert_eq!(first.standing(one.id, at(2)), Some(one.clone()), "also before it is entered");
    first.enter(&shared).await.unwrap();
    assert!(matches!(ordered(&shared, one.id, "request", 2).await, Decided::Held(_)));
    // Another node lifts one: no start brings it back from a file.
    assert!(shared.lift_hold(two.id, at(2)).await.unwrap());
    for _ in 0..2 {
        let again = holds(dir.path(), allowed());
        again.enter(&shared).await.unwrap();
        assert_eq!(again.refresh(&shared).await.unwrap(), std::slice::from_ref(&one));
    }
    // An index that was lost has it from the file.
    let lost = index(dir.path(), "new").await;
    let again = holds(dir.path(), allowed());
    assert_eq!(again.refresh(&lost).await.unwrap(), std::slice::from_ref(&one));
    assert!(matches!(ordered(&lost, one.id, "expiry", 2).await, Decided::Held(_)));
    // So has one that is put back to an earlier state while the recorder runs.
    let back = index(dir.path(), "back").await;
    assert_eq!(again.refresh(&back).await.unwrap(), [one]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_not_claimed_and_what_is_claimed_cannot_be_held() {
    let dir = tempfile::tempdir().unwrap();
    let erasure = crate::erasure::anchor::tests::erasure(dir.path()).await;
    let erasure = std::sync::Arc::new(erasure);
    let delivery = crate::delivery::Delivery::new(Default::default(), std::sync::Arc::clone(&erasure));
    let mut ids = Vec::new();
    for _ in 0..2 {
        let closing = crate::delivery::recorded_at(&erasure, at(0)).await;
        delivery.settle_now(&closing).await;
        ids.push(closing.id);
    }
    let index = &erasure.stores.index;
    let on = holds(dir.path(), allowed());
    let of = |id, until| Hold { id, ..hold(until, Some("GDPR 17(3)(e)")) };
    on.place(index, of(ids[0], 200), at(90), 0).await.unwrap();
    let claim = Claim { now: at(91), since: None, node: 0, waits: true, most: 10 };
    assert_eq!(index.claim_due(claim).await.unwrap(), (vec![ids[1]], None));
    assert_eq!(index.claim_due(claim).await.unwrap(), (vec![], None), "once");
    let refused = on.place(index, of(ids[1], 200), at(90), 0).await;
    assert!(matches!(refused, Err(HoldError::Erased)), "{refused:?}");
    let later = Claim { now: at(201), ..claim };
    assert_eq!(index.claim_due(later).await.unwrap().0, [ids[0]], "its hold is over");
}

#[test]
fn invariant_05_a_hold_that_is_not_durable_is_not_confirmed() {
    // The file is written after the index: what fails there is told as well.
    optag_testing::faults::holds_under(optag_testing::test_name!(), &[&["fsync:error=EIO:when=1+"]], |_| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let index = index(dir.path(), "index").await;
            let all = holds(dir.path(), allowed());
            assert!(all.place(&index, hold(5, None), at(90), 0).await.is_err());
            assert!(all.known_here().is_empty() && holds(dir.path(), allowed()).known_here().is_empty());
        });
    });
}
